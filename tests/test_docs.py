"""What the documents print runs as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurofit


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M)


def test_the_analysis_of_contributing_runs_as_printed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, mapping = python_blocks(repository / "CONTRIBUTING.md")
    (tmp_path / "enet.py").write_text(mapping)
    plugin = tmp_path / "mean_response.py"
    plugin.write_text(code)
    program = f"""
import numpy as np, pandas as pd, xarray as xr, runpy
import neurofit
from neurofit.analyses import ANALYSES
from neurofit.results.io import write_result
from pathlib import Path
runpy.run_path({str(plugin)!r})
responses = xr.DataArray(
    np.arange(24, dtype=np.float32).reshape(4, 2, 3),
    dims=("presentation", "neuroid", "time_bin"),
    coords={{
        "stimulus_id": ("presentation", ["a", "a", "b", "b"]),
        "repetition": ("presentation", [0, 1, 0, 1]),
        "neuroid_id": ("neuroid", ["n", "m"]),
        "region": ("neuroid", ["IT", "IT"]),
        "time_bin_start": ("time_bin", [0, 10, 20]),
        "time_bin_end": ("time_bin", [10, 20, 30]),
    }},
)
table = pd.DataFrame({{"stimulus_id": ["a", "b"]}})
images = np.zeros((2, 8, 8, 3), np.uint8)
stimuli = neurofit.StimulusSet(
    name="two", table=table, images=images, visual_degrees=8.0, duration_ms=100.0
)
recording = neurofit.Recording(name="r", responses=responses, stimuli=stimuli)
entry = ANALYSES["mean_response"]
result = entry.function(recording, entry.make_config(statistic="mean"))
expected = responses.mean(("presentation", "neuroid")).values.tolist()
assert result.response.values.tolist() == expected
write_result(result, Path("out"))
runpy.run_path({str(tmp_path / "enet.py")!r})
from neurofit.mapping import find_mapping
features = np.random.default_rng(0).standard_normal((20, 3))
responses = features @ np.ones((3, 2))
assert find_mapping("enet").fit(features, responses).predict(features).shape == (20, 2)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "plot.png").is_file()


def test_arrays_are_scored_as_printed(
    repository: Path,
    evoked: Callable[[], neurofit.Recording],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (code,) = (
        each for each in python_blocks(repository / "docs" / "results.md") if "Activations(" in each
    )
    recording = evoked()
    monkeypatch.setattr(
        neurofit, "load_recording", lambda name, *, region, window: recording.select(region=region)
    )
    monkeypatch.chdir(tmp_path)
    images = np.stack([recording.stimuli.images[i] for i in range(60)])
    generator = images[:, ::8, ::8, 0].reshape(60, -1) / 64.0  # what the sites see
    features = np.random.default_rng(0).normal(size=(11, 60, 64))
    features[8] = generator  # timestep 8 is the bin of 80-90 ms
    np.save("features.npy", features)
    exec(code, {})
    result = neurofit.load_result("mine.nc")
    assert result.attrs["model"] == "mine"
    assert result.layer.values.tolist() == ["hidden"]
    r = result.curve_r_xy.values[0]
    assert r[1] > 0.5, "the features of 80-90 ms generate the responses"
    assert np.nanmax(np.abs(np.delete(r, 1))) < 0.3


def test_every_document_that_a_document_links_exists(repository: Path) -> None:
    documents = [*repository.glob("*.md"), *repository.glob("*/*.md")]
    for document in documents:
        for target in re.findall(
            r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")
        ):
            if target == "gallery/index.rst":  # the site makes it from the examples
                target = "../examples/GALLERY_HEADER.rst"
            assert (document.parent / target).exists(), f"{document.name} links {target}"


def test_the_options_that_the_readme_names_exist(repository: Path) -> None:
    from neurofit.cli.analyses import analysis_command

    shown = {flag for param in analysis_command("score").params for flag in param.opts}
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for line in re.findall(r"neurofit score [^\n`]*", readme):
        assert set(re.findall(r"--[a-z-]+", line)) <= {*shown, "--help"}, line

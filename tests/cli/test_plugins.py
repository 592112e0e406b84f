"""A Python file given with --plugin adds a mapping, an analysis and a recording."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.analyses import ANALYSES
from neurofit.data_loaders import load_recording
from neurofit.data_loaders.recordings import RECORDINGS
from neurofit.mapping import MAPPINGS
from neurofit.models import MODELS
from neurofit.models.catalogue import INFO

PLUGIN = '''
"""A mapping, an analysis and a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import neurofit
from neurofit.analyses.analysis import score_variable
from neurofit.config.options import check_fields, option
from neurofit.results.schema import time_coords

Number = int


@neurofit.register_mapping("nearest")
@dataclass
class Nearest:
    """Mean response to the training stimuli with the nearest features."""

    neighbours: Number = option(1, least=1, help="Number of training stimuli to average.")

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, features: Any, responses: Any) -> Nearest:
        self.features, self.responses = features, responses
        return self

    def predict(self, features: Any) -> Any:
        distances = ((features[:, None] - self.features) ** 2).sum(axis=2)
        nearest = np.argsort(distances, axis=1)[:, : self.neighbours]
        return self.responses[nearest].mean(axis=1)


@dataclass(frozen=True, kw_only=True)
class DriveConfig:
    """Options of a drive."""

    quantile: float = option(0.5, above=0, below=1, help="Quantile over neuroids.")


@neurofit.register_analysis(DriveConfig, models=0)
def drive(recording: Any, config: DriveConfig, *, compute: Any, progress: Any = None) -> xr.Dataset:
    """Quantile over neuroids of the mean response over time."""
    means = recording.responses.mean("presentation").values
    values = np.quantile(means, config.quantile, axis=0)
    score = score_variable(
        ("time_bin",), values, long_name="drive", formula="a quantile", units="counts",
        best=np.nan, column="drive",
    )
    return xr.Dataset({"drive": score}, coords=time_coords(*np.array(recording.time_bins).T))


@neurofit.register_recording(name="twinkle", regions=("V4",), simulated=True, citation="")
def load(progress: Any = None) -> neurofit.Recording:
    """Sites that count photons."""
    rng = np.random.default_rng(0)
    ids = [f"i{number}" for number in range(40)]
    images = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    rates = images.reshape(40, -1)[:, :5] / 16
    responses = rng.poisson(np.tile(rates, (6, 1))[:, :, None], (240, 5, 2)).astype(np.float32)
    coords = {
        "stimulus_id": ("presentation", ids * 6),
        "repetition": ("presentation", np.repeat(np.arange(6), 40)),
        "neuroid_id": ("neuroid", [f"n{number}" for number in range(5)]),
        "region": ("neuroid", ["V4"] * 5),
        "time_bin_start": ("time_bin", [80, 90]),
        "time_bin_end": ("time_bin", [90, 100]),
    }
    stimuli = neurofit.StimulusSet(
        name="twinkle", table=pd.DataFrame({"stimulus_id": ids}), images=images,
        visual_degrees=8.0, duration_ms=100.0,
    )
    dims = ("presentation", "neuroid", "time_bin")
    made = xr.DataArray(responses, dims=dims, coords=coords)
    return neurofit.Recording(name="twinkle", responses=made, stimuli=stimuli, simulated=True)
'''


@pytest.fixture
def call(neurofit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command with a plugin, as if in a process of its own."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)

    def run(*arguments: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            for registry in (MAPPINGS, ANALYSES, RECORDINGS):
                patch.setattr(registry, "_entries", dict(registry._entries))
            code, out, err = neurofit("--plugin", str(path), *arguments)
            sys.modules.pop("neurofit_plugin_mine", None)
        assert f"Note: running {path} (--plugin)." in err
        return code, out, err

    return run


@pytest.mark.parametrize(
    ("kind", "name", "description"),
    [
        ("mappings", "nearest", "Mean response to the training stimuli with the nearest"),
        ("analyses", "drive", "Quantile over neuroids of the mean response over time."),
        ("recordings", "twinkle", "Sites that count photons."),
    ],
)
def test_what_a_plugin_registers_is_listed(
    call: Any, neurofit: Any, kind: str, name: str, description: str
) -> None:
    code, out, err = call("list", kind)
    assert code == 0, err
    line = next(line for line in out.splitlines() if line.startswith(name))
    assert description in " ".join(out[out.index(line) :].split())
    assert name not in neurofit("list", kind)[1]


def test_what_a_plugin_registers_is_in_the_help(call: Any, neurofit: Any) -> None:
    code, out, _ = call("score", "--help")
    assert code == 0
    assert "--nearest-neighbours" in out
    assert "Number of training stimuli to" in out
    code, out, _ = call("analyse", "--help")
    assert code == 0
    assert "│ drive " in out
    code, out, _ = call("analyse", "drive", "--help")
    assert code == 0
    assert "--quantile" in out
    assert call("--help")[0] == 0
    assert "--nearest-neighbours" not in neurofit("score", "--help")[1]


def test_a_mapping_and_a_recording_of_a_plugin_run(call: Any, tmp_path: Path) -> None:
    few = ("--n-splits", "2", "--n-halves", "2", "--n-bootstraps", "5")
    score = ("score", "--model", "timedecay_tiny", "--recording", "twinkle", "--region", "V4")
    mapping = ("--mapping", "nearest,ridge", "--layers", "conv1")
    code, out, err = call(*score, *mapping, "--nearest-neighbours", "3", *few, "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["recording"] == "twinkle"
    assert summary["series"]["mapping"] == ["nearest", "ridge"]
    assert summary["config"]["mapping"][0] == {"name": "nearest", "neighbours": 3}
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert "nearest+ridge_nearest_neighbours=3" in folder.name
    code, _, err = call(*score, *mapping, "--nearest-neighbours", "0", *few)
    assert code == 2
    assert "\n--nearest-neighbours must be at least 1; got 0." in err


def test_an_analysis_of_a_plugin_runs_and_gives_what_it_computes(
    call: Any, registered: Any, tmp_path: Path
) -> None:
    analyse = ("analyse", "drive", "--recording", "small", "--region", "V4", "--quantile", "0.25")
    code, out, err = call(*analyse)
    assert code == 0, err
    for start in (70, 80, 90, 100):
        assert f"{start}-{start + 10}" in out
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert folder.name == "drive_V4_small_quantile=0.25"
    assert (folder / "plot.png").is_file()
    found = json.loads((folder / "summary.json").read_text())["drive"]
    responses = load_recording("small").select(region="V4").responses.values
    means = [sorted(responses[:, n, t].mean() for n in range(6)) for t in range(4)]
    expected = [each[1] + 0.25 * (each[2] - each[1]) for each in means]  # position 0.25 * 5
    np.testing.assert_allclose(found, expected, rtol=1e-5)


MODEL = """
from neurofit.models import create_model, model_info, register_model

known = vars(model_info("timedecay_tiny"))

@register_model(**{**known, "name": "mine", "summary": "", "makes_weights": True})
def mine(**options):
    model = create_model("timedecay_tiny")
    model.get_parameter("net.conv1.conv.weight").data *= SCALE
    return model
"""


def test_a_model_of_a_plugin_is_scored_with_its_weights_and_anew_after_an_edit(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    registered(replace(evoked(), sha256="0" * 64))
    path = tmp_path / "nets.py"
    scores = []
    for scale in (1, -1, -1):
        path.write_text(MODEL.replace("SCALE", str(scale)))
        with monkeypatch.context() as patch:
            patch.setattr(MODELS, "_entries", dict(MODELS._entries))
            for name in INFO:
                patch.setitem(INFO, name, INFO[name])
            code, out, err = neurofit(
                *("--plugin", str(path), "score", "--model", "mine", "--recording", "small"),
                *("--region", "V4", "--window", "80:100", "--n-splits", "2", "--n-halves", "2"),
                *("--layers", "conv3", "--keep-grams", "--json"),
            )
        assert code == 0, err
        summary = json.loads(out)
        scores.append(summary[summary["headline"]])
    assert scores[1] == scores[2] != scores[0]


def test_a_plugin_may_be_named_after_the_command(call: Any, neurofit: Any, tmp_path: Path) -> None:
    call("list", "mappings")  # its own registries, so that the next call may register again
    code, out, err = neurofit("list", "cells", f"--plugin={tmp_path / 'empty.py'}")
    assert (code, out) == (2, "")
    (tmp_path / "empty.py").write_text("")
    code, out, err = neurofit("list", "cells", "--plugin", str(tmp_path / "empty.py"))
    assert code == 0, err
    assert f"Note: running {tmp_path / 'empty.py'} (--plugin)." in err
    assert "lstm" in out


def test_an_error_in_a_plugin_is_said_to_be_of_the_plugin(neurofit: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    code, out, err = neurofit("--plugin", "broken.py", "list", "models")
    assert (code, out) == (2, "")
    assert "broken.py (--plugin) failed: ZeroDivisionError: division by zero" in err
    assert "bug in neurofit" not in err


def test_an_error_of_a_mapping_of_a_plugin_is_not_blamed_on_neurofit(
    call: Any, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    text = path.read_text()
    assert text.count("    def fit(") == 1
    first = text.index("\n", text.index("    def fit("))
    path.write_text(f"{text[:first]}\n        raise ValueError('too few')\n{text[first:]}")
    code, _, err = call(
        *("score", "--model", "timedecay_tiny", "--recording", "twinkle", "--region", "V4"),
        *("--mapping", "nearest", "--layers", "conv1", "--n-splits", "2", "--n-halves", "2"),
    )
    assert code == 1
    assert f"ValueError: too few\nIt was raised in {path} (--plugin)." in err
    assert "bug in neurofit" not in err


def test_a_verification_names_the_plugin_in_its_command(call: Any, tmp_path: Path) -> None:
    code, _, err = call(
        *("score", "--model", "timedecay_tiny", "--recording", "twinkle", "--region", "V4"),
        *("--mapping", "nearest", "--layers", "conv1", "--n-splits", "2", "--n-halves", "2"),
    )
    assert code == 0, err
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    code, out, err = call("verify", str(folder))
    assert code == 0, err
    assert f"Repeated: neurofit --plugin {tmp_path / 'mine.py'} score" in out


def test_an_analysis_in_place_of_a_command_is_found(neurofit: Any) -> None:
    code, _, err = neurofit("latency", "--region", "IT")
    assert code == 2
    assert "No such command 'latency'. Did you mean neurofit analyse latency?" in err

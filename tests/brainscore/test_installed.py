"""The installed Brain-Score runs our submissions and reads its files as we do.

Linked folders, its command line, files in its cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brainscore_vision
import numpy as np
import pytest
from brainscore_core.submission.repository import find_submission_directory
from brainscore_core.supported_data_standards.brainio import fetch
from brainscore_core.supported_data_standards.brainio.packaging import (
    package_stimulus_set_locally,
    write_netcdf,
)
from PIL import Image
from scipy.stats import zscore
from typer.testing import CliRunner

from neurofit.brainscore import (
    NeurofitBrainModel,
    export,
    from_assembly,
    score_benchmark,
    to_assembly,
    to_stimulus_set,
)
from neurofit.brainscore import registration as ours
from neurofit.cli.app import app, main
from neurofit.data_loaders import brainscore_files
from neurofit.recordings.recording import Recording

MODEL = "neurofit-rgc_tiny"
ADDED = "MajajHong2015.neurofit_added"
BENCHMARK = "neurofit_added.IT-ridge"

DATA = """
from brainscore_core.supported_data_standards.brainio.assemblies import NeuronRecordingAssembly
from brainscore_core.supported_data_standards.brainio import s3
from brainscore_vision import data_registry, load_stimulus_set, stimulus_set_registry

BUCKET = 'brainscore-storage/brainio-brainscore'
stimulus_set_registry['neurofit_added'] = lambda: s3.load_stimulus_set_from_s3(
    identifier='neurofit_added', bucket=BUCKET, csv_sha1='{csv}', zip_sha1='{zip}',
    csv_version_id='null', zip_version_id='null')
data_registry['MajajHong2015.neurofit_added'] = lambda: s3.load_assembly_from_s3(
    identifier='dicarlo.neurofit_added', version_id='null', sha1='{nc}', bucket=BUCKET,
    cls=NeuronRecordingAssembly, stimulus_set_loader=lambda: load_stimulus_set('neurofit_added'))
"""

BENCHMARKS = """
from brainscore_vision import benchmark_registry, load_ceiling, load_metric
from brainscore_vision.benchmarks.majajhong2015.benchmark import _DicarloMajajHong2015Region

benchmark_registry['neurofit_added.IT-ridge'] = lambda: _DicarloMajajHong2015Region(
    region='IT', access='neurofit_added', identifier_metric_suffix='ridge',
    ceiler=load_ceiling('internal_consistency'), similarity_metric=load_metric(
        'ridge', crossvalidation_kwargs=dict(stratification_coord='object_name')))
"""


@dataclass
class Added:
    """A data set and a benchmark in Brain-Score's folder, and the files in its cache.

    Parameters
    ----------
    recording
        What the files hold.
    files
        The netCDF, the table and the zip: name -> where it lies, in a folder named by its SHA-1.
    """

    recording: Recording
    files: dict[str, Path]


@pytest.fixture
def added(
    installed: Path,
    planted: Callable[..., Recording],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Added:
    """Link the real benchmark of Majaj & Hong on data of this test into Brain-Score.

    Nothing may be downloaded.
    """
    recording = planted(n_stimuli=60, n_repetitions=4, n_neuroids=6, n_bins=1)
    recording.responses.coords["time_bin_end"] = ("time_bin", [170])
    recording.responses.coords["animal"] = ("neuroid", ["Chabo", "Tito"] * 3)
    model = ours.model("rgc_tiny")
    model.start_recording("IT", recording.time_bins)
    answered = model.look_at(to_stimulus_set(recording.stimuli)).values[..., 0]
    signal = zscore(
        (answered - answered.mean(axis=0))
        @ np.random.default_rng(0).normal(size=(answered.shape[1], 6))
    )
    # so that the model scores
    recording.responses.values += np.float32(20 * np.tile(signal, (4, 1))[..., None])
    assembly = to_assembly(recording)
    written = tmp_path / "written"
    stimuli = assembly.attrs["stimulus_set"].copy()
    packaged = package_stimulus_set_locally(stimuli, "neurofit_added", downloads_path=written)
    sha1s = {"csv": packaged["csv_sha1"], "zip": packaged["zip_sha1"]}
    bare = (
        assembly.reset_index("presentation")[{}]
        .drop_vars(["object_name", "size"])
        .set_index(presentation=["stimulus_id", "repetition"])
    )
    sha1s["nc"] = write_netcdf(type(assembly)(bare), written / "assy_dicarlo_neurofit_added.nc")
    names = {
        "nc": "assy_dicarlo_neurofit_added.nc",
        "csv": "stimulus_neurofit_added.csv",
        "zip": "stimulus_neurofit_added.zip",
    }
    files = {}
    for kind, sha1 in sha1s.items():
        folder = tmp_path / "brainio" / sha1
        folder.mkdir(parents=True)
        files[names[kind]] = Path(shutil.move(written / names[kind], folder))
    for kind, source in (("data", DATA.format(**sha1s)), ("benchmarks", BENCHMARKS)):
        folder = tmp_path / "plugins" / kind
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(source)
        (installed / kind / "neurofit_added").symlink_to(folder, target_is_directory=True)
    monkeypatch.setattr(fetch, "_local_data_path", str(tmp_path / "brainio"))
    monkeypatch.setattr(
        fetch.BotoFetcher,
        "download_boto",
        lambda fetcher: pytest.fail(f"{fetcher.output_filename} is asked for"),
    )
    monkeypatch.setenv("BRAINIO_HOME", str(tmp_path / "brainio"))
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")  # its caches go by name
    monkeypatch.setenv("BS_INSTALL_DEPENDENCIES", "no")
    return Added(recording=recording, files=files)


def neurofit(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["brainscore", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_linked_submission_is_scored_by_brainscore_as_by_us_and_leaves_nothing(
    added: Added, installed: Path, tmp_path: Path, left_in: Callable[[Path], list[Path]]
) -> None:
    neurofit("export", str(tmp_path / "submission"), "--model", "rgc_tiny")
    neurofit("link", str(tmp_path / "submission"))
    ours.unregister()
    assert brainscore_vision.load_model(MODEL).identifier == MODEL
    assert "brainscore_vision.models.neurofit_rgc_tiny" in sys.modules  # found in its folder
    assert brainscore_vision.load_model_bibtex(MODEL).startswith("@misc{neurofit")

    theirs = brainscore_vision.score(model_identifier=MODEL, benchmark_identifier=BENCHMARK)
    assert theirs.attrs["model_identifier"] == MODEL
    assert theirs.item() > 0.1

    command = run(
        *(
            "-m",
            "brainscore_vision",
            "score",
            f"--model_identifier={MODEL}",
            f"--benchmark_identifier={BENCHMARK}",
        ),
        folder=tmp_path,
    )
    assert command.returncode == 0, command.stderr
    printed = re.search(r"<xarray.Score \(\)>\narray\((.*?)\)", command.stdout)
    assert printed, command.stdout
    assert float(printed[1]) == pytest.approx(theirs.item(), abs=6e-9)  # eight decimals are printed

    direct = score_benchmark(MODEL, BENCHMARK)
    assert direct.value == pytest.approx(theirs.item(), rel=1e-6)
    assert direct.raw == pytest.approx(theirs.raw.item(), rel=1e-6)
    assert direct.ceiling == pytest.approx(theirs.ceiling.item(), rel=1e-6)
    shown = neurofit("score", MODEL, BENCHMARK)
    assert shown.splitlines() == [
        f"{MODEL} on {BENCHMARK}: {theirs.item():.4f} +- {float(theirs.attrs['error']):.4f}",
        f"raw {theirs.raw.item():.4f}, ceiling {theirs.ceiling.item():.4f}",
    ]

    litter = installed.parent / f"conda_score--{MODEL}_{BENCHMARK}.pkl"
    assert litter.is_file()
    removed = neurofit("unlink")
    assert str(litter) in removed
    assert str(installed / "models" / "neurofit_rgc_tiny") in removed
    assert {path.name for path in left_in(installed)} == {
        "neurofit_added"
    }  # this test's data and benchmark
    ours.unregister()
    with pytest.raises(AssertionError, match=f"No registrations found for {MODEL}"):
        brainscore_vision.load_model(MODEL)


def test_the_command_scores_in_a_process_of_its_own(added: Added, tmp_path: Path) -> None:
    done = run("-m", "neurofit", "brainscore", "score", MODEL, BENCHMARK, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    ours.unregister()
    expected = brainscore_vision.load_benchmark(BENCHMARK)(ours.model("rgc_tiny"))
    assert done.stdout.startswith(f"{MODEL} on {BENCHMARK}: {expected.item():.4f} +- ")
    assert "pre-flight" not in done.stdout
    assert not list(tmp_path.glob("conda_score*"))


def test_a_submission_passes_brainscores_own_checks(installed: Path, tmp_path: Path) -> None:
    plugin = export.export("rgc_tiny", tmp_path / "submission")
    export.link(tmp_path / "submission", installed)
    linked = installed / "models" / plugin.name
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "pytest_check.py").touch()  # imported beside the checks, for those that need conda
    done = run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--plugin_directory", str(linked)),
        *(str(installed / "model_helpers" / "generic_plugin_tests.py"), str(linked / "test.py")),
        folder=tmp_path,
        PYTHONPATH=os.pathsep.join(filter(None, [str(stub), os.environ.get("PYTHONPATH")])),
        BS_INSTALL_DEPENDENCIES="no",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_the_zip_has_the_one_folder_that_brainscores_site_looks_for(
    tmp_path: Path, repository: Path
) -> None:
    assert (
        "zip -r submission.zip submission -x '*__pycache__*'"
        in (repository / "docs" / "brainscore.md").read_text()
    )
    export.export("rgc_tiny", tmp_path / "submission")
    archive = shutil.make_archive(str(tmp_path / "zip"), "zip", tmp_path, "submission")
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path / "unpacked")
    found = tmp_path / "unpacked" / find_submission_directory(tmp_path / "unpacked")
    assert (found / "models" / "neurofit_rgc_tiny" / "__init__.py").is_file()


def test_files_in_brainscores_cache_are_read_without_network_and_by_us_to_the_bit(
    added: Added, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = brainscore_vision.load_dataset(ADDED)
    assert theirs.attrs["identifier"] == "dicarlo.neurofit_added"
    for name, path in added.files.items():
        folder = (
            tmp_path / "mirror" / ("neurofit_added" if name.startswith("stimulus") else "added")
        )
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    sha1s = [path.parent.name for path in added.files.values()]
    read = brainscore_files.load(
        "added",
        brainscore_files.assembly_file("dicarlo.neurofit_added", sha1=sha1s[2]),
        brainscore_files.stimulus_files(
            "neurofit_added", sha1s=(sha1s[0], sha1s[1]), visual_degrees=8.0, duration_ms=100.0
        ),
        citation="",
        units="",
        progress=None,
    )
    values = theirs.transpose("presentation", "neuroid", "time_bin").values
    assert values.dtype == read.responses.values.dtype == np.float32
    np.testing.assert_array_equal(read.responses.values, values)
    np.testing.assert_array_equal(values, added.recording.responses.values)
    for name in ("stimulus_id", "repetition", "neuroid_id", "region"):
        np.testing.assert_array_equal(read.responses[name].values, theirs[name].values)
    assert read.time_bins == theirs["time_bin"].values.tolist() == [(70, 170)]
    for row, stimulus in enumerate(read.stimuli.ids):
        np.testing.assert_array_equal(
            read.stimuli.images[row],
            np.asarray(Image.open(theirs.stimulus_set.get_stimulus(stimulus))),
        )
    assert set(read.stimuli.table["object_name"]) == set(theirs["object_name"].values)
    through = from_assembly(theirs)
    np.testing.assert_array_equal(through.responses.values, read.responses.values)


def test_a_changed_file_in_the_cache_is_said(
    added: Added, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(added.files["assy_dicarlo_neurofit_added.nc"], "ab") as file:
        file.write(b"more")
    command = ("score", "--model", "rgc_tiny", "--region", "IT")
    said = said_by(*command, "--recording", f"brainscore:{BENCHMARK}", capsys=capsys, code=1)
    mismatch = "ValueError: SHA1 mismatch."
    assert said[0].startswith(f"Brain-Score cannot load the benchmark {BENCHMARK}: {mismatch}")


def said_by(*arguments: str, capsys: pytest.CaptureFixture[str], code: int) -> list[str]:
    """Return the lines on stderr of a command that fails, without progress bars."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["neurofit", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code == code
    return [line for line in capsys.readouterr().err.splitlines() if line.strip()]


def test_brainscores_memory_check_probes_our_model_with_one_nameless_image(
    added: Added, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BRAINSCORE_SKIP_MEMORY_CHECK", raising=False)
    shown: list[tuple[str | None, int]] = []

    class Watched(NeurofitBrainModel):
        def look_at(
            self, stimuli: Any, number_of_trials: int = 1, require_variance: bool = False
        ) -> Any:
            shown.append((stimuli.identifier, len(stimuli)))
            return super().look_at(stimuli, number_of_trials)

    monkeypatch.setattr(ours, "NeurofitBrainModel", Watched)
    found = score_benchmark(MODEL, BENCHMARK)
    assert shown == [(None, 1), ("neurofit_added", 60)]
    said = capsys.readouterr()
    assert "60 stimuli  ×  512 features  ×  1 timebins" in said.err  # noqa: RUF001 - their sign
    assert said.out == ""
    expected = brainscore_vision.load_benchmark(BENCHMARK)(ours.model("rgc_tiny"))
    assert found.value == pytest.approx(expected.item(), rel=1e-9)


def test_too_little_memory_is_said_and_how_to_try_all_the_same(
    added: Added, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BRAINSCORE_SKIP_MEMORY_CHECK", raising=False)
    monkeypatch.setattr(
        "brainscore_vision.benchmark_helpers.memory.available_memory_gb", lambda: 1e-6
    )
    said = said_by("brainscore", "score", MODEL, BENCHMARK, capsys=capsys, code=1)
    assert re.fullmatch(rf"{MODEL} on {BENCHMARK}: .* GB .*", said[-2]), said
    assert said[-1] == "Set BRAINSCORE_SKIP_MEMORY_CHECK=1 to run it anyway."
    monkeypatch.setenv("BRAINSCORE_SKIP_MEMORY_CHECK", "1")
    assert neurofit("score", MODEL, BENCHMARK).startswith(f"{MODEL} on {BENCHMARK}: ")

"""The sweep commands: what a person reads at 80 columns, and their exit codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from neurofit.data_loaders import write_recording
from neurofit.recordings.recording import Recording

Command = Callable[..., tuple[int, str, str]]

STUDY = """
models = ["timedecay_tiny"]
recordings = ["small.nc"]
regions = ["V4", "IT"]
windows = ["80:100"]
[options]
n_splits = 2
n_halves = 2
min_z = 0.0
"""


@pytest.fixture
def study(
    neurofit: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    evoked: Callable[[], Recording],
) -> Path:
    """Write a study of two cells into the working folder."""
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    write_recording(evoked(), tmp_path / "small.nc")
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


def test_a_study_from_the_dry_run_to_its_logs(study: Path, neurofit: Command) -> None:
    code, out, _ = neurofit("sweep", "study.toml", "--dry-run")
    assert code == 0
    assert "study: 2 cells, 0 finished, 2 to compute" in out
    assert out.count("to compute") == 3
    words = " ".join(out.split())
    assert re.search(r"About \d+ s of CPU time of this machine: \d+ s for 1 extraction", words)
    assert "to start 1 process and read recordings" in words
    assert "GB of memory per worker" in words
    assert not Path("neurofit-sweeps").exists()
    assert max(map(len, out.splitlines())) <= 80
    code, _, err = neurofit("sweep", "status", "study.toml")
    assert code == 2
    assert "start it with neurofit sweep STUDY.toml" in err
    code, out, _ = neurofit("sweep", "study.toml", "--workers", "1")
    assert code == 0
    assert "2 cells: 2 finished, 0 running, 0 waiting, 0 failed" in out
    assert f"Results are in {study.parent / 'home' / 'cells'}" in out
    assert "neurofit report study.toml" in out
    code, out, _ = neurofit("sweep", "study.toml", "--dry-run")
    assert out.count("finished") == 3
    keys = {line.split()[2]: line.split()[0] for line in out.splitlines() if "finished" in line}
    key = keys["V4"]
    for asked in ("study.toml", "neurofit-sweeps/study"):
        code, out, _ = neurofit("sweep", "logs", asked, key)
        assert code == 0
        assert f"({key})" in out
        assert keys["IT"] not in out  # another cell of the same task
    there = ("--folder", "neurofit-sweeps/study")  # as in neurofit search
    assert neurofit("sweep", "status", "study.toml", *there)[0] == 0
    assert neurofit("search", "status", "study.toml", *there)[2].count("No such option") == 0
    code, _, err = neurofit("sweep", "logs", "study.toml", "x")
    assert code == 2
    assert "The key of no cell begins with 'x'" in err
    code, out, _ = neurofit("sweep", "resume", "study.toml")
    assert (code, "2 finished, 0 to compute" in out) == (0, True)


def test_a_failed_cell_gives_an_exit_code_of_1_and_its_error(
    study: Path, neurofit: Command
) -> None:
    study.write_text('layers = ["conv9"]\n' + STUDY)
    code, out, err = neurofit("sweep", "study.toml")
    assert code == 1
    assert "2 failed" in out
    assert err.count("Unknown layer of timedecay_tiny 'conv9'") == 2
    assert "neurofit report" not in out
    code, out, _ = neurofit("sweep", "resume", "study.toml")
    assert "0 finished, 0 to compute" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sweep", "nowhere.toml"), "There is no study at nowhere.toml"),
        (("sweep", "study.toml", "--cluster", "pbs"), "Existing: local, slurm"),
        (("sweep", "study.toml", "--workers", "0"), "--workers must be at least 1; got 0"),
        (("sweep", "wrong.toml"), "[machine] of wrong.toml: workers must be at least 1; got -2"),
    ],
)
def test_what_is_wrong_is_said(
    study: Path, neurofit: Command, arguments: tuple[str, ...], said: str
) -> None:
    study.with_name("wrong.toml").write_text(f"{STUDY}[machine]\nworkers = -2\n")
    code, _, err = neurofit(*arguments)
    assert code == 2
    assert said in err


def test_an_area_that_a_recording_lacks_is_refused_before_anything_is_computed(
    study: Path, neurofit: Command
) -> None:
    study.write_text(STUDY.replace('"IT"', '"V1"'))
    code, _, err = neurofit("sweep", "study.toml")
    assert code == 2
    assert "has no area 'V1'; it has IT, V4" in err or "has no area 'V1'; it has V4, IT" in err
    assert not Path("neurofit-sweeps").exists()

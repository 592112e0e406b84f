"""A NEUROFIT_HOME that cannot be written to is read; what is new goes to NEUROFIT_SCRATCH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from neurofit import load_result
from neurofit.data_loaders import write_recording
from neurofit.models import create_model, save_weights
from neurofit.recordings.recording import Recording

Command = Callable[..., tuple[int, str, str]]

SCORE = (
    *("score", "--model", "rgc_tiny", "--recording", "small.nc", "--region", "IT"),
    *("--n-splits", "2", "--n-halves", "2", "--min-z", "0"),
)

# root may write everywhere, unless it is without this capability
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evoked: Callable[[], Recording]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command as a user who may not write to NEUROFIT_HOME."""
    monkeypatch.chdir(tmp_path)
    write_recording(evoked(), tmp_path / "small.nc")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv")

    def call(*arguments: str, scratch: str = "scratch") -> subprocess.CompletedProcess[str]:
        places = {"NEUROFIT_HOME": "home", "NEUROFIT_SCRATCH": scratch}
        return subprocess.run(
            [*(BOUND if os.geteuid() == 0 else ()), sys.executable, "-m", "neurofit", *arguments],
            env={**os.environ, **{name: str(tmp_path / at) for name, at in places.items()}},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def protect(home: Path) -> None:
    for path in (home, *home.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_score_reads_the_shared_home_and_writes_to_its_own_place(
    run: Callable[..., subprocess.CompletedProcess[str]],
    neurofit: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("NEUROFIT_HOME", str(home))
    save_weights(create_model("rgc_tiny", weights="random"), home / "weights" / "mine.safetensors")
    keep = ("--keep-grams", "--weights", str(home / "weights" / "mine.safetensors"))
    code, _, err = neurofit(*SCORE, *keep, "--out", "root")
    assert code == 0, err
    protect(home)
    before = files(home)
    done = run(*SCORE, *keep, "--out", "out/same")
    assert done.returncode == 0, done.stderr
    assert "images through the model" not in done.stderr  # the shared Gram matrices were read
    assert files(tmp_path / "scratch" / "grams") == []
    done = run(*SCORE, *keep, "--layers", "conv3", "--out", "out/other")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written to; what is new goes to") == 1
    assert str(tmp_path / "scratch") in done.stderr
    assert len(files(tmp_path / "scratch" / "grams")) == 4  # time bins
    assert list((tmp_path / "scratch" / "unfinished").iterdir()) == []
    assert files(home) == before
    same = [load_result(at).copy() for at in ("root", "out/same")]
    for each in same:
        each.attrs = {}
    assert same[0].identical(same[1])
    done = run(*SCORE, *keep, "--layers", "conv3", "--out", "out/again")
    assert "images through the model" not in done.stderr  # the private ones, too


@pytest.mark.slow
def test_without_any_place_to_write_the_error_names_the_variable(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    for name in ("home", "closed"):
        (tmp_path / name).mkdir(mode=0o555)
    done = run(*SCORE, "--out", "out/here", scratch="closed")
    assert done.returncode == 2
    assert "Choose a writable folder (NEUROFIT_SCRATCH)" in done.stderr
    assert "bug" not in done.stderr

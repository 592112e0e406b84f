"""On a full disk nothing half-written is left, and a result is not lost."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurofit import load_result
from neurofit.data_loaders import write_recording
from neurofit.recordings.recording import Recording

Command = Callable[..., tuple[int, str, str]]

SCORE = (
    *("score", "--model", "timedecay_tiny", "--recording", "small.nc", "--region", "IT"),
    *("--n-splits", "2", "--n-halves", "2", "--min-z", "0"),
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount an empty file system of a given size; skip where this is not permitted."""
    mounted = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small(
    neurofit: Command,
    evoked: Callable[[], Recording],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Write a recording into the working folder."""
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    write_recording(evoked(), tmp_path / "small.nc")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("small")
def test_a_result_that_does_not_fit_is_written_elsewhere(
    disk: Callable[[str], Path], neurofit: Command
) -> None:
    full = disk("64k")
    code, _, err = neurofit(*SCORE, "--out", str(full / "out"))
    assert code == 1
    assert "No space left on the disk" in err
    found = re.search(r"The result was written to (\S+) instead", err)
    assert found is not None
    assert load_result(found[1]).attrs["model"] == "timedecay_tiny"
    assert files_in(full) == []


@pytest.mark.usefixtures("small")
def test_a_gram_that_cannot_be_cached_is_no_error(
    disk: Callable[[str], Path], neurofit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = disk("2M")
    monkeypatch.setenv("NEUROFIT_HOME", str(home))
    (home / "filling").write_bytes(bytes(1_990_000))
    monkeypatch.setattr("neurofit.activations.blocks.BlockWriter.__init__", in_memory)
    code, _, err = neurofit(*SCORE, "--keep-grams", "--out", "out")
    assert code == 0
    assert "Gram matrices are not cached: No space left on the disk" in err
    cached = [file for file in files_in(home) if file.suffix == ".safetensors"]
    assert len(cached) < 4  # of four time bins
    assert not any(file.name.startswith(".") for file in cached)


def in_memory(self: object, n_stimuli: int, storage: str, *, folder: object = None) -> None:
    """Keep activations in memory: the disk is full."""
    vars(self).update(n_stimuli=n_stimuli, n_done=0, batch_size=None, blocks={}, folder=None)
    vars(self).update(_files={}, _last_step={}, _shared=set(), varying=set(), _first={})


@pytest.mark.usefixtures("small")
def test_activations_that_do_not_fit_are_refused_and_removed(
    disk: Callable[[str], Path], neurofit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = disk("100k")
    monkeypatch.setenv("NEUROFIT_HOME", str(home))
    code, _, err = neurofit(*SCORE, "--out", "out")
    assert code == 1
    assert "Cannot allocate" in err
    assert "No space left on device" in err
    assert files_in(home) == []
    assert not Path("out").exists() or os.listdir("out") == []

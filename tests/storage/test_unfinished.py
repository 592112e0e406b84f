"""What killed processes left is found by its owner; what living ones make is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurofit.storage import unfinished
from neurofit.storage.home import atomic_directory, atomic_file, home
from neurofit.storage.unfinished import Unfinished, clean, leftovers

WRITE = """
import sys, time
from neurofit.storage.home import atomic_directory, atomic_file, home
from neurofit.storage.unfinished import Unfinished
work = Unfinished("a" * 24)
(work.path / "1.npy").write_bytes(b"half")
other = Unfinished()
(other.path / "1.npy").write_bytes(b"half")
with atomic_file(home() / "grams" / "a.safetensors") as file:
    (file.parent / ".tmpAbCdEf").write_bytes(b"of a library")
    with atomic_directory(home() / "recordings" / "set") as folder:
        (folder / "half").write_bytes(b"half")
        print("written", flush=True)
        time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _own(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "_cleaned", set())


def working() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def names() -> list[str]:
    return sorted(path.name for path in (home() / "unfinished").iterdir())


def files() -> list[str]:
    return [str(path) for path in home().rglob("*") if path.is_file()]


def states() -> dict[str, int]:
    found = [state for _, state in leftovers(home())]
    return {state: found.count(state) for state in found}


def test_what_a_living_process_makes_is_left() -> None:
    process = working()
    before = files()
    clean(home())
    assert states() == {"running": 4}
    assert files() == before
    process.kill()
    process.wait()


def test_what_a_killed_process_left_is_removed_at_the_next_start() -> None:
    process = working()
    process.kill()
    process.wait()
    assert states() == {"left": 3, "continuable": 1}
    with atomic_file(home() / "grams" / "b.safetensors") as file:
        file.write_bytes(b"whole")
    assert states() == {"continuable": 1}
    work = Unfinished("a" * 24)
    assert (work.path / "1.npy").read_bytes() == b"half"
    work.cleanup()
    assert names() == []
    assert files() == [str(home() / "grams" / "b.safetensors")]


def test_work_that_nobody_continues_is_kept_for_a_day() -> None:
    process = working()
    process.kill()
    process.wait()
    (work,) = (path for path, state in leftovers(home()) if state == "continuable")
    for age, kept in ((23, True), (25, False)):
        then = time.time() - age * 3600
        for path in (work / "1.npy", work):
            os.utime(path, (then, then))
        unfinished._cleaned.clear()
        clean(home())
        assert work.exists() == kept
    assert names() == []


def test_the_same_work_is_done_twice_at_once_in_two_folders() -> None:
    first, second = Unfinished("a" * 24), Unfinished("a" * 24)
    assert first.path != second.path
    first.cleanup()
    assert second.path.is_dir()
    second.cleanup()
    assert names() == []


def test_work_ends_with_its_object() -> None:
    work = Unfinished("b" * 24)
    (work.path / "1.npy").write_bytes(b"")
    del work
    assert names() == []


def test_another_machine_has_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    process = working()
    process.kill()
    process.wait()
    monkeypatch.setattr("neurofit.storage.claims.machine_id", lambda: "elsewhere")
    clean(home())
    assert states() == {"running": 4}
    then = time.time() - 25 * 3600
    for path in home().rglob("*"):
        os.utime(path, (then, then))
    unfinished._cleaned.clear()
    clean(home())
    assert names() == []


def test_a_folder_on_another_file_system_is_written_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Path("/dev/shm") / tmp_path.name
    if not other.parent.is_dir() or other.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    other.mkdir()
    home().mkdir()
    (home() / "grams").symlink_to(other)
    try:
        with atomic_file(home() / "grams" / "a") as file:
            file.write_bytes(b"whole")
        with atomic_directory(home() / "grams" / "b") as folder:
            (folder / "c").write_bytes(b"whole")
        assert (other / "a").read_bytes() == (other / "b" / "c").read_bytes() == b"whole"
        assert sorted(path.name for path in other.iterdir()) == ["a", "b"]
        assert names() == []
    finally:
        for path in sorted(other.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        other.rmdir()

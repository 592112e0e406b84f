"""One process at a time has a claim, and the claims of dead processes are taken over once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurofit.storage import claims
from neurofit.storage.claims import claim, is_alive

HOLD = """
import sys, time
from pathlib import Path
from neurofit.storage.claims import claim
with claim(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""

COUNT = """
import sys, time
from pathlib import Path
from neurofit.storage.claims import claim
folder = Path(sys.argv[1])
while not (folder / "go").exists():
    time.sleep(0.001)
with claim(folder / "work") as mine:
    if mine:
        with open(folder / "log", "a") as file:
            file.write("begin\\n")
        time.sleep(0.5)
        with open(folder / "log", "a") as file:
            file.write("end\\n")
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def held(path: Path) -> subprocess.Popen[str]:
    """Start a process that has a claim."""
    process = start(HOLD, str(path))
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    return process


def test_a_claim_is_had_by_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "work"
    with claim(path) as first, claim(path) as second:
        assert (first, second) == (True, False)
        assert is_alive(path)
    assert not path.exists()
    assert not is_alive(path)
    with claim(path) as again:
        assert again


def test_the_claim_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    process = held(tmp_path / "work")
    with claim(tmp_path / "work") as mine:
        assert not mine
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "work").exists()
    assert not is_alive(tmp_path / "work")
    with claim(tmp_path / "work") as mine:
        assert mine
    assert list(tmp_path.iterdir()) == []


def test_a_process_with_the_number_of_a_dead_one_has_not_its_claim(tmp_path: Path) -> None:
    path = tmp_path / "work"
    with claim(path):
        owner = json.loads(path.read_text())
    path.write_text(json.dumps({**owner, "start": "1"}))
    assert not is_alive(path)
    path.write_text(json.dumps({**owner, "pid": os.getpid()}))
    assert is_alive(path)


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_processes_one_works(tmp_path: Path, dead: bool) -> None:
    if dead:
        process = held(tmp_path / "work")
        process.kill()
        process.wait()
    processes = [start(COUNT, str(tmp_path)) for _ in range(8)]
    time.sleep(0.5)
    (tmp_path / "go").touch()
    for process in processes:
        assert process.wait() == 0
    lines = (tmp_path / "log").read_text().split()
    assert lines == ["begin", "end"] * (len(lines) // 2)  # never two at once


def test_a_claim_of_another_machine_lasts_while_it_is_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "work"
    monkeypatch.setattr(claims, "LEASE_SECONDS", 100.0)
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "boot": "x", "start": "1"}))
    assert is_alive(path)
    os.utime(path, (time.time() - 90, time.time() - 90))
    assert is_alive(path)
    os.utime(path, (time.time() - 110, time.time() - 110))
    assert not is_alive(path)
    with claim(path) as mine:
        assert mine


def test_an_owner_that_was_taken_over_leaves_the_claim_of_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "work"
    with claim(path):
        path.unlink()
        with claim(path) as successor:
            assert successor
            theirs = path.read_text()
        path.write_text(theirs)
    assert path.read_text() == theirs


def test_an_owner_touches_its_claim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(claims, "TOUCH_SECONDS", 0.01)
    with claim(tmp_path / "work"):
        os.utime(tmp_path / "work", (1, 1))
        deadline = time.monotonic() + 10
        while (tmp_path / "work").stat().st_mtime < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)

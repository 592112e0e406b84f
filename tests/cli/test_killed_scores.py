"""A score that was killed at any moment goes on, gives the same bits, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from neurofit import load_result
from neurofit.data_loaders import write_recording
from neurofit.recordings.recording import Recording

N_KILLS = 20

SCORE = (
    *(sys.executable, "-m", "neurofit", "score", "--model", "rgc_tiny", "--recording", "small.nc"),
    *("--region", "IT", "--layers", "all", "--batch-size", "4", "--min-z", "0", "--n-jobs", "1"),
)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--keep-grams",)], ids=["plain", "keep"])
def test_a_score_killed_at_many_moments_is_finished_by_one_more_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    evoked: Callable[[], Recording],
    more: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording(evoked(), tmp_path / "small.nc")
    environment = {**os.environ, "NEUROFIT_HOME": str(tmp_path / "calm")}
    seconds = work(environment, "calm-result", more)
    rng = random.Random(0)
    environment["NEUROFIT_HOME"] = str(tmp_path / "home")
    n_killed = 0
    for _ in range(10 * N_KILLS):
        if n_killed == (3 if more else N_KILLS):
            break
        process = start(environment, "result", more)
        while process.poll() is None and not in_work(tmp_path / "home"):
            time.sleep(0.01)
        try:
            process.wait(timeout=rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_killed += 1
        else:  # nothing is left to be done with what it has cached
            shutil.rmtree(tmp_path / "home")
    assert n_killed >= 3
    work(environment, "result", more)
    assert values("result").identical(values("calm-result"))
    assert sorted(os.listdir("result")) == ["plot.png", "result.nc", "summary.json"]
    folders = {path.name for path in (tmp_path / "home").iterdir()}
    assert folders == {"unfinished"} | ({"grams", "extractions"} if more else set())
    left = {path.name for path in (tmp_path / "home" / "unfinished").iterdir()}
    if more:  # activations that cached Gram matrices made needless can be continued for a day
        assert {name.removesuffix(".claim") for name in left} == {
            name for name in left if not name.endswith(".claim")
        }
        assert len(left) <= 2
    else:
        assert left == set()


def start(environment: dict[str, str], out: str, more: tuple[str, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*SCORE, *more, "--out", out],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def work(environment: dict[str, str], out: str, more: tuple[str, ...]) -> float:
    """Score to the end, and return the seconds after activations have begun."""
    process, begun = start(environment, out, more), 0.0
    while process.poll() is None:
        if not begun and in_work(Path(environment["NEUROFIT_HOME"])):
            begun = time.monotonic()
        time.sleep(0.01)
    assert process.returncode == 0
    return time.monotonic() - begun


def in_work(home: Path) -> bool:
    return any(not path.name.startswith(".") for path in home.glob("unfinished/*"))


def values(folder: str) -> xr.Dataset:
    found = load_result(folder).copy()
    found.attrs = {}
    return found

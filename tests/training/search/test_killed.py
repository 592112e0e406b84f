"""A search that is killed at random moments loses no finished trial, and computes none twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from neurofit.data_loaders import load_images
from neurofit.models import weights_sha256
from neurofit.models.architecture import architecture_of
from neurofit.models.weight_files import read_weights
from neurofit.storage.claims import is_alive
from neurofit.training.search.status import read_status
from neurofit.training.search.storage import open_study
from neurofit.training.search.study import Search, Workers, read_search
from neurofit.training.search.trial import load_search_images
from neurofit.training.search.trials import SearchFolder, search_folder
from neurofit.training.train import train

STUDY = """
data = "{data}"
validation = 16
input_size = 12
trials = 8
storage = "{storage}"
[training]
epochs = 12
batch_size = 4
save_steps = 2
warmup_epochs = 0.0
[pruning]
first = 4
[space]
cell = ["reciprocal", "gru"]
depth = [3, 4]
first_channels = 4
channels = [4, 6]
timesteps = 6
image_on = 6
decoder = "last"
[machine]
device = "cpu"
threads = 1
retries = 20
"""


def write_study(shards: Path, storage: str = "") -> Path:
    path = Path("study.toml")
    path.write_text(STUDY.format(data=f"shards:{shards}", storage=storage))
    return path


def start(study: Path) -> subprocess.Popen[bytes]:
    """Start two workers, in a process group of their own."""
    command = [sys.executable, "-m", "neurofit", "search", str(study), "--workers", "2"]
    with open("printed.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def workers(folder: SearchFolder) -> list[int]:
    """Return the processes of the workers of a search."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if "search\0work\0" in command and str(folder.path.resolve()) in command:
            found.append(int(process.name))
    return found


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def finished(folder: SearchFolder) -> dict[int, tuple[bytes, int]]:
    """Return the content and the time of writing of every result."""
    return {
        each.number: (each.result.read_bytes(), each.result.stat().st_mtime_ns)
        for each in folder.trials()
        if each.result.exists()
    }


def wait_for_work(folder: SearchFolder, *, seconds: float = 120) -> None:
    """Wait until a worker is at a trial."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(is_alive(path) for path in (folder.path / "claims").glob("[0-9]*")):
            return
        time.sleep(0.05)
    raise AssertionError(printed(folder))


def printed(folder: SearchFolder) -> str:
    logs = [Path("printed.log"), *(folder.path / "logs").glob("*.log")]
    return "\n".join(path.read_text()[-2000:] for path in logs if path.exists())


def kill_at_random(
    study: Path, folder: SearchFolder, *, n: int, cut: Callable[[], None] | None = None
) -> list[str]:
    """Kill a worker, all of them with their coordinator, or the connection, n times; finish.

    After each of them the results that there were are unchanged.
    """
    rng, done, before = random.Random(0), list[str](), dict[int, tuple[bytes, int]]()
    running = start(study)
    # a search that ends between two of the moments would make the rest of them idle
    while len(done) < n and len(finished(folder)) < read_search(study).trials:
        wait_for_work(folder)
        time.sleep(rng.uniform(0.0, 1.5))
        kinds = ["worker", "coordinator", "all", *(["connection"] if cut else [])]
        kind = kinds[len(done) % len(kinds)]
        at_work = workers(folder)
        if kind == "connection" and cut:
            cut()
        if kind == "worker" and at_work:
            kill(rng.choice(at_work))
        if kind in ("coordinator", "all"):
            kill(running.pid)
            running.wait()
        if kind == "all":
            for pid in at_work:
                kill(pid)
        done.append(kind)
        now = finished(folder)
        assert {number: now[number] for number in before} == before
        before = now
        if running.poll() is not None:
            running = start(study)
    running.wait(timeout=400)
    for _ in range(5):  # orphans finish what they have; what was put back is taken up
        deadline = time.monotonic() + 200
        while workers(folder) and time.monotonic() < deadline:
            time.sleep(0.2)
        if len(finished(folder)) == read_search(study).trials:
            break
        start(study).wait(timeout=400)
    now = finished(folder)
    assert {number: now[number] for number in before} == before
    return done


def check_results(search: Search, folder: SearchFolder) -> None:
    """Check that each trial ended once, as the storage knows, with the bits of a run in one go."""
    results = folder.results()
    assert [each["number"] for each in results] == list(range(search.trials)), printed(folder)
    assert {each["state"] for each in results} <= {"complete", "pruned"}, printed(folder)
    told = open_study(search, folder.path).get_trials()
    assert [each.number for each in told] == list(range(search.trials))
    assert [each.state.name for each in told] == [each["state"].upper() for each in results]
    for each, own in zip(results, told, strict=True):
        assert own.value == each["accuracy"]
    status = read_status(folder)
    assert not status.running
    assert not status.put_back
    assert status.waiting == 0
    images = load_search_images(search, load_images)
    again = [each for each in results if each["attempts"] > 1]
    assert again, "no trial was taken up by another worker"
    for each in [one for one in again if one["state"] == "complete"][:2]:
        network = architecture_of(each["architecture"]).build(seed=each["seeds"]["weights"])
        config = search.config(each["number"], **each["training"])
        done = train(network, images, config, out=Path("straight") / str(each["number"]))
        path = folder.trial(each["number"]).run / f"{each['model']}.safetensors"
        kept = architecture_of(each["architecture"]).build(seed=None)
        kept.load_state_dict(read_weights(path)[0])
        assert weights_sha256(kept) == weights_sha256(network)
        assert done.accuracy.top1 == each["accuracy"]
        assert json.loads(read_weights(path)[1]["training"])["seed"] == config.seed


@pytest.mark.slow
def test_a_search_that_is_killed_at_10_moments_loses_and_repeats_nothing(
    make_search: Callable[..., Search], shards: Path
) -> None:
    make_search()  # an empty folder
    study = write_study(shards)
    search, folder = read_search(study), search_folder("study")
    done = kill_at_random(study, folder, n=10)
    assert len(done) == 10, done
    check_results(search, folder)


@pytest.mark.slow
def test_workers_and_connections_that_are_killed_lose_nothing_in_postgresql(
    make_search: Callable[..., Search], shards: Path, postgres: str
) -> None:
    import sqlalchemy

    make_search()
    study = write_study(shards, postgres)
    search, folder = read_search(study), search_folder("study")
    engine = sqlalchemy.create_engine(postgres.replace("postgresql", "postgresql+pg8000"))

    def cut() -> None:
        """Cut all connections to the server but this one."""
        with engine.connect() as connection:
            connection.execute(
                sqlalchemy.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND usename = 'searcher'"
                )
            )

    done = kill_at_random(study, folder, n=10, cut=cut)
    assert len(done) == 10, done
    assert "connection" in done
    check_results(search, folder)


def test_two_workers_share_a_study_in_postgresql(
    make_search: Callable[..., Search], postgres: str
) -> None:
    from neurofit.training.search.run import begin, run_here

    search = make_search(
        name="shared",
        trials=6,
        storage=postgres,
        machine=Workers(workers=2, threads=1, device="cpu"),
    )
    folder = search_folder("shared")
    begin(search, folder)
    run_here(search, folder)
    results = folder.results()
    assert [each["number"] for each in results] == list(range(6)), printed(folder)
    assert all(each["attempts"] == 1 for each in results)
    assert len({each["model"] for each in results}) == 6
    by: dict[str, Any] = {
        (folder.trial(number).path / "attempts.log").read_text() for number in range(6)
    }  # type: ignore[assignment]
    assert len(by) == 2, "one worker has done all"
    told = open_study(search, folder.path).get_trials()
    assert sorted(each.number for each in told) == list(range(6))
    assert {each.state.name for each in told} <= {"COMPLETE", "PRUNED"}
    assert not (folder.path / "journal.log").exists()

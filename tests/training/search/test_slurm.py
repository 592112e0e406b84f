"""A search whose workers are jobs of a real SLURM of one node.

Without SLURM the test is skipped, unless NEUROFIT_REQUIRE_SLURM is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from neurofit.analyses.sweeps import slurm
from neurofit.analyses.sweeps.study import Slurm
from neurofit.training.search.run import begin, submit_workers
from neurofit.training.search.status import read_status
from neurofit.training.search.storage import open_study
from neurofit.training.search.study import Search, Workers
from neurofit.training.search.trials import SearchFolder, search_folder

ONE_NODE = Path(__file__).parents[2] / "analyses" / "sweeps" / "one-node"
needs_root = pytest.mark.skipif(
    (os.geteuid() != 0 or shutil.which("slurmctld") is None)
    and not os.environ.get("NEUROFIT_REQUIRE_SLURM"),
    reason="a SLURM for tests needs root and Debian's slurm-wlm and munge",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a SLURM; return its configuration."""
    folder = tmp_path_factory.mktemp("slurm")
    # one cluster on a machine: tests in other processes wait for it
    with FileLock(Path(tempfile.gettempdir()) / "neurofit-tests-slurm.lock"):
        subprocess.run([ONE_NODE, "start", folder], check=True)
        yield folder / "slurm.conf"
        subprocess.run([ONE_NODE, "stop", folder], check=True)


def wait(folder: SearchFolder, until: Callable[[], bool], *, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        outputs = (folder.path / "slurm").rglob("*.err")
        assert time.monotonic() < deadline, "\n".join(each.read_text()[-2000:] for each in outputs)
        time.sleep(0.5)


@needs_root
def test_a_search_on_a_cluster_is_cancelled_and_goes_on(
    make_search: Callable[..., Search], cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    search = make_search(
        name="cluster",
        trials=6,
        training={"epochs": 30, "batch_size": 8, "save_steps": 2},
        prune=False,
        machine=Workers(workers=2, device="cpu"),
        slurm=Slurm(time=10, mem="2GB", cpus=1),
    )
    folder = search_folder("cluster")
    begin(search, folder)
    assert len(submit_workers(search, folder)) == 2
    wait(folder, lambda: bool(read_status(folder).running))
    assert slurm.cancel(folder.path) >= 1
    wait(folder, lambda: not slurm.running_jobs(folder.path))
    wait(folder, lambda: not read_status(folder).running)
    stopped = read_status(folder)
    assert stopped.put_back
    before = {each["number"]: each for each in stopped.results}
    submit_workers(search, folder)
    wait(folder, lambda: not slurm.running_jobs(folder.path))
    results = {each["number"]: each for each in folder.results()}
    assert sorted(results) == list(range(6))
    assert {number: results[number] for number in before} == before
    assert any(results[number]["attempts"] > 1 for number in stopped.put_back)
    told = open_study(search, folder.path).get_trials()
    assert {each.number: each.value for each in told} == {
        number: each["accuracy"] for number, each in results.items()
    }

"""What all tests share: one home to write to, one thread per worker, real data where it lies, a small recording."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import settings

from neurofit.assemblies import Recording
from neurofit.stimuli import StimulusSet

REPOSITORY = Path(__file__).resolve().parent.parent
FIND = Callable[[str], Path]

# No time limit per example: workers share their cores. Always the same examples: a failure belongs to the change that caused it.
settings.register_profile("neurofit", deadline=None, derandomize=True, database=None)
settings.load_profile("neurofit")

_thrown_away = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give this run a home of its own, shared by its workers; NEUROFIT_TEST_HOME is one that is kept between runs."""
    torch.set_num_threads(1)
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist has inherited its controller's home
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # for the workers: they share the cores, threads would only get in the way
    kept = os.environ.get("NEUROFIT_TEST_HOME")
    if kept is None:
        config.stash[_thrown_away] = Path(tempfile.mkdtemp(prefix="neurofit-tests-"))
    os.environ["NEUROFIT_HOME"] = kept or str(config.stash[_thrown_away])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Throw this run's home away."""
    if _thrown_away in config.stash:
        shutil.rmtree(config.stash[_thrown_away], ignore_errors=True)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> FIND:
    """Find a file or folder beside the repository, in ../shared; skip without that folder."""
    return lambda name: _find(REPOSITORY.parent / "shared", name)


@pytest.fixture(scope="session")
def mirror() -> FIND:
    """Find real data in NEUROFIT_MIRROR, else in ../shared/data/mirror; skip without that folder."""
    given = os.environ.get("NEUROFIT_MIRROR")
    return lambda name: _find(Path(given) if given else REPOSITORY.parent / "shared" / "data" / "mirror", name)


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        pytest.skip(f"{name} is not here: there is no folder {folder}")
    if not (folder / name).exists():
        missing = f"{folder} has no {name}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)  # the folder is there, so CI would silently test less
        pytest.skip(missing)
    return folder / name


@pytest.fixture
def make_recording() -> Callable[..., Recording]:
    """Make a small valid recording in memory: stimuli "s0", "s1", ...; sites "V4-0", ... then "IT-0", ...; 10 ms bins from 70 ms."""

    def make(
        *, n_stimuli: int = 6, n_repetitions: int = 4, n_neuroids: int = 3, n_bins: int = 5, regions: tuple[str, ...] = ("V4", "IT")
    ) -> Recording:
        rng = np.random.default_rng(0)
        stimulus_ids = np.array([f"s{i}" for i in range(n_stimuli)])
        starts = 70 + 10 * np.arange(n_bins)
        return Recording(
            name="small",
            responses=xr.DataArray(
                rng.poisson(2, size=(n_stimuli * n_repetitions, n_neuroids * len(regions), n_bins)).astype(np.float32),
                dims=("presentation", "neuroid", "time_bin"),
                coords={
                    "stimulus_id": ("presentation", np.tile(stimulus_ids, n_repetitions)),
                    "repetition": ("presentation", np.repeat(np.arange(n_repetitions), n_stimuli)),
                    "neuroid_id": ("neuroid", [f"{region}-{i}" for region in regions for i in range(n_neuroids)]),
                    "region": ("neuroid", np.repeat(regions, n_neuroids)),
                    "time_bin_start": ("time_bin", starts),
                    "time_bin_end": ("time_bin", starts + 10),
                },
            ),
            stimuli=StimulusSet(
                name="small-stimuli",
                table=pd.DataFrame({"stimulus_id": stimulus_ids}),
                images=[np.full((8, 8, 3), i, dtype=np.uint8) for i in range(n_stimuli)],
                visual_degrees=8.0,
                duration_ms=100.0,
            ),
            simulated=True,
        )

    return make

"""Tests with Brain-Score: without it they are left out.

They fail without it where NEUROFIT_REQUIRE_BRAINSCORE=1.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import ImageFiles, StimulusSet

REQUIRED = os.environ.get("NEUROFIT_REQUIRE_BRAINSCORE") == "1"
HERE = find_spec("brainscore_vision") is not None

if not HERE and not REQUIRED:
    collect_ignore_glob = ["test_*.py"]  # tests/test_brainscore_installed.py says so


FOLDER = Path(tempfile.mkdtemp(prefix="neurofit-brainscore-"))
"""What Brain-Score writes in this process and its children: its caches go by name alone."""

CACHES = ("RESULTCACHING_HOME", "BRAINSCORE_HOME", "BRAINIO_HOME")

for _name in CACHES:  # now, because Brain-Score reads them when it is imported
    os.environ[_name] = str(FOLDER / _name.lower())


def pytest_unconfigure() -> None:
    """Remove the folder of this process."""
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def brainscore_home() -> Iterator[Path]:
    """Keep what neurofit writes for these tests in the same folder; return it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROFIT_HOME", str(FOLDER))
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")  # workers would import Brain-Score once more each
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield FOLDER


@pytest.fixture
def installed() -> Iterator[Path]:
    """Return the folder of the installed brainscore_vision, which is left as it was.

    One test of one process holds it at a time.
    """
    import fcntl

    import brainscore_vision

    from neurofit.brainscore import unregister

    package = Path(brainscore_vision.__file__).parent
    registries = [
        getattr(brainscore_vision, f"{kind}_registry")
        for kind in ("model", "benchmark", "data", "stimulus_set")
    ]
    held = os.open(package, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        _clean(package)
        unregister()
        try:
            yield package
        finally:
            _clean(package)
            unregister()
            for (
                registry
            ) in registries:  # theirs stay: a plugin is imported, and so registered, only once
                for name in [name for name in registry if "neurofit" in name]:
                    del registry[name]
            for name in [
                name
                for name in sys.modules
                if name.startswith("brainscore_vision.") and ".neurofit_" in name
            ]:
                del sys.modules[name]
    finally:
        os.close(held)


def leftovers(package: Path) -> list[Path]:
    """Return what tests and Brain-Score left of ours in the installed package and beside it."""
    links = [path for path in package.glob("*/neurofit_*") if path.is_symlink()]
    return links + list(package.parent.glob("conda_score--*neurofit*"))


def _clean(package: Path) -> None:
    for path in leftovers(package):
        path.unlink()


@pytest.fixture
def left_in() -> Callable[[Path], list[Path]]:
    """Return `leftovers`."""
    return leftovers


@pytest.fixture
def lend(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str, str, Callable[[], Any]], None]]:
    """Give Brain-Score a "model", "benchmark" or "data" set for one test.

    Takes the kind, the identifier and a function that makes it.
    """
    import brainscore_vision

    from neurofit.brainscore import unregister

    unregister()
    lent: set[tuple[str, str]] = set()
    search = brainscore_vision.import_plugin
    folders = {"model": "models", "benchmark": "benchmarks", "data": "data"}

    def find(root: str, folder: str, identifier: str, **more: Any) -> None:
        if (folder, identifier) not in lent:
            search(root, folder, identifier, **more)

    def give(kind: str, identifier: str, make: Callable[[], Any]) -> None:
        with suppress(AssertionError):  # "No registrations found": it has none of that name
            search(
                "brainscore_vision", folders[kind], identifier
            )  # now, for an import later would take the place of what is lent
        lent.add((folders[kind], identifier))
        monkeypatch.setitem(getattr(brainscore_vision, f"{kind}_registry"), identifier, make)

    monkeypatch.setattr(brainscore_vision, "import_plugin", find)
    yield give
    unregister()  # before `find` goes: it is what `register` keeps


@pytest.fixture
def lend_majajhong(
    planted: Callable[..., Recording], lend: Callable[[str, str, Callable[[], Any]], None]
) -> Callable[..., list[tuple[int, int]]]:
    """Put a small recording of V4 and IT in the place of Brain-Score's.

    It has 20 ms windows every 10 ms from -10 ms, and one of 70-170 ms.
    """

    def put(n_windows: int = 6, *, n_stimuli: int = 40) -> list[tuple[int, int]]:
        from neurofit.brainscore import to_assembly

        recording = planted(n_bins=n_windows, n_neuroids=8, n_stimuli=n_stimuli, n_repetitions=4)
        windows = [(start, start + 20) for start in range(-10, 10 * n_windows - 10, 10)]
        for name, shown in (
            ("MajajHong2015.temporal.public", windows),
            ("MajajHong2015.public", [(70, 170)]),
        ):
            responses = recording.responses.isel(time_bin=slice(len(shown))).assign_coords(
                region=("neuroid", ["V4"] * 4 + ["IT"] * 4),
                animal=("neuroid", ["Chabo", "Tito"] * 4),
                time_bin_start=("time_bin", [start for start, _ in shown]),
                time_bin_end=("time_bin", [end for _, end in shown]),
            )
            assembly = to_assembly(
                Recording(name=name, responses=responses, stimuli=recording.stimuli)
            )
            lend("data", name, lambda assembly=assembly: assembly)  # type: ignore[misc]
        return windows

    return put


@pytest.fixture
def majajhong(lend_majajhong: Callable[..., list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Put `lend_majajhong` in its place and return its windows."""
    return lend_majajhong()


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., Recording]:
    """Make a recording with object names and pictures, in 10 ms bins.

    Its neuroids are a noisy linear image of planted features.
    """

    def make(
        *,
        n_stimuli: int = 80,
        n_repetitions: int = 8,
        n_neuroids: int = 6,
        n_bins: int = 3,
        start: int = 70,
        seed: int = 0,
    ) -> Recording:
        rng = np.random.default_rng(seed)
        ids = np.array([f"image{i:03d}" for i in range(n_stimuli)])
        paths = []
        for name in ids:
            path = tmp_path / f"{name}.png"
            Image.fromarray(rng.integers(0, 255, size=(16, 16, 3), dtype=np.uint8)).save(path)
            paths.append(path)
        signal = planted_features(n_stimuli=n_stimuli, n_bins=n_bins)[:, :, :8] @ rng.normal(
            size=(8, n_neuroids)
        )
        trials = np.repeat(signal[:, None], n_repetitions, axis=1) + 2 * rng.normal(
            size=(n_bins, n_repetitions, n_stimuli, n_neuroids)
        )
        values = np.round(8 * trials) / 8  # sums and means of eighths are exact in float32
        starts = start + 10 * np.arange(n_bins)
        responses = xr.DataArray(
            values.reshape(n_bins, -1, n_neuroids).transpose(1, 2, 0).astype(np.float32),
            dims=("presentation", "neuroid", "time_bin"),
            coords={
                "stimulus_id": ("presentation", np.tile(ids, n_repetitions)),
                "repetition": ("presentation", np.repeat(np.arange(n_repetitions), n_stimuli)),
                "neuroid_id": ("neuroid", [f"site{i}" for i in range(n_neuroids)]),
                "region": ("neuroid", ["IT"] * n_neuroids),
                "time_bin_start": ("time_bin", starts),
                "time_bin_end": ("time_bin", starts + 10),
            },
        )
        objects = np.array(["car", "dog", "face", "pear"])[np.arange(n_stimuli) % 4]
        return Recording(
            name=f"planted{seed}",
            responses=responses,
            stimuli=StimulusSet(
                name=f"planted{seed}",
                table=pd.DataFrame(
                    {"stimulus_id": ids, "object_name": objects, "size": np.arange(n_stimuli) / 7}
                ),
                images=ImageFiles(paths),
                visual_degrees=8.0,
                duration_ms=100.0,
            ),
            simulated=True,
        )

    return make


@pytest.fixture
def unsorted(planted: Callable[..., Recording]) -> Callable[..., Recording]:
    """Make the recording of `planted` with stimuli, presentations and neuroids in random orders.

    Stimuli differ in their number of repetitions: a fifth of the presentations is left out, and
    every stimulus keeps its first two.
    """

    def make(**sizes: int) -> Recording:
        recording = planted(**sizes)
        rng = np.random.default_rng(11)
        stimuli, responses = recording.stimuli, recording.responses
        assert isinstance(stimuli.images, ImageFiles)
        order = rng.permutation(len(stimuli))
        keep = (responses.repetition.values < 2) | (rng.random(len(responses)) < 0.8)
        shown = rng.permutation(np.flatnonzero(keep))
        return replace(
            recording,
            responses=responses.isel(
                presentation=shown, neuroid=rng.permutation(responses.sizes["neuroid"])
            ),
            stimuli=replace(
                stimuli,
                table=stimuli.table.iloc[order].reset_index(drop=True),
                images=ImageFiles([stimuli.images.paths[row] for row in order]),
            ),
        )

    return make


@pytest.fixture
def features() -> Callable[..., np.ndarray]:
    """Return features (time_bin stimulus unit), the first 8 of which `planted` answers to."""
    return planted_features


def planted_features(*, n_stimuli: int, n_bins: int, n_units: int = 40) -> np.ndarray:
    rng = np.random.default_rng(7)
    still, moving = (
        rng.normal(size=(n_stimuli, n_units)),
        rng.normal(size=(n_bins, n_stimuli, n_units)),
    )
    return (still + 0.5 * moving).astype(np.float32)

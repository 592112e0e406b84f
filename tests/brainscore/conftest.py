"""Brain-Score's tests: they fail without Brain-Score where NEUROFIT_REQUIRE_BRAINSCORE=1, and are skipped with the reason elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurofit.assemblies import Recording
from neurofit.stimuli import ImageFiles, StimulusSet

REQUIRED = os.environ.get("NEUROFIT_REQUIRE_BRAINSCORE") == "1"
HERE = find_spec("brainscore_vision") is not None

if not HERE and not REQUIRED:
    collect_ignore_glob = ["test_*.py"]  # they import it; tests/test_brainscore_installed.py says so


@pytest.fixture(scope="session", autouse=True)
def brainscore_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what Brain-Score writes in one folder of this session: its caches go by name alone."""
    folder = tmp_path_factory.mktemp("brainscore")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROFIT_HOME", str(folder))
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")  # no worker processes, each of which would import Brain-Score again
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("RESULTCACHING_HOME", "BRAINSCORE_HOME", "BRAINIO_HOME"):
            patch.setenv(name, str(folder / name.lower()))
        yield folder


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., Recording]:
    """Make a recording with object names and pictures, whose neuroids are a noisy linear image of planted features, in 10 ms bins."""

    def make(
        *, n_stimuli: int = 80, n_repetitions: int = 8, n_neuroids: int = 6, n_bins: int = 3, start: int = 70, seed: int = 0
    ) -> Recording:
        rng = np.random.default_rng(seed)
        ids = np.array([f"image{i:03d}" for i in range(n_stimuli)])
        paths = []
        for name in ids:
            path = tmp_path / f"{name}.png"
            Image.fromarray(rng.integers(0, 255, size=(16, 16, 3), dtype=np.uint8)).save(path)
            paths.append(path)
        signal = planted_features(n_stimuli=n_stimuli, n_bins=n_bins)[:, :, :8] @ rng.normal(size=(8, n_neuroids))
        trials = np.repeat(signal[:, None], n_repetitions, axis=1) + 2 * rng.normal(size=(n_bins, n_repetitions, n_stimuli, n_neuroids))
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
                table=pd.DataFrame({"stimulus_id": ids, "object_name": objects, "size": np.arange(n_stimuli) / 7}),
                images=ImageFiles(paths),
                visual_degrees=8.0,
                duration_ms=100.0,
            ),
            simulated=True,
        )

    return make


@pytest.fixture
def features() -> Callable[..., np.ndarray]:
    """Return features (time_bin stimulus unit), the first 8 of which `planted` answers to."""
    return planted_features


def planted_features(*, n_stimuli: int, n_bins: int, n_units: int = 40) -> np.ndarray:
    rng = np.random.default_rng(7)
    still, moving = rng.normal(size=(n_stimuli, n_units)), rng.normal(size=(n_bins, n_stimuli, n_units))
    return (still + 0.5 * moving).astype(np.float32)

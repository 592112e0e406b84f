"""What a curve reads and decomposes, counted: by the algorithm, whatever the machine."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.mapping.gram import Gram
from neurofit.recordings.recording import Recording

Blocks = dict[tuple[str, int], np.ndarray]
Plant = Callable[..., tuple[Blocks, Recording]]
Run = Callable[..., xr.Dataset]

N_BINS, N_SPLITS, N_HALVES = 3, 4, 5


@pytest.fixture
def planted(plant: Plant) -> tuple[Blocks, Recording]:
    """Plant three reliable bins."""
    return plant(noise=1.0, n_stimuli=120, n_trials=6, n_neuroids=20, n_bins=N_BINS)


def test_each_bin_and_split_has_one_decomposition_whatever_the_number_of_halvings(
    planted: tuple[Blocks, Recording], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    decomposed: list[int] = []
    found = Gram._decompose

    def counted(self: Gram, train: np.ndarray, backend: Any) -> Any:
        decomposed.append(int(train.sum()))
        return found(self, train, backend)

    monkeypatch.setattr(Gram, "_decompose", counted)
    run(*planted, "pooled", n_splits=N_SPLITS, n_halves=N_HALVES)
    assert len(decomposed) == N_BINS * N_SPLITS


@pytest.mark.parametrize("n_halves", [2, 8])
def test_responses_are_read_as_often_whatever_the_number_of_splits_and_halvings(
    planted: tuple[Blocks, Recording], run: Run, monkeypatch: pytest.MonkeyPatch, n_halves: int
) -> None:
    blocks, recording = planted
    n_read: list[int] = []
    block = Recording.block

    def counted(self: Recording, *places: Any) -> np.ndarray:
        values = block(self, *places)
        n_read.append(values.size)
        return values

    monkeypatch.setattr(Recording, "block", counted)
    run(blocks, recording, "pooled", n_splits=n_halves, n_halves=n_halves)
    # once each to validate them, to check trials, and to fit; one bin to estimate the time
    assert sum(n_read) <= (3 + 1 / N_BINS) * recording.responses.size

"""Predictions of the test stimuli of every split, and work on groups of bins side by side."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from neurofit.analyses.encoding.targets import Targets
from neurofit.mapping.contract import GramMapping, SmoothingMapping
from neurofit.mapping.fits import Smoother
from neurofit.mapping.gram import Gram


def predict_halves(
    mapping: GramMapping, gram: Gram, targets: Targets, train: np.ndarray, *, smooth: bool
) -> Iterator[tuple[np.ndarray, Smoother | None]]:
    """Yield each split's predictions of all sets, and its smoother.

    Those of second halves follow from the first where the halves mirror each other.
    """
    mirrored = mapping.linear and targets.mirrored
    sets = targets.sets[: 1 + len(targets.halves)] if mirrored else targets.sets
    if smooth:
        assert isinstance(mapping, SmoothingMapping)
        for predicted, smoother in mapping.cross_smooth(gram, sets[:, 0], train):
            if mirrored:
                smoother = replace(smoother, residuals=_mirror(smoother.residuals))
                predicted = _mirror(predicted)
            yield predicted[:, None], smoother
        return
    for predicted in predict_sets(mapping, gram, sets, train):
        yield _mirror(predicted) if mirrored else predicted, None


def _mirror(values: np.ndarray) -> np.ndarray:
    """Append what belongs to second halves: twice that of all trials minus that of first halves."""
    out = np.empty_like(values, shape=(2 * len(values) - 1, *values.shape[1:]))  # in this layout
    out[: len(values)] = values
    np.subtract(2 * values[:1], values[1:], out=out[len(values) :])
    return out


def predict_sets(
    mapping: GramMapping, gram: Gram, targets: np.ndarray, train: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield each split's predictions (set time_bin test_stimulus neuroid).

    If a blank row ends each bin of the Gram (`Gram.with_blank`), it is the last test stimulus.
    """
    n_sets, times, n_stimuli, n_neuroids = targets.shape
    if gram.n_rows > times * n_stimuli:
        targets = np.pad(targets, ((0, 0), (0, 0), (0, 1), (0, 0)), mode="mean")
        train = np.pad(train, ((0, 0), (0, 1)))
    rows = targets.reshape(n_sets, -1, n_neuroids)
    for predicted in mapping.cross_predict(gram, rows, np.tile(train, times), times=times):
        yield predicted.reshape(n_sets, times, -1, n_neuroids)


def spread(groups: list[np.ndarray], covered: np.ndarray, *, n_first: int) -> list[np.ndarray]:
    """Return groups of bins in the order in which they are fitted.

    Those that some layer predicts come first, and of these `n_first` that are spread over all.
    """
    fitted = [i for i, group in enumerate(groups) if covered[:, group].any()]
    places = np.linspace(0, len(fitted) - 1, n_first + 2).round()[1:-1].astype(int)
    first = [fitted[place] for place in dict.fromkeys(places.tolist())]
    order = dict.fromkeys([*first, *fitted, *range(len(groups))])
    return [groups[i] for i in order]


def in_parallel(work: Any, groups: list[np.ndarray], *, n_jobs: int) -> Iterator[None]:
    """Work on groups side by side with one BLAS thread each.

    Two spinning BLAS threads took 15 times as long on a busy machine.
    """
    with threadpool_limits(1), ThreadPoolExecutor(n_jobs) as pool:
        yield from pool.map(work, groups)

"""Sketches: norms of matrices, and of their differences, from 2,048 numbers."""

import numpy as np
import pytest

from neurofit.metrics.sketch import N_BUCKETS, pair_sketcher, sketch_cells, squared_norm


def test_the_norm_of_a_sketch_is_that_of_the_cells(rng: np.random.Generator) -> None:
    cells = rng.standard_normal((300, 40, 20)).astype(np.float32)
    ratio = squared_norm(sketch_cells(cells)) / (cells.astype(float) ** 2).sum(axis=(0, 1))
    np.testing.assert_allclose(ratio, 1, atol=5 * np.sqrt(2 / N_BUCKETS))
    assert ratio.mean() == pytest.approx(1, abs=5 * np.sqrt(2 / N_BUCKETS / 20))


def test_sketches_are_linear_and_equal_cells_cancel(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 50, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(
        sketch_cells(a) - sketch_cells(b), sketch_cells(a - b), rtol=0, atol=1e-5
    )
    assert (sketch_cells(a) == sketch_cells(a.copy())).all()


def test_pairs_are_sketched_at_their_places(rng: np.random.Generator) -> None:
    rows, columns = np.zeros((2, 60), dtype=bool)
    rows[:20], columns[20:] = True, True
    part = rng.standard_normal((20, 40)).astype(np.float32)
    whole = np.zeros((60, 60), dtype=np.float32)
    whole[np.ix_(rows, columns)] = part
    everything = np.ones(60, dtype=bool)
    np.testing.assert_allclose(
        pair_sketcher(rows, columns, np.arange(60)) @ part.ravel(),
        pair_sketcher(everything, everything, np.arange(60)) @ whole.ravel(),
        atol=1e-5,
    )


def test_stimuli_of_a_group_are_added_up(rng: np.random.Generator) -> None:
    pairs, places = (
        rng.standard_normal((60, 60)).astype(np.float32),
        np.repeat(np.arange(12), 5) * 5,
    )
    summed = pairs.reshape(12, 5, 12, 5).sum(axis=(1, 3))
    everything = np.ones(60, dtype=bool)
    sketch = pair_sketcher(everything, everything, places) @ pairs.ravel()
    error = 5 * np.sqrt(2 / N_BUCKETS)
    assert squared_norm(sketch) == pytest.approx((summed**2).sum(), rel=error)

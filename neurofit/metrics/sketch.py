"""Random linear sketches: norms of large matrices, and of differences, from a few numbers.

The entries of a matrix are added, with random signs, into `N_BUCKETS` buckets. The squared norm of
the sketch is an unbiased estimate of that of the matrix, with a relative standard deviation of
about sqrt(2 / N_BUCKETS), 3 %. Signs and buckets depend on the shape alone, so that sketches of
two results can be subtracted. Charikar, Chen & Farach-Colton (2002), ICALP, "Finding frequent items
in data streams".
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

N_BUCKETS = 2048
"""Length of a sketch."""


@lru_cache(maxsize=4)
def _signs_and_buckets(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20221018)
    signs = rng.integers(0, 2, shape, dtype=np.int8) * np.int8(2) - np.int8(1)
    return signs, rng.integers(0, N_BUCKETS, shape, dtype=np.int16)


def _matrix(signs: np.ndarray, buckets: np.ndarray) -> sparse.csr_array:
    """Return the matrix (bucket, entry) that sketches row-major entries."""
    n = signs.size
    entries = (signs.ravel().astype(np.float32), (buckets.ravel(), np.arange(n)))
    return sparse.csr_array(entries, shape=(N_BUCKETS, n))


def pair_sketcher(
    rows: Bool[np.ndarray, " stimulus"],
    columns: Bool[np.ndarray, " stimulus"],
    places: Int[np.ndarray, " stimulus"],
) -> sparse.csr_array:
    """Return the matrix (bucket, entry) that sketches some rows and columns of pairs of stimuli.

    Stimuli with the same place, as those of a group, are added up.
    """
    tables = _signs_and_buckets((len(rows), len(rows)))
    return _matrix(*(table[np.ix_(places[rows], places[columns])] for table in tables))


def sketch_cells(
    cells: Float[np.ndarray, "stimulus neuroid time_bin"],
) -> Float[np.ndarray, "bucket time_bin"]:
    """Return the sketch of cells (stimulus, neuroid) in each time bin."""
    sketcher = _matrix(*_signs_and_buckets(cells.shape[:2]))
    return np.asarray(sketcher @ cells.reshape(-1, cells.shape[2]))


def squared_norm(sketch: Float[np.ndarray, "#rows *any"]) -> Float[np.ndarray, "*any"]:
    """Return the estimated squared norm of sketched matrices."""
    return np.asarray((np.asarray(sketch, dtype=np.float64) ** 2).sum(axis=0))

"""Split-half correlations in other samples of the stimuli: products of matrices, instead of a loop over samples and halves.

For each stimulus, let M, P, Q be the means over the halves of (a + b) / 2, a b and (a^2 + b^2) / 2, with a, b the means of a half's two
sides; and let w say how often it occurs in a sample of n stimuli. Then, with all sums over stimuli,

    r(w) = (sum w P - C(P)) / (sum w Q - C(Q)),    C(X) = ((sum w M)^2 + sum w^2 (X - M^2)) / n

is the covariance of the two sides over their variance, both averaged over the halves before their ratio is taken. C is the mean over
halves of a product of two sums: what a half adds to M is unrelated between stimuli, each of which is split on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

DRAWS = 250
"""Samples that are worked on at a time."""


@dataclass(frozen=True)
class PooledHalves:
    """What of all halves is needed to correlate them in any sample of the stimuli: three numbers a stimulus and neuroid, or time bin.

    Parameters
    ----------
    mean, product, square
        M, P and Q of the module, 0 where there is none.
    there
        Whether any half has a trial on both sides.
    """

    mean: Float[np.ndarray, "stimulus neuroid"]
    product: Float[np.ndarray, "stimulus neuroid"]
    square: Float[np.ndarray, "stimulus neuroid"]
    there: Bool[np.ndarray, "stimulus neuroid"]

    @classmethod
    def of(cls, first: Float[np.ndarray, "half stimulus neuroid"], second: Float[np.ndarray, "half stimulus neuroid"]) -> PooledHalves:
        """Pool the means of both sides; NaN is left out of the means over halves. The arrays are overwritten."""
        sums = first.sum(axis=0) + second.sum(axis=0)
        often: Any = len(first)
        there = np.ones(sums.shape, dtype=bool)
        gaps: np.ndarray | None = None
        if np.isnan(sums).any():
            gaps = np.isnan(first) | np.isnan(second)
            first[gaps] = second[gaps] = 0.0
            often = (~gaps).sum(axis=0)
            there, often = often > 0, np.maximum(often, 1)
            sums = first.sum(axis=0) + second.sum(axis=0)
        mean = sums / (2 * often)
        centre = mean.sum(axis=0) / np.maximum(there.sum(axis=0), 1)  # r does not see it, and the sums of squares keep their digits
        for side in (first, second):
            side -= centre
            if gaps is not None:
                side[gaps] = 0.0
        aa, bb, ab = (np.einsum("hsn,hsn->sn", *sides) for sides in ((first, first), (second, second), (first, second)))
        return cls(mean=(mean - centre) * there, product=ab / often, square=(aa + bb) / (2 * often), there=there)

    def correlation(self, times: Int[np.ndarray, "draw stimulus"]) -> Float[np.ndarray, "draw neuroid"]:
        """Return r(w) of samples in which each stimulus occurs so many times; NaN where nothing varies."""
        made, squares = np.empty((len(times), self.mean.shape[1])), self.mean**2
        for begin in range(0, len(times), DRAWS):
            made[begin : begin + DRAWS] = self._correlation(times[begin : begin + DRAWS].astype(np.float64), squares)
        return made

    def _correlation(self, times: np.ndarray, squares: np.ndarray) -> np.ndarray:
        twice, complete = times**2, bool(self.there.all())
        n = times.sum(axis=1)[:, None] if complete else times @ self.there.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            of_means = (twice @ squares - (times @ self.mean) ** 2) / n
            if complete:
                weights = times - twice / n
                covariance, variance = (weights @ values + of_means for values in (self.product, self.square))
            else:
                covariance, variance = (times @ values - twice @ values / n + of_means for values in (self.product, self.square))
            return np.asarray(np.where(variance > 0, covariance / variance, np.nan))


def moves_of_the_median(
    samples: Float[np.ndarray, "draw neuroid"], r: Float[np.ndarray, " neuroid"], *, neuroids_are_drawn: bool
) -> Float[np.ndarray, " draw"]:
    """Return how far each draw of the stimuli moves the median correlation over neuroids, around 0.

    Where the neuroids are drawn too, their spread holds already what each of them owes to the stimuli alone, and which is unrelated
    between neuroids; drawn again with the stimuli it would count twice. So the moves shrink to the share that neuroids have in common,
    by the variance over draws of their mean, less what is left of each neuroid's own. NaN without a neuroid.

    Parameters
    ----------
    samples
        Correlations in each draw.
    r
        Those of the recording; NaN: this neuroid takes no part.
    neuroids_are_drawn
        Whether what neuroids do not have in common is to be left out.
    """
    there = ~np.isnan(r)
    n_neuroids = int(there.sum())
    if not n_neuroids:
        return np.full(len(samples), np.nan)
    moved = np.where(np.isnan(samples[:, there]), r[there], samples[:, there])
    moves = np.median(moved, axis=1)
    moves -= moves.mean()
    if not neuroids_are_drawn:
        return np.asarray(moves)
    deviations = moved - r[there]
    common = deviations.mean(axis=1)
    own = (deviations - common[:, None]).var(axis=0).mean() / (n_neuroids - 1) if n_neuroids > 1 else 0.0  # of a mean of n
    return np.asarray(moves * np.sqrt(max(0.0, common.var() - own) / common.var()) if common.var() > 0 else 0.0 * moves)

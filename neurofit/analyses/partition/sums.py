"""Sums of what a map explains and of the signal variance, with the influences on them.

    E = sum over splits, neuroids of 2 cov(p, y) - cov(p1, p2),    V = sum of cov(y1, y2)

over test stimuli: p and y are the prediction and the mean response of all trials, those with 1 and
2 of two trial halves, averaged over halvings. With p' = E[p] over trial noise and s = E[y],

    E[E] = sum var(s) - mean (s - p')^2,    E[V] = sum var(s)

(squares of deviations from means), because trials of training and of test stimuli, and the two
halves, have independent noise. R2 = E / V is the explained variance of the responses without noise
by the map without noise. Each neuroid is in units of the standard deviation of its mean responses
to the training stimuli. All is linear in the covariances, so influences add up cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.targets import Targets
from neurofit.mapping.banded import SOURCES, BandedFit
from neurofit.metrics.sketch import N_BUCKETS, pair_sketcher


@dataclass(frozen=True)
class Sums:
    """Sums over the splits of one time bin, for each neuroid, with influences of stimuli.

    Parameters
    ----------
    signal
        V, the signal variance.
    signal_cells
        Influence of each stimulus on it.
    explained
        E of each source.
    cells
        Influence of each stimulus on it, as a test or as a training stimulus.
    pairs
        Sketches of the influences of pairs of a test and a training stimulus.
    shares, alphas
        Share of the first source in the map of both, and the logarithm (base 10) of the penalty of
        each map, averaged over splits.
    """

    signal: Float[np.ndarray, " neuroid"]
    signal_cells: Float[np.ndarray, "stimulus neuroid"]
    explained: Float[np.ndarray, "source neuroid"]
    cells: Float[np.ndarray, "source stimulus neuroid"]
    pairs: Float[np.ndarray, "source bucket"]
    shares: Float[np.ndarray, " neuroid"]
    alphas: Float[np.ndarray, "source neuroid"]

    @classmethod
    def empty(cls, n_stimuli: int, n_neuroids: int) -> Sums:
        """Return sums of 0."""
        n = len(SOURCES)
        return cls(
            np.zeros(n_neuroids),
            np.zeros((n_stimuli, n_neuroids), dtype=np.float32),
            np.zeros((n, n_neuroids)),
            np.zeros((n, n_stimuli, n_neuroids), dtype=np.float32),
            np.zeros((n, N_BUCKETS)),
            np.zeros(n_neuroids),
            np.zeros((n, n_neuroids)),
        )

    def add(
        self,
        targets: Targets,
        fits: dict[str, BandedFit],
        tested: Bool[np.ndarray, " stimulus"],
        places: Int[np.ndarray, " recorded_stimulus"],
        *,
        n_splits: int,
    ) -> None:
        """Add one split.

        Parameters
        ----------
        targets
            Trial means of one time bin.
        fits
            Maps of the split, by `SOURCES`.
        tested
            Which of the targets' stimuli are test stimuli.
        places
            Place of each stimulus of the recording among those that are sampled.
        n_splits
            Number of all splits.
        """
        sets = targets.sets[:, 0]
        scale = sets[0, ~tested].std(axis=0)
        unit = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        y = _centred(sets[:, tested]) * unit
        n_test, n_halves = y.shape[1], len(targets.halves)
        rows, trained = targets.stimuli[tested], targets.stimuli[~tested]
        neuroids = targets.neuroids
        sketcher = None
        products = (y[1 : 1 + n_halves] * y[1 + n_halves :]).mean(axis=0)
        self.signal[neuroids] += products.mean(axis=0)
        self.signal_cells[np.ix_(rows, neuroids)] += _centred(products) / n_test
        for number, source in enumerate(SOURCES):
            fit = fits[source]
            p = _centred(fit.predicted) * unit
            products = 2 * p[0] * y[0] - (p[1 : 1 + n_halves] * p[1 + n_halves :]).mean(axis=0)
            self.explained[number, neuroids] += products.mean(axis=0)
            cells = self.cells[number]
            cells[np.ix_(rows, neuroids)] += _centred(products) / n_test
            slopes = np.empty(p.shape, dtype=np.float32)  # of E with respect to predictions
            slopes[0] = 2 * y[0]
            slopes[1 : 1 + n_halves] = -p[1 + n_halves :] / n_halves
            slopes[1 + n_halves :] = -p[1 : 1 + n_halves] / n_halves
            slopes *= unit / n_test
            moved = (fit.smoother.residuals * fit.smoother.adjoint(slopes)).sum(axis=0)
            cells[np.ix_(trained, neuroids)] += _centred(moved)
            pairs = fit.smoother.pairs(slopes, np.ones(len(neuroids), dtype=bool))
            if sketcher is None:
                masks = np.zeros((2, len(places)), dtype=bool)
                masks[0, rows] = masks[1, trained] = True
                sketcher = pair_sketcher(masks[0], masks[1], places)
            self.pairs[number] += sketcher @ _centred(_centred(pairs).T).T.ravel()
            self.alphas[number, neuroids] += np.log10(fit.alphas) / n_splits
        self.shares[neuroids] += fits["both"].shares / n_splits


def _centred(values: Float[np.ndarray, "*any row column"]) -> Float[np.ndarray, "*any row column"]:
    """Return values less their mean over rows."""
    return np.asarray(values - values.mean(axis=-2, keepdims=True))

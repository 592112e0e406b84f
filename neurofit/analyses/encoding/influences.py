"""Influences of stimuli on the correlations of each split, gathered while maps are fitted.

A stimulus acts on a correlation of a split in two ways. As a test stimulus it is one of the values
that are correlated (`neurofit.metrics.correlation.pearson_influence`). As a training stimulus t it
moves the map: for a smoother with predictions Q y, leave-one-out residuals e and slopes
c_s = d r / d prediction_s,

    influence_t = e_t (Q' c)_t, less its mean over training stimuli.

Without this part the standard deviation over stimuli is too small by 10 to 30 %. The pairs of a
test stimulus s and a training stimulus t, c_s Q_st e_t, are in the squares of both; they are summed
over the neuroids of a stratum and sketched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from neurofit.analyses.encoding.targets import Session, Targets
from neurofit.mapping.fits import Smoother
from neurofit.metrics.correlation import pearson_influence, pearson_slope
from neurofit.metrics.sketch import N_BUCKETS, pair_sketcher
from neurofit.metrics.two_way import sum_of_squares


@dataclass(frozen=True)
class MapInfluences:
    """Influences on r_xy and on r_xx, of one layer and mapping, in a group of time bins.

    Parameters
    ----------
    r_xy, r_xx
        Influence of each stimulus on the correlation of each split, as a test or as a training
        stimulus; on r_xx averaged over halves.
    pairs
        Sketches of the pairs, for r_xy and for r_xx, summed over splits and over the neuroids of
        a stratum.
    """

    r_xy: Float[np.ndarray, "split stimulus neuroid time_bin"]
    r_xx: Float[np.ndarray, "split stimulus neuroid time_bin"]
    pairs: Float[np.ndarray, "2 stratum bucket time_bin"]

    @classmethod
    def empty(cls, shape: tuple[int, ...], *, n_strata: int) -> MapInfluences:
        """Return influences of zero; the shape is (split, stimulus, neuroid, time_bin)."""
        r_xy, r_xx = np.zeros((2, *shape), dtype=np.float32)
        return cls(r_xy, r_xx, np.zeros((2, n_strata, N_BUCKETS, shape[3]), dtype=np.float32))

    def add(
        self,
        test: int,
        at: Int[np.ndarray, " time_bin"],
        targets: Targets,
        predicted: Float[np.ndarray, "set time_bin test_stimulus neuroid"],
        tested: Bool[np.ndarray, " stimulus"],
        smoother: Smoother | None,
        *,
        n_halves: int,
        strata: Int[np.ndarray, " recorded_neuroid"],
        places: Int[np.ndarray, " recorded_stimulus"],
    ) -> None:
        """Add the predictions of one test.

        Parameters
        ----------
        test
            Position of the split.
        at
            Positions of the bins in the group.
        targets, predicted, tested
            What was fitted, predictions of the tested stimuli, and which these are.
        smoother
            Smoother of the map, where each stimulus is one row; None leaves out training stimuli.
        n_halves
            Number of all halves.
        strata
            Stratum of each neuroid of the recording in this split; those of negative ones are not
            pooled.
        places
            Place of each stimulus of the recording: its own, or that of the first of its group.
        """
        first, second = np.split(predicted[1:], 2)
        responses = targets.sets[:1, :, tested]
        rows, neuroids = targets.stimuli[tested], targets.neuroids
        weight = np.full((len(first), len(at), len(neuroids)), 1 / n_halves)
        place = np.ix_(rows, neuroids, at)
        if targets.first:
            influence = pearson_influence(predicted[:1], responses, np.ones_like(weight[:1]))
            self.r_xy[test][place] = influence.transpose(1, 2, 0)
        self.r_xx[test][place] += pearson_influence(first, second, weight).transpose(1, 2, 0)
        if smoother is None:
            return
        sides = [predicted[:1], first, second], [responses, second, first]
        slopes = np.concatenate([pearson_slope(a, b)[:, 0] for a, b in zip(*sides, strict=True)])
        slopes[1:] /= n_halves
        if not targets.first:
            slopes[0] = 0
        by_neuroid = np.ascontiguousarray(slopes.transpose(2, 0, 1), dtype=np.float32)
        slopes = by_neuroid.transpose(1, 2, 0)
        moved = smoother.residuals * smoother.adjoint(slopes)  # (set train neuroid)
        trained = np.ix_(targets.stimuli[~tested], neuroids, at)
        for influences, terms in ((self.r_xy, moved[0]), (self.r_xx, moved[1:].sum(axis=0))):
            influences[test][trained] += (terms - terms.mean(axis=0))[..., None]
        masks = np.zeros((2, self.r_xy.shape[1]), dtype=bool)
        masks[0, rows] = masks[1, targets.stimuli[~tested]] = True
        self._add_pairs(
            pair_sketcher(masks[0], masks[1], places), smoother, slopes, strata[neuroids]
        )

    def _add_pairs(
        self, sketch: sparse.csr_array, smoother: Smoother, slopes: np.ndarray, strata: np.ndarray
    ) -> None:
        """Add the sketches of c_s Q_st e_t, summed over neuroids and centred both ways."""
        n_test, n_train = slopes.shape[1], smoother.residuals.shape[1]
        pairs = np.zeros((2, self.pairs.shape[1], n_test, n_train), dtype=np.float32)
        for stratum in np.unique(strata[strata >= 0]):
            for kind, sets in enumerate((slice(1), slice(1, None))):
                pairs[kind, stratum] = smoother.pairs(slopes, strata == stratum, sets)
        pairs -= pairs.mean(axis=2, keepdims=True)
        pairs -= pairs.mean(axis=3, keepdims=True)
        sketched = sketch @ pairs.reshape(-1, n_test * n_train).T  # (bucket, kind * stratum)
        self.pairs[..., 0] += sketched.T.reshape(self.pairs.shape[:3])


def reliability_influences(
    halves: Float[np.ndarray, "set time_bin stimulus neuroid"],
    session: Session,
    tests: Bool[np.ndarray, "test stimulus"],
    into: Float[np.ndarray, "split stimulus neuroid time_bin"],
    *,
    n_halves: int,
) -> None:
    """Add the influences of test stimuli on r_yy, averaged over halves.

    Parameters
    ----------
    halves
        First and second halves of a chunk.
    session
        Neuroids and stimuli.
    tests
        Test stimuli of each split.
    into
        Influences to add to.
    n_halves
        Number of all halves.
    """
    neuroids = np.flatnonzero(session.neuroids)
    for test, stimuli in enumerate(tests):
        rows = np.flatnonzero(session.stimuli & stimuli)
        first, second = np.split(halves[:, :, rows][..., neuroids], 2)
        weight = np.full((*first.shape[:2], len(neuroids)), 1 / n_halves)
        influence = pearson_influence(first, second, weight).transpose(1, 2, 0)
        into[test][np.ix_(rows, neuroids)] += influence


def add_up(values: Float[np.ndarray, "#stimuli *any"], places: np.ndarray) -> np.ndarray:
    """Return the sum at each place, 0 where there is none."""
    if (places == np.arange(len(places))).all():
        return values
    summed = np.zeros_like(values)
    np.add.at(summed, places, values)
    return summed


def centred(
    cells: Float[np.ndarray, "stimulus neuroid *any"], strata: Int[np.ndarray, "split neuroid"]
) -> Float[np.ndarray, "stimulus neuroid *any"]:
    """Return cells less their mean over the neuroids that are pooled."""
    pooled = (strata >= 0).any(axis=0)
    mean = cells.sum(axis=1, keepdims=True) / max(int(pooled.sum()), 1)
    return np.asarray(cells - mean * pooled.reshape(1, -1, *[1] * (cells.ndim - 2)))


def pooled_z(
    r: Float[np.ndarray, "split neuroid time_bin"],
    influences: Float[np.ndarray, "split stimulus neuroid time_bin"],
    valid: Bool[np.ndarray, "split neuroid time_bin"],
    places: Int[np.ndarray, " stimulus"],
) -> Float[np.ndarray, " time_bin"]:
    """Return a mean correlation in standard errors over stimuli."""
    weight = valid / np.maximum(valid.sum(axis=(0, 1)), 1)
    mean = (np.where(valid, r, 0.0) * weight).sum(axis=(0, 1))
    by_stimulus = np.einsum("knb,ksnb->sb", weight.astype(np.float32), influences)
    by_stimulus = add_up(by_stimulus, places)
    sampled = by_stimulus[(by_stimulus != 0).any(axis=1)]
    variance = sum_of_squares(sampled.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(variance > 0, mean / np.sqrt(variance), np.nan))

"""Correlations of each neuroid before any averaging, and their means over splits and halves.

The memory of the means does not depend on the number of halves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.averages import MAX_STORED_HALVES, RunningMean
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.analyses.encoding.targets import Targets
from neurofit.metrics.consistency import reliability_of_halves, reliability_of_halves_slope
from neurofit.metrics.correlation import pearson
from neurofit.metrics.pooled import pool
from neurofit.metrics.predictivity import noise_corrected_r


@dataclass(frozen=True)
class Predictivity:
    """Agreement of predictions with responses, for one mapping.

    A row is a layer, or the single row of chosen layers if each split chooses its own. Values are
    NaN where a layer cannot predict, and where predictions or responses do not vary.

    Parameters
    ----------
    r_xy
        Correlations of predictions and responses (row test neuroid time_bin).
    r_xx
        Correlations of predictions by maps fitted to two halves, not corrected
        (row test half neuroid time_bin); at most `MAX_STORED_HALVES` halves.
    mean_xy
        Mean of r_xy over tests (row neuroid time_bin).
    per_test
        Mean over all halves of r_xx in each test (row test neuroid time_bin).
    raw, corrected
        Means over tests and all halves of r_xx and of the reliability that belongs to it
        (row neuroid time_bin).
    ratios
        Mean of r_xy / sqrt(r_xx r_yy), with both corrected (row neuroid time_bin).
    floor
        Least reliability of a map that r_xy is divided by; a smaller one counts as the floor.
    """

    r_xy: np.ndarray
    r_xx: np.ndarray
    mean_xy: RunningMean
    per_test: RunningMean
    raw: RunningMean
    corrected: RunningMean
    ratios: RunningMean
    floor: float

    @classmethod
    def empty(
        cls, fitting: Fitting, *, n_stimuli: int, average: str, floor: float = 0.0
    ) -> Predictivity:
        """Return statistics without samples, with the influences of `n_stimuli` stimuli."""
        config, n_tests = fitting.config, len(fitting.tests)
        n_stored = min(config.n_halves, MAX_STORED_HALVES)
        rows = (fitting.n_rows, *fitting.shape)
        resampled = {average: n_stimuli if config.fit_halves else 0}
        return cls(
            r_xy=np.full((fitting.n_rows, n_tests, *fitting.shape), np.nan),
            r_xx=np.full((fitting.n_rows, n_tests, n_stored, *fitting.shape), np.nan),
            mean_xy=RunningMean.empty(rows, n_stimuli=n_stimuli),
            per_test=RunningMean.empty((fitting.n_rows, n_tests, *fitting.shape)),
            raw=RunningMean.empty(rows, n_stimuli=resampled.get("correlations", 0)),
            corrected=RunningMean.empty(rows, n_stimuli=resampled.get("terms", 0)),
            ratios=RunningMean.empty(rows, n_stimuli=resampled.get("ratios", 0)),
            floor=floor,
        )

    def add(
        self,
        row: int,
        test: int,
        bins: Int[np.ndarray, " time_bin"],
        targets: Targets,
        predicted: Float[np.ndarray, "set time_bin test_stimulus neuroid"],
        tested: Bool[np.ndarray, " stimulus"],
    ) -> None:
        """Add the predictions of one test.

        Parameters
        ----------
        row, test
            Positions of the row and of the test.
        bins
            Positions of the time bins.
        targets
            Target sets that the maps were fitted to.
        predicted
            Predictions for the tested stimuli.
        tested
            Which of the targets' stimuli are tested.
        """
        at = (row, targets.neuroids[:, None], bins)
        stimuli, response = targets.stimuli[tested], targets.sets[:1, :, tested]
        if targets.first:
            r_xy = pearson(predicted[:1], response).swapaxes(1, 2)
            self.r_xy[row, test, *at[1:]] = r_xy[0]
            self.mean_xy.add(at, r_xy)
            self.mean_xy.add_influence(at, stimuli, predicted[:1], response, np.ones_like(r_xy))
        first, second = np.split(predicted[1:], 2)
        r_xx = pearson(first, second).swapaxes(1, 2)  # (half neuroid time_bin)
        r_yy, shares = targets.r_yy[test], targets.shares
        corrected_xx, corrected_yy = (reliability_of_halves(r, *shares) for r in (r_xx, r_yy))
        divided_xx = np.maximum(corrected_xx, self.floor)
        inverse = noise_corrected_r(np.ones(()), divided_xx, corrected_yy)
        ratios = self.r_xy[row, test, *at[1:]] * inverse
        self.raw.add(at, r_xx)
        self.per_test.add((row, test, *at[1:]), r_xx)
        self.corrected.add(at, corrected_xx)
        self.ratios.add(at, ratios)
        stored = targets.halves < MAX_STORED_HALVES
        self.r_xx[row, test, targets.halves[stored][:, None, None], *at[1:]] = r_xx[stored]

        slope, slope_yy = (reliability_of_halves_slope(r, *shares) for r in (r_xx, r_yy))
        self.raw.add_influence(at, stimuli, first, second, np.ones_like(r_xx))
        self.corrected.add_influence(at, stimuli, first, second, slope)
        if self.ratios.influence is not None:
            ceiling = targets.ceiling_tests[test]
            one, two = np.split(targets.sets[1:][:, :, ceiling], 2)
            # Partial derivatives of the ratio with respect to r_xy, r_xx and r_yy.
            by_xy = np.nan_to_num(inverse).sum(axis=0, keepdims=True)
            by_xx = np.where(corrected_xx > self.floor, -ratios / divided_xx / 2 * slope, 0.0)
            by_yy = -ratios / corrected_yy / 2 * slope_yy
            self.ratios.add_influence(at, stimuli, predicted[:1], response, by_xy)
            self.ratios.add_influence(at, stimuli, first, second, by_xx)
            self.ratios.add_influence(at, targets.stimuli[ceiling], one, two, by_yy)


def corrected_r(reliability: Reliability, predictivity: Predictivity) -> dict[str, np.ndarray]:
    """Return the noise-corrected r of each neuroid in each order of averaging."""
    shares, mean_xy = reliability.shares.value, predictivity.mean_xy.value
    terms = {
        "correlations": [
            reliability_of_halves(mean.value, *shares)
            for mean in (predictivity.raw, reliability.raw)
        ],
        "terms": [predictivity.corrected.value, reliability.corrected.value],
    }
    floor = predictivity.floor
    made = {
        what: noise_corrected_r(mean_xy, np.maximum(xx, floor), yy)
        for what, (xx, yy) in terms.items()
    }
    return {**made, "ratios": predictivity.ratios.value}


def split_correlations(
    reliability: Reliability, predictivity: Predictivity, row: int, bins: Any = slice(None)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return r_xy, r_xx and r_yy (split neuroid time_bin), the latter two averaged over halves.

    A constant prediction correlates with nothing. A split whose layer predicts no neuroid in a bin
    takes no part in it.
    """
    r_xy = predictivity.r_xy[row][..., bins]
    r_xx = predictivity.per_test.value[row][..., bins]
    return *without_constants(r_xy, r_xx), reliability.per_test.value[..., bins]


def without_constants(
    r_xy: Float[np.ndarray, "*any split neuroid time_bin"],
    r_xx: Float[np.ndarray, "*any split neuroid time_bin"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return r_xy and r_xx with 0 for constant predictions where others of a split vary."""
    fitted = np.isfinite(r_xy).any(axis=-2, keepdims=True)
    r_xy, r_xx = (np.where(np.isnan(r) & fitted, 0.0, r) for r in (r_xy, r_xx))
    return r_xy, r_xx


def pooled_score(
    reliability: Reliability,
    predictivity: Predictivity,
    strata: Int[np.ndarray, "split neuroid"],
    neuroids: Any = slice(None),
) -> Float[np.ndarray, "row time_bin"]:
    """Return the pooled score of each row from some neuroids; see `neurofit.metrics.pooled`."""
    scores = []
    for row in range(len(predictivity.r_xy)):
        xy, xx, yy = (r[:, neuroids] for r in split_correlations(reliability, predictivity, row))
        shares = reliability.shares.value[:, neuroids]
        scores.append(pool(xy, xx, yy, shares, strata[:, neuroids]).score)
    return np.stack(scores)

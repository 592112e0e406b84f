"""Correlations before any averaging, and their means over splits and trial halves, which take no more memory for more halves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.metrics import nanmean, nanmedian, noise_corrected_r, pearson, spearman_brown
from neurofit.targets import Part, Targets, TrialMeans

KEPT_HALVES = 100
"""So many halves are kept one by one; of more there are the means."""


@dataclass(frozen=True)
class RunningMean:
    """Mean over splits and halves of what is not NaN, added up as it comes."""

    total: np.ndarray
    count: np.ndarray

    @classmethod
    def empty(cls, *shape: int) -> RunningMean:
        """Return means of nothing yet."""
        return cls(np.zeros(shape), np.zeros(shape, dtype=np.int64))

    def add(self, where: Any, values: Float[np.ndarray, "sample ..."]) -> None:
        """Add samples at an index of the means."""
        there = ~np.isnan(values)
        self.total[where] += np.where(there, values, 0.0).sum(axis=0)
        self.count[where] += there.sum(axis=0)

    @property
    def value(self) -> np.ndarray:
        """The mean; NaN where nothing was added."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan))


@dataclass(frozen=True)
class Reliability:
    """How well the recording agrees with itself; shared by all layers and mappings."""

    r_yy: np.ndarray  # (test half neuroid time_bin): two half means, not yet Spearman-Brown corrected; the first halves
    raw: RunningMean  # (neuroid time_bin), over all halves
    corrected: RunningMean  # (neuroid time_bin), over all halves
    missing: np.ndarray  # (neuroid time_bin): not fitted, for want of trials
    missing_halves: np.ndarray  # (neuroid time_bin): number of halves that lack a trial of some stimulus
    n_test: np.ndarray  # (neuroid time_bin): test stimuli in a split

    @classmethod
    def empty(cls, *, n_tests: int, n_halves: int, n_neuroids: int, n_bins: int) -> Reliability:
        """Return what is known before anything was read."""
        shape = (n_neuroids, n_bins)
        return cls(
            r_yy=np.full((n_tests, min(n_halves, KEPT_HALVES), *shape), np.nan),
            raw=RunningMean.empty(*shape),
            corrected=RunningMean.empty(*shape),
            missing=np.ones(shape, dtype=bool),
            missing_halves=np.zeros(shape, dtype=np.int64),
            n_test=np.full(shape, np.nan),
        )

    def add(self, bins: Int[np.ndarray, " time_bin"], means: TrialMeans) -> None:
        """Add who takes part in a group of bins, and all halves, part by part."""
        for session in means.sessions:
            here = np.ix_(session.neuroids, bins)
            self.missing[here] = False
            self.n_test[here] = means.ceiling_tests[:, session.stimuli].sum(axis=1).mean()
        for part in means:
            self._add_part(bins, part)

    def _add_part(self, bins: np.ndarray, part: Part) -> None:
        samples = part.r_yy.reshape(-1, *part.r_yy.shape[2:])
        self.raw.add((slice(None), bins), samples)
        self.corrected.add((slice(None), bins), spearman_brown(samples))
        self.missing_halves[:, bins] += np.isnan(part.sets[1 : 1 + len(part.halves)]).all(axis=2).sum(axis=0).T
        kept = slice(part.halves.start, min(part.halves.stop, KEPT_HALVES))
        self.r_yy[:, kept, :, bins] = part.r_yy[:, : max(0, kept.stop - kept.start)]


@dataclass(frozen=True)
class Predictivity:
    """How well one mapping predicts; NaN where a layer cannot predict or a side does not vary.

    A row is a layer, or, where each split has a layer of its own, the one row of the chosen layers.
    """

    r_xy: np.ndarray  # (row test neuroid time_bin)
    r_xx: np.ndarray  # (row test half neuroid time_bin): maps fitted on two halves, not yet Spearman-Brown corrected; the first halves
    raw: RunningMean  # (row neuroid time_bin): r_xx
    corrected: RunningMean  # (row neuroid time_bin): r_xx, Spearman-Brown corrected
    ratios: RunningMean  # (row neuroid time_bin): r_xy / sqrt(r_xx r_yy)
    held_out: np.ndarray  # (layer split neuroid time_bin): r_xy on training stimuli held out to choose the layer

    @classmethod
    def empty(cls, *, n_rows: int, n_layers: int, n_tests: int, n_splits: int, n_halves: int, n_neuroids: int, n_bins: int) -> Predictivity:
        """Return what is known before anything was fitted."""
        shape = (n_neuroids, n_bins)
        return cls(
            r_xy=np.full((n_rows, n_tests, *shape), np.nan),
            r_xx=np.full((n_rows, n_tests, min(n_halves, KEPT_HALVES), *shape), np.nan),
            raw=RunningMean.empty(n_rows, *shape),
            corrected=RunningMean.empty(n_rows, *shape),
            ratios=RunningMean.empty(n_rows, *shape),
            held_out=np.full((n_layers, n_splits, *shape), np.nan),
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
        """Add the predictions of one test: of the targets' sets, for those of their stimuli that are tested, in the given bins."""
        at = targets.neuroids[:, None], bins
        if targets.first:
            self.r_xy[row, test, *at] = pearson(predicted[0], targets.sets[0][:, tested]).T
        r_xx = pearson(*np.split(predicted[1:], 2)).swapaxes(1, 2)  # (half neuroid time_bin)
        corrected = spearman_brown(r_xx)
        self.raw.add((row, *at), r_xx)
        self.corrected.add((row, *at), corrected)
        self.ratios.add((row, *at), noise_corrected_r(self.r_xy[row, test, *at], corrected, spearman_brown(targets.r_yy[test])))
        kept = targets.halves < KEPT_HALVES
        self.r_xx[row, test, targets.halves[kept][:, None, None], *at] = r_xx[kept]

    def best_layer(self) -> np.ndarray:
        """Return each split's best layer on held-out training stimuli: array (split).

        Layers are compared in the bins that all of them predict; one that predicts nothing does not take part.
        """
        per_bin = nanmedian(self.held_out, axis=2)  # (layer split time_bin)
        takes_part = ~np.isnan(per_bin).all(axis=(1, 2))
        common = ~np.isnan(per_bin[takes_part]).any(axis=(0, 1))
        shown = common if common.any() else np.ones_like(common)
        return np.asarray(np.nan_to_num(nanmean(per_bin[..., shown], axis=-1), nan=-np.inf).argmax(axis=0))

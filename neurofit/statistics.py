"""Correlations before any averaging, and their means over splits and trial halves, which take no more memory for more halves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.metrics import nanmean, nanmedian, noise_corrected_r, pearson, pearson_influence, spearman_brown, spearman_brown_slope
from neurofit.presets import OPTIONS, ScoreConfig
from neurofit.targets import Part, Session, Targets, TrialMeans

KEPT_HALVES = 100
"""So many halves are kept one by one; of more there are the means."""


@dataclass(frozen=True)
class RunningMean:
    """Mean over splits and halves of what is not NaN, added up as it comes; and how much each stimulus carries it, if asked for."""

    total: np.ndarray  # (row neuroid time_bin), or without rows
    count: np.ndarray
    influence: np.ndarray | None  # (row stimulus neuroid time_bin), float32: sum of the derivatives to the stimulus' weight

    @classmethod
    def empty(cls, shape: tuple[int, ...], *, n_stimuli: int = 0) -> RunningMean:
        """Return means of nothing yet, with influences of so many stimuli."""
        *rows, n_neuroids, n_bins = shape
        influence = np.zeros((*rows, n_stimuli, n_neuroids, n_bins), dtype=np.float32) if n_stimuli else None
        return cls(np.zeros(shape), np.zeros(shape, dtype=np.int64), influence)

    def add(self, at: tuple[Any, ...], values: Float[np.ndarray, "sample ..."]) -> None:
        """Add samples at an index of the means."""
        there = ~np.isnan(values)
        self.total[at] += np.where(there, values, 0.0).sum(axis=0)
        self.count[at] += there.sum(axis=0)

    def add_influence(
        self,
        at: tuple[Any, ...],
        stimuli: Int[np.ndarray, " stimulus"],
        a: Float[np.ndarray, "sample time_bin stimulus neuroid"],
        b: Float[np.ndarray, "sample time_bin stimulus neuroid"],
        slope: Float[np.ndarray, "sample neuroid time_bin"],
    ) -> None:
        """Add influences of stimuli on samples, of which the slope is the derivative to the correlation of a and b."""
        if self.influence is not None:
            *row, neuroids, bins = at
            where = (*row, stimuli[:, None, None], neuroids, bins)
            self.influence[where] += pearson_influence(a, b, slope.swapaxes(1, 2)).transpose(1, 2, 0)

    @property
    def value(self) -> np.ndarray:
        """The mean; NaN where nothing was added."""
        return np.asarray(np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan))

    def mean_influence(self, row: tuple[int, ...] = ()) -> np.ndarray:
        """Return the derivative of the mean to the weight of each stimulus, float32: (stimulus neuroid time_bin), rows before it."""
        assert self.influence is not None
        return np.asarray(self.influence[row] / np.maximum(self.count[row], 1)[..., None, :, :].astype(np.float32))

    def resampled(self, times: Int[np.ndarray, "draw stimulus"], row: tuple[int, ...] = ()) -> Float[np.ndarray, "draw neuroid time_bin"]:
        """Return the mean of samples in which each stimulus occurs so many times, to first order."""
        influence = self.mean_influence(row)
        shift = (times - 1).astype(np.float32) @ influence.reshape(len(influence), -1)
        return np.asarray(self.value[row] + shift.reshape(-1, *influence.shape[1:]))


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
    def empty(cls, config: ScoreConfig, *, n_tests: int, n_stimuli: int, shape: tuple[int, int]) -> Reliability:
        """Return what is known before anything was read; `shape` is (neuroid, time_bin)."""
        resampled = 0 if config.bootstrap_over == "neuroids" else n_stimuli
        return cls(
            r_yy=np.full((n_tests, min(config.n_halves, KEPT_HALVES), *shape), np.nan),
            raw=RunningMean.empty(shape, n_stimuli=resampled if config.average == "correlations" else 0),
            corrected=RunningMean.empty(shape, n_stimuli=resampled if config.average != "correlations" else 0),
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
            if self.raw.influence is not None or self.corrected.influence is not None:
                for session in means.sessions:
                    self._add_influence(bins, part, session, means.ceiling_tests)

    def _add_part(self, bins: np.ndarray, part: Part) -> None:
        samples = part.r_yy.reshape(-1, *part.r_yy.shape[2:])
        self.raw.add((slice(None), bins), samples)
        self.corrected.add((slice(None), bins), spearman_brown(samples))
        self.missing_halves[:, bins] += np.isnan(part.sets[1 : 1 + len(part.halves)]).all(axis=2).sum(axis=0).T
        kept = slice(part.halves.start, min(part.halves.stop, KEPT_HALVES))
        self.r_yy[:, kept, :, bins] = part.r_yy[:, : max(0, kept.stop - kept.start)]

    def _add_influence(self, bins: np.ndarray, part: Part, session: Session, tests: np.ndarray) -> None:
        neuroids = np.flatnonzero(session.neuroids)
        at = neuroids[:, None], bins
        for test, stimuli in enumerate(tests):
            rows = np.flatnonzero(session.stimuli & stimuli)
            r = part.r_yy[test][:, neuroids]
            first, second = np.split(part.sets[1:][:, :, rows][..., neuroids], 2)
            self.raw.add_influence(at, rows, first, second, np.ones_like(r))
            self.corrected.add_influence(at, rows, first, second, spearman_brown_slope(r))


@dataclass(frozen=True)
class Predictivity:
    """How well one mapping predicts; NaN where a layer cannot predict or a side does not vary.

    A row is a layer, or, where each split has a layer of its own, the one row of the chosen layers.
    """

    r_xy: np.ndarray  # (row test neuroid time_bin)
    r_xx: np.ndarray  # (row test half neuroid time_bin): maps fitted on two halves, not yet Spearman-Brown corrected; the first halves
    mean_xy: RunningMean  # (row neuroid time_bin): r_xy
    raw: RunningMean  # (row neuroid time_bin): r_xx
    corrected: RunningMean  # (row neuroid time_bin): r_xx, Spearman-Brown corrected
    ratios: RunningMean  # (row neuroid time_bin): r_xy / sqrt(r_xx r_yy)
    held_out: np.ndarray  # (layer split neuroid time_bin): r_xy on training stimuli held out to choose the layer

    @classmethod
    def empty(
        cls, config: ScoreConfig, *, n_rows: int, n_layers: int, n_tests: int, n_splits: int, n_stimuli: int, shape: tuple[int, int]
    ) -> Predictivity:
        """Return what is known before anything was fitted; `shape` is (neuroid, time_bin)."""
        resampled = 0 if config.bootstrap_over == "neuroids" else n_stimuli
        rows = (n_rows, *shape)
        of_average = {average: resampled if config.average == average else 0 for average in OPTIONS["average"]}
        return cls(
            r_xy=np.full((n_rows, n_tests, *shape), np.nan),
            r_xx=np.full((n_rows, n_tests, min(config.n_halves, KEPT_HALVES), *shape), np.nan),
            mean_xy=RunningMean.empty(rows, n_stimuli=resampled),
            raw=RunningMean.empty(rows, n_stimuli=of_average["correlations"]),
            corrected=RunningMean.empty(rows, n_stimuli=of_average["terms"]),
            ratios=RunningMean.empty(rows, n_stimuli=of_average["ratios"]),
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
        stimuli, response = targets.stimuli[tested], targets.sets[:1, :, tested]
        if targets.first:
            r_xy = pearson(predicted[:1], response).swapaxes(1, 2)
            self.r_xy[row, test, *at] = r_xy[0]
            self.mean_xy.add((row, *at), r_xy)
            self.mean_xy.add_influence((row, *at), stimuli, predicted[:1], response, np.ones_like(r_xy))
        first, second = np.split(predicted[1:], 2)
        r_xx, r_yy = pearson(first, second).swapaxes(1, 2), targets.r_yy[test]  # (half neuroid time_bin)
        corrected_xx, corrected_yy = spearman_brown(r_xx), spearman_brown(r_yy)
        inverse = noise_corrected_r(np.ones(()), corrected_xx, corrected_yy)
        ratios = self.r_xy[row, test, *at] * inverse
        self.raw.add((row, *at), r_xx)
        self.corrected.add((row, *at), corrected_xx)
        self.ratios.add((row, *at), ratios)
        kept = targets.halves < KEPT_HALVES
        self.r_xx[row, test, targets.halves[kept][:, None, None], *at] = r_xx[kept]

        slope = spearman_brown_slope(r_xx)
        self.raw.add_influence((row, *at), stimuli, first, second, np.ones_like(r_xx))
        self.corrected.add_influence((row, *at), stimuli, first, second, slope)
        if self.ratios.influence is not None:
            ceiling = targets.ceiling_tests[test]
            one, two = np.split(targets.sets[1:][:, :, ceiling], 2)
            slope_yy = spearman_brown_slope(r_yy)
            self.ratios.add_influence((row, *at), stimuli, predicted[:1], response, np.nan_to_num(inverse).sum(axis=0, keepdims=True))
            self.ratios.add_influence((row, *at), stimuli, first, second, -ratios / corrected_xx / 2 * slope)
            self.ratios.add_influence((row, *at), targets.stimuli[ceiling], one, two, -ratios / corrected_yy / 2 * slope_yy)

    def best_layer(self) -> np.ndarray:
        """Return each split's best layer on held-out training stimuli: array (split).

        Layers are compared in the bins that all of them predict; one that predicts nothing does not take part.
        """
        per_bin = nanmedian(self.held_out, axis=2)  # (layer split time_bin)
        takes_part = ~np.isnan(per_bin).all(axis=(1, 2))
        common = ~np.isnan(per_bin[takes_part]).any(axis=(0, 1))
        shown = common if common.any() else np.ones_like(common)
        return np.asarray(np.nan_to_num(nanmean(per_bin[..., shown], axis=-1), nan=-np.inf).argmax(axis=0))

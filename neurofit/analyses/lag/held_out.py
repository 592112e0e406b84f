"""Scores on test stimuli of maps from chosen model times, beside those of the one-to-one map."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.findings import Findings
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.influences import (
    MapInfluences,
    add_up,
    pooled_z,
    reliability_influences,
)
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.analyses.encoding.targets import Targets, TrialMeans
from neurofit.analyses.lag.candidates import Candidates
from neurofit.mapping.fits import Smoother
from neurofit.mapping.gram import Gram
from neurofit.metrics.correlation import pearson
from neurofit.metrics.pooled import pool
from neurofit.metrics.sketch import N_BUCKETS, sketch_cells
from neurofit.metrics.two_way import Influences
from neurofit.recordings.time_bins import TimeBin

CURVES = ("one-to-one", "chosen")
"""What is scored: features of the recorded time, and of the model time that each split chose."""


@dataclass
class ShiftedFitting(Fitting):
    """Fits to features of other times than those of the recorded bins.

    Parameters
    ----------
    windows
        Model time of each recorded bin, for each affine map; the first is one-to-one.
    splits_of_maps
        Splits in which each of them is fitted.
    bins
        Recorded bins that are fitted.
    """

    windows: list[list[TimeBin]] = field(default_factory=list)
    splits_of_maps: list[np.ndarray] = field(default_factory=list)
    bins: Bool[np.ndarray, " time_bin"] = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        super().__post_init__()
        (self._layer,) = self.layers
        self.layers = tuple(f"map {number}" for number in range(len(self.windows)))
        self.covered = np.broadcast_to(self.bins, (len(self.windows), len(self.bins)))
        self.findings = Findings.empty(
            1, len(self.windows), n_rows=self.n_rows, n_splits=len(self.train), shape=self.shape
        )
        self.grams = replace(
            self.grams, time_bins=sorted({each for own in self.windows for each in own})
        )

    @property
    def splits_of_layers(self) -> list[list[np.ndarray]]:
        """Splits to fit of the only mapping, for each affine map."""
        return [self.splits_of_maps]

    def _sources(self, layer: int, bins: np.ndarray) -> tuple[list[Gram], np.ndarray]:
        at = np.flatnonzero(self.covered[layer, bins])
        if not len(at):
            return [], at
        return [self.grams.gram(self._layer, [self.windows[layer][int(bins[0])]])], at

    @classmethod
    def of(
        cls, fitting: Fitting, candidates: Candidates, chosen: Int[np.ndarray, " split"]
    ) -> ShiftedFitting:
        """Return the fits of the one-to-one map, and of the candidates that splits choose.

        They are fitted in the compared bins that all of these maps have driven features for.
        """
        bins, distinct = fitting.recording.time_bins, np.unique(chosen).tolist()
        windows = [candidates.windows_of(candidate, bins) for candidate in (0, *distinct)]
        driven = np.array([[candidates.drives(each) for each in own] for own in windows])
        return cls(
            fitting.activations,
            fitting.recording,
            fitting.config,
            fitting.compute,
            smoothers=True,
            windows=windows,
            splits_of_maps=[
                np.arange(len(chosen)),
                *(np.flatnonzero(chosen == each) for each in distinct),
            ],
            bins=candidates.compared & driven.all(axis=0),
        )


@dataclass(frozen=True)
class HeldOut:
    """Accumulator of the pooled scores of both curves.

    Parameters
    ----------
    strata, places
        Stratum of each neuroid in each split, and place of each stimulus among the sampled ones.
    score, z_maps, z_recording
        Pooled scores; consistency of maps and reliability of responses in standard errors.
    neuroids, stimuli, cells, pairs
        Influences on the scores, the latter two sketched.
    """

    strata: Int[np.ndarray, "split neuroid"]
    places: Int[np.ndarray, " stimulus"]
    reliability: Reliability
    score: Float[np.ndarray, "curve time_bin"]
    z_maps: Float[np.ndarray, "curve time_bin"]
    z_recording: Float[np.ndarray, " time_bin"]
    neuroids: Float[np.ndarray, "curve neuroid time_bin"]
    stimuli: Float[np.ndarray, "curve stimulus time_bin"]
    cells: Float[np.ndarray, "curve bucket time_bin"]
    pairs: Float[np.ndarray, "curve bucket time_bin"]

    @classmethod
    def empty(cls, fitting: Fitting, strata: Int[np.ndarray, "split neuroid"]) -> HeldOut:
        """Return scores that are not defined yet."""
        n_neuroids, n_bins = fitting.shape
        undefined, n = np.full((3, 2, n_bins), np.nan), len(fitting.recording.stimuli)
        return cls(
            strata,
            fitting.splits.places,
            Reliability.empty(fitting, n_stimuli=0, average="correlations"),
            undefined[0],
            undefined[1],
            undefined[2, 0],
            np.zeros((2, n_neuroids, n_bins)),
            np.zeros((2, n, n_bins)),
            *np.zeros((2, 2, N_BUCKETS, n_bins), dtype=np.float32),
        )

    def start(self, bins: Int[np.ndarray, " time_bin"], means: TrialMeans) -> HeldOutBin:
        """Return an accumulator of one bin."""
        self.reliability.add(bins, means)
        return HeldOutBin(self, int(bins[0]), means)

    def influences(
        self, signs: tuple[float, float], weights: Float[np.ndarray, "time_bin combination"]
    ) -> Influences:
        """Return the influences on combinations over bins of both curves' sum or difference."""
        return Influences.of_sketches(
            *(
                (signs[0] * each[0] + signs[1] * each[1]) @ weights
                for each in (self.neuroids, self.stimuli, self.cells, self.pairs)
            )
        )


class HeldOutBin:
    """Correlations of both curves in one bin, until all splits are fitted."""

    def __init__(self, scores: HeldOut, time_bin: int, means: TrialMeans) -> None:
        self._scores, self._bin, self._n_halves = scores, time_bin, means.n_halves
        n_stimuli, strata = len(scores.places), scores.strata
        shape = (len(strata), n_stimuli, strata.shape[1], 1)
        self._maps = [MapInfluences.empty(shape, n_strata=int(strata.max()) + 1) for _ in CURVES]
        self._r_xy, self._r_xx = np.full((2, len(CURVES), *strata.shape, 1), np.nan)
        self._responses = np.zeros(shape, dtype=np.float32)
        for chunk in means:
            for session in means.sessions:
                reliability_influences(
                    chunk.sets[1:],
                    session,
                    means.ceiling_tests,
                    self._responses,
                    n_halves=means.n_halves,
                )

    def add(
        self,
        mapping: int,
        row: int,
        test: int,
        at: np.ndarray,
        targets: Targets,
        predicted: np.ndarray,
        tested: np.ndarray,
        smoother: Smoother | None,
    ) -> None:
        """Add the predictions of one test; see `GroupAccumulator`."""
        del mapping  # a configuration has one
        curve = min(row, 1)
        self._maps[curve].add(
            test,
            at,
            targets,
            predicted,
            tested,
            smoother,
            n_halves=self._n_halves,
            strata=self._scores.strata[test],
            places=self._scores.places,
        )
        first, second = np.split(predicted[1:, 0], 2)
        summed = np.nan_to_num(pearson(first, second)).sum(axis=0) / self._n_halves
        own = self._r_xx[curve, test, :, 0]
        own[targets.neuroids] = summed + np.nan_to_num(own[targets.neuroids])
        if targets.first:
            r = pearson(predicted[0, 0], targets.sets[0, 0, tested])
            self._r_xy[curve, test, targets.neuroids, 0] = np.nan_to_num(r)

    def add_part(self, *_: object) -> None:
        """Do nothing: maps are fitted to all training stimuli."""

    def finish(self) -> None:
        """Pool the correlations of all splits."""
        made, b = self._scores, self._bin
        if not np.isfinite(self._r_xy).any():
            return
        r_yy = made.reliability.per_test.value[..., [b]]
        shares = made.reliability.shares.value[..., [b]]
        for curve, maps in enumerate(self._maps):
            r = (self._r_xy[curve], self._r_xx[curve], r_yy)
            influences = (maps.r_xy, maps.r_xx, self._responses)
            pooled = pool(*r, shares, made.strata)
            made.score[curve, b] = pooled.score[0]
            made.z_maps[curve, b], made.z_recording[b] = (
                pooled_z(r[k], influences[k], pooled.valid, made.places)[0] for k in (1, 2)
            )
            cells = sum(
                np.einsum("kn,ksn->sn", by[..., 0].astype(np.float32), influence[..., 0])
                for by, influence in zip(pooled.slopes(made.strata), influences, strict=True)
            )
            cells = add_up(np.asarray(cells), made.places)
            counted = pooled.valid[..., 0].any(axis=0)
            made.neuroids[curve, :, b] = pooled.neuroids[:, 0]
            made.stimuli[curve, :, b] = cells.sum(axis=1, dtype=np.float64)
            cells -= cells.sum(axis=1, keepdims=True) / max(int(counted.sum()), 1) * counted
            made.cells[curve, :, b] = sketch_cells(cells[..., None])[:, 0]
            by_pairs = np.nan_to_num(np.stack([pooled.by_xy, pooled.by_xx]))[..., 0]
            made.pairs[curve, :, b] = np.einsum("kj,kjh->h", by_pairs, maps.pairs[..., 0])

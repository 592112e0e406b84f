"""Predictions by the map of one time bin, tested on the responses of all others.

r_xy(t, t') correlates the predictions of test stimuli by the map of bin t with the responses in bin
t'. All else is as for a curve: r_xx(t) is the consistency of the map, r_yy(t') the reliability of
the responses, and correlations are pooled in strata of neuroids (`neurofit.metrics.pooled`). The
responses of all bins are averaged first, so that each map is fitted once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.influences import (
    MapInfluences,
    add_up,
    centred,
    pooled_z,
    reliability_influences,
)
from neurofit.analyses.encoding.predictions import in_parallel
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.analyses.encoding.targets import Targets, TrialMeans
from neurofit.mapping.fits import Smoother
from neurofit.metrics.correlation import pearson, pearson_influence, pearson_slope
from neurofit.metrics.pooled import Pooled, pool
from neurofit.metrics.sketch import N_BUCKETS, sketch_cells, squared_norm
from neurofit.metrics.two_way import sum_of_squares


@dataclass(frozen=True)
class Sums:
    """Influences on correlations, summed over the splits and neuroids of each stratum.

    Parameters
    ----------
    stimuli
        Sums over neuroids.
    cells
        Sketches of the cells (stimulus, neuroid), less their mean over neuroids.
    """

    stimuli: Float[np.ndarray, "stimulus stratum"]
    cells: Float[np.ndarray, "bucket stratum"]

    @classmethod
    def of(
        cls,
        influences: Float[np.ndarray, "split stimulus neuroid"],
        strata: Int[np.ndarray, "split neuroid"],
        places: Int[np.ndarray, " stimulus"],
    ) -> Sums:
        """Return the sums; stimuli of a group, which are sampled together, have one place."""
        cells = np.stack(
            [
                np.einsum("ksn,kn->sn", influences, (strata == stratum).astype(np.float32))
                for stratum in range(int(strata.max()) + 1)
            ],
            axis=-1,
        )
        cells = add_up(cells, places)
        return cls(cells.sum(axis=1, dtype=np.float64), sketch_cells(centred(cells, strata)))


@dataclass(frozen=True)
class Responses:
    """The recording in all time bins.

    Parameters
    ----------
    means
        Means over all trials; NaN where a stimulus is left out for a neuroid.
    reliability
        Correlations of trial halves.
    sums
        Influences on them in each time bin.
    z
        Pooled reliability in standard errors over stimuli.
    """

    means: Float[np.ndarray, "time_bin stimulus neuroid"]
    reliability: Reliability
    sums: list[Sums]
    z: Float[np.ndarray, " time_bin"]

    @property
    def r_yy(self) -> Float[np.ndarray, "split neuroid time_bin"]:
        """Correlations of trial halves over the test stimuli of each split."""
        return self.reliability.per_test.value

    @classmethod
    def read(cls, fitting: Fitting, strata: Int[np.ndarray, "split neuroid"]) -> Responses:
        """Average the trials of all bins, and of their halves."""
        n_stimuli, (n_neuroids, n_bins) = len(fitting.recording.stimuli), fitting.shape
        means = np.full((n_bins, n_stimuli, n_neuroids), np.nan)
        reliability = Reliability.empty(fitting, n_stimuli=0, average="correlations")
        z, places = np.full(n_bins, np.nan), fitting.splits.places
        sums: dict[int, Sums] = {}

        def read_bin(bins: np.ndarray) -> None:
            own = fitting.means(bins, fitting.chunks)
            shape = (len(fitting.tests), n_stimuli, n_neuroids, 1)
            influences = np.zeros(shape, dtype=np.float32)
            reliability.add(bins, own)
            for chunk in own:
                means[bins] = np.where(own.usable, chunk.sets[0], np.nan)
                for session in own.sessions:
                    reliability_influences(
                        chunk.sets[1:],
                        session,
                        own.ceiling_tests,
                        influences,
                        n_halves=own.n_halves,
                    )
            r = reliability.per_test.value[..., bins]
            valid = np.isfinite(r) & (strata >= 0)[..., None]
            z[bins] = pooled_z(r, influences, valid, places)
            sums[int(bins[0])] = Sums.of(influences[..., 0], strata, places)

        every = list(np.arange(n_bins)[:, None])
        for _ in in_parallel(read_bin, every, n_jobs=fitting.compute.jobs):
            pass
        return cls(means, reliability, [sums[b] for b in range(n_bins)], z)


@dataclass(frozen=True)
class Crossing:
    """Accumulator of pooled scores of the map of each bin in each bin.

    Parameters
    ----------
    responses
        The recording.
    strata
        Stratum of each neuroid in each split; see `neurofit.metrics.pooled.deal_strata`.
    places
        Place of each stimulus among those that are sampled.
    score
        Pooled noise-corrected r.
    z
        Pooled consistency of the map of each bin, in standard errors over stimuli.
    neuroids, stimuli, cells
        Influences on the score, and sketches of the influences of cells.
    twice
        Share of the variance over stimuli that pairs of a training and a test stimulus count twice,
        of each bin's map in its own bin; see `neurofit.metrics.two_way`.
    n_neuroids
        Number of neuroids with correlations.
    """

    responses: Responses
    strata: Int[np.ndarray, "split neuroid"]
    places: Int[np.ndarray, " stimulus"]
    score: Float[np.ndarray, "row fit_bin time_bin"]
    z: Float[np.ndarray, "row fit_bin"]
    neuroids: Float[np.ndarray, "row neuroid fit_bin time_bin"]
    stimuli: Float[np.ndarray, "row stimulus fit_bin time_bin"]
    cells: Float[np.ndarray, "row bucket fit_bin time_bin"]
    twice: Float[np.ndarray, "row fit_bin"]
    n_neuroids: Int[np.ndarray, "row fit_bin time_bin"]

    @classmethod
    def empty(cls, fitting: Fitting, strata: Int[np.ndarray, "split neuroid"]) -> Crossing:
        """Return scores that are not defined yet, after a first pass over the recording."""
        n_rows, (n_neuroids, n_bins) = fitting.n_rows, fitting.shape
        pairs, n_stimuli = (n_bins, n_bins), len(fitting.recording.stimuli)
        return cls(
            responses=Responses.read(fitting, strata),
            strata=strata,
            places=fitting.splits.places,
            score=np.full((n_rows, *pairs), np.nan),
            z=np.full((n_rows, n_bins), np.nan),
            neuroids=np.zeros((n_rows, n_neuroids, *pairs)),
            stimuli=np.zeros((n_rows, n_stimuli, *pairs)),
            cells=np.zeros((n_rows, N_BUCKETS, *pairs), dtype=np.float32),
            twice=np.zeros((n_rows, n_bins)),
            n_neuroids=np.zeros((n_rows, *pairs), dtype=np.int64),
        )

    def start(self, bins: Int[np.ndarray, " time_bin"], means: TrialMeans) -> FitBin:
        """Return an accumulator of the predictions by the map of one bin."""
        return FitBin(self, int(bins[0]), means.n_halves)


class FitBin:
    """Correlations of the predictions by the map of one bin, until all splits are fitted."""

    def __init__(self, crossing: Crossing, fit_bin: int, n_halves: int) -> None:
        self._crossing, self._bin, self._n_halves = crossing, fit_bin, n_halves
        self._rows: dict[int, _Row] = {}

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
        crossing = self._crossing
        if row not in self._rows:
            self._rows[row] = _Row.empty(crossing, self._bin)
        self._rows[row].add(
            test, at, targets, predicted, tested, smoother, crossing, n_halves=self._n_halves
        )

    def add_part(self, *_: object) -> None:
        """Do nothing: maps are fitted to all training stimuli."""

    def finish(self) -> None:
        """Pool the correlations of all splits."""
        for row, own in self._rows.items():
            own.pool_into(self._crossing, row, self._bin)


@dataclass(frozen=True)
class _Row:
    """Statistics of one layer's maps of one bin.

    `cells` are influences on r_xy, divided by the number of neuroids in the stratum and added up
    over splits.
    """

    r_xy: Float[np.ndarray, "split neuroid time_bin"]
    r_xx: Float[np.ndarray, "split neuroid"]
    maps: MapInfluences
    cells: Float[np.ndarray, "stimulus neuroid time_bin"]
    weights: Float[np.ndarray, "split neuroid time_bin"]

    @classmethod
    def empty(cls, crossing: Crossing, fit_bin: int) -> _Row:
        """Return statistics without samples."""
        n_bins, n_stimuli, n_neuroids = crossing.responses.means.shape
        strata, r_yy = crossing.strata, crossing.responses.r_yy
        n_strata = int(strata.max()) + 1
        fitted = np.isfinite(r_yy[..., [fit_bin]]) & np.isfinite(r_yy)
        weights = np.zeros(r_yy.shape, dtype=np.float32)
        for stratum in range(n_strata):
            inside = fitted & (strata == stratum)[..., None]
            weights += inside / np.maximum(inside.sum(axis=1, keepdims=True), 1)
        shape = (len(strata), n_stimuli, n_neuroids, 1)
        return cls(
            r_xy=np.full(r_yy.shape, np.nan),
            r_xx=np.full(strata.shape, np.nan),
            maps=MapInfluences.empty(shape, n_strata=n_strata),
            cells=np.zeros((n_stimuli, n_neuroids, n_bins), dtype=np.float32),
            weights=weights,
        )

    def add(
        self,
        test: int,
        at: Int[np.ndarray, " time_bin"],
        targets: Targets,
        predicted: Float[np.ndarray, "set time_bin test_stimulus neuroid"],
        tested: Bool[np.ndarray, " stimulus"],
        smoother: Smoother | None,
        crossing: Crossing,
        *,
        n_halves: int,
    ) -> None:
        """Add the predictions of one test."""
        self.maps.add(
            test,
            at,
            targets,
            predicted,
            tested,
            smoother,
            n_halves=n_halves,
            strata=crossing.strata[test],
            places=crossing.places,
        )
        first, second = np.split(predicted[1:, 0], 2)
        r_xx = pearson(first, second)  # (half neuroid)
        summed = np.nan_to_num(r_xx).sum(axis=0) / n_halves
        own = self.r_xx[test]
        own[targets.neuroids] = summed + np.nan_to_num(own[targets.neuroids])
        if not targets.first:
            return
        rows, trained = targets.stimuli[tested], targets.stimuli[~tested]
        responses = crossing.responses.means[:, rows][..., targets.neuroids]
        made = np.broadcast_to(predicted[0], responses.shape)
        known = np.isfinite(responses).all(axis=1)  # a constant prediction correlates with nothing
        r_xy = np.where(known, np.nan_to_num(pearson(made, responses)), np.nan)
        self.r_xy[test, targets.neuroids] = r_xy.T
        weights = self.weights[test, targets.neuroids].T  # (time_bin neuroid)
        tested_part = pearson_influence(made[None], responses[None], np.ones_like(weights)[None])
        self._add_cells(rows, targets.neuroids, tested_part, weights)
        if smoother is not None:
            slopes = pearson_slope(made, responses).astype(np.float32)
            moved = smoother.residuals[0] * smoother.adjoint(slopes)
            moved -= moved.mean(axis=1, keepdims=True)
            self._add_cells(trained, targets.neuroids, moved, weights)

    def _add_cells(
        self, rows: np.ndarray, neuroids: np.ndarray, values: np.ndarray, weights: np.ndarray
    ) -> None:
        """Add weighted values (time_bin stimulus neuroid)."""
        self.cells[np.ix_(rows, neuroids)] += (values * weights[:, None]).transpose(1, 2, 0)

    def pool_into(self, crossing: Crossing, row: int, fit_bin: int) -> None:
        """Compute the scores of the map in all bins, and the influences on them."""
        responses, strata, places = crossing.responses, crossing.strata, crossing.places
        n_bins = self.r_xy.shape[2]
        r_xx = np.broadcast_to(self.r_xx[..., None], self.r_xy.shape)
        pooled = pool(
            self.r_xy,
            r_xx,
            responses.r_yy,
            responses.reliability.shares.value,
            strata,
        )
        n_done = int(np.isfinite(self.r_xy).any(axis=(1, 2)).sum())
        positive = np.where(pooled.r_xx > 0, pooled.r_xx, 0.0) * np.maximum(pooled.r_yy, 0.0)
        total = np.sqrt(np.nan_to_num(positive)).sum(axis=0)
        scale = 1 / np.where(total > 0, total, np.inf) / max(n_done, 1)
        cells = add_up(self.cells, places)
        own = Sums.of(self.maps.r_xx[..., 0], strata, places)
        by_xx, by_yy = (np.nan_to_num(by) for by in (pooled.by_xx, pooled.by_yy))
        stimuli = cells.sum(axis=1, dtype=np.float64) * scale + own.stimuli @ by_xx
        sketch = sketch_cells(centred(cells, strata)) * scale + own.cells @ by_xx
        for b in range(n_bins):
            stimuli[:, b] += responses.sums[b].stimuli @ by_yy[:, b]
            sketch[:, b] += responses.sums[b].cells @ by_yy[:, b]
        crossing.score[row, fit_bin] = pooled.score
        crossing.neuroids[row][:, fit_bin] = pooled.neuroids
        crossing.stimuli[row][:, fit_bin] = stimuli
        crossing.cells[row][:, fit_bin] = sketch
        crossing.n_neuroids[row, fit_bin] = pooled.valid.any(axis=0).sum(axis=0)
        crossing.z[row, fit_bin] = pooled_z(
            r_xx[..., [fit_bin]], self.maps.r_xx, pooled.valid[..., [fit_bin]], places
        )[0]
        crossing.twice[row, fit_bin] = self._twice(pooled, stimuli[:, fit_bin], fit_bin)

    def _twice(self, pooled: Pooled, stimuli: np.ndarray, fit_bin: int) -> float:
        """Return the share of the variance over stimuli that pairs count twice, in the own bin."""
        by_pairs = np.nan_to_num(np.stack([pooled.by_xy, pooled.by_xx])[..., fit_bin])
        pairs = np.einsum("kj,kjh->h", by_pairs, self.maps.pairs[..., 0])
        return float(squared_norm(pairs) / max(float(sum_of_squares(stimuli)), 1e-300))

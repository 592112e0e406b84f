"""Variance that two sources of features explain, in every time bin, with influences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.activations.activations import Activations, check_inputs
from neurofit.activations.grams import GramStore
from neurofit.analyses.encoding.fitting import LABELS, Fitting
from neurofit.analyses.encoding.influences import add_up
from neurofit.analyses.encoding.predictions import in_parallel, spread
from neurofit.analyses.partition.config import PartitionConfig
from neurofit.analyses.partition.sums import Sums
from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError
from neurofit.mapping.banded import SOURCES, BandedRidge
from neurofit.mapping.gram import Gram
from neurofit.metrics.sketch import N_BUCKETS, sketch_cells
from neurofit.metrics.two_way import Influences, sum_of_squares


@dataclass(frozen=True)
class Pair:
    """Two sources of features, and which of their layers are compared.

    Parameters
    ----------
    fitting
        First source with the recording, splits and halves.
    second
        Second source.
    rows
        Layers of the first and of the second source, for each row of the result.
    stores
        Gram matrices of both sources.
    covered
        Which time bins both sources predict, for each row.
    """

    fitting: Fitting
    second: Activations
    rows: list[tuple[tuple[str, ...], tuple[str, ...]]]
    stores: tuple[GramStore, GramStore]
    covered: Bool[np.ndarray, "row time_bin"]

    @classmethod
    def of(cls, fitting: Fitting, second: Activations, config: PartitionConfig) -> Pair:
        """Return the pairs of layers that a configuration asks for.

        Raises
        ------
        NeurofitError
            If the second activations do not match the recording, a layer is unknown, or no time
            bin can be predicted from both sources.
        """
        first, recording = fitting.activations, fitting.recording
        check_inputs(second, recording)
        region, bins = recording.regions[0], recording.time_bins
        rows = [(row, config.others(second, region, row)) for row in config.rows(first, region)]
        same = second is first
        stores = (
            fitting.grams,
            fitting.grams if same else replace(fitting.grams, activations=second),
        )
        covered = np.array(
            [
                np.all([first.covered(layer, bins) for layer in own], axis=0)
                & np.all([second.covered(layer, bins) for layer in others], axis=0)
                for own, others in rows
            ]
        )
        if not covered.any():
            raise NeurofitError(
                f"No time bin of {recording.name} can be predicted by both {first.model} and "
                f"{second.model}."
            )
        return cls(fitting, second, rows, stores, covered)

    def grams(self, row: int, b: int, stimuli: np.ndarray) -> tuple[list[Gram], list[Gram]]:
        """Return the Grams of some stimuli, of the layers of both sources in a time bin."""
        time_bin, groups = (
            self.fitting.recording.time_bins[b],
            self.fitting.splits.groups_of(stimuli),
        )
        made = [
            [
                store.gram(layer, [time_bin]).subset(stimuli).with_stimulus_groups(groups)
                for layer in layers
            ]
            for store, layers in zip(self.stores, self.rows[row], strict=True)
        ]
        return made[0], made[1]


@dataclass(frozen=True)
class Explained:
    """Explained variance R2 = E / V of each source, and influences on it.

    Parameters
    ----------
    r2
        Explained variance, from the sums over splits and neuroids.
    z
        Signal variance of the recording in standard errors over stimuli.
    neuroids, stimuli, cells, pairs
        Influences on R2, the latter two sketched; see `neurofit.metrics.two_way`.
    n_neuroids
        Number of neuroids that are pooled.
    shares, alphas
        Choices, averaged over splits; see `Sums`.
    """

    r2: Float[np.ndarray, "row source time_bin"]
    z: Float[np.ndarray, "row time_bin"]
    neuroids: Float[np.ndarray, "row source neuroid time_bin"]
    stimuli: Float[np.ndarray, "row source stimulus time_bin"]
    cells: Float[np.ndarray, "row source bucket time_bin"]
    pairs: Float[np.ndarray, "row source bucket time_bin"]
    n_neuroids: Int[np.ndarray, "row time_bin"]
    shares: Float[np.ndarray, "row neuroid time_bin"]
    alphas: Float[np.ndarray, "row source neuroid time_bin"]

    @classmethod
    def empty(cls, n_rows: int, n_stimuli: int, n_neuroids: int, n_bins: int) -> Explained:
        """Return what is not known yet."""
        n = len(SOURCES)
        return cls(
            r2=np.full((n_rows, n, n_bins), np.nan),
            z=np.full((n_rows, n_bins), np.nan),
            neuroids=np.zeros((n_rows, n, n_neuroids, n_bins)),
            stimuli=np.zeros((n_rows, n, n_stimuli, n_bins)),
            cells=np.zeros((n_rows, n, N_BUCKETS, n_bins)),
            pairs=np.zeros((n_rows, n, N_BUCKETS, n_bins)),
            n_neuroids=np.zeros((n_rows, n_bins), dtype=np.int64),
            shares=np.full((n_rows, n_neuroids, n_bins), np.nan),
            alphas=np.full((n_rows, n, n_neuroids, n_bins), np.nan),
        )

    @classmethod
    def fit(cls, pair: Pair, config: PartitionConfig, progress: Progress | None) -> Explained:
        """Fit the maps of all rows and time bins, side by side."""
        fitting = pair.fitting
        n_neuroids, n_bins = fitting.shape
        made = cls.empty(len(pair.rows), len(fitting.recording.stimuli), n_neuroids, n_bins)
        ridge = BandedRidge(
            ridge=replace(config.ridge, device=fitting.grams.device), choice=config.choice
        )

        def fit_bin(bins: np.ndarray) -> None:
            made._fit_bin(pair, ridge, int(bins[0]))

        groups = spread(
            list(np.arange(n_bins)[:, None]), pair.covered, n_first=fitting.compute.jobs
        )
        n_fitted = sum(bool(pair.covered[:, bins].any()) for bins in groups)
        report = progress or (lambda *_: None)
        report(LABELS["fit"], 0, n_fitted)
        work = in_parallel(fit_bin, groups, n_jobs=fitting.compute.jobs)
        for done, _ in enumerate(work, 1):
            report(LABELS["fit"], min(done, n_fitted), n_fitted)
        fitting.left_out.check(fitting.recording.name)
        return made

    def _fit_bin(self, pair: Pair, ridge: BandedRidge, b: int) -> None:
        fitting = pair.fitting
        bins, n_splits = np.array([b]), len(fitting.train)
        means = fitting.means(bins, [range(fitting.config.n_halves)])
        fitting.left_out.add(bins, means)
        for row in np.flatnonzero(pair.covered[:, b]):
            sums = Sums.empty(len(fitting.recording.stimuli), fitting.shape[0])
            fitted = np.zeros(fitting.shape[0], dtype=bool)
            for session in means.sessions:
                first, second = pair.grams(int(row), b, session.stimuli)
                train = fitting.train[:, session.stimuli]
                (targets,) = means.targets(session, np.array([0]))
                fits = ridge.cross_fit(first, second, targets.sets[:, 0], train)
                for own, found in zip(train, fits, strict=True):
                    sums.add(targets, found, ~own, fitting.splits.places, n_splits=n_splits)
                fitted |= session.neuroids
            self._take(int(row), b, sums, fitted, fitting.splits.places)

    def _take(self, row: int, b: int, sums: Sums, fitted: np.ndarray, places: np.ndarray) -> None:
        """Divide the sums of all splits, and derive the influences on the ratio."""
        signal_cells, total = add_up(sums.signal_cells, places), sums.signal.sum()
        by_stimulus = signal_cells.sum(axis=1, dtype=np.float64)
        error = np.sqrt(sum_of_squares(by_stimulus[by_stimulus != 0]))
        self.n_neuroids[row, b] = int(fitted.sum())
        self.shares[row][fitted, b] = sums.shares[fitted]
        self.alphas[row][:, fitted, b] = sums.alphas[:, fitted]
        if not (error > 0 and total > 0):
            return
        self.z[row, b] = total / error
        for source, explained in enumerate(sums.explained):
            r2 = explained.sum() / total
            cells = (add_up(sums.cells[source], places) - r2 * signal_cells) / total
            self.r2[row, source, b] = r2
            self.neuroids[row, source, :, b] = (explained - r2 * sums.signal) / total
            self.stimuli[row, source, :, b] = cells.sum(axis=1, dtype=np.float64)
            centred = (cells - cells.sum(axis=1, keepdims=True) / max(fitted.sum(), 1)) * fitted
            sketch = sketch_cells(centred[..., None].astype(np.float32))
            self.cells[row, source, :, b] = sketch[:, 0]
            self.pairs[row, source, :, b] = sums.pairs[source] / total

    def combine(
        self, row: int, weights: Float[np.ndarray, "source time_bin contrast"]
    ) -> Influences:
        """Return the influences on combinations of R2 of one row."""
        flat = weights.reshape(-1, weights.shape[2])
        parts = (
            values[row].swapaxes(0, 1).reshape(values.shape[2], -1) @ flat
            for values in (self.neuroids, self.stimuli, self.cells, self.pairs)
        )
        return Influences.of_sketches(*parts)

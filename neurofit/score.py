"""Activations + recording + mapping + reliability -> a noise-corrected predictivity curve.

trials -> means of all trials and of trial halves -> r_yy
features -> Gram -> maps fitted on those means -> predictions of test stimuli -> r_xy, r_xx
r_xy / sqrt(r_xx r_yy) per neuroid and time bin -> median over reliable neuroids -> curve
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as Table
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurofit.assemblies import Recording, validate_structure
from neurofit.errors import NeurofitError, check_option
from neurofit.extract import Activations
from neurofit.mapping import MAPPINGS, Gram, Mapping, gram_of, inner_split, train_splits
from neurofit.metrics import TrialSets, pearson, split_halves
from neurofit.presets import ScoreConfig
from neurofit.result import Statistics, make_result

Progress = Callable[[int, int], None]


def score(
    activations: Activations, recording: Recording, config: ScoreConfig, *, n_jobs: int | None = None, progress: Progress | None = None
) -> xr.Dataset:
    """Score how well activations predict one area of a recording in time.

    Parameters
    ----------
    activations
        Of the recording's stimuli, in their order.
    recording
        Responses to repeated stimuli.
    config
        Area, mapping, time mode, splits, noise correction: see `ScoreConfig`.
    n_jobs
        Time bins worked on at once; default the available cores. It does not change the numbers.
    progress
        Called with (bins done, bins in all).

    Returns
    -------
    Dataset with `curve`, `curve_low`, `curve_high`, `ceiling` and `n_neuroids` per layer and time bin; both scores; r_xy, r_xx,
    r_yy per split, half, neuroid and bin; attributes that let it be repeated.

    Raises
    ------
    NeurofitError
        Faults of the recording; unknown region, layer or mapping; stimuli that do not match; too few stimuli or repetitions; no bin
        that can be predicted.
    """
    validate_structure(recording)
    recording = recording.select(region=config.region, window=config.window)
    if not np.array_equal(activations.stimulus_ids, recording.stimuli.ids):
        raise NeurofitError(f"The activations of {activations.model} are not of the stimuli of {recording.name}, in their order.")
    fitting = _Fitting(
        activations,
        recording,
        mapping=make_mapping(config),
        layers=layers_to_fit(activations.model, activations.layers, activations.region_layers, config),
        train=_train_splits(recording, config),
        trials=TrialSets(recording.stimulus_rows, _halves(recording, config)),
        config=config,
    )
    fitting.check_time()
    n_bins = len(recording.time_bins)
    groups = [[b] for b in range(n_bins)] if config.time_mode == "per-bin" else [list(range(n_bins))]
    for done, _ in enumerate(_in_parallel(fitting.fit_bins, groups, n_jobs=n_jobs), start=1):
        if progress:
            progress(done, len(groups))
    return make_result(
        fitting.statistics, layers=fitting.layers, train=fitting.train, activations=activations, recording=recording, config=config
    )


def estimate(layer_units: Table[str, int], recording: Recording, config: ScoreConfig, *, n_jobs: int | None = None) -> Estimate:
    """Return how many maps will be fitted and about how much memory the largest group of bins takes.

    Parameters
    ----------
    layer_units
        Layer -> units, of the layers to fit.
    recording, config, n_jobs
        As for `score`; the recording of one area.
    """
    n_stimuli, n_neuroids, n_bins = len(recording.stimuli), recording.responses.sizes["neuroid"], len(recording.time_bins)
    times, groups = (1, n_bins) if config.time_mode == "per-bin" else (n_bins, 1)
    n_rows, n_sets = n_stimuli * times, 1 + 2 * config.n_halves
    targets = n_sets * n_rows * n_neuroids
    gram = max(n_rows * min(n_rows, units) for units in layer_units.values())
    inner = config.n_splits * n_sets * n_neuroids**2 if config.mapping == "pls" else 0
    scores = config.n_splits * n_sets * config.n_components * n_rows if config.mapping == "pls" else n_rows**2
    trials = recording.responses.sizes["presentation"] * n_neuroids
    jobs = min(n_jobs or _available_cores(), groups)
    return Estimate(
        n_fits=len(layer_units) * groups * config.n_splits * n_sets,
        n_bytes=jobs * 8 * (5 * targets + 2 * gram + inner + min(scores, 2**26) + 2 * trials),
    )


@dataclass(frozen=True)
class Estimate:
    """Size of a piece of work."""

    n_fits: int
    n_bytes: int


def make_mapping(config: ScoreConfig) -> Mapping:
    """Return the mapping a configuration names."""
    options = {"n_components": config.n_components} if config.mapping == "pls" else {}
    return MAPPINGS[config.mapping](**options)


def layers_to_fit(model: str, layers: Sequence[str], region_layers: Table[str, tuple[str, ...]], config: ScoreConfig) -> tuple[str, ...]:
    """Return the layers asked for; for "auto" all of the model's that stand for the area."""
    if config.layers == "auto":
        return region_layers[check_option(f"region of {model}", config.region, region_layers)]
    return tuple(check_option(f"layer of {model}", layer, layers) for layer in config.layers)


@dataclass
class _Fitting:
    """Fits groups of bins and fills in the statistics; each group writes to its own bins only, so groups can run side by side."""

    activations: Activations
    recording: Recording
    mapping: Mapping
    layers: tuple[str, ...]
    train: np.ndarray  # (split stimulus)
    trials: TrialSets
    config: ScoreConfig

    def __post_init__(self) -> None:
        self.covered = np.array([self.activations.covered(layer, self.recording.time_bins) for layer in self.layers])
        self.statistics = Statistics.empty(
            self.covered,
            n_splits=len(self.train),
            n_halves=self.trials.n_halves,
            n_neuroids=self.recording.responses.sizes["neuroid"],
        )

    def check_time(self) -> None:
        """Refuse a recording that lies outside the unroll."""
        if not self.covered.any():
            bins, a = self.recording.time_bins, self.activations
            raise NeurofitError(
                f"No time bin of {self.recording.name} ({bins[0][0]}-{bins[-1][1]} ms) can be predicted by {', '.join(self.layers)}: "
                f"the unroll has {a.n_timesteps} steps of {a.ms_per_timestep} ms."
            )

    def fit_bins(self, bins: list[int]) -> None:
        """Fit one group of bins: a single one, or all of them with a shared map."""
        means = {b: self.trials.means(self.recording.block(b)) for b in bins}  # bin -> (set stimulus neuroid)
        for b in bins:
            self.statistics.r_yy[..., b] = self._consistency(means[b])
        whole = np.all([np.isfinite(sets).all(axis=(0, 1)) for sets in means.values()], axis=0)  # neuroids with every mean there
        self.statistics.missing[:, bins] = ~whole[:, None]
        for layer in range(len(self.layers)):
            predictable = [b for b in bins if self.covered[layer, b]]
            if predictable and whole.any():
                self._fit_layer(layer, predictable, np.concatenate([means[b][:, :, whole] for b in predictable], axis=1), whole)

    def _consistency(self, sets: np.ndarray) -> np.ndarray:
        """Correlate the two half means over each split's test stimuli, or over all: (split half neuroid)."""
        first, second = np.split(sets[1:], 2)
        if self.config.ceiling_stimuli == "all":
            return np.repeat(pearson(first, second)[None], len(self.train), axis=0)
        return np.stack([pearson(first[:, ~train], second[:, ~train]) for train in self.train])

    def _fit_layer(self, layer: int, bins: list[int], targets: np.ndarray, neuroids: np.ndarray) -> None:
        """Fill in one layer's correlations; the rows of `targets` (set row neuroid) are the bins' stimuli, bin after bin."""
        name, shown = self.layers[layer], [self.recording.time_bins[b] for b in bins]
        gram = gram_of(
            [self.activations.features(name, time_bin) for time_bin in shown],
            name=f"{self.activations.model}, {name} at {shown[0][0]}-{shown[-1][1]} ms",
            precision=self.mapping.precision,
        )
        for split, (predicted, truth) in enumerate(self._predict(gram, targets, self.train, ~self.train)):
            for b, prediction, response in zip(bins, np.split(predicted, len(bins), 1), np.split(truth, len(bins), 1), strict=True):
                self.statistics.r_xy[layer, split, neuroids, b] = pearson(prediction[0], response[0])
                self.statistics.r_xx[layer, split, :, neuroids, b] = pearson(*np.split(prediction[1:], 2)).T
        if self.chooses_layer:
            inner = np.stack([inner_split(train, seed=self.config.seed + split) for split, train in enumerate(self.train)])
            for split, (predicted, truth) in enumerate(self._predict(gram, targets[:1], inner, self.train & ~inner)):
                for b, prediction, response in zip(bins, np.split(predicted, len(bins), 1), np.split(truth, len(bins), 1), strict=True):
                    self.statistics.held_out[layer, split, neuroids, b] = pearson(prediction[0], response[0])

    @property
    def chooses_layer(self) -> bool:
        """Whether there is a choice among layers, to be made on training stimuli."""
        return self.config.layers == "auto" and len(self.layers) > 1

    def _predict(self, gram: Gram, targets: np.ndarray, train: np.ndarray, test: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield each split's predictions and truth (set row neuroid) for its `test` stimuli in every bin."""
        times = targets.shape[1] // train.shape[1]
        for fitted, held, predicted in zip(
            train, test, self.mapping.cross_predict(gram, targets, np.tile(train, times), times=times), strict=True
        ):
            yield predicted[:, np.tile(held[~fitted], times)], targets[:, np.tile(held, times)]


def _train_splits(recording: Recording, config: ScoreConfig) -> np.ndarray:
    table = recording.stimuli.table
    strata = table[config.strata].to_numpy() if config.stratified and config.strata in table else None
    return train_splits(len(table), n_splits=config.n_splits, train_size=config.train_size, seed=config.seed, strata=strata)


def _halves(recording: Recording, config: ScoreConfig) -> np.ndarray:
    repetition = recording.responses.repetition.values
    return split_halves(recording.stimulus_rows, n_halves=config.n_halves, seed=config.seed, by=config.halves_by, repetition=repetition)


def _in_parallel(work: Callable[[list[int]], None], groups: list[list[int]], *, n_jobs: int | None) -> Iterator[None]:
    """Run the groups side by side with one BLAS thread each: two spinning BLAS threads took 15 times as long on a busy machine."""
    with threadpool_limits(1), ThreadPoolExecutor(n_jobs or _available_cores()) as pool:
        yield from pool.map(work, groups)


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

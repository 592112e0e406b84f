"""Fit every layer, mapping, session and trial half, one group of time bins at a time.

The loop belongs to no analysis: each brings accumulators, which see the trial means of a group of
bins and the predictions of each map.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from threadpoolctl import threadpool_limits

from neurofit.activations.activations import Activations, check_inputs
from neurofit.activations.grams import GramStore
from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.cost import bytes_per_half
from neurofit.analyses.encoding.mappings import find_mappings, gram_precision, mapping_device
from neurofit.analyses.encoding.splits import draw_halves, draw_train_splits
from neurofit.analyses.encoding.targets import Targets, TrialMeans, chunk_halves
from neurofit.config.compute import Compute, Progress
from neurofit.errors import NeurofitError
from neurofit.mapping.contract import GramMapping
from neurofit.mapping.feature_mapping import needs_features
from neurofit.mapping.gram import Gram
from neurofit.mapping.reduce import Reduction
from neurofit.mapping.splits import inner_split
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.correlation import pearson
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import TrialSets


@runtime_checkable
class Accumulator(Protocol):
    """What an analysis makes of trial means and predictions; it writes to the given bins only."""

    def add_trials(self, bins: np.ndarray, means: TrialMeans) -> None:
        """Add the trial means of a group of bins, before any fit."""
        ...

    def add(
        self,
        mapping: int,
        row: int,
        test: int,
        bins: np.ndarray,
        targets: Targets,
        predicted: np.ndarray,
        tested: np.ndarray,
    ) -> None:
        """Add the predictions of one test.

        Parameters
        ----------
        mapping, row, test
            Positions of the mapping, of the layer (0 where each split chooses its own) and of the
            test set.
        bins
            Positions of the time bins.
        targets
            What was fitted, with the neuroids and the stimuli.
        predicted
            Predictions (set time_bin test_stimulus neuroid).
        tested
            Which of the targets' stimuli are test stimuli: boolean (stimulus).
        """
        ...


@dataclass
class Fitting:
    """The fits of one set of activations to one recording.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Responses of one region.
    config
        Mappings, layers, splits and halves.
    compute
        Device, cores and cache.

    Attributes
    ----------
    mappings, layers
        Fitted, each with each.
    train
        Training stimuli of each split: boolean (split stimulus).
    tests
        Test stimuli that correlations are over: boolean (test stimulus). One test for each split,
        or one for all folds together.
    trials
        Trials that make the means.
    covered
        Whether the image-driven timesteps of a layer cover a bin: boolean (layer time_bin).
    layer_per_split
        Whether each split uses the layer that its held-out training stimuli choose.
    held_out
        Correlations on held-out training stimuli that choose the layer:
        (mapping layer split neuroid time_bin).

    Raises
    ------
    NeurofitError
        If stimuli do not match, a layer is unknown, or no time bin can be predicted.
    """

    activations: Activations
    recording: Recording
    config: EncodingConfig
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        config, recording, activations = self.config, self.recording, self.activations
        check_inputs(activations, recording)
        device = mapping_device(self.compute.device)
        self.mappings = find_mappings(config, device=device)
        self.layers = config.layers_for(activations, recording.regions[0])
        self.train = draw_train_splits(recording, config)
        self.trials = TrialSets(recording.stimulus_rows, draw_halves(recording, config))
        self.grams = GramStore(
            activations,
            recording.time_bins,
            precision=gram_precision(config, self.mappings),
            reduction=Reduction(config.reduce, config.seed),
            device=device,
            keep=self.compute.keep_grams,
        )
        bins = recording.time_bins
        self.covered = np.array([activations.covered(layer, bins) for layer in self.layers])
        if not self.covered.any():
            raise NeurofitError(
                f"No time bin of {recording.name} ({bins[0][0]}-{bins[-1][1]} ms) can be predicted "
                f"by {', '.join(self.layers)}: the unroll has {activations.n_timesteps} steps of "
                f"{activations.ms_per_timestep} ms."
            )
        self.layer_per_split = config.layers == "auto" and len(self.layers) > 1
        self.tests = np.ones_like(self.train[:1]) if config.splits == "folds" else ~self.train
        self.chunks = chunk_halves(
            config.n_halves, bytes_per_half=bytes_per_half(recording, config, self.mappings)
        )
        chosen = config.layers in ("auto", "all") and len(self.layers) > 1
        n_held = (len(self.layers), len(self.train)) if chosen else (0, 0)
        self.held_out = np.full((len(self.mappings), *n_held, *self.shape), np.nan)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of neuroids and of time bins."""
        sizes = self.recording.responses.sizes
        return int(sizes["neuroid"]), int(sizes["time_bin"])

    @property
    def n_rows(self) -> int:
        """Number of rows of a result: layers, or one where each split chooses its own."""
        return 1 if self.layer_per_split else len(self.layers)

    def run(self, *accumulators: Accumulator, progress: Progress | None = None) -> None:
        """Fit all groups of bins side by side; each writes to its own bins only.

        Bins that can be predicted come first, and of these a few that are spread over all: how
        long they take tells how long the rest will. Only these are counted by `progress`.
        """
        bins = np.arange(self.shape[1])
        fixed = self.config.time_mode == "fixed"
        groups = [bins] if fixed else list(bins[:, None])
        n_fitted = sum(bool(self.covered[:, group].any()) for group in groups)
        groups = spread(groups, self.covered, n_first=self.compute.jobs)
        label = "time bins together" if fixed else "time bins fitted"
        passes: list[Callable[[np.ndarray], None]] = [lambda group: self.fit(group, accumulators)]
        if self.layer_per_split:
            passes.insert(0, self.hold_out)
        total, report = len(passes) * n_fitted, progress or (lambda *_: None)
        report(label, 0, total)
        for i, step in enumerate(passes):
            for done, _ in enumerate(in_parallel(step, groups, n_jobs=self.compute.jobs), start=1):
                if done <= n_fitted:
                    report(label, i * n_fitted + done, total)

    def describe(self, mapping: GramMapping) -> str:
        """Return how each layer was fitted and at what estimated cost, as JSON."""
        sizes = {
            "n_sets": self.config.n_sets,
            "n_splits": len(self.train),
            "n_neuroids": self.shape[0],
        }
        return json.dumps(
            {
                layer: {"gram": asdict(plan), "maps": asdict(mapping.plan(plan, **sizes))}
                for layer, plan in self.grams.plans.items()
            }
        )

    def best_layers(self, mapping: int) -> np.ndarray:
        """Return each split's best layer on held-out training stimuli: array (split).

        Layers are compared in the bins that all of them predict; a layer that predicts nothing
        takes no part.
        """
        per_bin = nanmedian(self.held_out[mapping], axis=2)  # (layer split time_bin)
        takes_part = ~np.isnan(per_bin).all(axis=(1, 2))
        common = ~np.isnan(per_bin[takes_part]).any(axis=(0, 1))
        shown = common if common.any() else np.ones_like(common)
        means = nanmean(per_bin[..., shown], axis=-1)
        return np.asarray(np.nan_to_num(means, nan=-np.inf).argmax(axis=0))

    def hold_out(self, bins: np.ndarray) -> None:
        """Predict training stimuli of every split that are held out, in a group of bins."""
        means = self._means(bins, [range(0)])
        for layer in range(len(self.layers)):
            sources, at = self._sources(layer, bins)
            self._hold_out(layer, bins, at, sources, means)

    def fit(self, bins: np.ndarray, accumulators: Sequence[Accumulator]) -> None:
        """Fit a group of bins: one bin, or all of them with a shared map."""
        means = self._means(bins, self.chunks)
        for each in accumulators:
            each.add_trials(bins, means)
        for layer in range(len(self.layers)):
            if any(len(splits[layer]) for splits in self.splits_of_layers):
                sources, at = self._sources(layer, bins)
                self._fit_layer(layer, bins, at, sources, means, accumulators)
                if self.config.layers == "all" and len(self.layers) > 1:
                    self._hold_out(layer, bins, at, sources, means)

    @cached_property
    def splits_of_layers(self) -> list[list[np.ndarray]]:
        """For each mapping and layer, the splits to fit: all, or those that chose the layer."""
        everything = np.arange(len(self.train))
        if not self.layer_per_split:
            return [[everything] * len(self.layers) for _ in self.mappings]
        choices = [self.best_layers(mapping) for mapping in range(len(self.mappings))]
        return [
            [np.flatnonzero(choice == layer) for layer in range(len(self.layers))]
            for choice in choices
        ]

    def _means(self, bins: np.ndarray, chunks: list[range]) -> TrialMeans:
        return TrialMeans(
            self.recording,
            self.trials,
            bins,
            tests=self.tests,
            ceiling_stimuli=self.config.ceiling_stimuli,
            chunks=chunks,
            min_neuroids=self.config.min_neuroids,
            fit_halves=self.config.fit_halves,
        )

    def _sources(self, layer: int, bins: np.ndarray) -> tuple[list[Gram], np.ndarray]:
        """Return what each mapping sees of the features, and the positions of predictable bins."""
        at = np.flatnonzero(self.covered[layer, bins])
        if not len(at):
            return [], at
        time_bins = [self.recording.time_bins[b] for b in bins[at]]
        kinds = {needs_features(mapping) for mapping in self.mappings}
        made = {
            kind: self.grams.gram(self.layers[layer], time_bins, features=kind) for kind in kinds
        }
        return [made[needs_features(mapping)] for mapping in self.mappings], at

    def _fit_layer(
        self,
        layer: int,
        bins: np.ndarray,
        at: np.ndarray,
        sources: list[Gram],
        means: TrialMeans,
        accumulators: Sequence[Accumulator],
    ) -> None:
        row = 0 if self.layer_per_split else layer
        if not sources:
            return
        for session in means.sessions:
            inside = self._inside(sources, np.tile(session.stimuli, len(at)))
            for targets in means.targets(session, at):
                for position, (mapping, gram) in enumerate(zip(self.mappings, inside, strict=True)):
                    splits = self.splits_of_layers[position][layer]
                    train = self.train[np.ix_(splits, session.stimuli)]
                    if not len(train):
                        continue
                    predictions = zip(
                        splits, train, _predict_halves(mapping, gram, targets, train), strict=True
                    )
                    for test, predicted, tested in self._tests(predictions, targets):
                        for each in accumulators:
                            each.add(position, row, test, bins[at], targets, predicted, tested)

    def _tests(
        self, predictions: Iterator[tuple[Any, ...]], targets: Targets
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (test, predictions, tested stimuli) of each split, or of all folds together."""
        if self.config.splits != "folds":
            for split, fitted, predicted in predictions:
                yield int(split), predicted, ~fitted
            return
        whole = np.empty_like(targets.sets)
        for _, fitted, predicted in predictions:
            whole[:, :, ~fitted] = predicted
        yield 0, whole, np.ones(whole.shape[2], dtype=bool)

    def _inside(self, sources: list[Gram], rows: np.ndarray) -> list[Gram]:
        """Return the sources' rows of a session; equal ones are one object."""
        made: dict[int, Gram] = {}
        for gram in sources:
            if id(gram) not in made:
                part = gram.subset(rows)
                # each chunk of halves is fitted on the same splits
                made[id(gram)] = part.with_cache() if len(self.chunks) > 1 else part
        return [made[id(gram)] for gram in sources]

    def _hold_out(
        self,
        layer: int,
        bins: np.ndarray,
        at: np.ndarray,
        sources: list[Gram],
        means: TrialMeans,
    ) -> None:
        if not sources:
            return
        seed = self.config.seed
        inner = np.stack(
            [inner_split(train, seed=seed + split) for split, train in enumerate(self.train)]
        )
        sets = next(iter(means)).sets
        for session in means.sessions:
            targets = sets[:1][:, at][:, :, session.stimuli][..., session.neuroids]
            fitted = inner[:, session.stimuli]
            held_out = (self.train & ~inner)[:, session.stimuli]
            inside = self._inside(sources, np.tile(session.stimuli, len(at)))
            for position, (mapping, gram) in enumerate(zip(self.mappings, inside, strict=True)):
                for split, predicted in enumerate(_predict(mapping, gram, targets, fitted)):
                    held = held_out[split]
                    shown = predicted[0][:, held[~fitted[split]]]
                    r = pearson(shown, targets[0][:, held])  # (bin neuroid)
                    place = np.ix_(session.neuroids, bins[at])
                    self.held_out[position, layer, split][place] = r.T


def _predict_halves(
    mapping: GramMapping, gram: Gram, targets: Targets, train: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield each split's predictions of all sets.

    Those of second halves follow from the first where the halves mirror each other.
    """
    if not (mapping.linear and targets.mirrored):
        yield from _predict(mapping, gram, targets.sets, train)
        return
    for predicted in _predict(mapping, gram, targets.sets[: 1 + len(targets.halves)], train):
        yield np.concatenate([predicted, 2 * predicted[:1] - predicted[1:]])


def _predict(
    mapping: GramMapping, gram: Gram, targets: np.ndarray, train: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield each split's predictions (set time_bin test_stimulus neuroid)."""
    n_sets, times, _, n_neuroids = targets.shape
    rows = targets.reshape(n_sets, -1, n_neuroids)
    for predicted in mapping.cross_predict(gram, rows, np.tile(train, times), times=times):
        yield predicted.reshape(n_sets, times, -1, n_neuroids)


def spread(groups: list[np.ndarray], covered: np.ndarray, *, n_first: int) -> list[np.ndarray]:
    """Return groups of bins in the order in which they are fitted.

    Those that some layer predicts come first, and of these `n_first` that are spread over all.
    """
    fitted = [i for i, group in enumerate(groups) if covered[:, group].any()]
    places = np.linspace(0, len(fitted) - 1, n_first + 2).round()[1:-1].astype(int)
    first = [fitted[place] for place in dict.fromkeys(places.tolist())]
    order = dict.fromkeys([*first, *fitted, *range(len(groups))])
    return [groups[i] for i in order]


def in_parallel(work: Any, groups: list[np.ndarray], *, n_jobs: int) -> Iterator[None]:
    """Work on groups side by side with one BLAS thread each.

    Two spinning BLAS threads took 15 times as long on a busy machine.
    """
    with threadpool_limits(1), ThreadPoolExecutor(n_jobs) as pool:
        yield from pool.map(work, groups)

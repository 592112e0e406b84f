"""Fit every layer, mapping, session and trial half, one group of time bins at a time.

The loop belongs to no analysis: each brings accumulators, which see the trial means of a group of
bins and the predictions of each map (`neurofit.analyses.encoding.accumulators`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from neurofit.activations.activations import Activations, check_inputs
from neurofit.activations.grams import GramStore
from neurofit.analyses.encoding.accumulators import Accumulator, GroupAccumulator
from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.cost import bytes_per_half
from neurofit.analyses.encoding.findings import Findings, without_blank
from neurofit.analyses.encoding.finished import FinishedBins
from neurofit.analyses.encoding.left_out import LeftOut
from neurofit.analyses.encoding.mappings import find_mappings, gram_precision, mapping_device
from neurofit.analyses.encoding.predictions import (
    in_parallel,
    predict_halves,
    predict_sets,
    spread,
)
from neurofit.analyses.encoding.splits import draw_splits, draw_trials
from neurofit.analyses.encoding.targets import Targets, TrialMeans, chunk_halves
from neurofit.config.compute import Compute, Progress
from neurofit.errors import NeurofitError
from neurofit.mapping.contract import GramMapping, SmoothingMapping
from neurofit.mapping.feature_mapping import needs_features
from neurofit.mapping.fits import Smoother
from neurofit.mapping.gram import Gram
from neurofit.mapping.reduce import Reduction
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.correlation import pearson
from neurofit.recordings.recording import Recording

LABELS = {"hold_out": "layers chosen, time bins", "fit": "time bins fitted"}
"""What is done to each group of bins, as a progress bar says it."""


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
    smoothers
        Whether accumulators want the smoothers of mappings that state them.
    learning_curve
        Whether maps are also fitted to parts of the training stimuli.
    jackknife
        Number of random groups of stimuli without each of which maps are fitted again.

    Attributes
    ----------
    mappings, layers
        Fitted, each with each.
    splits, train
        Splits with their groups and notes, and the training stimuli of each: boolean (split
        stimulus).
    train_parts
        Parts of the training stimuli, the smallest first; none without a learning curve.
    deleted
        Groups of stimuli of a jackknife: boolean (group stimulus).
    tests
        Test stimuli that correlations are over: boolean (test stimulus). One test for each split,
        or one for all folds together.
    trials
        Trials that make the means.
    covered
        Whether the image-driven timesteps of a layer cover a bin: boolean (layer time_bin).
    layer_per_split
        Whether each split uses the layer that its held-out training stimuli choose.
    left_out
        Stimuli that are left out for lack of trials.
    held_out
        Correlations on held-out training stimuli that choose the layer:
        (mapping layer split neuroid time_bin).
    findings
        What the maps report besides their predictions.

    Raises
    ------
    NeurofitError
        If stimuli do not match, a layer is unknown, or no time bin can be predicted; from `run`, if
        no neuroid has trials enough.
    """

    activations: Activations
    recording: Recording
    config: EncodingConfig
    compute: Compute = field(default_factory=Compute)
    smoothers: bool = False
    learning_curve: bool = False
    jackknife: int = 0

    def __post_init__(self) -> None:
        config, recording, activations = self.config, self.recording, self.activations
        check_inputs(activations, recording)
        device = mapping_device(self.compute.device)
        self.mappings = find_mappings(config, device=device)
        self.layers = config.layers_for(activations, recording.regions[0])
        self.splits = draw_splits(recording, config)
        self.train = self.splits.train
        none = self.train[None][:0]
        self.train_parts = self.splits.train_parts(config.seed) if self.learning_curve else none
        self.deleted = self.splits.deal_groups(self.jackknife, config.seed)
        self.trials = draw_trials(recording, config)
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
        self.trials_sha256: dict[int, str] = {}
        self.layer_per_split = config.layers == "auto" and len(self.layers) > 1
        together = config.splits == "folds-together"
        self.tests = np.ones_like(self.train[:1]) if together else ~self.train
        self.chunks = chunk_halves(
            config.n_halves, bytes_per_half=bytes_per_half(recording, config, self.mappings)
        )
        self.left_out = LeftOut.empty(self.shape, n_stimuli=len(recording.stimuli))
        chosen = config.layers in ("auto", "all") and len(self.layers) > 1
        n_held = (len(self.layers), len(self.train)) if chosen else (0, 0)
        self.held_out = np.full((len(self.mappings), *n_held, *self.shape), np.nan)
        self.findings = Findings.empty(
            len(self.mappings),
            len(self.layers),
            n_rows=self.n_rows,
            n_splits=len(self.train),
            shape=self.shape,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of neuroids and of time bins."""
        sizes = self.recording.responses.sizes
        return int(sizes["neuroid"]), int(sizes["time_bin"])

    @property
    def n_rows(self) -> int:
        """Number of rows of a result: layers, or one where each split chooses its own."""
        return 1 if self.layer_per_split else len(self.layers)

    @cached_property
    def parts(self) -> np.ndarray:
        """Fewer training stimuli to fit maps to: boolean (part split stimulus).

        First the parts of a learning curve, then all training stimuli but each group of a
        jackknife.
        """
        return np.concatenate([self.train_parts, self.train & ~self.deleted[:, None]])

    def run(self, *accumulators: Accumulator, progress: Progress | None = None) -> None:
        """Fit all groups of bins side by side; each writes to its own bins only.

        Bins that can be predicted come first, and of these a few that are spread over all: how
        long they take tells how long the rest will. Only these are counted by `progress`.
        """
        bins = np.arange(self.shape[1])
        fixed = self.config.time_mode == "fixed"
        groups = [bins] if fixed else list(bins[:, None])
        groups = spread(groups, self.covered, n_first=self.compute.jobs)
        steps: dict[str, Callable[[np.ndarray], None]] = {
            **({"hold_out": self.hold_out} if self.layer_per_split else {}),
            "fit": lambda group: self.fit(group, accumulators),
        }
        finished = FinishedBins(self, accumulators)
        left = {name: finished.left(name, groups) for name in steps}
        report = progress or (lambda *_: None)
        for name, step in steps.items():
            label = "time bins together" if fixed else LABELS[name]
            n_left = sum(bool(self.covered[:, group].any()) for group in left[name])
            report(label, 0, n_left)
            work = finished.storing(name, step)
            for done, _ in enumerate(in_parallel(work, left[name], n_jobs=self.compute.jobs), 1):
                if done <= n_left:
                    report(label, done, n_left)
        finished.cleanup()
        self.left_out.check(self.recording.name)

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
        means = self.means(bins, [range(0)])
        for layer in range(len(self.layers)):
            sources, at = self._sources(layer, bins)
            self._hold_out(layer, bins, at, sources, means)

    def fit(self, bins: np.ndarray, accumulators: Sequence[Accumulator]) -> None:
        """Fit a group of bins: one bin, or all of them with a shared map."""
        means = self.means(bins, self.chunks)
        self.left_out.add(bins, means)
        started = [found for each in accumulators if (found := each.start(bins, means))]
        for layer in range(len(self.layers)):
            if any(len(splits[layer]) for splits in self.splits_of_layers):
                sources, at = self._sources(layer, bins)
                if started:
                    self._fit_layer(layer, bins, at, sources, means, started)
                if self.config.layers == "all" and len(self.layers) > 1:
                    self._hold_out(layer, bins, at, sources, means)
        for group in started:
            group.finish()

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

    def means(self, bins: np.ndarray, chunks: list[range]) -> TrialMeans:
        """Return the trial means of a group of bins."""
        means = TrialMeans(
            self.recording,
            self.trials,
            bins,
            tests=self.tests,
            ceiling_stimuli=self.config.ceiling_stimuli,
            chunks=chunks,
            fit_halves=self.config.fit_halves,
        )
        self.trials_sha256[int(bins[0])] = means.sha256
        return means

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
        if len(at) > 1 and self.config.intercept == "per-bin":
            made = {kind: replace(gram, groups=len(at)) for kind, gram in made.items()}
        return [made[needs_features(mapping)] for mapping in self.mappings], at

    def _fit_layer(
        self,
        layer: int,
        bins: np.ndarray,
        at: np.ndarray,
        sources: list[Gram],
        means: TrialMeans,
        started: Sequence[GroupAccumulator],
    ) -> None:
        row = 0 if self.layer_per_split else layer
        if not sources:
            return
        for session in means.sessions:
            inside = self._inside(sources, np.tile(session.stimuli, len(at)), blank=True)
            for targets in means.targets(session, at):
                for position, (mapping, gram) in enumerate(zip(self.mappings, inside, strict=True)):
                    splits = self.splits_of_layers[position][layer]
                    train = self.train[np.ix_(splits, session.stimuli)]
                    if not len(train):
                        continue
                    smooth = self.smoothers and self.smooths(mapping)
                    predicted = predict_halves(mapping, gram, targets, train, smooth=smooth)
                    predictions = zip(splits, train, predicted, strict=True)
                    fits = self.findings.take_psth(position, row, gram, targets, predictions)
                    whole = ((split, own, own, found) for split, own, found in fits)
                    for test, shown, tested, smoother in self._tests(whole, targets):
                        for each in started:
                            each.add(position, row, test, at, targets, shown, tested, smoother)
                    self.findings.take_ranks(position, layer, bins[at], gram)
                    for part, every in enumerate(self.parts):
                        some = every[np.ix_(splits, session.stimuli)]
                        if part == len(self.train_parts):  # of many refits none is kept
                            gram = replace(gram, cache=None)
                        predicted = predict_halves(mapping, gram, targets, some, smooth=False)
                        made = without_blank(gram, targets, predicted)
                        partial = zip(splits, train, some, made, strict=True)
                        for test, shown, tested, _ in self._tests(partial, targets):
                            for each in started:
                                each.add_part(part, position, row, test, at, targets, shown, tested)
                    gram.exhausted.clear()  # ranks of parts are no findings

    def smooths(self, mapping: GramMapping) -> bool:
        """Return whether smoothers of a mapping can be had: each stimulus is one row and tested."""
        config, inner = self.config, getattr(mapping, "mapping", mapping)  # of components
        separate = config.splits != "folds-together" and config.time_mode == "per-bin"
        return separate and isinstance(inner, SmoothingMapping)

    def _tests(
        self, predictions: Iterator[tuple[Any, ...]], targets: Targets
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, Smoother | None]]:
        """Yield (test, predictions, tested stimuli, smoother) of splits or all folds together.

        Predictions come as (split, training stimuli, those that the map is fitted to, (predictions
        of all others, smoother)).
        """
        if self.config.splits != "folds-together":
            for split, train, fitted, (predicted, smoother) in predictions:
                yield int(split), predicted[:, :, ~train[~fitted]], ~train, smoother
            return
        whole = np.empty_like(targets.sets)
        for _, train, fitted, (predicted, _) in predictions:
            whole[:, :, ~train] = predicted[:, :, ~train[~fitted]]
        yield 0, whole, np.ones(whole.shape[2], dtype=bool), None

    def _inside(self, sources: list[Gram], rows: np.ndarray, *, blank: bool = False) -> list[Gram]:
        """Return the sources' rows of a session, with their groups; equal ones are one object.

        With `blank`, a blank row ends each bin that has an intercept of its own.
        """
        made: dict[int, Gram] = {}
        for mapping, gram in zip(self.mappings, sources, strict=True):
            if id(gram) not in made:
                part = gram.subset(rows).with_stimulus_groups(self.splits.groups_of(rows))
                part = replace(part, exhausted=set())
                if blank and gram.groups > 1 and not needs_features(mapping):
                    part = part.with_blank()
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
        inner = self.splits.inner(self.config.seed)
        sets = next(iter(means)).sets
        for session in means.sessions:
            targets = sets[:1][:, at][:, :, session.stimuli][..., session.neuroids]
            fitted = inner[:, session.stimuli]
            held_out = (self.train & ~inner)[:, session.stimuli]
            inside = self._inside(sources, np.tile(session.stimuli, len(at)))
            for position, (mapping, gram) in enumerate(zip(self.mappings, inside, strict=True)):
                for split, predicted in enumerate(predict_sets(mapping, gram, targets, fitted)):
                    held = held_out[split]
                    shown = predicted[0][:, held[~fitted[split]]]
                    r = pearson(shown, targets[0][:, held])  # (bin neuroid)
                    place = np.ix_(session.neuroids, bins[at])
                    self.held_out[position, layer, split][place] = r.T

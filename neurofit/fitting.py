"""Fits every layer, mapping, session and part of the halves, one group of time bins at a time, and fills in the correlations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from neurofit.assemblies import Recording
from neurofit.errors import NeurofitError
from neurofit.extract import Activations
from neurofit.grams import Grams
from neurofit.mapping import Gram, Mapping, inner_split
from neurofit.metrics import TrialSets, pearson
from neurofit.presets import ScoreConfig
from neurofit.statistics import Predictivity, Reliability
from neurofit.targets import Targets, TrialMeans, parts_of


@dataclass
class Fitting:
    """Fits groups of bins and fills in the statistics; each group writes to its own bins only, so groups can run side by side.

    Parameters
    ----------
    activations, recording, config
        As for `neurofit.score`; the recording of one area.
    mappings, layers
        To fit, each with each.
    grams
        Of the activations.
    train
        Training stimuli of each split: boolean (split stimulus).
    trials
        Which trials make the means.

    Attributes
    ----------
    covered
        Whether the image-driven timesteps of a layer cover a bin: boolean (layer time_bin).
    layer_per_split
        Whether each split has the layer that its held-out training stimuli choose: `hold_out` comes before `fit` then.
    tests
        Test stimuli that correlations are over: boolean (test stimulus). One test for each split, or one for all folds together.
    reliability, predictivities
        What comes of it; one `Predictivity` per mapping.
    """

    activations: Activations
    recording: Recording
    mappings: list[Mapping]
    grams: Grams
    layers: tuple[str, ...]
    train: np.ndarray
    trials: TrialSets
    config: ScoreConfig

    def __post_init__(self) -> None:
        bins, config = self.recording.time_bins, self.config
        self.covered = np.array([self.activations.covered(layer, bins) for layer in self.layers])
        self.layer_per_split = config.layers == "auto" and len(self.layers) > 1
        self.tests = np.ones_like(self.train[:1]) if config.splits == "folds" else ~self.train
        self.parts = parts_of(config.n_halves, bytes_per_half=bytes_per_half(self.recording, config))
        n_splits, n_stimuli = self.train.shape
        shape = self.recording.responses.sizes["neuroid"], len(bins)
        self.reliability = Reliability.empty(config, n_tests=len(self.tests), n_stimuli=n_stimuli, shape=shape)
        self.predictivities = [
            Predictivity.empty(
                config,
                n_rows=1 if self.layer_per_split else len(self.layers),
                n_layers=len(self.layers),
                n_tests=len(self.tests),
                n_splits=n_splits,
                n_stimuli=n_stimuli,
                shape=shape,
            )
            for _ in self.mappings
        ]

    def check_time(self) -> None:
        """Refuse a recording that lies outside the unroll."""
        if not self.covered.any():
            bins, a = self.recording.time_bins, self.activations
            raise NeurofitError(
                f"No time bin of {self.recording.name} ({bins[0][0]}-{bins[-1][1]} ms) can be predicted by {', '.join(self.layers)}: "
                f"the unroll has {a.n_timesteps} steps of {a.ms_per_timestep} ms."
            )

    def say_how(self, mapping: Mapping) -> dict[str, str]:
        """Return what was fitted, and for each layer how and at what estimated cost (a group of bins): texts for a result."""
        sizes = {
            "n_sets": self.config.n_sets,
            "n_splits": len(self.train),
            "n_neuroids": self.recording.responses.sizes["neuroid"],
        }
        plans = {layer: {"gram": asdict(plan), "maps": asdict(mapping.plan(plan, **sizes))} for layer, plan in self.grams.plans.items()}
        reduced = f" of features reduced by {self.config.reduce}" if self.config.reduce.startswith("srp") else ""
        return {"mapping_name": mapping.name + reduced, "plan": json.dumps(plans)}

    def hold_out(self, bins: np.ndarray) -> None:
        """Hold training stimuli of every split out in a group of bins, and see how well each layer predicts them."""
        means = self._means(bins, [range(0)])
        for layer in range(len(self.layers)):
            for gram, at in self._grams(layer, bins):
                self._hold_out(layer, gram, at, bins, means)

    def fit(self, bins: np.ndarray) -> None:
        """Fit a group of bins, a single one or all of them with a shared map, and fill in its correlations."""
        means = self._means(bins, self.parts)
        self.reliability.add(bins, means)
        for layer in range(len(self.layers)):
            if not any(len(splits[layer]) for splits in self.splits_of_layers):
                continue
            for gram, at in self._grams(layer, bins):
                self._fit_layer(layer, gram, at, bins, means)
                if self.config.layers == "all":
                    self._hold_out(layer, gram, at, bins, means)

    @cached_property
    def splits_of_layers(self) -> list[list[np.ndarray]]:
        """For each mapping and layer, the splits to fit: all, or those that chose the layer."""
        everything = np.arange(len(self.train))
        if not self.layer_per_split:
            return [[everything] * len(self.layers) for _ in self.mappings]
        choices = [p.best_layer() for p in self.predictivities]
        return [[np.flatnonzero(choice == layer) for layer in range(len(self.layers))] for choice in choices]

    def _means(self, bins: np.ndarray, parts: list[range]) -> TrialMeans:
        return TrialMeans(
            self.recording,
            self.trials,
            bins,
            tests=self.tests,
            ceiling_stimuli=self.config.ceiling_stimuli,
            parts=parts,
            min_neuroids=self.config.min_neuroids,
            fit_halves=self.config.fit_halves,
        )

    def _grams(self, layer: int, bins: np.ndarray) -> Iterator[tuple[Gram, np.ndarray]]:
        """Yield the Gram of the bins that a layer can predict, and their positions among `bins`; nothing if there is none."""
        at = np.flatnonzero(self.covered[layer, bins])
        if len(at):
            yield self.grams.of(self.layers[layer], [self.recording.time_bins[b] for b in bins[at]]), at

    def _fit_layer(self, layer: int, gram: Gram, at: np.ndarray, bins: np.ndarray, means: TrialMeans) -> None:
        row = 0 if self.layer_per_split else layer
        for session in means.sessions:
            inside = gram.subset(np.tile(session.stimuli, len(at)))
            inside = inside.remembering() if len(self.parts) > 1 else inside  # each part is fitted on the same splits
            for targets in means.targets(session, at):
                for mapping, splits, predictivity in zip(self.mappings, self.splits_of_layers, self.predictivities, strict=True):
                    train = self.train[np.ix_(splits[layer], session.stimuli)]
                    if not len(train):
                        continue
                    predictions = zip(splits[layer], train, _predict_halves(mapping, inside, targets, train), strict=True)
                    if self.config.splits == "folds":
                        whole = np.empty_like(targets.sets)
                        for _, fitted, predicted in predictions:
                            whole[:, :, ~fitted] = predicted
                        predictivity.add(row, 0, bins[at], targets, whole, np.ones_like(train[0]))
                    else:
                        for split, fitted, predicted in predictions:
                            predictivity.add(row, int(split), bins[at], targets, predicted, ~fitted)

    def _hold_out(self, layer: int, gram: Gram, at: np.ndarray, bins: np.ndarray, means: TrialMeans) -> None:
        inner = np.stack([inner_split(train, seed=self.config.seed + split) for split, train in enumerate(self.train)])
        sets = next(iter(means)).sets
        for session in means.sessions:
            inside = gram.subset(np.tile(session.stimuli, len(at)))
            targets = sets[:1][:, at][:, :, session.stimuli][..., session.neuroids]
            fitted, held_out = inner[:, session.stimuli], (self.train & ~inner)[:, session.stimuli]
            for mapping, predictivity in zip(self.mappings, self.predictivities, strict=True):
                for split, predicted in enumerate(_predict(mapping, inside, targets, fitted)):
                    held = held_out[split]
                    r = pearson(predicted[0][:, held[~fitted[split]]], targets[0][:, held])  # (bin neuroid)
                    predictivity.held_out[layer, split][np.ix_(session.neuroids, bins[at])] = r.T


def _predict_halves(mapping: Mapping, gram: Gram, targets: Targets, train: np.ndarray) -> Iterator[np.ndarray]:
    """Yield each split's predictions of all sets; those of second halves come from the first where they mirror each other."""
    if not (mapping.linear and targets.mirrored):
        yield from _predict(mapping, gram, targets.sets, train)
        return
    for predicted in _predict(mapping, gram, targets.sets[: 1 + len(targets.halves)], train):
        yield np.concatenate([predicted, 2 * predicted[:1] - predicted[1:]])


def _predict(mapping: Mapping, gram: Gram, targets: np.ndarray, train: np.ndarray) -> Iterator[np.ndarray]:
    """Yield each split's predictions (set time_bin stimulus neuroid) of what does not train."""
    n_sets, times, _, n_neuroids = targets.shape
    rows = targets.reshape(n_sets, -1, n_neuroids)
    for predicted in mapping.cross_predict(gram, rows, np.tile(train, times), times=times):
        yield predicted.reshape(n_sets, times, -1, n_neuroids)


def bytes_per_half(recording: Recording, config: ScoreConfig) -> int:
    """Return what the two sets of a half take in a fit: targets and products, predictions, what a PLS holds; or for r_yy alone."""
    n_neuroids = recording.responses.sizes["neuroid"]
    rows = len(recording.stimuli) * (1 if config.time_mode == "per-bin" else len(recording.time_bins))
    predictions = config.n_splits * round(rows * config.test_share) * n_neuroids
    inner = config.n_splits * n_neuroids * (n_neuroids + config.n_components)
    if not config.fit_halves:
        return 2 * 8 * 2 * rows * n_neuroids
    return 2 * 8 * (5 * rows * n_neuroids + predictions + inner)

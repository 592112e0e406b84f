"""Cross-validated decoders of what an image shows, for recorded sites and for units of layers.

A decoder is a multinomial logistic regression with an L2 penalty (scikit-learn's) on features that
are standardised on its training images; it is fitted in each time bin and tested on other images.
Recording and layers are compared with as many sites as units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression

from neurofit.activations.activations import check_inputs
from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.splits import draw_splits
from neurofit.analyses.layers import LayersConfig
from neurofit.config.options import option
from neurofit.errors import NeurofitError, unknown_name
from neurofit.recordings.reliability import check_stimuli
from neurofit.recordings.trials import TrialSets, deal_trials

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

COLUMNS = ("category", "object_name")
"""Columns of the stimuli that are decoded if no other is named, the first that exists."""

Patterns = Float[np.ndarray, "time_bin stimulus unit"]
"""Features in all time bins; NaN in a bin that has none."""


@dataclass(frozen=True, kw_only=True)
class DecodersConfig(LayersConfig):
    """Options of every analysis with decoders.

    Parameters
    ----------
    labels
        Column of the stimuli to decode; None takes the first of `COLUMNS` that exists.
    n_folds
        Number of folds of the images, each of which tests decoders fitted to the others.
    groups
        Column of the stimuli whose values are kept in one fold, such as objects for decoders of
        categories.
    penalty
        Penalty p of (mean log loss + p / 2 |weights|^2) on standardised features; the default is
        that of Kar et al. (2019).
    n_sites
        Number of sites and of units; None takes as many as recording and layers all have.
    n_samples
        Number of random samples of them where there are more.
    seed
        Random seed for folds, trial halves and samples.
    """

    labels: str | None = option(
        None,
        metavar="COLUMN",
        help="Column of the stimuli to decode.",
        default_text="category, or else object_name",
    )
    n_folds: int = option(10, least=2, help="Number of folds of the images.")
    groups: str | None = option(
        None, metavar="COLUMN", help="Column of the stimuli whose values are kept in one fold."
    )
    penalty: float = option(0.463, above=0, help="L2 penalty of the decoders.")
    n_sites: int | None = option(
        None,
        least=1,
        help="Number of sites and of units that decoders see.",
        default_text="as many as recording and layers all have",
    )
    n_samples: int = option(
        4, least=1, help="Random samples of sites or units where there are more."
    )
    seed: int = option(0, least=0, help="Random seed for folds, trial halves and samples.")

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if stimuli lack labels or a column, before the work begins."""
        self.folds_of(find_labels(recording, self)).check_recording(recording)

    def folds_of(self, labels: Labels) -> EncodingConfig:
        """Return the options of the folds, stratified by the labels."""
        return EncodingConfig(
            splits="folds",
            n_splits=self.n_folds,
            strata=labels.column,
            groups=self.groups,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Labels:
    """What decoders decode.

    Parameters
    ----------
    column
        Column of the stimuli.
    names
        Labels.
    of
        Position of each image's label in `names`.
    """

    column: str
    names: tuple[str, ...]
    of: Int[np.ndarray, " stimulus"]


def find_labels(recording: Recording, config: DecodersConfig) -> Labels:
    """Return the labels of a recording's stimuli.

    Raises
    ------
    NeurofitError
        If there is no such column, a stimulus has no label, or all have the same.
    """
    table, given = recording.stimuli.table, config.labels
    columns = [str(each) for each in table if each != "stimulus_id"]
    column = given or next((each for each in COLUMNS if each in columns), None)
    if column is None:
        raise NeurofitError(
            f"A decoder needs the label of each stimulus; {recording.name} has no column "
            f"{' or '.join(COLUMNS)}.\nName another: {', '.join(columns) or 'there is none'}.",
            option="labels",
        )
    if column not in columns:
        kind = f"column of the stimuli of {recording.name}"
        raise unknown_name(kind, column, columns, option="labels")
    if table[column].isna().any():
        missing = int(table[column].isna().sum())
        raise NeurofitError(
            f"A decoder needs the label of each stimulus; {missing:,} of {len(table):,} have no "
            f"{column}. Leave them out with stimuli.",
            option="labels",
        )
    names, of = np.unique(table[column].astype(str).to_numpy(), return_inverse=True)
    counts = np.bincount(of)
    if len(names) < 2 or counts.min() < 2:
        raise NeurofitError(
            "A decoder needs two labels or more, of two images each or more; "
            f"{column} has {len(names):,} labels of {counts.min():,} to {counts.max():,} images.",
            option="labels",
        )
    return Labels(column, tuple(names.tolist()), of)


@dataclass(frozen=True)
class Decoded:
    """Outcomes of decoders for images that they were not fitted to.

    Parameters
    ----------
    probabilities
        Probability of each label, by the decoder of the same bin.
    hits
        Whether the decoder of the first bin recognises the image in the second; only the diagonal
        is filled unless it was asked for.
    """

    probabilities: Float[np.ndarray, "time_bin stimulus label"]
    hits: Bool[np.ndarray, "time_bin_train time_bin stimulus"]


class Decoding:
    """Decoders of a recording and of layers, on the same folds and with as many sites as units."""

    def __init__(
        self,
        activations: Activations,
        recording: Recording,
        config: DecodersConfig,
        *,
        n_halves: int = 0,
    ) -> None:
        check_stimuli(recording)
        check_inputs(activations, recording)
        self.config, self.labels = config, find_labels(recording, config)
        self._activations, self._recording = activations, recording
        self.layers = config.layers_for(activations, recording.regions[0])
        splits = draw_splits(recording, config.folds_of(self.labels))
        self._train, self._places, self.notes = splits.train, splits.places, list(splits.notes)
        self._check_folds()
        self._sets = self._average(n_halves)
        self.n_available = [self._sets.shape[-1]]
        covered = [activations.covered(layer, recording.time_bins) for layer in self.layers]
        self._covered = dict(zip(self.layers, covered, strict=True))
        for layer in self.layers:
            key = next(key for key in activations.blocks if key[0] == layer)
            self.n_available.append(activations.blocks[key].shape[1])
        self.n_sites = config.n_sites or min(self.n_available)
        if self.n_sites > min(self.n_available):
            raise NeurofitError(
                f"n_sites must be at most {min(self.n_available)}, the smallest number of sites "
                f"(without missing responses) or units; got {self.n_sites}.",
                option="n_sites",
            )

    @property
    def names(self) -> list[str]:
        """Names of the recording and of the layers."""
        own = f"{self._recording.regions[0]} of {self._recording.name}"
        return [own, *(f"{self._activations.model} {layer}" for layer in self.layers)]

    @property
    def method(self) -> str:
        """The decoders in a few words."""
        return (
            f"logistic regression of {self.labels.column} on {self.n_sites:,} sites or units, "
            f"{self.config.n_folds} folds, L2 penalty {self.config.penalty:g}"
        )

    def _check_folds(self) -> None:
        """Raise NeurofitError if a label has no image outside of some fold."""
        for train in self._train:
            counts = np.bincount(self.labels.of[train], minlength=len(self.labels.names))
            if not counts.all():
                raise NeurofitError(
                    "A decoder needs images of every label; all of "
                    f"{self.labels.names[int(counts.argmin())]!r} are in one fold. "
                    "Give fewer folds, or other groups.",
                    option="n_folds",
                )

    def _average(self, n_halves: int) -> Float[np.ndarray, "set time_bin stimulus neuroid"]:
        """Return means of all trials, of first halves and of second halves, in float32.

        Neuroids that lack a stimulus in some set and bin are left out.
        """
        rows = self._recording.stimulus_rows
        places = np.zeros((1, len(rows)), dtype=np.int32)
        if n_halves:
            places = deal_trials(rows, n_halves=n_halves, seed=self.config.seed)
        trials, found = TrialSets(rows, places), []
        for b in range(len(self._recording.time_bins)):
            means = trials.means(self._recording.block(b), range(n_halves))
            found.append(means.astype(np.float32))
        sets = np.stack(found, axis=1)
        complete = np.isfinite(sets).all(axis=(0, 1, 2))
        if not complete.any():
            raise NeurofitError(
                "Decoders need neuroids with responses to all stimuli; "
                f"{self._recording.name} has none."
            )
        return np.asarray(sets[..., complete])

    def mean(
        self, values: Float[np.ndarray, "*any stimulus"]
    ) -> tuple[Float[np.ndarray, "*any"], Float[np.ndarray, "*any"]]:
        """Return the mean over labels of the means over their images, and its standard error.

        Images of one group count as one draw. Folds share training images, so that the variance is
        1 + n_folds / (n_folds - 1) times that of independent images (Nadeau & Bengio 2003, Mach.
        Learn. 52:239).
        """
        own = self.labels.of[:, None] == np.arange(len(self.labels.names))
        n = own.sum(axis=0)
        means = values @ (own / n)
        influences = (values - means[..., self.labels.of]) * (own / np.sqrt(n * (n - 1))).sum(
            axis=1
        )
        groups = self._places[:, None] == np.unique(self._places)
        variance = ((influences @ groups) ** 2).sum(axis=-1) / len(n) ** 2
        shared = 1 + len(self._train) / (len(self._train) - 1)
        return means.mean(axis=-1), np.sqrt(shared * variance)

    def systems(self, *, halves: bool = False) -> Iterator[tuple[int, list[Patterns]]]:
        """Yield the number of each system (recording, layers) and its samples of sites or units.

        With `halves`, the samples are those of the recording's trial halves, and nothing else.
        """
        for number, n in enumerate(self.n_available[: 1 if halves else None]):
            rng = np.random.default_rng((self.config.seed, number))
            drawn = [np.arange(n)]
            if n > self.n_sites:
                drawn = [
                    np.sort(rng.permutation(n)[: self.n_sites])
                    for _ in range(self.config.n_samples)
                ]
            if number == 0:
                for patterns in self._sets[1:] if halves else self._sets[:1]:
                    yield number, [patterns[..., sites] for sites in drawn]
            else:
                yield number, self._features(self.layers[number - 1], drawn)

    def _features(self, layer: str, drawn: Sequence[np.ndarray]) -> list[Patterns]:
        """Return the features of some samples of a layer's units, each block read once."""
        bins = self._recording.time_bins
        shape = (len(bins), len(self.labels.of), self.n_sites)
        samples = [np.full(shape, np.nan, dtype=np.float32) for _ in drawn]
        for b in np.flatnonzero(self._covered[layer]):
            features = self._activations.features(layer, bins[b])
            for sample, units in zip(samples, drawn, strict=True):
                sample[b] = features[:, units]
        return samples

    def decode(self, patterns: Patterns, *, generalise: bool = False) -> Decoded:
        """Fit decoders in every time bin and fold, and test them on the fold's images.

        Parameters
        ----------
        patterns
            Features; a bin with NaN has no decoder, and NaN for probabilities.
        generalise
            Whether a decoder is tested in all bins, not only in its own.
        """
        n_bins, n_images, _ = patterns.shape
        probabilities = np.full((n_bins, n_images, len(self.labels.names)), np.nan)
        hits = np.zeros((n_bins, n_bins, n_images), dtype=bool)
        usable = np.flatnonzero(np.isfinite(patterns).all(axis=(1, 2)))
        for train in self._train:
            test = np.flatnonzero(~train)
            tested = patterns[usable][:, test].astype(np.float64)
            for position, b in enumerate(usable):
                model = Decoder.fit(
                    patterns[b, train], self.labels.of[train], penalty=self.config.penalty
                )
                probabilities[b, test] = model.probabilities(tested[position])
                there = slice(None) if generalise else slice(position, position + 1)
                right = model.scores(tested[there]).argmax(axis=-1) == self.labels.of[test]
                hits[b, usable[there][:, None], test] = right
        return Decoded(probabilities, hits)


@dataclass(frozen=True)
class Decoder:
    """A linear decoder of labels.

    Parameters
    ----------
    weights, offset
        Weights of features that are not standardised, and what is added for each label.
    """

    weights: Float[np.ndarray, "label unit"]
    offset: Float[np.ndarray, " label"]

    @classmethod
    def fit(
        cls,
        features: Float[np.ndarray, "image unit"],
        truth: Int[np.ndarray, " image"],
        *,
        penalty: float,
    ) -> Decoder:
        """Fit a decoder; units that do not vary have no part in it."""
        features = features.astype(np.float64)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        scale = np.where(spread > 1e-12 * np.abs(features).max(axis=0), spread, np.inf)
        model = LogisticRegression(C=1 / (penalty * len(features)), tol=1e-6, max_iter=1000)
        model.fit((features - mean) / scale, truth)
        weights, offset = model.coef_, model.intercept_
        if len(weights) == 1:  # of two labels, the logit of the second
            weights, offset = np.concatenate([0 * weights, weights]), np.append(0, offset)
        weights = weights / scale
        return cls(weights, offset - weights @ mean)

    def scores(
        self, features: Float[np.ndarray, "*any image unit"]
    ) -> Float[np.ndarray, "*any image label"]:
        """Return the logarithms of the probabilities, up to a constant for each image."""
        return np.asarray(features @ self.weights.T + self.offset)

    def probabilities(
        self, features: Float[np.ndarray, "*any image unit"]
    ) -> Float[np.ndarray, "*any image label"]:
        """Return the probability of each label."""
        scores = self.scores(features)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

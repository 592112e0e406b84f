"""Split trials into halves, and average them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from sklearn.model_selection import ShuffleSplit

from neurofit.errors import NeurofitError

COLUMNS = 64
"""Neuroids whose trials are converted to float64 at a time."""


MIN_TEST = 10
"""Smallest number of test stimuli of a session.

With fewer, the r of two unrelated halves has a standard deviation above 1/3.
"""


def deal_trials(
    stimulus_rows: Int[np.ndarray, " presentation"],
    *,
    n_halves: int,
    seed: int,
    by: str = "stimulus",
    repetition: np.ndarray | None = None,
) -> Int[np.ndarray, "half presentation"]:
    """Order the trials of each stimulus at random to deal them to two halves, `n_halves` times.

    Parameters
    ----------
    stimulus_rows
        Row of each presentation's stimulus.
    n_halves
        Number of random orders.
    seed
        Random seed.
    by
        "stimulus": the trials of each stimulus have an order of their own. "repetition": the values
        of `repetition` are split, for all stimuli alike, as in Brain-Score's
        `internal_consistency`.
    repetition
        Repetition number of each presentation; needed for "repetition".

    Returns
    -------
    numpy.ndarray
        Place of each trial in the order of its stimulus (half presentation). Trials at even places
        are in the first half. By stimulus, places count up from 0 or 1, at random: an odd trial
        falls in either half. By repetition, a stimulus has as many trials on each side as it has
        repetitions there; the second side has one more of an odd number of repetitions.

    Raises
    ------
    NeurofitError
        If a stimulus has fewer than 2 trials.
    """
    counts = np.bincount(stimulus_rows)
    if (counts < 2).any():
        raise NeurofitError(
            "A trial half has no trial of some stimulus: "
            "every stimulus needs at least 2 repetitions."
        )
    rng = np.random.default_rng(seed)
    if by == "repetition":
        assert repetition is not None
        dealt = _places_by_repetition(
            stimulus_rows, repetition, n_halves=n_halves, seed=seed, rng=rng
        )
    else:
        dealt = _places_by_stimulus(stimulus_rows, n_halves=n_halves, rng=rng)
    return np.stack(list(dealt)).astype(np.int32)


def _places_by_stimulus(
    rows: np.ndarray, *, n_halves: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the places of trials in a random order of each stimulus."""
    counts = np.bincount(rows)
    for _ in range(n_halves):
        shuffled = rng.permutation(len(rows))
        order = shuffled[np.argsort(rows[shuffled], kind="stable")]
        place = np.empty(len(rows), dtype=np.int64)
        place[order] = _count_up(counts) + np.repeat(rng.integers(2, size=len(counts)), counts)
        yield place


def _places_by_repetition(
    rows: np.ndarray, repetition: np.ndarray, *, n_halves: int, seed: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the places of trials in an order of the repetitions that all stimuli share.

    The repetitions of the first half have the even places, those of the second half the odd ones,
    so that halves are as uneven as a stimulus' repetitions. Where all of these fall on one side,
    they take turns.
    """
    values, position = np.unique(repetition, return_inverse=True)
    if len(values) < 2:
        raise NeurofitError(
            f"Halves by repetition need at least 2 repetition numbers; all are {values[0]}."
        )
    counts, by_stimulus = np.bincount(rows), np.argsort(rows, kind="stable")
    for first, second in ShuffleSplit(n_halves, train_size=0.5, random_state=seed).split(values):
        dealt = np.empty(len(values), dtype=np.int64)
        dealt[first], dealt[second] = 2 * np.arange(len(first)), 2 * np.arange(len(second)) + 1
        place = dealt[position]
        n_second = np.bincount(rows, place % 2)
        divided = (n_second > 0) & (n_second < counts)
        turns = np.empty(len(rows), dtype=np.int64)
        turns[by_stimulus] = _count_up(counts) + np.repeat(
            rng.integers(2, size=len(counts)), counts
        )
        yield np.where(divided[rows], place, turns)


def _count_up(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... for each stimulus' trials, one stimulus after the other."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))


@dataclass(frozen=True)
class TrialSets:
    """Sets of trials to average: all trials, then every first half, then every second half.

    Where trials of a neuroid are missing, its valid trials of a stimulus are assigned alternately
    to the two halves, in the order drawn for all trials.

    Parameters
    ----------
    stimulus_rows
        Row of each presentation's stimulus.
    places
        Place of each trial in the order of its stimulus; see `deal_trials`.
    equal_halves
        Whether halves count as equal whatever their sizes, as in the formula of Spearman and Brown
        and in Brain-Score.
    """

    stimulus_rows: Int[np.ndarray, " presentation"]
    places: Int[np.ndarray, "half presentation"]
    equal_halves: bool = False

    @property
    def n_halves(self) -> int:
        """Number of trial splits."""
        return len(self.places)

    @cached_property
    def n_stimuli(self) -> int:
        """Number of stimuli."""
        return int(self.stimulus_rows.max()) + 1

    @cached_property
    def balanced(self) -> bool:
        """Whether the halves of each stimulus differ by at most one trial."""
        counts = np.bincount(self.stimulus_rows)
        firsts = (np.bincount(self.stimulus_rows, half) for half in self.halves)
        return all((np.abs(2 * first - counts) <= 1).all() for first in firsts)

    @cached_property
    def halves(self) -> Bool[np.ndarray, "half presentation"]:
        """The trials of each first half where none is missing."""
        return np.asarray(self.places % 2 == 0)

    def noise_shares(
        self, counts: Int[np.ndarray, "stimulus neuroid"], halves: range | None = None
    ) -> Float[np.ndarray, "3 half neuroid"]:
        """Return the noise shares of first halves, of second halves and of all trials.

        The noise share of a set of trials is the variance of its mean in units of the noise
        variance of a trial: the mean over stimuli of 1 / number of trials. Stimuli with fewer than
        2 trials are left out; NaN where none remains.

        Parameters
        ----------
        counts
            Number of valid trials of each stimulus.
        halves
            Splits; None means all.
        """
        used = counts > 1
        n_used = used.sum(axis=0)
        starts = self._starts[_slice(halves)]
        if self.equal_halves:
            equal = np.array([2.0, 2.0, 1.0])[:, None, None]
            return np.asarray(np.where(n_used > 0, equal, np.nan) + np.zeros((1, len(starts), 1)))
        shares = np.empty((3, len(starts), counts.shape[1]))
        for half, start in enumerate(starts):
            first = (counts + 1 - start[:, None]) // 2
            for share, n in zip(shares[:, half], (first, counts - first, counts), strict=True):
                with np.errstate(invalid="ignore"):
                    share[:] = np.where(used, 1 / np.maximum(n, 1), 0.0).sum(axis=0) / n_used
        return shares

    def means(
        self, trials: Float[np.ndarray, "presentation neuroid"], halves: range | None = None
    ) -> Float[np.ndarray, "set stimulus neuroid"]:
        """Return the float64 mean of each set over valid trials, NaN where a set has none.

        Neuroids with the same trials are averaged in one sparse product, over all trials and over
        first halves; sums over second halves are the differences.

        Parameters
        ----------
        trials
            Responses of one time bin, or of several side by side.
        halves
            Splits whose halves are averaged; None averages all.

        Raises
        ------
        NeurofitError
            If a response is infinite.
        """
        if np.isinf(trials).any():
            raise NeurofitError(
                "Responses are finite, or NaN where a trial is missing; some are infinite."
            )
        n_sets = 1 + len(self.places[_slice(halves)])
        means = np.empty((2 * n_sets - 1, self.n_stimuli, trials.shape[1]))
        for columns, valid in _patterns(trials):
            if valid.all():
                selection = self._complete if halves is None else self._select(halves)
            else:
                selection = self._select(halves, valid)
            counts = np.asarray(selection.sum(axis=1)).reshape(n_sets, -1, 1)
            for begin in range(0, len(columns), COLUMNS):  # bounds memory
                some = columns[begin : begin + COLUMNS]
                part = trials[:, some].astype(np.float64)
                part[~valid] = 0.0
                sums = (selection @ part).reshape(n_sets, self.n_stimuli, -1)
                with np.errstate(invalid="ignore", divide="ignore"):
                    means[:n_sets, :, some] = sums / counts
                    means[n_sets:, :, some] = (sums[:1] - sums[1:]) / (counts[:1] - counts[1:])
        return means

    @cached_property
    def _grouped(self) -> Int[np.ndarray, " presentation"]:
        """Presentations by stimulus."""
        return np.argsort(self.stimulus_rows, kind="stable")

    @cached_property
    def _orders(self) -> Int[np.ndarray, "half presentation"]:
        """Presentations by stimulus and place."""
        return np.stack([np.lexsort((place, self.stimulus_rows)) for place in self.places])

    @cached_property
    def _starts(self) -> Int[np.ndarray, "half stimulus"]:
        """The first place of each stimulus, 0 or 1."""
        starts = np.ones((self.n_halves, self.n_stimuli), dtype=np.int64)
        for start, place in zip(starts, self.places, strict=True):
            start[self.stimulus_rows[place == 0]] = 0
        return starts

    @cached_property
    def _complete(self) -> sparse.csr_array:
        return self._select(None)

    def _select(
        self, halves: range | None, valid: Bool[np.ndarray, " presentation"] | None = None
    ) -> sparse.csr_array:
        """Return the matrix (set * stimulus, presentation) that sums the valid trials of sets."""
        chosen, grouped = _slice(halves), self._grouped
        if valid is None:
            sets = [grouped, *(grouped[half[grouped]] for half in self.halves[chosen])]
        else:
            sets = [grouped[valid[grouped]], *self._deal(chosen, valid)]
        presentations = np.concatenate(sets)
        counts = [np.bincount(self.stimulus_rows[each], minlength=self.n_stimuli) for each in sets]
        ends = np.concatenate([[0], np.cumsum(counts)])
        shape = (len(ends) - 1, len(self.stimulus_rows))
        return sparse.csr_array((np.ones(len(presentations)), presentations, ends), shape=shape)

    def _deal(
        self, halves: slice, valid: Bool[np.ndarray, " presentation"]
    ) -> Iterator[Int[np.ndarray, " first"]]:
        """Yield the valid trials of each first half, by stimulus."""
        counts = np.bincount(self.stimulus_rows[valid], minlength=self.n_stimuli)
        ranks = _count_up(counts)
        for order, start in zip(self._orders[halves], self._starts[halves], strict=True):
            dealt = order[valid[order]]
            yield dealt[(ranks + np.repeat(start, counts)) % 2 == 0]


def count_trials(
    stimulus_rows: Int[np.ndarray, " presentation"],
    trials: Float[np.ndarray, "presentation neuroid"],
) -> Int[np.ndarray, "stimulus neuroid"]:
    """Return the number of valid trials of each stimulus: those that are not NaN."""
    counts = np.empty((int(stimulus_rows.max()) + 1, trials.shape[1]), dtype=np.int64)
    for columns, valid in _patterns(trials):
        counts[:, columns] = np.bincount(stimulus_rows[valid], minlength=len(counts))[:, None]
    return counts


def _slice(halves: range | None) -> slice:
    return slice(None) if halves is None else slice(halves.start, halves.stop)


def _patterns(
    trials: Float[np.ndarray, "presentation neuroid"],
) -> list[tuple[Int[np.ndarray, " column"], Bool[np.ndarray, " presentation"]]]:
    """Return the columns that have the same valid trials, and these trials."""
    missing = np.isnan(trials)
    patterns: dict[bytes, list[int]] = {}
    for column, packed in enumerate(np.packbits(missing, axis=0).T):
        patterns.setdefault(packed.tobytes(), []).append(column)
    return [(np.array(columns), ~missing[:, columns[0]]) for columns in patterns.values()]

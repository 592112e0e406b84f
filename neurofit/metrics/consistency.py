"""How well a recording agrees with itself: split halves of its trials, Spearman-Brown corrected.

r_yy = SB(corr(half 1, half 2)),    SB(r) = 2 r / (1 + r).      Spearman (1910), Brown (1910).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse, stats
from sklearn.model_selection import ShuffleSplit

from neurofit.errors import NeurofitError

COLUMNS = 64
"""Neuroids whose trials are held as float64 at a time."""


def spearman_brown(r: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Return the reliability of the whole from the correlation of its halves, 2 r / (1 + r); NaN for r = -1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(r > -1.0, 2.0 * r / (1.0 + r), np.nan))


def spearman_brown_slope(r: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Return the derivative of `spearman_brown`, 2 / (1 + r)^2; NaN for r = -1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(r > -1.0, 2.0 / (1.0 + r) ** 2, np.nan))


def split_halves(
    stimulus_rows: Int[np.ndarray, " presentation"],
    *,
    n_halves: int,
    seed: int,
    by: str = "stimulus",
    repetition: np.ndarray | None = None,
    session: Int[np.ndarray, " presentation"] | None = None,
) -> Bool[np.ndarray, "half presentation"]:
    """Split the trials in two, `n_halves` times; True marks the first half.

    Parameters
    ----------
    stimulus_rows
        Row of each presentation's stimulus.
    n_halves, seed
        How many random splits, and their seed.
    by
        "stimulus": the repetitions of each stimulus are shuffled and split on their own (an odd one falls on either side).
        "repetition": the values of `repetition` are split, the same for all stimuli, as Brain-Score's `internal_consistency`.
    repetition
        Number of each presentation among those of its stimulus.
    session
        Presentations with the same number were recorded from the same neuroids; by "stimulus", those of a stimulus are split evenly
        within each session too, so that no neuroid finds all its few trials on one side.

    Raises
    ------
    NeurofitError
        If a half leaves a stimulus without a trial.
    """
    if by == "repetition":
        assert repetition is not None
        values, position = np.unique(repetition, return_inverse=True)
        first = np.zeros((n_halves, len(values)), dtype=bool)
        for half, (rows, _) in enumerate(ShuffleSplit(n_halves, train_size=0.5, random_state=seed).split(values)):
            first[half, rows] = True
        halves = first[:, position]
    else:
        halves = _halves_per_stimulus(stimulus_rows, session, n_halves=n_halves, rng=np.random.default_rng(seed))
    n_stimuli = int(stimulus_rows.max()) + 1
    for half in (*halves, *~halves):
        if (np.bincount(stimulus_rows[half], minlength=n_stimuli) == 0).any():
            raise NeurofitError("A split half leaves a stimulus without a trial: every stimulus needs at least 2 repetitions.")
    return halves


def find_trial_sessions(there: Bool[np.ndarray, "presentation neuroid"]) -> Int[np.ndarray, " presentation"] | None:
    """Return a number per presentation for the neuroids it was recorded from; None if always from all."""
    if there.all():
        return None
    return np.unique(np.packbits(there, axis=1), axis=0, return_inverse=True)[1].ravel()


def _halves_per_stimulus(rows: np.ndarray, session: np.ndarray | None, *, n_halves: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffle all presentations, group them by stimulus (and session), and take every second of a stimulus, starting at random."""
    halves = np.zeros((n_halves, len(rows)), dtype=bool)
    counts = np.bincount(rows)
    begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for half in halves:
        shuffled = rng.permutation(len(rows))
        if session is None:
            grouped = shuffled[np.argsort(rows[shuffled], kind="stable")]
        else:
            turn = rng.permutation(session.max() + 1)[session]
            grouped = shuffled[np.lexsort((turn[shuffled], rows[shuffled]))]
        rank = np.arange(len(rows)) - np.repeat(begins, counts)
        half[grouped] = (rank + np.repeat(rng.integers(2, size=len(counts)), counts)) % 2 == 0
    return halves


@dataclass(frozen=True)
class TrialSets:
    """Sets of trials to average: set 0 all trials, then every first half, then every second half.

    Parameters
    ----------
    stimulus_rows
        Row of each presentation's stimulus.
    halves
        True marks the trials of a first half.
    """

    stimulus_rows: Int[np.ndarray, " presentation"]
    halves: Bool[np.ndarray, "half presentation"]

    @property
    def n_halves(self) -> int:
        """Number of trial splits."""
        return len(self.halves)

    @cached_property
    def mirrored(self) -> Bool[np.ndarray, " half"]:
        """Whether both sides of a half have equally many trials of every stimulus: then their means have the mean of all between them."""
        counts = np.bincount(self.stimulus_rows)
        return np.array([(2 * np.bincount(self.stimulus_rows[first], minlength=len(counts)) == counts).all() for first in self.halves])

    def means(
        self, trials: Float[np.ndarray, "presentation neuroid"], halves: range | None = None
    ) -> Float[np.ndarray, "set stimulus neuroid"]:
        """Average the trials of every set, over what is not NaN; NaN where nothing is there.

        One sparse product for all trials and first halves; a second half is what remains. float64.

        Parameters
        ----------
        trials
            One time bin; or several, side by side.
        halves
            Which halves make sets; None: all.
        """
        if halves is None or len(halves) == self.n_halves:
            selection = self._selection
        else:
            selection = self._select(self.halves[halves.start : halves.stop])
        n_stimuli, n_neuroids = int(self.stimulus_rows.max()) + 1, trials.shape[1]
        n_chosen = selection.shape[0] // n_stimuli
        if np.isinf(trials).any():
            raise NeurofitError("Responses are finite, or NaN where a trial is missing; some are infinite.")
        means = np.empty((2 * n_chosen - 1, n_stimuli, n_neuroids))
        for begin in range(0, n_neuroids, COLUMNS):  # a column does not depend on the others: only the memory does
            columns = slice(begin, begin + COLUMNS)
            part = trials[:, columns].astype(np.float64)
            there = ~np.isnan(part)
            if there.all():
                counts = np.asarray(selection.sum(axis=1))[:, None]
            else:
                counts = selection @ there.astype(np.float64)
                part[~there] = 0.0
            sums = (selection @ part).reshape(n_chosen, n_stimuli, -1)
            counts = counts.reshape(n_chosen, n_stimuli, -1)
            with np.errstate(invalid="ignore", divide="ignore"):
                means[:n_chosen, :, columns] = sums / counts
                means[n_chosen:, :, columns] = (sums[:1] - sums[1:]) / (counts[:1] - counts[1:])
        return means

    @cached_property
    def _selection(self) -> sparse.csr_array:
        return self._select(self.halves)

    def _select(self, first: Bool[np.ndarray, "half presentation"]) -> sparse.csr_array:
        """Return the matrix (set * stimulus, presentation) of ones that adds up all trials, and those of each first half."""
        n_stimuli = int(self.stimulus_rows.max()) + 1
        chosen = np.concatenate([np.ones((1, first.shape[1]), dtype=bool), first])
        sets, presentations = np.nonzero(chosen)
        return sparse.csr_array(
            (np.ones(len(sets)), (sets * n_stimuli + self.stimulus_rows[presentations], presentations)),
            shape=(len(chosen) * n_stimuli, first.shape[1]),
        )


def null_reliability_sd(*, n_test: int, n_splits: int, n_halves: int, test_share: float) -> float:
    """Return the standard deviation of a mean split-half reliability where there is no signal.

    Each Spearman-Brown corrected r has variance 4 / n_test; random test sets share `test_share` of their stimuli, and two
    random halvings of the same trials correlate by 1/2 (they share half of the pairs of trials). Checked by simulation in
    the tests.
    """
    over_splits = 1 / n_splits + (1 - 1 / n_splits) * test_share
    over_halves = 1 / n_halves + (1 - 1 / n_halves) / 2
    return float(2.0 * np.sqrt(over_splits * over_halves / n_test))


def reliable(
    reliability: Float[np.ndarray, "neuroid time_bin"],
    *,
    floor: float,
    false_discovery_rate: float,
    null_sd: float | Float[np.ndarray, "neuroid time_bin"],
    min_neuroids: int,
) -> Bool[np.ndarray, "neuroid time_bin"]:
    """Return where a neuroid's reliability in a bin can be divided by.

    A bin counts if at least `min_neuroids` of its neuroids (all, where there are fewer) are reliable significantly, at the given
    false discovery rate (Benjamini & Hochberg 1995); in such a bin, every neuroid above the floor counts. Asking for
    significance of each neuroid would keep the luckily reliable ones only and bias the corrected score down: by 9 % against 1 %
    at a true reliability of 0.17 (640 stimuli). NaN is not reliable.
    """
    p = np.where(np.isnan(reliability), 1.0, stats.norm.sf(np.nan_to_num(reliability) / null_sd))
    significant = (stats.false_discovery_control(p, axis=0) <= false_discovery_rate).sum(axis=0)
    return np.asarray((significant >= min(min_neuroids, len(reliability))) & (np.nan_to_num(reliability, nan=-np.inf) > floor))

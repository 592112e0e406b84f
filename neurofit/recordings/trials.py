"""Split trials into halves, and average them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from sklearn.model_selection import ShuffleSplit

from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

COLUMNS = 64
"""Neuroids whose trials are converted to float64 at a time."""


MIN_TEST = 10
"""Smallest number of test stimuli of a session.

With fewer, the r of two unrelated halves has a standard deviation above 1/3.
"""


def split_halves(
    stimulus_rows: Int[np.ndarray, " presentation"],
    *,
    n_halves: int,
    seed: int,
    by: str = "stimulus",
    repetition: np.ndarray | None = None,
    session: Int[np.ndarray, " presentation"] | None = None,
) -> Bool[np.ndarray, "half presentation"]:
    """Split the trials randomly into two halves, `n_halves` times.

    Parameters
    ----------
    stimulus_rows
        Row of each presentation's stimulus.
    n_halves
        Number of random splits.
    seed
        Random seed for the splits.
    by
        "stimulus": the repetitions of each stimulus are split independently; an odd one falls in
        either half. "repetition": the values of `repetition` are split, equally for all stimuli,
        as in Brain-Score's `internal_consistency`.
    repetition
        Repetition number of each presentation; needed for "repetition".
    session
        Session number of each presentation, equal for presentations that were recorded from the
        same neuroids. With "stimulus", trials of a stimulus are split evenly within each session
        too, so that the trials of a neuroid do not all fall in one half.

    Returns
    -------
    numpy.ndarray
        Boolean array (half presentation), True for trials of the first half.

    Raises
    ------
    NeurofitError
        If a half has no trial of some stimulus.
    """
    if by == "repetition":
        assert repetition is not None
        values, position = np.unique(repetition, return_inverse=True)
        first = np.zeros((n_halves, len(values)), dtype=bool)
        for half, (rows, _) in enumerate(
            ShuffleSplit(n_halves, train_size=0.5, random_state=seed).split(values)
        ):
            first[half, rows] = True
        halves = first[:, position]
    else:
        halves = _halves_per_stimulus(
            stimulus_rows, session, n_halves=n_halves, rng=np.random.default_rng(seed)
        )
    n_stimuli = int(stimulus_rows.max()) + 1
    for half in (*halves, *~halves):
        if (np.bincount(stimulus_rows[half], minlength=n_stimuli) == 0).any():
            raise NeurofitError(
                "A trial half has no trial of some stimulus: "
                "every stimulus needs at least 2 repetitions."
            )
    return halves


def find_trial_sessions(
    present: Bool[np.ndarray, "presentation neuroid"],
) -> Int[np.ndarray, " presentation"] | None:
    """Return a session number per presentation, or None if no trial is missing.

    Presentations of the same neuroids have the same number.

    Parameters
    ----------
    present
        Whether a presentation was recorded from a neuroid.
    """
    if present.all():
        return None
    return np.unique(np.packbits(present, axis=1), axis=0, return_inverse=True)[1].ravel()


def _halves_per_stimulus(
    rows: np.ndarray, session: np.ndarray | None, *, n_halves: int, rng: np.random.Generator
) -> np.ndarray:
    """Return boolean halves (half presentation).

    Presentations are shuffled and grouped by stimulus and session; every second one of a stimulus
    is in the first half, starting at random.
    """
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
    """Sets of trials to average: all trials, then every first half, then every second half.

    Parameters
    ----------
    stimulus_rows
        Row of each presentation's stimulus.
    halves
        True for trials of the first half.
    """

    stimulus_rows: Int[np.ndarray, " presentation"]
    halves: Bool[np.ndarray, "half presentation"]

    @property
    def n_halves(self) -> int:
        """Number of trial splits."""
        return len(self.halves)

    @cached_property
    def mirrored(self) -> Bool[np.ndarray, " half"]:
        """Whether both halves of a split have equally many trials of every stimulus.

        If so, the mean over all trials is the mean of the two halves' means.
        """
        counts = np.bincount(self.stimulus_rows)
        firsts = (
            np.bincount(self.stimulus_rows[half], minlength=len(counts)) for half in self.halves
        )
        return np.array([(2 * first == counts).all() for first in firsts])

    def means(
        self, trials: Float[np.ndarray, "presentation neuroid"], halves: range | None = None
    ) -> Float[np.ndarray, "set stimulus neuroid"]:
        """Return the float64 mean of each set over trials that are not NaN, or NaN if all are.

        Sums over all trials and over first halves come from one sparse product; sums over second
        halves are the differences.

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
        if halves is None or len(halves) == self.n_halves:
            selection = self._selection
        else:
            selection = self._select(self.halves[halves.start : halves.stop])
        n_stimuli, n_neuroids = int(self.stimulus_rows.max()) + 1, trials.shape[1]
        n_chosen = selection.shape[0] // n_stimuli
        if np.isinf(trials).any():
            raise NeurofitError(
                "Responses are finite, or NaN where a trial is missing; some are infinite."
            )
        means = np.empty((2 * n_chosen - 1, n_stimuli, n_neuroids))
        for begin in range(0, n_neuroids, COLUMNS):  # bounds memory; columns are independent
            columns = slice(begin, begin + COLUMNS)
            part = trials[:, columns].astype(np.float64)
            present = ~np.isnan(part)
            if present.all():
                counts = np.asarray(selection.sum(axis=1))[:, None]
            else:
                counts = selection @ present.astype(np.float64)
                part[~present] = 0.0
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
        """Return the matrix (set * stimulus, presentation) that sums the trials of sets."""
        n_stimuli = int(self.stimulus_rows.max()) + 1
        chosen = np.concatenate([np.ones((1, first.shape[1]), dtype=bool), first])
        sets, presentations = np.nonzero(chosen)
        rows = sets * n_stimuli + self.stimulus_rows[presentations]
        shape = (len(chosen) * n_stimuli, first.shape[1])
        return sparse.csr_array((np.ones(len(sets)), (rows, presentations)), shape=shape)


def recording_sessions(recording: Recording) -> Int[np.ndarray, " presentation"] | None:
    """Return `find_trial_sessions` of a recording's first time bin."""
    return find_trial_sessions(~np.isnan(recording.block(0)))

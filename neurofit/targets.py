"""What maps are fitted to: means over sets of trials, of neuroids that were shown the same stimuli, in parts that fit into memory.

    set 0: all trials,      sets 1 to R: the first halves,      sets R + 1 to 2 R: the second halves

A map is fitted jointly to the neuroids of a session (those with a mean response to exactly the same stimuli) that have the set
whole. So no row or column is filled in or left out of a fit, and where nothing is missing all neuroids are fitted jointly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.assemblies import Recording
from neurofit.errors import NeurofitError
from neurofit.metrics import TrialSets, find_trial_sessions, pearson

PART_BYTES = 2**30
"""What the fits of one group of bins may hold; more trial halves than fit into it are worked on in turns."""

MIN_TEST = 10
"""Fewest test stimuli of a session: over fewer, the r of two unrelated sides has a standard deviation above 1/3."""


@dataclass(frozen=True)
class Session:
    """Neuroids that were shown the same stimuli, and these stimuli."""

    neuroids: Bool[np.ndarray, " neuroid"]
    stimuli: Bool[np.ndarray, " stimulus"]


@dataclass(frozen=True)
class Part:
    """Means of a run of halves, and how consistent they are.

    Parameters
    ----------
    halves
        Which of all.
    sets
        Means, all trials first. A half that lacks a trial of some stimulus of a neuroid's session, on either side and in any bin
        of the group, is NaN for this neuroid altogether; in its bin, if only all trials are fitted.
    r_yy
        Correlation of the two halves over the stimuli of each test set.
    """

    halves: range
    sets: Float[np.ndarray, "set time_bin stimulus neuroid"]
    r_yy: Float[np.ndarray, "test half neuroid time_bin"]


@dataclass(frozen=True)
class Targets:
    """What is fitted together: all trials and some halves, of some neuroids of a session, without a gap.

    Parameters
    ----------
    neuroids, stimuli, halves
        Positions among all.
    first
        Whether the map of all trials counts; it is fitted with every batch, because it chooses the options of the others.
    sets
        Means: of all trials, of the first halves, of the second halves.
    r_yy
        Of these halves.
    ceiling_tests
        Which of the stimuli r_yy is over.
    mirrored
        Whether each second half is twice the mean of all trials minus the first.
    """

    neuroids: Int[np.ndarray, " neuroid"]
    stimuli: Int[np.ndarray, " stimulus"]
    halves: Int[np.ndarray, " half"]
    first: bool
    sets: Float[np.ndarray, "set time_bin stimulus neuroid"]
    r_yy: Float[np.ndarray, "test half neuroid time_bin"]
    ceiling_tests: Bool[np.ndarray, "test stimulus"]
    mirrored: bool


class TrialMeans:
    """Means of the trials of a group of bins, computed part by part; the last part is kept.

    Parameters
    ----------
    recording
        Of one area.
    trials
        Which trials make the sets.
    bins
        Positions of the time bins.
    tests
        Test stimuli of each split.
    ceiling_stimuli
        Whether halves are correlated over the "test" stimuli or "all".
    parts
        Runs of halves: see `parts_of`.
    min_neuroids
        Of a session: see `find_sessions`.
    fit_halves
        Whether the halves are fitted too: a half that lacks a trial is then left out in all bins of the group, else in this bin.

    Attributes
    ----------
    sessions
        Neuroids that have means of the same stimuli in every bin of the group.
    ceiling_tests
        The stimuli that halves are correlated over, for each test.

    Raises
    ------
    NeurofitError
        If a session has too few test stimuli.
    """

    def __init__(
        self,
        recording: Recording,
        trials: TrialSets,
        bins: Int[np.ndarray, " time_bin"],
        *,
        tests: Bool[np.ndarray, "test stimulus"],
        ceiling_stimuli: str,
        parts: Sequence[range],
        min_neuroids: int,
        fit_halves: bool,
    ) -> None:
        self._recording, self._trials, self._bins, self._parts = recording, trials, bins, parts
        self._fit_halves = fit_halves
        self.ceiling_tests = np.ones_like(tests) if ceiling_stimuli == "all" else tests
        self._mirrored, self._holes = trials.mirrored, False
        sets = self._read(parts[0])
        there = np.isfinite(sets[0]).all(axis=0)
        self.sessions = find_sessions(there, min_neuroids=min(min_neuroids, there.shape[1]))
        for session in self.sessions:
            check_session(session, tests, recording.responses.neuroid_id.values)
        self._last = self._part(parts[0], sets)

    def __iter__(self) -> Iterator[Part]:
        """Go through the parts."""
        for halves in self._parts:
            if halves != self._last.halves:
                self._last = self._part(halves, self._read(halves))
            yield self._last

    def targets(self, session: Session, at: Int[np.ndarray, " time_bin"]) -> Iterator[Targets]:
        """Go through what can be fitted together, in the bins at some positions of the group.

        First, in each part, all neuroids of the session with the halves that they all have whole; then the other halves, each with
        the neuroids that have it. Without `fit_halves`, the means of all trials only.
        """
        neuroids = np.flatnonzero(session.neuroids)
        for part in self if self._fit_halves else [next(iter(self))]:
            n_halves = len(part.halves)
            whole = ~np.isnan(part.sets[1 : 1 + n_halves, 0, session.stimuli.argmax()][:, neuroids])  # a half is NaN with all stimuli
            whole = whole if self._fit_halves else whole[:0]
            everyone = whole.all(axis=1)
            batches = [(np.ones(len(neuroids), dtype=bool), np.flatnonzero(everyone))]
            patterns, which = np.unique(whole[~everyone], axis=0, return_inverse=True)
            batches += [(have, np.flatnonzero(~everyone)[which.ravel() == i]) for i, have in enumerate(patterns) if have.any()]
            for i, (have, halves) in enumerate(batches):
                first = part.halves.start == 0 and i == 0
                if first or len(halves):
                    chosen = np.concatenate([[0], 1 + halves, 1 + n_halves + halves])
                    yield Targets(
                        neuroids=neuroids[have],
                        stimuli=np.flatnonzero(session.stimuli),
                        halves=part.halves.start + halves,
                        first=first,
                        sets=part.sets[np.ix_(chosen, at, session.stimuli, neuroids[have])],
                        r_yy=part.r_yy[np.ix_(np.arange(len(part.r_yy)), halves, neuroids[have], at)],
                        ceiling_tests=self.ceiling_tests[:, session.stimuli],
                        mirrored=not self._holes and bool(self._mirrored[part.halves.start + halves].all()),
                    )

    def _read(self, halves: range) -> np.ndarray:
        means = []
        for b in self._bins:
            trials = self._recording.block(int(b))
            self._holes |= bool(np.isnan(trials).any())
            means.append(self._trials.means(trials, halves))
        return np.stack(means, axis=1)

    def _part(self, halves: range, sets: np.ndarray) -> Part:
        first, second = np.split(sets[1:], 2)
        n_halves, n_bins, _, n_neuroids = first.shape
        r_yy = np.full((len(self.ceiling_tests), n_halves, n_neuroids, n_bins), np.nan)
        for session in self.sessions:
            lacking = np.zeros((n_halves, n_bins, n_neuroids), dtype=bool)
            lacking[..., session.neuroids] = np.isnan(_among(session, first) + _among(session, second)).any(axis=2)
            if self._fit_halves:
                lacking |= lacking.any(axis=1, keepdims=True)
            for side in (first, second):
                side.swapaxes(2, 3)[lacking] = np.nan
            for test, stimuli in enumerate(self.ceiling_tests):
                tested = Session(session.neuroids, session.stimuli & stimuli)
                r_yy[test][:, session.neuroids] = pearson(_among(tested, first), _among(tested, second)).swapaxes(1, 2)
        return Part(halves, sets, r_yy)


def _among(session: Session, sets: np.ndarray) -> np.ndarray:
    return sets[:, :, session.stimuli][..., session.neuroids]


def recording_sessions(recording: Recording) -> Int[np.ndarray, " presentation"] | None:
    """Return a number per presentation for the neuroids it was recorded from, as the first time bin shows; None if always from all."""
    return find_trial_sessions(~np.isnan(recording.block(0)))


def find_sessions(there: Bool[np.ndarray, "stimulus neuroid"], *, min_neuroids: int) -> list[Session]:
    """Group neuroids by the stimuli that they have a mean response to.

    Neuroids with all stimuli are a session; those with fewer are one if at least `min_neuroids` share exactly these. The others,
    which lack trials in a way of their own, are in no session.
    """
    patterns: dict[bytes, list[int]] = {}
    for neuroid, stimuli in enumerate(there.T):
        patterns.setdefault(stimuli.tobytes(), []).append(neuroid)
    sessions = [Session(np.isin(np.arange(there.shape[1]), members), there[:, members[0]]) for members in patterns.values()]
    return [s for s in sessions if s.stimuli.all() or (s.stimuli.any() and s.neuroids.sum() >= min_neuroids)]


def check_session(session: Session, tests: Bool[np.ndarray, "test stimulus"], neuroid_ids: np.ndarray) -> None:
    """Refuse a session that is left with fewer than `MIN_TEST` test stimuli: splits are drawn once, over all stimuli.

    Raises
    ------
    NeurofitError
        Naming the neuroids, and how many stimuli there are.
    """
    fewest = int(tests[:, session.stimuli].sum(axis=1).min())
    if not session.stimuli.all() and fewest < MIN_TEST:
        names = [str(name) for name in neuroid_ids[session.neuroids]]
        said = ", ".join(names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3)
        raise NeurofitError(
            f"{len(names)} neuroids ({said}) have responses to {session.stimuli.sum()} of {len(session.stimuli)} stimuli, of which a "
            f"split leaves {fewest} for testing; it takes {MIN_TEST}.\nDrop these neuroids: responses.isel(neuroid=...)."
        )


def parts_of(n_halves: int, *, bytes_per_half: int) -> list[range]:
    """Return runs of halves that stay inside `PART_BYTES`, whatever the number of workers: it must not change the numbers."""
    size = max(1, PART_BYTES // bytes_per_half)
    return [range(start, min(start + size, n_halves)) for start in range(0, n_halves, size)]

"""Regression targets: trial means of neuroids that saw the same stimuli, in chunks of halves.

    set 0: all trials,    sets 1 to H: first halves,    sets H + 1 to 2 H: second halves

A map is fitted jointly to those neuroids of a session (neuroids with a mean response to exactly the
same stimuli) whose set has no missing value. No value is ever imputed, no row is left out of a fit,
and where no trial is missing all neuroids are fitted together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.errors import NeurofitError, some_of
from neurofit.metrics.correlation import pearson
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import MIN_TEST, TrialSets

CHUNK_BYTES = 2**30
"""Memory for the fits of one group of bins; more trial halves than fit are processed in chunks."""


@dataclass(frozen=True)
class Session:
    """Neuroids that saw the same stimuli, and these stimuli."""

    neuroids: Bool[np.ndarray, " neuroid"]
    stimuli: Bool[np.ndarray, " stimulus"]

    def select(self, sets: np.ndarray) -> np.ndarray:
        """Return the session's part of trial means (set time_bin stimulus neuroid)."""
        return sets[:, :, self.stimuli][..., self.neuroids]


@dataclass(frozen=True)
class HalfMeans:
    """Trial means of a chunk of halves, and their split-half correlations.

    Parameters
    ----------
    halves
        Positions of the halves among all halves.
    sets
        Means over trials, all trials first. If a half lacks the trials of some stimulus of a
        neuroid's session, on either side and in any bin of the group, all its values are NaN for
        this neuroid (only those of this bin, if halves are not fitted).
    r_yy
        Correlation of the two half means over the stimuli of each test set.
    """

    halves: range
    sets: Float[np.ndarray, "set time_bin stimulus neuroid"]
    r_yy: Float[np.ndarray, "test half neuroid time_bin"]


@dataclass(frozen=True)
class Targets:
    """Target sets that are fitted together, without missing values.

    Parameters
    ----------
    neuroids, stimuli, halves
        Positions in the recording, and among all halves.
    first
        Whether the map of all trials counts. It is part of every batch, because it chooses the
        options of the other maps.
    sets
        Means over all trials, over first halves and over second halves.
    r_yy
        Split-half correlations of these halves.
    ceiling_tests
        Stimuli that r_yy is computed over.
    mirrored
        Whether each second half is twice the mean of all trials minus the first half.
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
    """Trial means of a group of time bins, computed chunk by chunk; the last chunk is cached.

    Parameters
    ----------
    recording
        Responses of one region.
    trials
        Trials of each set.
    bins
        Positions of the time bins.
    tests
        Test stimuli of each split.
    ceiling_stimuli
        Whether halves are correlated over the "test" stimuli or over "all".
    chunks
        Chunks of halves; see `chunk_halves`.
    min_neuroids
        Minimum size of a session; see `find_sessions`.
    fit_halves
        Whether maps are fitted to halves. A half that lacks a trial is then dropped in all bins of
        the group, else in this bin.

    Attributes
    ----------
    sessions
        Neuroids with mean responses to the same stimuli in every bin of the group.
    ceiling_tests
        Stimuli that halves are correlated over: boolean (test stimulus).

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
        chunks: Sequence[range],
        min_neuroids: int,
        fit_halves: bool,
    ) -> None:
        self._recording, self._trials, self._bins, self._chunks = recording, trials, bins, chunks
        self._fit_halves = fit_halves
        self.ceiling_tests = np.ones_like(tests) if ceiling_stimuli == "all" else tests
        self._mirrored, self._incomplete = trials.mirrored, False
        sets = self._average(chunks[0])
        recorded = np.isfinite(sets[0]).all(axis=0)
        self.sessions = find_sessions(recorded, min_neuroids=min(min_neuroids, recorded.shape[1]))
        for session in self.sessions:
            check_session(session, tests, recording.responses.neuroid_id.values)
        self._last = self._correlate(chunks[0], sets)

    def __iter__(self) -> Iterator[HalfMeans]:
        """Iterate over the chunks of halves."""
        for halves in self._chunks:
            if halves != self._last.halves:
                self._last = self._correlate(halves, self._average(halves))
            yield self._last

    def targets(self, session: Session, at: Int[np.ndarray, " time_bin"]) -> Iterator[Targets]:
        """Iterate over the target sets that are fitted together.

        The first batch of a chunk has all neuroids of the session, with the halves that are
        complete for all of them; each further batch has other halves, with the neuroids for which
        they are complete. If halves are not fitted, there is one batch, with all trials only.

        Parameters
        ----------
        session
            Neuroids and stimuli.
        at
            Positions of time bins in the group.
        """
        neuroids = np.flatnonzero(session.neuroids)
        for chunk in self if self._fit_halves else [next(iter(self))]:
            n_halves = len(chunk.halves)
            # An incomplete half is NaN for all stimuli, so one stimulus tells.
            stimulus = session.stimuli.argmax()
            complete = ~np.isnan(chunk.sets[1 : 1 + n_halves, 0, stimulus][:, neuroids])
            complete = complete if self._fit_halves else complete[:0]
            for_all = complete.all(axis=1)
            batches = [(np.ones(len(neuroids), dtype=bool), np.flatnonzero(for_all))]
            patterns, which = np.unique(complete[~for_all], axis=0, return_inverse=True)
            batches += [
                (inside, np.flatnonzero(~for_all)[which.ravel() == i])
                for i, inside in enumerate(patterns)
                if inside.any()
            ]
            for i, (inside, halves) in enumerate(batches):
                first = chunk.halves.start == 0 and i == 0
                if not (first or len(halves)):
                    continue
                sets = np.concatenate([[0], 1 + halves, 1 + n_halves + halves])
                mirrored = bool(self._mirrored[chunk.halves.start + halves].all())
                tests = np.arange(len(chunk.r_yy))
                yield Targets(
                    neuroids=neuroids[inside],
                    stimuli=np.flatnonzero(session.stimuli),
                    halves=chunk.halves.start + halves,
                    first=first,
                    sets=chunk.sets[np.ix_(sets, at, session.stimuli, neuroids[inside])],
                    r_yy=chunk.r_yy[np.ix_(tests, halves, neuroids[inside], at)],
                    ceiling_tests=self.ceiling_tests[:, session.stimuli],
                    mirrored=mirrored and not self._incomplete,
                )

    def _average(self, halves: range) -> np.ndarray:
        """Return the means over trials: (set time_bin stimulus neuroid)."""
        means = []
        for b in self._bins:
            trials = self._recording.block(int(b))
            self._incomplete |= bool(np.isnan(trials).any())
            means.append(self._trials.means(trials, halves))
        return np.stack(means, axis=1)

    def _correlate(self, halves: range, sets: np.ndarray) -> HalfMeans:
        """Blank incomplete halves in place and correlate the others."""
        first, second = np.split(sets[1:], 2)
        n_halves, n_bins, _, n_neuroids = first.shape
        r_yy = np.full((len(self.ceiling_tests), n_halves, n_neuroids, n_bins), np.nan)
        for session in self.sessions:
            incomplete = np.zeros((n_halves, n_bins, n_neuroids), dtype=bool)
            both = session.select(first) + session.select(second)
            incomplete[..., session.neuroids] = np.isnan(both).any(axis=2)
            if self._fit_halves:
                incomplete |= incomplete.any(axis=1, keepdims=True)
            for side in (first, second):
                side.swapaxes(2, 3)[incomplete] = np.nan
            for test, stimuli in enumerate(self.ceiling_tests):
                tested = Session(session.neuroids, session.stimuli & stimuli)
                r = pearson(tested.select(first), tested.select(second))
                r_yy[test][:, session.neuroids] = r.swapaxes(1, 2)
        return HalfMeans(halves, sets, r_yy)


def find_sessions(
    recorded: Bool[np.ndarray, "stimulus neuroid"], *, min_neuroids: int
) -> list[Session]:
    """Group neuroids by the stimuli that they have a mean response to.

    Neuroids with all stimuli are a session. Those with fewer are one if at least `min_neuroids`
    share exactly these stimuli; the remaining neuroids are in no session and are not fitted.
    """
    patterns: dict[bytes, list[int]] = {}
    for neuroid, stimuli in enumerate(recorded.T):
        patterns.setdefault(stimuli.tobytes(), []).append(neuroid)
    sessions = [
        Session(np.isin(np.arange(recorded.shape[1]), members), recorded[:, members[0]])
        for members in patterns.values()
    ]
    return [
        s
        for s in sessions
        if s.stimuli.all() or (s.stimuli.any() and s.neuroids.sum() >= min_neuroids)
    ]


def check_session(
    session: Session, tests: Bool[np.ndarray, "test stimulus"], neuroid_ids: np.ndarray
) -> None:
    """Refuse a session with fewer than `MIN_TEST` test stimuli in some split.

    Splits are drawn once, over all stimuli of the recording.

    Raises
    ------
    NeurofitError
        Naming the neuroids and the numbers of stimuli.
    """
    fewest = int(tests[:, session.stimuli].sum(axis=1).min())
    if not session.stimuli.all() and fewest < MIN_TEST:
        names = neuroid_ids[session.neuroids].tolist()
        raise NeurofitError(
            f"Each split needs at least {MIN_TEST} test stimuli; {len(names)} neuroids "
            f"({some_of(names, most=3)}) have responses to {session.stimuli.sum()} of "
            f"{len(session.stimuli)} stimuli, of which a split leaves {fewest}.\n"
            "Drop these neuroids: responses.isel(neuroid=...)."
        )


def chunk_halves(n_halves: int, *, bytes_per_half: int) -> list[range]:
    """Return chunks of halves that fit into `CHUNK_BYTES`.

    They do not depend on the number of workers, which must not change the numbers.
    """
    size = max(1, CHUNK_BYTES // bytes_per_half)
    return [range(start, min(start + size, n_halves)) for start in range(0, n_halves, size)]

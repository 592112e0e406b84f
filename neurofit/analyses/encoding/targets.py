"""Regression targets: trial means of neuroids that have the same stimuli, in chunks of halves.

    set 0: all trials,    sets 1 to H: first halves,    sets H + 1 to 2 H: second halves

A stimulus of which a neuroid has fewer than 2 valid trials, in any bin that is fitted with this
one, is left out for this neuroid alone. Maps are fitted for each session, the neuroids with exactly
the same stimuli; where no trial is missing, all neuroids are one. No value is ever imputed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.metrics.correlation import pearson
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import MIN_TEST, TrialSets, count_trials

CHUNK_BYTES = 2**30
"""Memory for the fits of one group of bins; more trial halves than fit are processed in chunks."""


@dataclass(frozen=True)
class Session:
    """Neuroids with the same stimuli, and these stimuli."""

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
        Means over trials, all trials first. They are complete for the neuroids and the stimuli of a
        session.
    r_yy
        Correlation of the two half means over the stimuli of each test set.
    shares
        Noise shares of the first halves, of the second halves and of all trials over the stimuli of
        the neuroid's session, with which `neurofit.metrics.consistency.reliability_of_halves`
        corrects r_yy.
    """

    halves: range
    sets: Float[np.ndarray, "set time_bin stimulus neuroid"]
    r_yy: Float[np.ndarray, "test half neuroid time_bin"]
    shares: Float[np.ndarray, "3 half neuroid time_bin"]


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
    shares
        Noise shares of these halves; see `HalfMeans`.
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
    shares: Float[np.ndarray, "3 half neuroid time_bin"]
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
    fit_halves
        Whether maps are fitted to halves.

    Attributes
    ----------
    usable
        Whether a neuroid has at least 2 valid trials of a stimulus in every bin of the group:
        boolean (stimulus neuroid).
    sessions
        Neuroids with the same usable stimuli; see `find_sessions`.
    ceiling_tests
        Stimuli that halves are correlated over: boolean (test stimulus).
    sets
        Trial means (set time_bin stimulus neuroid) of the current chunk, which is the first until
        another one is needed.
    sha256
        Hash of the trial means of the first chunk.
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
        fit_halves: bool,
    ) -> None:
        self._recording, self._trials, self._bins, self._chunks = recording, trials, bins, chunks
        self._fit_halves = fit_halves
        self.ceiling_tests = np.ones_like(tests) if ceiling_stimuli == "all" else tests
        self.sets, self._counts = self._average(chunks[0])
        self.usable = np.all(self._counts > 1, axis=0)
        self.sessions = find_sessions(self.usable, tests)
        self.sha256 = hashlib.sha256(np.ascontiguousarray(self.sets).data).hexdigest()
        self._last: HalfMeans | None = None

    @property
    def n_halves(self) -> int:
        """Number of all halves."""
        return self._trials.n_halves

    def shares(
        self, halves: range, stimuli: Bool[np.ndarray, " stimulus"] | None = None
    ) -> Float[np.ndarray, "3 half neuroid time_bin"]:
        """Return the noise shares of halves over all usable stimuli, or over some of them."""
        counts = self._counts * self.usable
        if stimuli is not None:
            counts = counts * stimuli[:, None]
        return np.stack([self._trials.noise_shares(each, halves) for each in counts], axis=-1)

    def __iter__(self) -> Iterator[HalfMeans]:
        """Iterate over the chunks of halves."""
        for halves in self._chunks:
            if self._last is None:
                self._last = self._correlate(halves, self.sets)
            elif halves != self._last.halves:
                self.sets = self._average(halves)[0]
                self._last = self._correlate(halves, self.sets)
            yield self._last

    def targets(self, session: Session, at: Int[np.ndarray, " time_bin"]) -> Iterator[Targets]:
        """Iterate over the target sets that are fitted together: a session's, chunk by chunk.

        If halves are not fitted, there is only the mean of all trials.

        Parameters
        ----------
        session
            Neuroids and stimuli.
        at
            Positions of time bins in the group.
        """
        neuroids, stimuli = np.flatnonzero(session.neuroids), np.flatnonzero(session.stimuli)
        even = (self._counts[np.ix_(at, stimuli, neuroids)] % 2 == 0).all()
        mirrored = bool(even) and self._trials.balanced
        for chunk in self if self._fit_halves else [next(iter(self))]:
            fitted = np.arange(len(chunk.halves) if self._fit_halves else 0)
            sets = np.concatenate([[0], 1 + fitted, 1 + len(chunk.halves) + fitted])
            yield Targets(
                neuroids=neuroids,
                stimuli=stimuli,
                halves=chunk.halves.start + fitted,
                first=chunk.halves.start == 0,
                sets=chunk.sets[np.ix_(sets, at, stimuli, neuroids)],
                r_yy=chunk.r_yy[:, fitted][:, :, neuroids][..., at],
                shares=chunk.shares[:, fitted][:, :, neuroids][..., at],
                ceiling_tests=self.ceiling_tests[:, stimuli],
                mirrored=mirrored,
            )

    def _average(self, halves: range) -> tuple[np.ndarray, np.ndarray]:
        """Return means (set time_bin stimulus neuroid) and counts (time_bin stimulus neuroid)."""
        means, counts = [], []
        for b in self._bins:
            trials = self._recording.block(int(b))
            means.append(self._trials.means(trials, halves))
            counts.append(count_trials(self._recording.stimulus_rows, trials))
        return np.stack(means, axis=1), np.stack(counts)

    def _correlate(self, halves: range, sets: np.ndarray) -> HalfMeans:
        first, second = np.split(sets[1:], 2)
        n_halves, n_bins, _, n_neuroids = first.shape
        r_yy = np.full((len(self.ceiling_tests), n_halves, n_neuroids, n_bins), np.nan)
        for session in self.sessions:
            for test, stimuli in enumerate(self.ceiling_tests):
                tested = Session(session.neuroids, session.stimuli & stimuli)
                r = pearson(tested.select(first), tested.select(second))
                r_yy[test][:, session.neuroids] = r.swapaxes(1, 2)
        return HalfMeans(halves, sets, r_yy, self.shares(halves))


def find_sessions(
    usable: Bool[np.ndarray, "stimulus neuroid"], tests: Bool[np.ndarray, "test stimulus"]
) -> list[Session]:
    """Group neuroids by their usable stimuli.

    Neuroids that lack stimuli, and of whose stimuli fewer than `MIN_TEST` are test stimuli in some
    split, are in no session. Splits are drawn once, over all stimuli of the recording.
    """
    patterns: dict[bytes, list[int]] = {}
    for neuroid, stimuli in enumerate(usable.T):
        patterns.setdefault(stimuli.tobytes(), []).append(neuroid)
    sessions = [
        Session(np.isin(np.arange(usable.shape[1]), members), usable[:, members[0]])
        for members in patterns.values()
    ]
    return [s for s in sessions if s.stimuli.all() or tests[:, s.stimuli].sum(1).min() >= MIN_TEST]


def chunk_halves(n_halves: int, *, bytes_per_half: int) -> list[range]:
    """Return chunks of halves that fit into `CHUNK_BYTES`.

    They do not depend on the number of workers, which must not change the numbers.
    """
    size = max(1, CHUNK_BYTES // bytes_per_half)
    return [range(start, min(start + size, n_halves)) for start in range(0, n_halves, size)]

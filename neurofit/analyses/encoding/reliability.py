"""Agreement of a recording with itself in the splits and halves of an encoding analysis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from neurofit.analyses.encoding.averages import MAX_STORED_HALVES, RunningMean
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.targets import HalfMeans, Session, TrialMeans
from neurofit.metrics.consistency import reliability_of_halves, reliability_of_halves_slope


@dataclass(frozen=True)
class Reliability:
    """Agreement of the recording with itself, shared by all layers and mappings.

    Parameters
    ----------
    r_yy
        Correlations of half means, not corrected (test half neuroid time_bin); at most
        `MAX_STORED_HALVES` halves.
    shares
        Noise shares of halves and of all trials, averaged over halves (3 neuroid time_bin).
    per_test
        Mean over all halves of r_yy in each test (test neuroid time_bin).
    raw, corrected
        Means over tests and all halves of r_yy and of the reliability that belongs to it
        (neuroid time_bin).
    missing
        Whether a neuroid is not fitted because trials are missing (neuroid time_bin).
    n_test
        Number of test stimuli of a split (neuroid time_bin).
    """

    r_yy: np.ndarray
    shares: RunningMean
    per_test: RunningMean
    raw: RunningMean
    corrected: RunningMean
    missing: np.ndarray
    n_test: np.ndarray

    @classmethod
    def empty(cls, fitting: Fitting, *, n_stimuli: int, average: str) -> Reliability:
        """Return statistics without samples, with the influences of `n_stimuli` stimuli."""
        shape = fitting.shape
        raw = average == "correlations"
        n_stored = min(fitting.config.n_halves, MAX_STORED_HALVES)
        return cls(
            r_yy=np.full((len(fitting.tests), n_stored, *shape), np.nan),
            shares=RunningMean.empty((3, *shape)),
            per_test=RunningMean.empty((len(fitting.tests), *shape)),
            raw=RunningMean.empty(shape, n_stimuli=n_stimuli if raw else 0),
            corrected=RunningMean.empty(shape, n_stimuli=0 if raw else n_stimuli),
            missing=np.ones(shape, dtype=bool),
            n_test=np.full(shape, np.nan),
        )

    def add(self, bins: Int[np.ndarray, " time_bin"], means: TrialMeans) -> None:
        """Add the sessions of a group of bins, and all halves chunk by chunk."""
        for session in means.sessions:
            index = np.ix_(session.neuroids, bins)
            self.missing[index] = False
            self.n_test[index] = means.ceiling_tests[:, session.stimuli].sum(axis=1).mean()
        for chunk in means:
            self._add_chunk(bins, chunk)
            if self.raw.influence is not None or self.corrected.influence is not None:
                for session in means.sessions:
                    self._add_influence(bins, chunk, session, means.ceiling_tests)

    def value(self, average: str) -> np.ndarray:
        """Return the reliability of each neuroid (neuroid time_bin), averaged as configured."""
        if average == "correlations":
            return reliability_of_halves(self.raw.value, *self.shares.value)
        return self.corrected.value

    def _add_chunk(self, bins: np.ndarray, chunk: HalfMeans) -> None:
        samples = chunk.r_yy.reshape(-1, *chunk.r_yy.shape[2:])
        self.raw.add((slice(None), bins), samples)
        corrected = reliability_of_halves(chunk.r_yy, *chunk.shares)
        self.corrected.add((slice(None), bins), corrected.reshape(samples.shape))
        everywhere = (slice(None), slice(None), bins)
        self.shares.add(everywhere, chunk.shares.swapaxes(0, 1))
        self.per_test.add(everywhere, chunk.r_yy.swapaxes(0, 1))
        stored = slice(chunk.halves.start, min(chunk.halves.stop, MAX_STORED_HALVES))
        self.r_yy[:, stored, :, bins] = chunk.r_yy[:, : max(0, stored.stop - stored.start)]

    def _add_influence(
        self, bins: np.ndarray, chunk: HalfMeans, session: Session, tests: np.ndarray
    ) -> None:
        neuroids = np.flatnonzero(session.neuroids)
        at = neuroids[:, None], bins
        for test, stimuli in enumerate(tests):
            rows = np.flatnonzero(session.stimuli & stimuli)
            r = chunk.r_yy[test][:, neuroids]
            first, second = np.split(chunk.sets[1:][:, :, rows][..., neuroids], 2)
            self.raw.add_influence(at, rows, first, second, np.ones_like(r))
            slope = reliability_of_halves_slope(r, *chunk.shares[:, :, neuroids])
            self.corrected.add_influence(at, rows, first, second, slope)

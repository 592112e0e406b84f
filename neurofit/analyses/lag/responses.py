"""The recording in all time bins: means over trials, and their reliability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.predictions import in_parallel
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.metrics.averages import nanmean
from neurofit.metrics.consistency import reliability_of_halves

Members = tuple[int, Int[np.ndarray, " _"]]
"""A time bin, and neuroids."""


@dataclass(frozen=True)
class Responses:
    """Trial means of all bins.

    Parameters
    ----------
    means
        Means over all trials; NaN where a stimulus is left out for a neuroid.
    root
        Mean over strata of sqrt(Y_j), the square root of the pooled reliability; 0 where that is
        not positive.
    patterns
        Stimuli that are not left out, with the bins and neuroids for which they are these.
    """

    means: Float[np.ndarray, "time_bin stimulus neuroid"]
    root: Float[np.ndarray, " time_bin"]
    patterns: list[tuple[Bool[np.ndarray, " stimulus"], list[Members]]]

    @classmethod
    def read(cls, fitting: Fitting, strata: Int[np.ndarray, "split neuroid"]) -> Responses:
        """Average the trials of all bins, and of their halves."""
        n_neuroids, n_bins = fitting.shape
        means = np.full((n_bins, len(fitting.recording.stimuli), n_neuroids), np.nan)
        reliability = Reliability.empty(fitting, n_stimuli=0, average="correlations")
        patterns: dict[bytes, tuple[np.ndarray, list[Members]]] = {}

        def read_bin(bins: np.ndarray) -> None:
            own = fitting.means(bins, fitting.chunks)
            reliability.add(bins, own)
            for session in own.sessions:
                key, members = session.stimuli.tobytes(), np.flatnonzero(session.neuroids)
                patterns.setdefault(key, (session.stimuli, []))[1].append((int(bins[0]), members))
                whole = next(iter(own)).sets[0, 0]
                inside = np.ix_(session.stimuli, session.neuroids)
                means[bins[0]][inside] = whole[inside]

        every = list(np.arange(n_bins)[:, None])
        for _ in in_parallel(read_bin, every, n_jobs=fitting.compute.jobs):
            pass
        r_yy = reliability.per_test.value
        found = np.isfinite(r_yy) & (strata >= 0)[..., None]
        roots = []
        for stratum in range(int(strata.max()) + 1):
            inside = found & (strata == stratum)[..., None]
            count = np.maximum(inside.sum(axis=(0, 1)), 1)
            mean = np.where(inside, r_yy, 0.0).sum(axis=(0, 1)) / count
            shares = np.nansum(reliability.shares.value * (inside.sum(axis=0) / count), axis=1)
            roots.append(np.sqrt(np.maximum(reliability_of_halves(mean, *shares), 0.0)))
        in_order = [patterns[key] for key in sorted(patterns)]  # threads fill them in any order
        return cls(means, np.nan_to_num(nanmean(np.stack(roots), axis=0)), in_order)

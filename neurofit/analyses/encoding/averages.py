"""Running means over splits and trial halves, with the influence of each stimulus on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from neurofit.metrics.correlation import pearson_influence

MAX_STORED_HALVES = 100
"""Number of halves whose correlations are stored; further halves enter the means only."""


@dataclass(frozen=True)
class RunningMean:
    """Mean over splits and halves of correlations, ignoring NaN, accumulated in place.

    The influence of a stimulus is the derivative of the mean with respect to its weight, from which
    stimuli are resampled without fitting again (`neurofit.metrics.correlation.pearson_influence`).

    Parameters
    ----------
    total, count
        Sum and number of samples: arrays (*row neuroid time_bin).
    influence
        Sum of influences, float32 (*row stimulus neuroid time_bin); None if they are not stored.
    """

    total: np.ndarray
    count: np.ndarray
    influence: np.ndarray | None

    @classmethod
    def empty(cls, shape: tuple[int, ...], *, n_stimuli: int = 0) -> RunningMean:
        """Return means without samples, with the influences of `n_stimuli` stimuli.

        The shape is (*row neuroid time_bin).
        """
        *rows, n_neuroids, n_bins = shape
        influences = np.zeros((*rows, n_stimuli, n_neuroids, n_bins), dtype=np.float32)
        return cls(
            np.zeros(shape), np.zeros(shape, dtype=np.int64), influences if n_stimuli else None
        )

    def add(self, at: tuple[Any, ...], values: Float[np.ndarray, "sample ..."]) -> None:
        """Add samples at an index of the means."""
        valid = ~np.isnan(values)
        self.total[at] += np.where(valid, values, 0.0).sum(axis=0)
        self.count[at] += valid.sum(axis=0)

    def add_influence(
        self,
        at: tuple[Any, ...],
        stimuli: Int[np.ndarray, " stimulus"],
        a: Float[np.ndarray, "sample time_bin stimulus neuroid"],
        b: Float[np.ndarray, "sample time_bin stimulus neuroid"],
        slope: Float[np.ndarray, "sample neuroid time_bin"],
    ) -> None:
        """Add the influences of stimuli on samples, functions of the correlation of a and b.

        Parameters
        ----------
        at
            Index of the means: rows, neuroids and time bins.
        stimuli
            Positions of the stimuli.
        a, b
            Values that are correlated over these stimuli.
        slope
            Derivative of each sample with respect to the correlation.
        """
        if self.influence is not None:
            *row, neuroids, bins = at
            influence = pearson_influence(a, b, slope.swapaxes(1, 2)).transpose(1, 2, 0)
            self.influence[(*row, stimuli[:, None, None], neuroids, bins)] += influence

    @property
    def value(self) -> np.ndarray:
        """Mean (*row neuroid time_bin); NaN without samples."""
        return np.asarray(np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan))

    def mean_influence(self, row: tuple[int, ...] = ()) -> np.ndarray:
        """Return the influence of each stimulus on the mean, at an index of rows.

        Returns
        -------
        float32 (*row stimulus neuroid time_bin).
        """
        assert self.influence is not None
        count = np.maximum(self.count[row], 1)[..., None, :, :].astype(np.float32)
        return np.asarray(self.influence[row] / count)

    def resampled(
        self, times: Int[np.ndarray, "draw stimulus"], row: tuple[int, ...] = ()
    ) -> Float[np.ndarray, "draw neuroid time_bin"]:
        """Return the mean in samples of the stimuli, to first order.

        With influences I_s, it is mean + sum_s (times_s - 1) I_s if stimulus s occurs times_s times
        in a sample. Without them, the mean does not change.
        """
        if self.influence is None:
            return np.broadcast_to(self.value[row], (len(times), *self.value[row].shape))
        influence = self.mean_influence(row)
        shift = (times - 1).astype(np.float32) @ influence.reshape(len(influence), -1)
        return np.asarray(self.value[row] + shift.reshape(-1, *influence.shape[1:]))

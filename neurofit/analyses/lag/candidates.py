"""Affine maps from model time to recorded time, and what each asks of a model.

    recorded time = pivot + pace (model time - pivot + lag)

with the pivot in the middle of the compared time bins, where the lag is that of the recording
behind the model. All candidates are compared in the same time bins: those for which every one of
them lies within the known time of the model. Before its first image-driven timestep a layer
predicts nothing, which is known; after its last timestep it is not known what it would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.activations.activations import Activations
from neurofit.analyses.lag.config import MIN_BINS, LagConfig
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.time_bins import TimeBin

LAG_STEP = 1.0
"""Distance of candidate lags in ms."""

PACE_RATIO = 1.0125
"""Ratio of neighbouring candidate paces."""

MIN_WINDOWS = 4
"""Smallest number of image-driven model times."""


@dataclass(frozen=True)
class ModelTimes:
    """Times of a layer: windows as long as a recorded bin, or a timestep if it is longer.

    Parameters
    ----------
    windows
        Windows (start, end) in ms, one from each timestep on.
    first
        Position of the first window whose timesteps are all image-driven.
    from_start
        Whether all image-driven timesteps from the first on are known.
    """

    windows: list[TimeBin]
    first: int
    from_start: bool

    @classmethod
    def of(cls, activations: Activations, layer: str, width: int) -> ModelTimes:
        """Return the windows all of whose timesteps were extracted, without gaps."""
        ms, last = activations.ms_per_timestep, activations.n_timesteps
        width, onset = max(width, ms), activations.first_timestep[layer]
        every = [(step * ms, step * ms + width) for step in range(last)]
        every = [each for each in every if each[1] <= last * ms]
        extracted = set(activations.blocks)
        known = [
            window[0] < onset * ms
            or all((layer, step) in extracted for step, _ in activations.timesteps(window))
            for window in every
        ]
        driven = [b for b, (start, _) in enumerate(every) if start >= onset * ms and known[b]]
        if not driven:
            return cls([], 0, from_start=False)
        end = next((b for b in range(driven[0], len(every)) if not known[b]), len(every))
        begin = max((b + 1 for b in range(driven[0]) if not known[b]), default=0)
        return cls(every[begin:end], driven[0] - begin, from_start=begin == 0)

    @cached_property
    def middles(self) -> Float[np.ndarray, " window"]:
        """Middle of each window in ms."""
        return np.asarray(np.array(self.windows, dtype=float).reshape(-1, 2).mean(axis=1))


@dataclass(frozen=True)
class Candidates:
    """Affine maps, the most alike to one-to-one first, and the time bins they are compared in.

    Parameters
    ----------
    lags, paces
        Lag in ms and pace of each candidate; those of the first are 0 and 1.
    times
        Times of the layer.
    middles, width
        Middle of each recorded time bin, and its width, in ms.
    compared
        Whether candidates are compared in a time bin.
    """

    lags: Float[np.ndarray, " candidate"]
    paces: Float[np.ndarray, " candidate"]
    times: ModelTimes
    middles: Float[np.ndarray, " time_bin"]
    width: int
    compared: Bool[np.ndarray, " time_bin"]

    @classmethod
    def of(
        cls, activations: Activations, layer: str, recording: Recording, config: LagConfig
    ) -> Candidates:
        """Return the candidates of a layer.

        Raises
        ------
        NeurofitError
            If time bins differ in width, or fewer than `MIN_BINS` can be compared.
        """
        bins = np.array(recording.time_bins)
        if len(widths := np.unique(bins[:, 1] - bins[:, 0])) > 1:
            raise NeurofitError(
                f"A lag needs time bins of equal width; those of {recording.name} last "
                f"{widths.min()} to {widths.max()} ms."
            )
        lags, paces = grid(config)
        middles, width = bins.mean(axis=1), int(widths[0])
        times = ModelTimes.of(activations, layer, width)
        compared = np.full(len(bins), len(times.windows) - times.first >= MIN_WINDOWS)
        while compared.any():
            found = cls(lags, paces, times, middles, width, compared)
            inside = compared & found.reached
            if (inside == compared).all():
                break
            compared = inside
        if compared.sum() < MIN_BINS:
            known = "none"
            if times.windows:
                known = f"{times.windows[0][0]}-{times.windows[-1][1]} ms"
            raise NeurofitError(
                f"The lags and paces must leave {MIN_BINS} time bins of {recording.name} in which "
                f"all of them lie within the known time of {layer} ({known}); "
                f"{int(compared.sum())} of {len(bins)} do. Narrow lags or paces, or unroll longer.",
                option="lags",
            )
        order = np.abs(found.model_time[:, compared] - middles[compared]).mean(axis=1)
        first = np.argsort(order, kind="stable")
        return cls(lags[first], paces[first], times, middles, width, compared)

    @property
    def pivot(self) -> float:
        """Middle of the compared time bins in ms."""
        return float(self.middles[self.compared].mean())

    @property
    def intercepts(self) -> Float[np.ndarray, " candidate"]:
        """Recorded time in ms at which each candidate has the onset of the model's image."""
        return self.pivot - self.paces * (self.pivot - self.lags)

    @property
    def model_time(self) -> Float[np.ndarray, "candidate time_bin"]:
        """Model time in ms of each recorded bin's middle."""
        paces = self.paces[:, None]
        return np.asarray(self.pivot - self.lags[:, None] + (self.middles - self.pivot) / paces)

    @property
    def reached(self) -> Bool[np.ndarray, " time_bin"]:
        """Whether the model's time is known for a recorded bin, whichever candidate holds."""
        known, asked = self.times.middles, self.model_time
        latest = asked.max(axis=0) <= known[-1] + 1e-9
        return np.asarray(latest & (self.times.from_start | (asked.min(axis=0) >= known[0] - 1e-9)))

    @cached_property
    def weights(self) -> Float[np.ndarray, "candidate window time_bin"]:
        """Mean over the compared bins of values at each model time, as weights.

        Between image-driven model times, values are interpolated by cubic convolution (Keys 1981,
        IEEE Trans Acoust 29:1153); before the first they fall to 0 within a timestep.
        """
        first, n = self.times.first, len(self.times.windows) - self.times.first
        known = self.times.middles[first:]
        place = (self.model_time - known[0]) / (known[1] - known[0])
        base = np.clip(np.floor(place + 1e-9), 0, n - 2).astype(int)
        part = place - base
        made = np.zeros((*place.shape, n + 2))  # with one value beyond each end
        row, column = np.nonzero((place >= 0) & self.compared)
        for tap in (-1, 0, 1, 2):
            at = base[row, column] + tap + 1
            made[row, column, at] += _keys(np.abs(part[row, column] - tap))
        for own, beyond in ((slice(1, 4), 0), (slice(n, n - 3, -1), n + 1)):  # a parabola goes on
            made[..., own] += made[..., [beyond]] * np.array([3.0, -3.0, 1.0])
        made = made[..., 1:-1]
        made[..., 0] += np.where(place < 0, np.maximum(1 + place, 0), 0.0) * self.compared
        silent = np.zeros((*place.shape, first))
        return np.concatenate([silent, made], axis=2).swapaxes(1, 2) / int(self.compared.sum())

    def windows_of(self, candidate: int, time_bins: list[TimeBin]) -> list[TimeBin]:
        """Return the model time of each recorded bin, as long as the bin and in whole ms."""
        shifts = np.rint(self.model_time[candidate] - self.middles).astype(int)
        return [
            (start + int(shift), end + int(shift))
            for (start, end), shift in zip(time_bins, shifts, strict=True)
        ]

    def drives(self, window: TimeBin) -> bool:
        """Return whether a window lies within the known and image-driven time of the layer."""
        windows, first = self.times.windows, self.times.first
        return windows[first][0] <= window[0] and window[1] <= windows[-1][1]


def grid(config: LagConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the lags and paces of all candidates.

    Lags are multiples of `LAG_STEP`, paces powers of `PACE_RATIO`.
    """
    lags = np.arange(np.ceil(config.lags[0] / LAG_STEP), config.lags[1] // LAG_STEP + 1)
    ends = np.log(config.paces) / np.log(PACE_RATIO)
    powers: Int[np.ndarray, " pace"] = np.arange(np.ceil(ends[0] - 1e-9), ends[1] // 1 + 1)
    every = np.meshgrid(LAG_STEP * lags, PACE_RATIO**powers, indexing="ij")
    return every[0].ravel(), every[1].ravel()


def _keys(distance: np.ndarray) -> np.ndarray:
    """Return the kernel of cubic convolution with a = -1/2."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.asarray(np.where(distance <= 1, near, np.where(distance < 2, far, 0.0)))

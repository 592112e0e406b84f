"""Where in time the outputs of a network for a clip belong, measured by changing single frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurofit.models.calls import WHOLE, Way, find_values, is_series, name_steps, time_steps

Outputs = Mapping[str, list[object]]
"""Layer -> outputs of its calls."""

ROUNDING = 1e-7
"""Largest difference that rounding explains, as a share of the largest value."""


STEADY, SLOWEST = 0.8, 0.05
"""Least correlation of the order of outputs with the centre of the frames that change them, and
least movement of this centre, as a share of an even spread, along an axis that is time."""


@dataclass(frozen=True, kw_only=True)
class FrameTimes:
    """Time of the outputs of a layer: output j is placed at frame `first + j * stride`.

    Parameters
    ----------
    way
        How time is found in the outputs.
    n_outputs
        Number of outputs over time.
    first, stride
        Placement, in frames.
    field
        Length of the receptive field in time, in frames; 0 if it exceeds the clip.
    placed
        How the placement was found, in words.
    """

    way: Way
    n_outputs: int
    first: float
    stride: float
    field: int
    placed: str

    @property
    def first_frame(self) -> int:
        """First frame with an output: of a causal network, the last that its first one needs."""
        return math.ceil(self.first - 1e-6) if self.placed == LAST else 0

    def output_at(self, frame: int) -> int:
        """Return the number of the output that is nearest to a frame in time.

        Of a causal network it is the last one that has seen no later frame; -1 if there is none.
        """
        if frame < self.first_frame:
            return -1
        reach = 1e-6 if self.placed == LAST else 0.5
        nearest = int(np.floor((frame - self.first) / self.stride + reach))
        return min(max(nearest, 0), self.n_outputs - 1)

    def describe(self, ms_per_frame: int, onset_ms: int) -> str:
        """Return the mapping in words, with times from stimulus onset."""
        if self.way == WHOLE:
            return "one output for the whole clip, the same at all timesteps"
        start = self.first * ms_per_frame - onset_ms
        field = f"{self.field} frames" if self.field else "longer than the clip"
        return (
            f"{name_steps(self.way, self.n_outputs)}, at {start:g} ms and every "
            f"{self.stride * ms_per_frame:g} ms; receptive field {field}; {self.placed}"
        )


@dataclass(frozen=True)
class FrameTimeline:
    """Timesteps of a network that takes frames: each frame from the onset on is one.

    Parameters
    ----------
    n_timesteps
        Number of timesteps, from the onset to the end of the clip.
    onset
        Frame of the onset.
    times
        Layer -> times of its outputs.
    """

    n_timesteps: int
    onset: int
    times: Mapping[str, FrameTimes]

    @property
    def first(self) -> Mapping[str, int]:
        """Layer -> first timestep with an output."""
        return {layer: max(0, each.first_frame - self.onset) for layer, each in self.times.items()}

    @property
    def calls(self) -> Mapping[str, int]:
        """Layer -> number of outputs over time."""
        return {layer: each.n_outputs for layer, each in self.times.items()}

    def describe(self, layer: str, ms_per_timestep: int) -> str:
        """Return where the outputs of a layer are in time, in words."""
        return self.times[layer].describe(ms_per_timestep, self.onset * ms_per_timestep)

    def at_timesteps(self, calls: Mapping[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        """Return the output of each layer from its `first` timestep on, from all its outputs."""
        first = self.first
        return {
            layer: [outputs[self.call_at(layer, n)] for n in range(first[layer], self.n_timesteps)]
            for layer, outputs in calls.items()
        }

    def call_at(self, layer: str, timestep: int) -> int:
        """Return the number of the output at a timestep; negative before the first."""
        return self.times[layer].output_at(timestep + self.onset)


CENTRE = "placed at the centre of the receptive field"
LAST = "causal, placed at the last of its own frames"
SPREAD = "spread evenly over the clip"


def measure_times(
    run: Callable[[Tensor], Outputs], clip: Tensor, *, axis: int
) -> dict[str, FrameTimes]:
    """Return the times of the outputs of layers.

    Each frame is replaced by another in turn. The time axis of an output is the one along which the
    centre of the frames that change it moves steadily.

    Parameters
    ----------
    run
        Runs the network on clips and returns layer -> outputs of its calls.
    clip
        Normalised clips of two stimuli, with frames that differ.
    axis
        Axis of the frames.
    """
    first = clip[:1]
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(1)
        base, pair = run(first), run(clip)
        n_frames = clip.shape[axis]
        candidates = {
            layer: _candidates(outputs, pair[layer], n_frames) for layer, outputs in base.items()
        }
        before = {layer: _values(base[layer], ways) for layer, ways in candidates.items()}
        effects: dict[tuple[str, Way], list[np.ndarray]] = {}
        for frame in range(n_frames):
            changed = first.clone()
            part = changed.select(axis, frame)
            part.copy_(torch.randn_like(part))
            found = run(changed)
            for layer, ways in candidates.items():
                now = _values(found[layer], ways)
                for way in ways:
                    own = before[layer][way]
                    apart = (now[way] - own).abs()
                    largest, noise = apart.amax(dim=1), ROUNDING * float(own.abs().max())
                    size = apart.square().mean(dim=1).sqrt() * (largest > noise)
                    effects.setdefault((layer, way), []).append(size.cpu().double().numpy())
    return {
        layer: _place({way: np.stack(effects[layer, way]) for way in ways}, n_frames)
        for layer, ways in candidates.items()
    }


def _candidates(outputs: list[object], pair: list[object], n_frames: int) -> list[Way]:
    """Return the ways in which outputs for one stimulus may have time, from those for two.

    The units of a vector are not in time, and more places than frames are also places in space.
    """
    if len(outputs) > 1:
        return ["calls"]
    if is_series(outputs[0]):
        return ["outputs"]
    one, two = (find_values(each[0]) for each in (outputs, pair))
    if len(one) == 1:
        return [
            axis for axis in range(1, one.ndim) if one.ndim > 2 and 1 < one.shape[axis] <= n_frames
        ]
    if len(one) == len(two):
        return ["first"]
    together = torch.allclose(two[: len(one)], one, rtol=1e-4, atol=1e-4 * float(one.abs().max()))
    return ["batch" if together else "batch_last"]


def _values(outputs: list[object], ways: Sequence[Way]) -> dict[Way, Tensor]:
    """Return outputs for one stimulus in each way as a tensor (time value)."""
    return {
        way: torch.stack(
            [
                step.flatten()
                for each in outputs
                for step in time_steps(each, way, 1, where="an output")
            ]
        )
        for way in ways
    }


def _place(effects: Mapping[Way, np.ndarray], n_frames: int) -> FrameTimes:
    """Return the times of outputs from the effects of frames (frame output) along each axis."""
    moving = {way: _movement(each) for way, each in effects.items()}
    best = max(moving, key=lambda way: moving[way], default=WHOLE)
    if best == WHOLE or moving[best] <= 0:
        return FrameTimes(
            way=WHOLE, n_outputs=1, first=0.0, stride=float(n_frames), field=0, placed=SPREAD
        )
    seen = effects[best] > 0
    n_outputs = seen.shape[1]
    first = seen.argmax(axis=0)
    last = n_frames - 1 - seen[::-1].argmax(axis=0)
    some = seen.any(axis=0)
    begins, ends = np.flatnonzero(some & (first > 0)), np.flatnonzero(some & (last < n_frames - 1))
    steps = [*np.diff(first[begins]), *np.diff(last[ends])]
    stride = float(np.median(steps)) if steps else n_frames / n_outputs
    begin = first[begins[-1]] - stride * begins[-1] if len(begins) else None
    end = last[ends[0]] - stride * ends[0] if len(ends) else None
    common = {"way": best, "n_outputs": n_outputs, "stride": stride}
    field = 0 if begin is None or end is None else round(end - begin) + 1
    if end is not None and end < stride:  # causal; a network that waits for a frame keeps its delay
        return FrameTimes(**common, first=max(float(end), 0.0), field=field, placed=LAST)
    if begin is not None and end is not None:
        return FrameTimes(**common, first=float(begin + end) / 2, field=field, placed=CENTRE)
    stride = n_frames / n_outputs
    return FrameTimes(
        **{**common, "stride": stride}, first=(stride - 1) / 2, field=field, placed=SPREAD
    )


def _movement(effects: np.ndarray) -> float:
    """Return how far the centre of the effective frames moves from output to output.

    It is relative to an even spread over the clip, and 0 where it does not move steadily.
    """
    n_frames, n_outputs = effects.shape
    total = effects.sum(axis=0)
    order = np.flatnonzero(total)  # an output before the first frame depends on none
    if len(order) < 2:
        return 0.0
    centres = (np.arange(n_frames) @ effects[:, order]) / total[order]
    if np.ptp(centres) < 1e-6 or np.corrcoef(order, centres)[0, 1] < STEADY:
        return 0.0
    moved = float(np.polyfit(order, centres, 1)[0]) * n_outputs / n_frames
    return moved if moved > SLOWEST else 0.0

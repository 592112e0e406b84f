"""Clips: how an image, or a movie, is shown to a network that takes several frames at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.activations.presentation import Presentation
from neurofit.activations.screen import GRAY
from neurofit.errors import NeurofitError, check_option
from neurofit.models.images import frame_at
from neurofit.models.probe import untouched

BLANKS: dict[str, dict[str, Any]] = {
    "gray": {"blank": GRAY, "blank_space": "pixel"},
    "black": {"blank": 0.0, "blank_space": "pixel"},
    "mean": {"blank": 0.0, "blank_space": "normalized"},
}
"""What precedes and follows an image -> fields of `Presentation`; "mean" is that of the network."""

AXES = {1: "batch time channel height width", 2: "batch channel time height width"}
"""Axis of the frames in the input of a network -> its axes."""

USUAL = {1: (26, 10), 2: (16, 20)}
"""The same -> default number of frames, and their duration in ms: a recording's 260 ms in steps of
10 ms, and the frames of a video model, which together outlast it."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """How an image is shown to a network that takes frames. A frame lasts a timestep of the model.

    Parameters
    ----------
    frames
        Number of frames; None for `USUAL`.
    axis
        Axis of the frames in the input, see `AXES`; None lets the probe find it.
    onset_ms
        Time of the frames before the image, in ms. The model's first timestep is at onset.
    offset_ms
        Duration of the image, in ms; None for that of the recording.
    after
        What precedes and follows the image, one of `BLANKS`.

    Raises
    ------
    NeurofitError
        If a value is out of its range.
    """

    frames: int | None = None
    axis: int | None = None
    onset_ms: int = 0
    offset_ms: int | None = None
    after: str = "gray"

    def __post_init__(self) -> None:
        check_option("what follows an image in a clip (after)", self.after, BLANKS)
        if self.axis is not None:
            check_option("axis of frames", str(self.axis), map(str, AXES))
        low = {"frames": 1, "onset_ms": 0, "offset_ms": 1}
        for name, least in low.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= least):
                raise NeurofitError(f"{name} must be a whole number of at least {least}; {value}.")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.frames or USUAL[self.axis or 1][0]

    @property
    def usual_ms(self) -> int:
        """Default duration of a frame, in ms."""
        return USUAL[self.axis or 1][1]

    def onset(self, ms_per_timestep: int) -> int:
        """Return the frame at which the image comes on.

        Raises
        ------
        NeurofitError
            If the onset is no frame of the clip.
        """
        frame, rest = divmod(self.onset_ms, ms_per_timestep)
        if rest or frame >= self.n_frames:
            raise NeurofitError(
                f"An image comes on at one of the {self.n_frames} frames of {ms_per_timestep} ms; "
                f"got onset={self.onset_ms} ms."
            )
        return frame

    def still(
        self, call: Callable[[nn.Module, Tensor], object]
    ) -> Callable[[nn.Module, Tensor], object]:
        """Return a function that runs a network on an image as a clip of equal frames."""
        return lambda module, images: call(
            module, torch.stack([images] * self.n_frames, dim=self.axis or 1)
        )

    def describe(self, ms_per_timestep: int) -> str:
        """Return how an image is shown, in words."""
        off = "when the recording says" if self.offset_ms is None else f"after {self.offset_ms} ms"
        return (
            f"clip ({AXES[self.axis or 1]}) of {self.n_frames} frames of {ms_per_timestep} ms; the "
            f"image comes on at {self.onset_ms} ms and is off {off}; {self.after} before and after "
            "it"
        )

    def presentations(self, ms_per_timestep: int) -> dict[str, Presentation]:
        """Return the presentations of a model, from the onset to the end of the clip."""
        own = Presentation(
            n_timesteps=self.n_frames - self.onset(ms_per_timestep), **BLANKS[self.after]
        )
        off = 100 if self.offset_ms is None else self.offset_ms
        neural = replace(own, image_off=max(1, int(off / ms_per_timestep + 0.5)))
        return {"default": own, "neural": neural, "constant": own}

    def make(self, images: Tensor, shown: Presentation, blank: Tensor, onset: int) -> Tensor:
        """Return clips with the axes of the network's input.

        Parameters
        ----------
        images
            Normalised images (batch channel height width), or movies with a frame for each timestep
            (batch timestep channel height width), after whose end the blank is shown.
        shown
            Presentation from the onset on.
        blank
            Normalised blank (channel 1 1).
        onset
            Frame of the onset.
        """
        empty = blank.expand(images.shape[-3:])[None].expand(len(images), -1, -1, -1)
        frames = [frame_at(images, number - onset, shown, empty) for number in range(self.n_frames)]
        return torch.stack(frames, dim=self.axis or 1)


def find_clip(
    module: nn.Module, call: Callable[[nn.Module, Tensor], object], images: Tensor, clip: Clip
) -> Clip | None:
    """Return a clip with the axis of the frames that a network takes; None if it takes images.

    Images are tried first, unless the clip has an option of its own, then both axes. A network
    that takes none of them is said to take images, whose error is that of the probe.

    Parameters
    ----------
    module, call
        Network in evaluation mode, and the function that runs it.
    images
        Normalised images (batch channel height width), whose number is not that of the channels.
    clip
        Clip, whose axis is taken if it is stated.

    Raises
    ------
    NeurofitError
        If the clip has options, and the network takes no frames.
    """
    if clip.axis is not None:
        return clip
    if clip == Clip() and _takes(module, call, images):
        return None
    for axis in AXES:
        own = replace(clip, axis=axis)
        if _takes(module, call, torch.stack([images] * own.n_frames, dim=axis)):
            return own
    if clip == Clip():
        return None
    raise NeurofitError(
        f"{type(module).__name__} takes no {clip.n_frames} frames ({' or '.join(AXES.values())}); "
        "options of clips are for networks that do. Set frames to another number, or leave them."
    )


def _takes(module: nn.Module, call: Callable[[nn.Module, Tensor], object], shown: Tensor) -> bool:
    cuda = range(torch.cuda.device_count())
    try:
        with torch.random.fork_rng(cuda), torch.no_grad(), untouched(module):
            call(module, shown)
    except Exception:  # a module may fail in any way
        return False
    return True

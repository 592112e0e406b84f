"""Presentation of an image to a model: its duration, and the blank that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurofit.errors import NeurofitError


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """Presentation of an image to an unrolled model.

    Parameters
    ----------
    n_timesteps
        Number of timesteps of the unroll.
    image_off
        First timestep without the image. None shows it at every timestep.
    blank
        Value of every channel after the image.
    blank_space
        Space of `blank`: "normalized" (after subtracting the mean and dividing by the standard
        deviation) or "pixel" (in [0, 1]).

    Raises
    ------
    NeurofitError
        If there is no timestep, or the image is never shown.

    Notes
    -----
    The published ConvRNNs use a blank of 0.5 in normalised space (reference code of Nayebi et al.
    2022). The image's size in the visual field is set in `neurofit.activations.screen`.

    Examples
    --------
    >>> import neurofit
    >>> flash = neurofit.Presentation(n_timesteps=26, image_off=10)
    >>> flash.shows_image(9), flash.shows_image(10)
    (True, False)
    >>> neurofit.create_model("rgc_tiny").presentations["neural"]
    Presentation(...)
    """

    n_timesteps: int
    image_off: int | None = None
    blank: float = 0.5
    blank_space: Literal["normalized", "pixel"] = "normalized"

    def __post_init__(self) -> None:
        if self.n_timesteps < 1:
            raise NeurofitError(
                f"A presentation needs at least one timestep; got {self.n_timesteps}."
            )
        if self.image_off is not None and self.image_off < 1:
            raise NeurofitError(
                f"An image is shown for at least one timestep; got image_off={self.image_off}."
            )

    def shows_image(self, timestep: int) -> bool:
        """Return whether the image is shown at a timestep."""
        return self.image_off is None or timestep < self.image_off


NEURAL = Presentation(n_timesteps=26, image_off=10)
"""Presentation as in recordings: 26 steps of 10 ms, with the image shown for the first 100 ms.

Used by Nayebi et al. (2022) for their models.
"""

"""How an image is shown to a model: for how long, what follows it, and how large it is in the visual field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurofit.errors import NeurofitError


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """One explicit way of showing an image to an unrolled model.

    Parameters
    ----------
    n_timesteps
        Length of the unroll.
    image_off
        First timestep at which the image is gone; None shows it at every step.
    blank
        The constant that follows the image, in every channel.
    blank_space
        The space of `blank`: "normalized" (after mean and standard deviation) or "pixel" (in [0, 1]).

    Raises
    ------
    NeurofitError
        If there is no timestep, or the image never shows.

    Notes
    -----
    The published ConvRNNs use a blank of 0.5 in the normalised space (Nayebi et al. 2022, reference code). The degrees
    of the image belong to the stimulus set, the degrees of the model's field to the model: see `neurofit.screen`.
    """

    n_timesteps: int
    image_off: int | None = None
    blank: float = 0.5
    blank_space: Literal["normalized", "pixel"] = "normalized"

    def __post_init__(self) -> None:
        if self.n_timesteps < 1:
            raise NeurofitError(f"A presentation needs at least one timestep; got {self.n_timesteps}.")
        if self.image_off is not None and self.image_off < 1:
            raise NeurofitError(f"The image must show for at least one timestep; got image_off={self.image_off}.")

    def shows_image(self, timestep: int) -> bool:
        """Return whether the image is on at this timestep."""
        return self.image_off is None or timestep < self.image_off


NEURAL = Presentation(n_timesteps=26, image_off=10)
"""As in the recordings: 26 steps of 10 ms, image on for the first 100 ms (zoo of Nayebi et al. 2022)."""

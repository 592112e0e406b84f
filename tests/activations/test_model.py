"""A model that breaks the contract is told what is wrong, where, and how to repair it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from neurofit.activations.model import Model, find_presentation, validate_model
from neurofit.activations.presentation import Presentation
from neurofit.errors import NeurofitError


class Blur:
    """A correct model of two layers: each step passes the mean of the image one layer up."""

    name = "blur"
    layers: tuple[str, ...] = ("low", "high")
    region_layers: Mapping[str, tuple[str, ...]] = {"V4": ("low",), "IT": ("high",)}
    first_timestep: Mapping[str, int] = {"low": 0, "high": 1}
    ms_per_timestep = 10
    input_size = 8
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    visual_degrees = 8.0
    presentations: Mapping[str, Presentation] = {
        "default": Presentation(n_timesteps=4, image_off=2)
    }

    def unroll(
        self,
        images: Tensor,
        presentation: str | Presentation = "default",
        *,
        layers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        shown = find_presentation(self, presentation)
        low = torch.zeros(len(images), 3, 1, 1)
        for timestep in range(shown.n_timesteps):
            high, low = (
                low,
                images.mean(dim=(2, 3), keepdim=True) * float(shown.shows_image(timestep)),
            )
            yield timestep, self.finish({"low": low, "high": high}, timestep)

    def finish(self, activations: dict[str, Tensor], timestep: int) -> dict[str, Tensor]:
        return activations


def test_a_correct_model_passes() -> None:
    assert isinstance(Blur(), Model)
    validate_model(Blur())


class Infinite(Blur):
    def finish(self, activations: dict[str, Tensor], timestep: int) -> dict[str, Tensor]:
        return {**activations, "low": activations["low"] / 0}


class OneStimulus(Blur):
    def finish(self, activations: dict[str, Tensor], timestep: int) -> dict[str, Tensor]:
        return {**activations, "high": activations["high"][:1]}


class LayerLost(Blur):
    def finish(self, activations: dict[str, Tensor], timestep: int) -> dict[str, Tensor]:
        return {"low": activations["low"]}


class TooEarly(Blur):
    first_timestep = {"low": 0, "high": 0}


class WrongRegion(Blur):
    region_layers = {"V4": ("lwo",)}


class Unnamed(Blur):
    first_timestep = {"low": 0}


class NoDefault(Blur):
    presentations = {"neural": Presentation(n_timesteps=4)}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Infinite(), "blur, layer low, timestep 0: activations are not finite"),
        (OneStimulus(), "the first axis must be the batch (2 images); got shape (1, 3, 1, 1)"),
        (LayerLost(), "timestep 0 gave layers low; expected low, high"),
        (
            TooEarly(),
            "blur, layer high, timestep 0: the image does not yet reach it, "
            "but first_timestep is 0",
        ),
        (WrongRegion(), "Unknown layer for V4 of blur 'lwo'. Did you mean 'low'?"),
        (Unnamed(), "first_timestep must name every layer once"),
        (NoDefault(), "Unknown presentation of blur 'default'"),
    ],
)
def test_a_broken_model_is_told_what_and_where(model: Any, message: str) -> None:
    with pytest.raises(NeurofitError) as caught:
        validate_model(model)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_presentations_that_show_nothing_are_refused() -> None:
    with pytest.raises(NeurofitError, match="at least one timestep"):
        Presentation(n_timesteps=0)
    with pytest.raises(NeurofitError, match="image_off=0"):
        Presentation(n_timesteps=5, image_off=0)
    shown = Presentation(n_timesteps=5, image_off=2)
    assert [shown.shows_image(t) for t in range(5)] == [True, True, False, False, False]

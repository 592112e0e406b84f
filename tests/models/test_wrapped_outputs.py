"""What a recorded layer returns depends on the image, with the batch first, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import neurofit
from neurofit.activations.extract import extract
from neurofit.activations.model import validate_model
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.models import wrap
from neurofit.recordings.stimuli import StimulusSet

small = partial(wrap, input_size=16)


def test_a_module_that_depends_on_the_layout_of_its_maps_can_be_extracted(
    make_recording: Callable[..., neurofit.Recording],
) -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.head = nn.Linear(4 * 14 * 14, 5)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.conv(images)
            logits: Tensor = self.head(maps.view(len(maps), -1))
            return logits

    stimuli: StimulusSet = make_recording().stimuli
    activations = extract(small(Views(), ["head"]), stimuli, time_bins=[(0, 10)])
    assert activations.blocks["head", 0].shape == (6, 5)
    with pytest.raises(
        NeurofitError,
        match=r"Views cannot be run on images \(7, 3, 224, 224\): Runtime.*\nSet input_size",
    ):
        wrap(Views(), ["head"])


def test_time_first_sequences_are_not_taken_for_batches() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, images: Tensor) -> Tensor:
            out: Tensor = self.rnn(images.mean(dim=(2, 3))[None].expand(4, -1, -1))[0][-1]
            return out

    with pytest.raises(
        NeurofitError,
        match=r"layer rnn: the first axis must be the batch \(7 images\); got shape \(4, 7, 4\)",
    ):
        small(Sequence(), ["rnn"])


class Blind(nn.Module):
    """Depends on the image only from the second step on, or never."""

    def __init__(self, *, ever: bool = True) -> None:
        super().__init__()
        self.ever = ever
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        seen = torch.zeros_like(images)
        for _ in range(3):
            out: Tensor = self.conv(seen)
            seen = images if self.ever else seen + 1
        return out


def test_a_layer_that_is_the_same_for_all_images_is_reported() -> None:
    with pytest.warns(
        NeurofitWarning,
        match=r"Blind, layer conv: the output is the same for all images at timestep 0",
    ):
        model = small(Blind(), ["conv"])
    assert model.first_timestep == {"conv": 1}
    validate_model(model)
    with pytest.raises(
        NeurofitError,
        match=r"layer conv: the output is the same for all images, so that it cannot predict",
    ):
        small(Blind(ever=False), ["conv"])


def test_outputs_that_cannot_be_recorded_are_refused() -> None:
    class Texts(nn.Module):
        def forward(self, images: Tensor) -> tuple[str, Tensor]:
            return "no", images

    class Text(Texts):
        def forward(self, images: Tensor) -> str:  # type: ignore[override]
            return "no"

    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flip = nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            return self.flip(images.mean(dim=0))  # type: ignore[no-any-return]

    with pytest.raises(
        NeurofitError,
        match=r"layer flip: the first axis must be the batch \(7 images\); got shape \(3, 16, 16\)",
    ):
        small(TimeFirst(), ["flip"])
    small(nn.Sequential(Texts()), ["0"])  # the first tensor of a tuple
    with pytest.raises(
        NeurofitError,
        match=r"layer 0: a recorded layer must return a tensor, "
        r"or a tuple, list or dict with one; got str",
    ):
        small(nn.Sequential(Text()), ["0"])

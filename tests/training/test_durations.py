"""With `durations`, each batch sees its images for a number of timesteps that is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from neurofit.activations.model import find_presentation
from neurofit.activations.presentation import Presentation
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models.convrnn import ConvRNN
from neurofit.training.config import TrainConfig
from neurofit.training.step import drawn_presentation
from neurofit.training.train import train

Net = Callable[..., ConvRNN]
Images = Callable[..., ImageSet]


def test_each_duration_is_drawn_equally_often_and_depends_on_seed_and_step_alone(net: Net) -> None:
    config = TrainConfig(durations=(2, 3, 5), seed=4)
    shown = [drawn_presentation(net(), config, step) for step in range(600)]
    durations = [each.image_off for each in shown if each is not None]
    counts = np.bincount([d for d in durations if d], minlength=6)
    assert counts[[0, 1, 4]].sum() == 0
    assert scipy.stats.chisquare(counts[[2, 3, 5]]).pvalue > 1e-3
    assert shown == [drawn_presentation(net(), config, step) for step in range(600)]
    other = [drawn_presentation(net(), replace(config, seed=5), step) for step in range(600)]
    assert shown != other
    assert {each.n_timesteps for each in shown if each is not None} == {5}


class Noting(ConvRNN):
    """A net that notes for how long the images of each training batch are on."""

    def readouts(self, images: Tensor, presentation: str | Presentation = "default") -> Any:
        if self.training and images.device.type != "meta":
            self.__dict__.setdefault("noted", []).append(
                (find_presentation(self, presentation).image_off, len(images))
            )
        return super().readouts(images, presentation)


def noting(net: ConvRNN) -> Any:
    net.__class__ = Noting
    return net


def test_a_batch_has_one_duration_and_a_resumed_run_goes_on_to_the_same_weights(
    net: Net, image_set: Images, short_run: TrainConfig, tmp_path: Path
) -> None:
    config = replace(short_run, durations=(3, 4, 5), accumulate=2)
    whole = noting(net())
    train(whole, image_set(), config, out=tmp_path / "whole")
    noted = whole.noted
    assert len(noted) == 2 * 18
    assert noted[::2] == noted[1::2]  # both parts of a batch
    assert {off for off, _ in noted} == {3, 4, 5}

    def stop(done: int, *_: object) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(net(), image_set(), config, out=tmp_path / "parts", progress=stop)
    rest = noting(net())
    train(rest, image_set(), config, out=tmp_path / "parts", resume=True)
    assert rest.noted == noted[-len(rest.noted) :]
    for name, values in whole.state_dict().items():
        assert torch.equal(values, rest.state_dict()[name]), name


def test_the_image_is_gone_after_its_duration(
    net: Net, image_set: Images, short_run: TrainConfig, tmp_path: Path
) -> None:
    """Trained on a single duration, a net is that of a presentation of this duration."""
    weights = []
    for name, durations in (("drawn", (3,)), ("default", ())):
        model = net()
        if not durations:
            model.presentations = {"default": Presentation(n_timesteps=5, image_off=3)}
        config = replace(short_run, epochs=1, durations=durations)
        train(model, image_set(), config, out=tmp_path / name)
        weights.append(model.state_dict())
    assert all(torch.equal(values, weights[1][name]) for name, values in weights[0].items())


@pytest.mark.parametrize(
    ("durations", "message"),
    [
        ((0, 3), "durations must be at least 1; got 0, 3"),
        ((3, 6), "durations must be at most the 5 timesteps of the presentation default; got 6"),
    ],
)
def test_a_duration_that_no_image_can_have_is_refused(
    net: Net,
    image_set: Images,
    short_run: TrainConfig,
    tmp_path: Path,
    durations: tuple[int, ...],
    message: str,
) -> None:
    with pytest.raises(NeurofitError, match=message):
        train(net(), image_set(), replace(short_run, durations=durations), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_durations_need_a_net_that_is_unrolled(
    image_set: Images, short_run: TrainConfig, tmp_path: Path
) -> None:
    class Static(nn.Sequential):
        input_size = 12

    net = Static(nn.Flatten(), nn.Linear(432, 4))
    with pytest.raises(NeurofitError, match="need a model that is unrolled in time"):
        train(net, image_set(), replace(short_run, durations=(3,)), out=tmp_path)

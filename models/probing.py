"""Probe of a wrapped module with random images: whether it repeats, and where its time is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neurofit.activations.repeatability import check_repeatable
from neurofit.errors import NeurofitError
from neurofit.models.calls import WHOLE, find_values, group_by_layer, hear_calls, is_series
from neurofit.models.frame_times import FrameTimes, measure_times
from neurofit.models.probe import check_modes, first_difference, running, untouched

if TYPE_CHECKING:
    from neurofit.models.wrapped import WrappedModel

N_PROBES = 7
"""Number of random images in the probe of a module; an unusual number of timesteps."""


def random_images(module: nn.Module, shape: Sequence[int]) -> Tensor:
    """Return random images in [0, 1] with the type of a module's weights, always the same."""
    images = torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0))
    floating = (each for each in module.parameters() if each.is_floating_point())
    return images.to(next(floating, images))


def find_frame_times(model: WrappedModel) -> dict[str, FrameTimes]:
    """Return the times of the outputs of a network that takes frames, from clips of noise."""
    clip = model.clip
    assert clip is not None
    size = model.input_size
    images = random_images(model.module, (2 * clip.n_frames, len(model.mean), size, size))
    frames = (images.to(model.image_mean) - model.image_mean) / model.image_std
    axis = clip.axis or 1
    noise = frames.reshape(2, clip.n_frames, *frames.shape[1:]).movedim(1, axis)

    def run(shown: Tensor) -> dict[str, list[object]]:
        found: dict[str, list[object]] = {layer: [] for layer in model.layers}

        def take(layer: str, output: object) -> None:
            found[layer].append(copied(output))

        hear_calls(model.module, model.layers, lambda: model.call(model.module, shown), take)
        for layer, outputs in found.items():
            if not outputs:
                raise _never_called(model, layer)
        return found

    with running(model.name, noise.shape), torch.no_grad(), untouched(model):
        times = measure_times(run, noise, axis=axis)
        for layer, outputs in run(noise).items():
            if times[layer].way == WHOLE and len(outputs) > 1:
                raise NeurofitError(
                    f"{model.name}, layer {layer}: its {len(outputs)} calls do not follow the "
                    f"{clip.n_frames} frames in time. Record the module around it."
                )
    return times


def copied(output: object) -> object:
    """Return an output with a copy of its tensor, or of those of a list."""
    if is_series(output):
        return [each.clone() for each in output]  # type: ignore[attr-defined]
    return find_values(output).clone()


def probe(model: WrappedModel) -> list[tuple[str, Tensor]]:
    """Record forward passes of random images, and return the calls of the first."""
    shape = (N_PROBES, len(model.mean), model.input_size, model.input_size)
    images = random_images(model.module, shape).to(model.image_mean)
    order: list[tuple[str, Tensor]] = []

    def run(shown: Tensor, layers: Sequence[str] = model.layers) -> list[tuple[str, Tensor]]:
        return model.record((shown - model.image_mean) / model.image_std, layers)

    def outputs(shown: Tensor) -> dict[str, Tensor]:
        found = run(shown)
        check_modes(model.module, name=model.name)
        calls = group_by_layer(found, model.layers)
        _check_calls(model, calls)
        if not order:
            order.extend(found)
        return {f"layer {layer}": torch.stack(each, dim=1) for layer, each in calls.items()}

    def locate(shown: Tensor, others: Tensor) -> str:
        every = [name for name, each in model.module.named_modules() if name and _is_leaf(each)]
        layer = first_difference(run(shown, every), run(others, every))
        return f"module {layer}" if layer else ""

    with running(model.name, images.shape), torch.no_grad(), untouched(model):
        check_repeatable(outputs, images, name=model.name, locate=locate)
        found_ways = dict(model.ways)  # the block puts dictionaries back as they were
    model.ways = found_ways
    return order


def _is_leaf(module: nn.Module) -> bool:
    return not list(module.children())


def _check_calls(model: WrappedModel, calls: Mapping[str, list[Tensor]]) -> None:
    """Check that every layer is called, with outputs of one shape."""
    for layer, outputs in calls.items():
        if not outputs:
            raise _never_called(model, layer)
        shapes = {tuple(output.shape[1:]) for output in outputs}
        if len(shapes) > 1:
            raise NeurofitError(
                f"{model.name}, layer {layer}: its {len(outputs)} calls return different shapes "
                f"({', '.join(map(str, sorted(shapes)))}) and cannot be timesteps. "
                "Record the modules around it."
            )


def _never_called(model: WrappedModel, layer: str) -> NeurofitError:
    return NeurofitError(
        f"{model.name}, layer {layer}: the forward pass never calls it. "
        "Record another layer, or set `call`."
    )

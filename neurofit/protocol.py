"""What a model must be: attributes that place its layers in areas and in time, and `unroll`, which never holds all timesteps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from neurofit.errors import NeurofitError, check_option
from neurofit.presentation import Presentation


@runtime_checkable
class Model(Protocol):
    """A vision model that unfolds in time.

    Attributes
    ----------
    name
        Registered name.
    layers
        Names of the layers that can be recorded, in order.
    region_layers
        Area ("V4", "IT") -> the layers that stand for it.
    first_timestep
        Layer -> first timestep at which the image reaches it.
    ms_per_timestep
        Duration of a step in ms.
    input_size
        Height and width of the images it takes, in pixels.
    mean, std
        Per channel, applied inside `unroll` to images in [0, 1].
    visual_degrees
        Width of its field in degrees of visual angle.
    presentations
        Name ("default", "neural", "constant") -> how images are shown.
    """

    name: str
    layers: tuple[str, ...]
    region_layers: Mapping[str, tuple[str, ...]]
    first_timestep: Mapping[str, int]
    ms_per_timestep: int
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    visual_degrees: float
    presentations: Mapping[str, Presentation]

    def unroll(
        self, images: Tensor, presentation: str | Presentation = "default", *, layers: Sequence[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield (timestep, {layer: activations (batch channel height width)}) for images (batch channel height width) in [0, 1]."""
        ...


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""How precise a model's convolutions are, by name; bfloat16 is torch's autocast."""


def layout_of(model: object) -> torch.memory_format:
    """Return how a model says its tensors are laid out best (`memory_format`); others may depend on the order that they were given."""
    layout: torch.memory_format = getattr(model, "memory_format", torch.preserve_format)
    return layout


def find_presentation(model: Model, presentation: str | Presentation) -> Presentation:
    """Return a model's presentation by name, or the explicit one that was given."""
    if isinstance(presentation, Presentation):
        return presentation
    return model.presentations[check_option(f"presentation of {model.name}", presentation, model.presentations)]


def find_layers(model: Model, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Return the asked layers, all of them for None; an unknown one is refused with the nearest name."""
    if layers is not None:
        refuse_text("layers", layers)
    return model.layers if layers is None else tuple(check_option(f"layer of {model.name}", layer, model.layers) for layer in layers)


def refuse_text(what: str, names: Sequence[str]) -> None:
    """Refuse a single text where a list of names is meant, which would be taken letter by letter."""
    if isinstance(names, str):
        raise NeurofitError(f"{what} is a list of names; got the text {names!r}. Write [{names!r}].")


def weights_sha256(model: torch.nn.Module) -> str:
    """Return the sha256 over names, shapes and bytes of a model's parameters and persistent buffers."""
    return tensors_sha256(model.state_dict())


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the names, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def validate_model(model: Model) -> None:
    """Check a model against the contract on two random images.

    Raises
    ------
    NeurofitError
        Naming what is wrong, where, and how to repair it.
    """
    missing = [a for a in Model.__annotations__ if not hasattr(model, a)] + ([] if hasattr(model, "unroll") else ["unroll"])
    if missing:
        raise NeurofitError(f"A model needs {', '.join(missing)}; {type(model).__name__} lacks them. See neurofit.protocol.Model.")
    for region, layers in model.region_layers.items():
        for layer in layers:
            check_option(f"layer for {region} of {model.name}", layer, model.layers)
    check_option(f"presentation of {model.name}", "default", model.presentations)
    if set(model.first_timestep) != set(model.layers):
        raise NeurofitError(f"{model.name}: first_timestep must name every layer once; it names {', '.join(model.first_timestep)}.")

    presentation = Presentation(n_timesteps=model.presentations["default"].n_timesteps)
    images = torch.rand(2, 3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(0))
    steps = []
    with torch.no_grad():
        for timestep, activations in model.unroll(images, presentation):
            steps.append(timestep)
            _check_step(model, timestep, activations)
    if steps != list(range(presentation.n_timesteps)):
        raise NeurofitError(f"{model.name}: unroll must yield timesteps 0 to {presentation.n_timesteps - 1} in order; it gave {steps}.")


def _check_step(model: Model, timestep: int, activations: Mapping[str, Tensor]) -> None:
    if set(activations) != set(model.layers):
        raise NeurofitError(f"{model.name}: timestep {timestep} gave layers {', '.join(activations)}; expected {', '.join(model.layers)}.")
    for layer, values in activations.items():
        here = f"{model.name}, layer {layer}, timestep {timestep}"
        if len(values) != 2:
            raise NeurofitError(f"{here}: the first axis must be the batch (2 images); got shape {tuple(values.shape)}.")
        if not bool(torch.isfinite(values).all()):
            raise NeurofitError(f"{here}: activations are not finite.")
        sees_image = not bool(torch.allclose(values[0], values[1], rtol=1e-5, atol=1e-6 * float(values.abs().max())))
        if sees_image != (timestep >= model.first_timestep[layer]):
            raise NeurofitError(
                f"{here}: the image {'already' if sees_image else 'does not yet'} reach{'es' if sees_image else ''} it, "
                f"but first_timestep says {model.first_timestep[layer]}."
            )

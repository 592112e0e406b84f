"""Contract of models: attributes that place layers in areas and in time, and `unroll`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from neurofit.activations.layer_names import match_layers
from neurofit.activations.presentation import Presentation
from neurofit.activations.repeatability import check_repeatable
from neurofit.errors import NeurofitError, check_option


@runtime_checkable
class Model(Protocol):
    """A vision model that unfolds in time.

    Attributes
    ----------
    name
        Name of the model.
    layers
        Names of the layers that can be recorded, in order.
    region_layers
        Area ("V4", "IT") -> layers that model it.
    first_timestep
        Layer -> first timestep at which the image reaches it.
    ms_per_timestep
        Duration of a timestep, in ms.
    input_size
        Height and width of input images, in pixels.
    mean, std
        Mean and standard deviation of each channel, with which `unroll` normalises images in
        [0, 1].
    visual_degrees
        Width of the visual field in degrees of visual angle.
    presentations
        Name ("default", "neural", "constant") -> presentation of images.

    Notes
    -----
    A model may also have `interpolation` ("bilinear" or "bicubic"), by which images are resized,
    `provenance`, a dictionary of facts that results record, `takes_clips`: whether `unroll` also
    takes clips (batch timestep channel height width) with a frame for each timestep, and
    `recurrent`, which is False of a static model: a function of what it sees at a timestep.

    Examples
    --------
    >>> import neurofit
    >>> import torch
    >>> model = neurofit.create_model("rgc_tiny")
    >>> isinstance(model, neurofit.Model)
    True
    >>> timestep, activations = next(model.unroll(torch.rand(2, 3, 32, 32), layers=["conv1"]))
    >>> timestep, activations["conv1"].shape
    (0, torch.Size([2, 32, 16, 16]))
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
        self,
        images: Tensor,
        presentation: str | Presentation = "default",
        *,
        layers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield each timestep with the layers' activations, without holding all timesteps.

        Parameters
        ----------
        images
            Images in [0, 1]: tensor (batch channel height width).
        presentation
            Name of one of `presentations`, or an explicit one.
        layers
            Layers to yield. None yields all.

        Yields
        ------
        timestep : int
        activations : dict
            Layer -> tensor (batch channel height width).
        """
        ...


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Precision of a model's convolutions -> torch dtype; bfloat16 uses torch's autocast."""


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return torch's autocast to a precision, which is off for float32."""
    on = precision != torch.float32
    return torch.autocast(device.type, dtype=precision if on else torch.bfloat16, enabled=on)


def layout_of(model: object) -> torch.memory_format:
    """Return a model's preferred `memory_format`; without one, the format of tensors is kept."""
    layout: torch.memory_format = getattr(model, "memory_format", torch.preserve_format)
    return layout


def find_presentation(
    model: Model,
    presentation: str | Presentation,
    *,
    duration_ms: float | None = None,
    until_ms: float = 0.0,
) -> Presentation:
    """Return a model's presentation by name, or the given explicit one.

    Parameters
    ----------
    model
        Model with `presentations`.
    presentation
        Name, or an explicit presentation, which is returned.
    duration_ms
        Duration of the image in a recording. A presentation named "neural" that switches the image
        off does so at this time, to the nearest timestep, unless the model has an attribute
        `offset_ms` that is not None.
    until_ms
        End of what is to be predicted, in ms from onset. The presentation of a static model, which
        may be of any length, lasts until then at least.
    """
    if isinstance(presentation, Presentation):
        return presentation
    check_option(f"presentation of {model.name}", presentation, model.presentations)
    found = model.presentations[presentation]
    if is_static(model):
        needed = math.ceil(until_ms / model.ms_per_timestep)
        found = replace(found, n_timesteps=max(found.n_timesteps, needed))
    stated = getattr(model, "offset_ms", None) is not None
    if presentation != "neural" or duration_ms is None or found.image_off is None or stated:
        return found
    return replace(found, image_off=max(1, int(duration_ms / model.ms_per_timestep + 0.5)))


def is_static(model: object) -> bool:
    """Return whether a model is a function of the image or frame that it sees at a timestep."""
    return getattr(model, "recurrent", None) is False


def find_layers(model: Model, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Return layers of a model by name or pattern (`match_layers`), or all for None.

    Raises
    ------
    NeurofitError
        If there is no such layer; the message gives the nearest name.
    """
    if layers is None:
        return model.layers
    return match_layers(layers, model.layers, of=model.name)


def refuse_text(what: str, names: Sequence[str]) -> None:
    """Raise NeurofitError for a string, which would be taken as a list of letters."""
    if isinstance(names, str):
        raise NeurofitError(f"{what} must be a list of names; got the string {names!r}.")


def weights_sha256(model: torch.nn.Module) -> str:
    """Return the sha256 of the names, types, shapes and values of a model's weights.

    Parameters
    ----------
    model
        Module whose parameters and persistent buffers are hashed, on any device.

    Returns
    -------
    str
        64 hexadecimal digits, which `save_weights` stores in a file, and results in their
        provenance.

    Examples
    --------
    >>> import neurofit
    >>> from neurofit.models import weights_sha256
    >>> first = neurofit.create_model("rgc_tiny", weights="random", seed=0)
    >>> again = neurofit.create_model("rgc_tiny", weights="random", seed=0)
    >>> other = neurofit.create_model("rgc_tiny", weights="random", seed=1)
    >>> weights_sha256(first) == weights_sha256(again) != weights_sha256(other)
    True
    """
    return tensors_sha256(model.state_dict())


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of the names, types, shapes and bytes of tensors, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def validate_model(model: Model) -> None:
    """Check a model against the contract on batches of random images.

    Besides its attributes and timesteps, values must be finite and the same for an image in every
    batch (`neurofit.activations.repeatability`).

    Parameters
    ----------
    model
        Model of any kind, also one that `wrap` has made.

    Raises
    ------
    NeurofitError
        If the model does not follow the contract; the message says what is wrong and where.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.validate_model(neurofit.create_model("rgc_tiny"))
    """
    missing = [a for a in (*Model.__annotations__, "unroll") if not hasattr(model, a)]
    if missing:
        raise NeurofitError(
            f"A model needs {', '.join(missing)}; {type(model).__name__} lacks them. "
            "See neurofit.activations.model.Model."
        )
    for region, layers in model.region_layers.items():
        for layer in layers:
            check_option(f"layer for {region} of {model.name}", layer, model.layers)
    check_option(f"presentation of {model.name}", "default", model.presentations)
    if set(model.first_timestep) != set(model.layers):
        raise NeurofitError(
            f"{model.name}: first_timestep must name every layer once; it names "
            f"{', '.join(model.first_timestep)}."
        )
    presentation = Presentation(n_timesteps=model.presentations["default"].n_timesteps)
    images = torch.rand(
        2, 3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(0)
    )

    def run(shown: Tensor) -> dict[str, Tensor]:
        found: dict[str, list[Tensor]] = {}
        steps = []
        for timestep, activations in model.unroll(shown, presentation):
            steps.append(timestep)
            if len(shown) == len(images):
                _check_step(model, timestep, activations)
            for layer, values in activations.items():
                found.setdefault(f"layer {layer}", []).append(values)
        if steps != list(range(presentation.n_timesteps)):
            raise NeurofitError(
                f"{model.name}: unroll must yield timesteps 0 to {presentation.n_timesteps - 1} in "
                f"order; it yielded {steps}."
            )
        return {layer: torch.stack(values, dim=1) for layer, values in found.items()}

    with torch.no_grad(), evaluating(model):
        check_repeatable(run, images, name=model.name)


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Put a model into evaluation mode within the block; its modules then have their own again."""
    modules = list(model.modules()) if isinstance(model, torch.nn.Module) else []
    modes = [each.training for each in modules]
    for each in modules[:1]:
        each.eval()
    try:
        yield
    finally:
        for each, mode in zip(modules, modes, strict=True):
            each.training = mode


def _check_step(model: Model, timestep: int, activations: Mapping[str, Tensor]) -> None:
    if set(activations) != set(model.layers):
        raise NeurofitError(
            f"{model.name}: timestep {timestep} gave layers {', '.join(activations)}; "
            f"expected {', '.join(model.layers)}."
        )
    for layer, values in activations.items():
        where = f"{model.name}, layer {layer}, timestep {timestep}"
        if len(values) != 2:
            raise NeurofitError(
                f"{where}: the first axis must be the batch (2 images); "
                f"got shape {tuple(values.shape)}."
            )
        if not bool(torch.isfinite(values).all()):
            raise NeurofitError(f"{where}: activations are not finite.")
        sees_image = not bool(
            torch.allclose(values[0], values[1], rtol=1e-5, atol=1e-6 * float(values.abs().max()))
        )
        if sees_image != (timestep >= model.first_timestep[layer]):
            reaches = "already reaches" if sees_image else "does not yet reach"
            raise NeurofitError(
                f"{where}: the image {reaches} it, but first_timestep is "
                f"{model.first_timestep[layer]}."
            )

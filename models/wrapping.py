"""Wrap a torch module as a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from neurofit.activations.model import refuse_text
from neurofit.activations.screen import RESIZE
from neurofit.errors import NeurofitError, check_option
from neurofit.models.clips import Clip, find_clip
from neurofit.models.images import image_settings
from neurofit.models.layer_choice import choose_layers
from neurofit.models.probe import check_module
from neurofit.models.probing import random_images
from neurofit.models.survey import survey_images
from neurofit.models.timeline import check_time
from neurofit.models.wrapped import Call, WrappedModel


def wrap(
    module: nn.Module,
    layers: Sequence[str] | None = None,
    *,
    name: str | None = None,
    recurrent: bool | None = None,
    first_call: Mapping[str, int] | None = None,
    call: Call | None = None,
    region_layers: Mapping[str, Sequence[str]] | None = None,
    input_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "bilinear",
    tokens: str = "all",
    visual_degrees: float = 8.0,
    ms_per_timestep: int | None = None,
    time: str | int = "auto",
    clip: Clip | None = None,
) -> WrappedModel:
    """Wrap a torch module as a model, after probing it with a few random images.

    Parameters
    ----------
    module
        Module that takes normalised images (batch channel height width), or their frames (`Clip`).
        It is not copied, runs in evaluation mode, and is left as it was.
    layers
        Submodules to record: names as in `module.named_modules()`, or patterns, which choose among
        those that can be recorded (`neurofit.activations.layer_names.match_layers`). None chooses
        at most 12, evenly spaced over the depth of the network.
    name
        Name of the model; by default that of the class.
    recurrent
        True: recorded layers must be called several times in one forward pass, and change between
        calls. False: each must be called once. None: the probe decides.
    first_call
        Layer -> timestep of its first call, 0 by default. Required if layers differ in their number
        of calls, or if one is called once after a recurrent one. Before its first call a layer is
        0; after its last call it is constant.
    call
        Function that runs the module, if it takes more than images, such as
        `lambda module, images: module(images, n_steps=8)`.
    region_layers
        Area -> layers that are compared with it, such as {"V4": ["layer2"], "IT": ["layer4"]}.
    input_size, mean, std
        Size of the images in pixels, and their normalisation per channel. The default is the
        `pretrained_cfg` of a timm model, or else 224 and the values of ImageNet.
    interpolation
        Interpolation by which images are resized: "bilinear" or "bicubic", both antialiased.
    tokens
        What is recorded of a sequence of tokens (batch token channel): "all" of them, or the
        "class" token, the first.
    visual_degrees
        Width of the visual field, in degrees of visual angle.
    ms_per_timestep
        Duration of a timestep, in ms, or of a frame of a network that takes frames; None for 10,
        and for 20 of a video model. Eight timesteps of 10 ms end before IT responds.
    time
        Where the timesteps of a network that takes images are: "calls" of a layer; "outputs", the
        entries of a list or tuple that a layer returns; or the number of an axis of its output.
        "auto" takes the calls, and the entries of a list of tensors of one shape.
    clip
        How an image is shown to a network that takes frames, which the probe finds; None for the
        defaults of `Clip`.

    Returns
    -------
    WrappedModel
        Model with the interface `neurofit.activations.model.Model`.

    Raises
    ------
    NeurofitError
        If a layer does not exist, is never called, returns no tensor with the batch as its first
        axis, changes its shape between calls, or is the same for all images; if the numbers of
        calls contradict `recurrent` or leave the timesteps of a layer open; if activations are not
        finite, or depend on chance, on earlier calls or on the rest of the batch; or if the module
        is scripted, compiled or exported, has half precision, or changes its training mode.

    Warns
    -----
    NeurofitWarning
        If a layer is the same for all images at some timesteps.

    Examples
    --------
    >>> import neurofit
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 8, 5))
    >>> areas = {"V4": ["0"], "IT": ["2"]}
    >>> neurofit.wrap(network, ["0", "2"], name="mine", input_size=32, region_layers=areas)
    WrappedModel('mine', 2 layers 0 to 2, V4 in 0 and IT in 2, ...)
    """
    if not isinstance(module, nn.Module):
        raise NeurofitError(
            f"wrap takes an instance of torch.nn.Module, not a class; got {module!r}."
        )
    for region, names in (region_layers or {}).items():
        refuse_text(f"layers of {region}", names)
    name = name or type(module).__name__
    check_module(module, name=name)
    size, mean, std = image_settings(module, input_size, mean, std)
    for what, value in (("input_size", size), ("ms_per_timestep", ms_per_timestep)):
        if value is not None and value < 1:
            raise NeurofitError(f"{what} must be at least 1; got {value}.")
    check_option("interpolation", interpolation, RESIZE)
    check_time(time)
    call = call or call_module
    found = find_clip(
        module, call, random_images(module, (2, len(mean), size, size)), clip or Clip()
    )
    if ms_per_timestep is None:
        ms_per_timestep = (found or Clip()).usual_ms
    shown = partial(
        survey_images,
        module,
        call if found is None else found.still(call),
        input_size=size,
        mean=mean,
        std=std,
        name=name,
        tokens=tokens,
        time=time,
        n_frames=1 if found is None else found.n_frames,
    )
    chosen = choose_layers(module, layers, shown, name=name, frames=found is not None)
    return WrappedModel(
        name,
        module,
        chosen,
        recurrent=recurrent,
        first_call=first_call or {},
        call=call,
        region_layers={
            region: tuple(
                check_option(f"layer for {region} of {name}", layer, chosen) for layer in names
            )
            for region, names in (region_layers or {}).items()
        },
        input_size=size,
        mean=mean,
        std=std,
        interpolation=interpolation,
        tokens=tokens,
        visual_degrees=visual_degrees,
        ms_per_timestep=ms_per_timestep,
        time=time,
        clip=found,
    )


def call_module(module: nn.Module, images: Tensor) -> object:
    """Run a module on its input."""
    return module(images)

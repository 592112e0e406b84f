"""What the submodules of a torch module return, call by call, in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.operations import ROOT, Operations, is_operation, unheard

Run = Callable[[], object]
"""Runs a forward pass."""

Way = str | int
"""How time is found in the outputs of a layer.

"calls": each call is a step. "outputs": the entries of a list, tuple or mapping. "auto": those of a
list of tensors of one shape, else the calls. A number: an axis of the output. "first": the first
axis. "batch", "batch_last": the frames are folded into the batch, those of an image together or
those of a time. `WHOLE`: there is none.
"""

WHOLE = -1
"""Outputs without time, each a function of a whole clip."""


def record_calls(
    module: nn.Module,
    layers: Sequence[str],
    run: Run,
    *,
    n_images: int,
    name: str,
    ways: dict[str, Way],
) -> list[tuple[str, Tensor]]:
    """Return (layer, output (batch ...)) for every call of the layers, in order.

    An output with several steps over time is as many calls.

    The forward pass is completed, so that a module can reset a state that it stores.

    Parameters
    ----------
    module
        Module with the layers.
    layers
        Names of submodules and of operations (`neurofit.models.operations`).
    run
        Runs the forward pass.
    n_images
        Number of images in the batch.
    name
        Name of the model, for messages.
    ways
        How time is found in the outputs of a layer, "calls" where it is not stated. For "auto",
        what the first output says is put in its place.

    Raises
    ------
    NeurofitError
        If a layer returns no tensor with the batch as its first axis.
    """
    calls: list[tuple[str, Tensor]] = []

    def take(layer: str, output: object) -> None:
        way = ways.get(layer, "calls")
        if way == "auto":
            way = ways[layer] = "outputs" if is_series(output) else "calls"
        for maps in time_steps(output, way, n_images, where=f"{name}, layer {layer}"):
            calls.append((layer, maps.clone()))  # later operations may change an output in place

    hear_calls(module, layers, run, take)
    return calls


def hear_calls(
    module: nn.Module, layers: Sequence[str], run: Run, take: Callable[[str, object], None]
) -> None:
    """Run a forward pass, and give the output of every call of the layers to a function."""

    def hook(layer: str, module: nn.Module, args: Any, output: object) -> None:
        with unheard():
            take(layer, output)

    def heard(layer: str, output: Tensor) -> None:
        if layer in layers:
            hook(layer, module, (), output)

    with ExitStack() as hooks:
        if any(map(is_operation, layers)):
            hooks.enter_context(Operations(module, heard))
        for layer in dict.fromkeys(each for each in layers if not is_operation(each)):
            submodule = find_submodule(module, layer)
            hooks.callback(submodule.register_forward_hook(partial(hook, layer)).remove)
        run()


def find_submodule(module: nn.Module, layer: str) -> nn.Module:
    """Return the submodule of a name; for `ROOT` the network itself."""
    return module if layer == ROOT else module.get_submodule(layer)


def name_steps(way: Way, number: int) -> str:
    """Return a number of steps over time in words, by how they are found."""
    words = {
        "calls": "call",
        "outputs": "entry of a list",
        "first": "place on the first axis",
        "batch": "frame in the batch",
        "batch_last": "frame in the batch",
    }
    one = words.get(str(way), f"place on axis {way}")
    noun, _, rest = one.partition(" ")
    several = {"entry": "entries"}.get(noun, f"{noun}s")
    return f"{number} {one}" if number == 1 else f"{number} {several} {rest}".rstrip()


def is_series(output: object) -> bool:
    """Return whether an output is a list of at least two tensors of one shape."""
    return (
        isinstance(output, list)
        and len(output) > 1
        and all(isinstance(each, Tensor) and each.shape == output[0].shape for each in output)
    )


def time_steps(output: object, way: Way, n_images: int, *, where: str) -> list[Tensor]:
    """Return the steps over time of an output, each (batch ...).

    Parameters
    ----------
    output
        Output of one call.
    way
        See `Way`.
    n_images
        Number of images in the batch.
    where
        What the output is that of, for messages.

    Raises
    ------
    NeurofitError
        If there is no such axis, or no tensor with the batch as its first axis.
    """
    if way == "outputs" or (way == "auto" and is_series(output)):
        entries = list(output.values()) if isinstance(output, Mapping) else output
        if isinstance(entries, list | tuple):
            return [find_tensor(each, n_images, where=where) for each in entries]
    if way == "first":
        steps = find_values(output, where=where).unbind(0)
        return [find_tensor(each, n_images, where=where) for each in steps]
    if way in ("batch", "batch_last"):
        rows = find_values(output, where=where)
        n_steps = len(rows) // n_images
        order = (n_images, n_steps) if way == "batch" else (n_steps, n_images)
        folded = rows.reshape(*order, *rows.shape[1:])
        steps = folded.unbind(1 if way == "batch" else 0)
        return [each if each.ndim > 1 else each[:, None] for each in steps]
    found = find_tensor(output, n_images, where=where)
    if not isinstance(way, int) or way == WHOLE:
        return [found]
    if not 0 < way < found.ndim:
        raise NeurofitError(
            f"{where}: the output has no axis {way} of timesteps; its shape is "
            f"{tuple(found.shape)}, with the batch first."
        )
    return [each if each.ndim > 1 else each[:, None] for each in found.unbind(way)]


def select_tokens(maps: Tensor, tokens: str) -> Tensor:
    """Return all of an output, or, for "class", the first token of a sequence."""
    return maps[:, 0] if tokens == "class" and maps.ndim == 3 else maps


def group_by_layer(
    calls: Sequence[tuple[str, Tensor]], layers: Sequence[str]
) -> dict[str, list[Tensor]]:
    """Return layer -> outputs of its calls, in order."""
    return {layer: [output for name, output in calls if name == layer] for layer in layers}


def find_tensor(output: object, n_images: int, *, where: str) -> Tensor:
    """Return the output of a module, or the first tensor of a tuple, list, dict or dataclass.

    Quantised values are returned as the numbers they stand for, sparse ones as dense, and integers
    as float32.

    Raises
    ------
    NeurofitError
        If there is no tensor, the batch is not its first axis, or its values are complex.
    """
    found = find_values(output, where=where)
    if found.ndim < 2 or len(found) != n_images:
        raise NeurofitError(
            f"{where}: the first axis must be the batch ({n_images} images); "
            f"got shape {tuple(found.shape)}."
        )
    return found


def find_values(output: object, *, where: str = "an output") -> Tensor:
    """Return the first tensor of an output as dense numbers, whatever its first axis is."""
    found = next(_tensors(output), None)
    if found is None:
        raise NeurofitError(
            f"{where}: a recorded layer must return a tensor, or a tuple, list or dict with one; "
            f"got {type(output).__name__}."
        )
    if found.is_complex():
        raise NeurofitError(
            f"{where}: the output is complex. Record a layer that returns its magnitude, or its "
            "real and imaginary parts."
        )
    if found.is_nested:
        raise NeurofitError(
            f"{where}: the output is a nested tensor, with units that differ between images."
        )
    if found.is_quantized:
        found = found.dequantize()
    if found.layout != torch.strided:
        found = found.to_dense()
    return found if found.is_floating_point() else found.float()


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from _tensors(list(output.values()))
    elif is_dataclass(output) and not isinstance(output, type):
        yield from _tensors([getattr(output, each.name) for each in fields(output)])
    elif isinstance(output, tuple | list):
        yield from (each for each in output if isinstance(each, Tensor))

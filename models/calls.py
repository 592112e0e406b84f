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
from neurofit.models.operations import Operations, is_operation, unheard

Run = Callable[[], object]
"""Runs a forward pass."""


def record_calls(
    module: nn.Module, layers: Sequence[str], run: Run, *, n_images: int, name: str
) -> list[tuple[str, Tensor]]:
    """Return (layer, output (batch ...)) for every call of the layers, in order.

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

    Raises
    ------
    NeurofitError
        If a layer returns no tensor with the batch as its first axis.
    """
    calls: list[tuple[str, Tensor]] = []

    def hook(layer: str, module: nn.Module, args: Any, output: object) -> None:
        with unheard():
            maps = find_tensor(output, n_images, where=f"{name}, layer {layer}")
            calls.append((layer, maps.clone()))  # later operations may change an output in place

    def heard(layer: str, output: Tensor) -> None:
        if layer in layers:
            hook(layer, module, (), output)

    with ExitStack() as hooks:
        if any(map(is_operation, layers)):
            hooks.enter_context(Operations(module, heard))
        for layer in dict.fromkeys(each for each in layers if not is_operation(each)):
            submodule = module.get_submodule(layer)
            hooks.callback(submodule.register_forward_hook(partial(hook, layer)).remove)
        run()
    return calls


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
    if found.ndim < 2 or len(found) != n_images:
        raise NeurofitError(
            f"{where}: the first axis must be the batch ({n_images} images); "
            f"got shape {tuple(found.shape)}."
        )
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

"""The probe of a torch module: refuse what cannot be recorded, and leave no trace in the module."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter, is_lazy

from neurofit.errors import NeurofitError, check_option

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def check_module(module: nn.Module, *, name: str) -> None:
    """Check that a module, and each of its submodules, can be recorded.

    Raises
    ------
    NeurofitError
        For modules that run no hooks (scripted, compiled or exported ones), for parameters without
        values, and for parameters of half precision.
    """
    for path, each in module.named_modules():
        what = f"{name}, module {path}" if path else name
        if made := _made_by(each):
            raise NeurofitError(
                f"{what} is {made}, so that its layers cannot be recorded. "
                "Give the original module."
            )
        for own, values in each.named_parameters(recurse=False):
            if isinstance(values, UninitializedParameter) or values.is_meta:
                raise NeurofitError(
                    f"{what}: the parameter {own} has no values yet. Run the module once, or load "
                    "its weights."
                )
            if values.is_floating_point() and values.element_size() < 4:
                dtype = str(values.dtype).removeprefix("torch.")
                raise NeurofitError(
                    f"{what} has weights of {dtype}, whose rounding would be part of the features. "
                    "Give module.float(); precision='bfloat16' is the faster alternative."
                )


def _made_by(module: nn.Module) -> str:
    """Return what has made a module that runs no hooks, or ""."""
    if isinstance(module, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        return "scripted or traced"
    compiled = getattr(module, "_compiled_call_impl", None)
    if compiled is not None or type(module).__module__.startswith("torch._dynamo"):
        return "compiled"
    exported = "_guards_fn" in dict(module.named_children()) or hasattr(module, "_in_spec")
    return "exported" if exported and isinstance(module, torch.fx.GraphModule) else ""


CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
"""Names of the parameters that transformers of timm, torchvision and Hugging Face begin with."""


def check_tokens(module: nn.Module, tokens: str, *, name: str) -> str:
    """Return what is recorded of a sequence of tokens, "all" or "class".

    Raises
    ------
    NeurofitError
        If it is neither, or the module has no class token.
    """
    check_option("choice of tokens", tokens, ("all", "class"))
    own = {path.rpartition(".")[2] for path, _ in module.named_parameters()}
    if tokens == "class" and not own & set(CLASS_TOKENS):
        raise NeurofitError(
            f"{name} has no class token (a parameter {', '.join(CLASS_TOKENS)}); leave tokens at "
            '"all".'
        )
    return tokens


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode within the block, and then back into its present state.

    Modes, attributes, entries of lists and dictionaries, values of parameters and buffers,
    gradients, trainability and hooks are restored.
    """
    modules = list(module.modules())
    states = [dict(each.__dict__) for each in modules]
    inner = [
        {key: dict(state[key]) for key in ("_buffers", "_parameters", "_modules", *HOOKS)}
        for state in states
    ]
    containers = [
        (value, copy(value))
        for state in states
        for value in state.values()
        if type(value) in (list, dict, set, deque)
    ]
    tensors = [each for each in (*module.parameters(), *module.buffers()) if not is_lazy(each)]
    stored = [(each, each.data, each.detach().clone()) for each in tensors]
    gradients = [
        (each, each.requires_grad, each.grad, None if each.grad is None else each.grad.clone())
        for each in module.parameters()
    ]
    module.eval()
    try:
        yield
    finally:
        for each, state, held in zip(modules, states, inner, strict=True):
            each.__dict__.clear()
            each.__dict__.update(state)
            for key, values in held.items():
                table: dict[str, Any] = state[key]
                table.clear()
                table.update(values)
        for container, kept in containers:
            container.clear()
            (container.extend if isinstance(container, list | deque) else container.update)(kept)
        with torch.no_grad():
            for tensor, own, before in stored:
                tensor.data = own
                own.copy_(before)
            for parameter, trained, gradient, copied in gradients:
                parameter.requires_grad_(trained)
                parameter.grad = gradient
                if gradient is not None and copied is not None:
                    gradient.copy_(copied)


@contextmanager
def running(name: str, shape: Sequence[int]) -> Iterator[None]:
    """Turn whatever a forward pass on images of a shape raises within the block into a sentence.

    Raises
    ------
    NeurofitError
        With the name of the model and the reason.
    """
    try:
        yield
    except NeurofitError:
        raise
    except Exception as error:  # a module may fail in any way
        first_line = str(error).partition("\n")[0]
        raise NeurofitError(
            f"{name} cannot be run on images {tuple(shape)}: "
            f"{type(error).__name__}: {first_line}\n"
            "Set input_size for images of another size, or call for a module with more arguments."
        ) from error


def check_modes(module: nn.Module, *, name: str) -> None:
    """Check that a forward pass has left every submodule in evaluation mode.

    Raises
    ------
    NeurofitError
        If one is in training mode.
    """
    for path, each in module.named_modules():
        if each.training:
            raise NeurofitError(
                f"{name}: the forward pass puts module {path or type(each).__name__} into training "
                "mode, in which features depend on the batch or on chance. Leave the mode alone."
            )


def first_difference(a: list[tuple[str, Tensor]], b: list[tuple[str, Tensor]]) -> str:
    """Return the name of the first call whose output for the first image differs, or ""."""
    for (layer, one), (_, other) in zip(a, b, strict=False):
        if one.shape[1:] != other.shape[1:] or not torch.allclose(
            one[0], other[0], rtol=1e-4, atol=1e-4 * float(one.abs().max()), equal_nan=True
        ):
            return layer
    return ""

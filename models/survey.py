"""What the modules of a network return: shapes, calls, and whether they depend on the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.calls import Way, find_values, is_series, select_tokens, time_steps
from neurofit.models.images import per_channel
from neurofit.models.operations import ROOT, Operations, unheard
from neurofit.models.probe import running, untouched

OPERATION = "operation"
"""Kind of what is no module, see `neurofit.models.operations`."""

N_SURVEYED = 2
"""Number of images in the probe that surveys a network."""


@dataclass(kw_only=True)
class Surveyed:
    """What one probe says of a module.

    Parameters
    ----------
    name
        Name in `module.named_modules()`, or of an operation (`neurofit.models.operations`).
    kind
        Class of the module, or `OPERATION`.
    shape
        Shape of its output without the batch; None if it is never called, or returns no tensor
        with the batch as its first axis.
    calls
        Number of calls in a forward pass.
    driven
        Whether the output differs between images, at some call.
    changes
        Whether the output differs between calls.
    repeats
        Whether the output is that of the module called before it, which is no part of it.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None = None
    calls: int = 0
    driven: bool = False
    changes: bool = False
    repeats: bool = False

    def add(self, values: Tensor, *, repeats: bool) -> None:
        """Take in the output of a call (batch ...)."""
        shape = tuple(values.shape[1:])
        self.driven |= not all(torch.equal(values[0], other) for other in values[1:])
        self.shape = shape if self.calls == 1 or shape == self.shape else None
        self.repeats = repeats if self.calls == 1 else self.repeats


def survey(
    module: nn.Module,
    run: Callable[[], object],
    *,
    n_images: int,
    tokens: str = "all",
    time: Way = "auto",
    n_frames: int = 1,
) -> list[Surveyed]:
    """Return what each submodule and operation does in one forward pass, in the order of returns.

    Parameters
    ----------
    module
        Network, in evaluation mode.
    run
        Runs the forward pass, on images that differ.
    n_images
        Number of images in the batch.
    tokens
        What is recorded of a sequence of tokens, see `neurofit.models.wrap`.
    time
        Where the timesteps of the outputs are, see `neurofit.models.wrap`. Each step is a call.
    n_frames
        Number of frames of a network that takes clips: 1 for one that takes images.

    Returns
    -------
    list of Surveyed
        Modules that are never called come last.
    """
    found: dict[str, Surveyed] = {}
    marks: dict[str, Tensor] = {}
    before = ("", torch.empty(0))

    def hook(name: str, each: nn.Module | str, args: Any, output: object) -> None:
        nonlocal before
        kind = each if isinstance(each, str) else type(each).__name__
        row = found.setdefault(name, Surveyed(name=name, kind=kind))
        inside = name == ROOT or before[0].startswith((f"{name}.", f"{name}:"))
        with unheard():
            for step in _steps(output, n_images, time=time, n_frames=n_frames):
                row.calls += 1
                if step is None:
                    continue
                values = select_tokens(step, tokens)
                mark = _mark(values)
                row.add(values, repeats=not inside and _equal(before[1], mark))
                row.changes |= name in marks and not _equal(marks[name], mark)
                before, marks[name] = (name, mark), mark

    def heard(name: str, output: Tensor) -> None:
        if output.ndim > 1 and len(output) == n_images:
            hook(name, OPERATION, (), output)

    with ExitStack() as hooks:
        hooks.enter_context(Operations(module, heard))
        for name, each in module.named_modules():
            if name:
                hooks.callback(each.register_forward_hook(partial(hook, name)).remove)
        output = run()
    if is_series(output) or time not in ("auto", "calls"):  # the network itself has timesteps
        hook(ROOT, type(module).__name__, (), output)
    rest = [
        Surveyed(name=name, kind=type(each).__name__)
        for name, each in module.named_modules()
        if name and name not in found
    ]
    return [*found.values(), *rest]


def _steps(output: object, n_images: int, *, time: Way, n_frames: int) -> list[Tensor] | list[None]:
    """Return the steps of an output over time (batch ...); [None] if it is none that is recorded.

    Of a network that takes frames it is the output for the whole clip.
    """
    try:
        if n_frames == 1:
            return time_steps(output, time, n_images, where="an output")
        values = find_values(output)
        return [
            values if len(values) == n_images else values.reshape(n_images, -1, *values.shape[1:])
        ]
    except (NeurofitError, RuntimeError):
        return [None]


def survey_images(
    module: nn.Module,
    call: Callable[[nn.Module, Tensor], object],
    *,
    input_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    name: str,
    tokens: str = "all",
    time: Way = "auto",
    n_frames: int = 1,
) -> list[Surveyed]:
    """Return what each submodule does with two random images, and leave the module as it was.

    Parameters
    ----------
    module, call
        Network, and the function that runs it on normalised images (batch channel height width).
    input_size, mean, std
        Size and normalisation of the images.
    name
        Name of the model, for messages.
    tokens, time, n_frames
        See `survey`.

    Raises
    ------
    NeurofitError
        If the network cannot be run.
    """
    shape = (N_SURVEYED, len(mean), input_size, input_size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    shown = (images - per_channel(tuple(mean))) / per_channel(tuple(std))
    weight = next((each for each in module.parameters() if each.is_floating_point()), shown)
    with running(name, shape), torch.no_grad(), untouched(module):
        return survey(
            module,
            lambda: call(module, shown.to(weight)),
            n_images=N_SURVEYED,
            tokens=tokens,
            time=time,
            n_frames=n_frames,
        )


def _mark(values: Tensor) -> Tensor:
    """Return the shape, the sum and about a thousand values, by which outputs are compared."""
    flat = values.flatten().double()
    shape = flat.new_tensor(values.shape)
    return torch.cat([shape, flat.sum()[None], flat[:: max(1, len(flat) // 1000)]])


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)

"""Whether a device computes the gradients of a model: compared with the CPU before a run.

A device may compute the right loss and wrong gradients, with which a run goes on and ends in a bad
model. (torch_xla 2.9.0: those of ELU were wrong by 70 %, and the loss right to 1e-7.)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from neurofit.activations.model import PRECISIONS, autocast, layout_of
from neurofit.config import xla
from neurofit.errors import NeurofitError
from neurofit.training.batches import Batch
from neurofit.training.config import TrainConfig
from neurofit.training.distributed import ProcessGroup
from neurofit.training.step import Objective, compute_gradients, input_size


class Tolerance(NamedTuple):
    """Largest error of a gradient, as a share of its norm, and rounding in that of float32."""

    share: float
    rounding: float


TOLERANCES = {
    "float32": Tolerance(1e-3, 1),
    "tf32": Tolerance(0.03, 2**13),
    "bfloat16": Tolerance(0.3, 2**16),
}
"""Precision -> tolerance. CUDA devices multiply float32 numbers as TF32 by default.

Measured on CPUs, with the tiny zoo and all cells: 3e-6 in float32, 0.09 in bfloat16, and 0.54 or
more with the wrong ELU. The tolerances of GPUs and TPUs have not been tried there.
"""

LOSS = "the loss"

N_IMAGES = 4
"""Images of the batch."""


def check_device(
    model: nn.Module,
    config: TrainConfig,
    device: torch.device,
    *,
    on_device: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> None:
    """Compare loss and gradients of a small batch on a device with those of the CPU in float64.

    The batch is of random images, and the loss is the mean over the readouts of all timesteps,
    which no choice among timesteps makes discontinuous. Nothing is dropped out. The device computes
    in float32, and in the precision of the run if that is another. A gradient is not compared if
    rounding alone may exceed the tolerance, as where its terms cancel: float32 on the CPU tells.

    Parameters
    ----------
    model
        Model with its weights, which is left as it is.
    config
        Configuration of the run: precision, label smoothing, recomputation.
    device
        Device of the run.
    on_device
        Makes the context in which everything is computed on the device, for tests.

    Raises
    ------
    NeurofitError
        If they differ; the message names the gradient that differs most, and the first operation
        whose gradient differs given the same inputs.
    """
    cpu, precision = torch.device("cpu"), config.precision
    config = replace(config, loss="all", accumulate=1, precision="float32")
    truth = _gradients(model, config, cpu, torch.float64)
    rounded = _gradients(model, config, cpu, torch.float32)
    for each in dict.fromkeys((config, replace(config, precision=precision))):
        tolerance = _tolerance(each, device)
        with on_device():
            found = _gradients(model, each, device, torch.float32)
        found = {name: found.get(name, torch.zeros_like(values)) for name, values in truth.items()}
        errors = {
            name: _error(found[name], values)
            for name, values in truth.items()
            if name == LOSS or _decides(rounded[name], values, tolerance)
        }
        worst = max(errors, key=errors.__getitem__)
        if errors[worst] > tolerance.share:
            raise NeurofitError(
                f"The device {device} computes other gradients than the CPU: {worst} differs by "
                f"{errors[worst]:.2g} of its norm ({_both(found[worst], truth[worst])}).\n"
                f"{_first_difference(model, each, device, on_device)} "
                "Train on another device, or with another version of torch."
            )


def _gradients(
    model: nn.Module, config: TrainConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the loss and the gradient of each parameter, by name, as float64 on the CPU."""
    network, loss = _run(model, config, device, dtype)
    gradients = {
        f"the gradient of {name}": parameter.grad
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    return {name: values.cpu().double() for name, values in {LOSS: loss, **gradients}.items()}


def _run(
    model: nn.Module,
    config: TrainConfig,
    device: torch.device,
    dtype: torch.dtype,
    watch: Callable[[nn.Module], None] = lambda network: None,
) -> tuple[nn.Module, Tensor]:
    """Compute the gradients of a copy of the model; return the copy and its loss."""
    network: Any = copy.deepcopy(model)
    network.to(device, dtype, memory_format=layout_of(model))
    network.recompute = config.recompute
    watch(network)
    objective = _WithoutDropout(network, config)
    size = input_size(model)
    images = torch.rand(N_IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0))
    batch: Batch = images.to(dtype), torch.zeros(N_IMAGES, dtype=torch.int64)
    optimizer = torch.optim.SGD(network.parameters())
    processes = ProcessGroup(0, 1, device)
    loss, _ = compute_gradients(objective, network, optimizer, batch, config, processes)
    xla.sync(device)
    return network, loss


class _WithoutDropout(Objective):
    """The objective of a run, but for dropout, whose random numbers differ between devices."""

    def train(self, mode: bool = True) -> _WithoutDropout:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
        return self


@dataclass(frozen=True)
class _Call:
    """A call of a function of torch, and the last module before it."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    after: str

    def gradients(self, device: torch.device, dtype: torch.dtype | None) -> list[Tensor]:
        """Return the gradients of a weighted sum of the result; numbers are cast to `dtype`."""
        leaves: list[Tensor] = []

        def leaf(values: Tensor) -> Tensor:
            if not values.is_floating_point():
                return values.to(device)
            leaves.append(values.to(device, dtype or values.dtype).requires_grad_())
            return leaves[-1].clone()  # which the function may change

        result = self.function(*_map(leaf, self.args), **_map(leaf, self.kwargs))
        weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(0))
        sum_ = (result * weights.to(result.device, result.dtype)).sum()
        found = torch.autograd.grad(sum_, leaves, materialize_grads=True)
        return [values.cpu().double() for values in found]


class _Recorder(TorchFunctionMode):
    """The calls of torch whose result has a gradient, with copies of what they take."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        self.module = "the images"

    def watch(self, network: nn.Module) -> None:
        """Note the modules of a network as they are called."""
        for name, module in network.named_modules():
            if not list(module.children()):
                module.register_forward_hook(lambda *_, name=name: setattr(self, "module", name))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        taken, named = _map(lambda values: values.detach().clone(), (args, kwargs))
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.requires_grad and result.is_floating_point():
            self.calls.append(_Call(func, taken, named, self.module))
        return result


def _first_difference(
    model: nn.Module,
    config: TrainConfig,
    device: torch.device,
    on_device: Callable[[], AbstractContextManager[Any]],
) -> str:
    """Return a sentence on the first operation that has another gradient than on the CPU."""
    recorder, cpu, tolerance = _Recorder(), torch.device("cpu"), _tolerance(config, device)
    with on_device(), recorder:
        _run(model, config, device, torch.float32, recorder.watch)
    for call in recorder.calls:
        truth = call.gradients(cpu, torch.float64)
        rounded = call.gradients(cpu, torch.float32)
        with on_device(), autocast(device, PRECISIONS[config.precision]):
            found = call.gradients(device, None)
        for ours, theirs, nearly in zip(found, truth, rounded, strict=True):
            if _error(ours, theirs) > tolerance.share and _decides(nearly, theirs, tolerance):
                return (
                    f"The first operation whose gradient differs is {_name(call.function)} after "
                    f"{call.after} ({_both(ours, theirs)})."
                )
    return "The gradient of no single operation differs."


def _map(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to the tensors of nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, tuple | list):
        return type(value)([_map(function, each) for each in value])
    if isinstance(value, dict):
        return {key: _map(function, each) for key, each in value.items()}
    return value


def _tolerance(config: TrainConfig, device: torch.device) -> Tolerance:
    tf32 = device.type == "cuda" and config.precision == "float32"
    return TOLERANCES["tf32" if tf32 else config.precision]


def _decides(rounded: Tensor, truth: Tensor, tolerance: Tolerance) -> bool:
    """Return whether an error above the tolerance is more than rounding."""
    return tolerance.rounding * _error(rounded, truth) < tolerance.share


def _error(values: Tensor, truth: Tensor) -> float:
    """Return the norm of the error, as a share of the norm of the truth; infinite for NaN."""
    distance, norm = float((values - truth).norm()), float(truth.norm())
    if distance == 0:
        return 0.0
    return distance / norm if norm and math.isfinite(distance) else math.inf


def _both(values: Tensor, truth: Tensor) -> str:
    """Return the number that differs most, on both devices."""
    at = int((values - truth).abs().argmax())
    return f"{float(values.flatten()[at]):.4g}, on the CPU {float(truth.flatten()[at]):.4g}"


def _name(function: Callable[..., Any]) -> str:
    return str(resolve_name(function) or getattr(function, "__name__", function))

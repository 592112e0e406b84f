"""Memory of a training step, known before it is computed."""

from __future__ import annotations

import copy
import os
import weakref
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neurofit.activations.memory import free_bytes
from neurofit.errors import NeurofitError, counted
from neurofit.training.batches import PREFETCHED
from neurofit.training.config import TrainConfig
from neurofit.training.step import Objective, input_size

BFLOAT16 = 0.6
"""Least memory of a step in bfloat16, as a share of that in float32: 0.60 to 0.70 in three models
(rgc_tiny, lstm_tiny, rgc_shallow), since autocast computes only convolutions in half the size."""


def check_memory(
    model: nn.Module,
    config: TrainConfig,
    *,
    device: str | torch.device,
    world: int = 1,
    gradients: bool = True,
) -> int:
    """Check that a batch fits into the free memory of the device and of the machine.

    Parameters
    ----------
    model, config
        Model and configuration of the run.
    device
        Device of the run. The memory of an XLA device is not known.
    world
        Number of processes.
    gradients
        Whether gradients are computed, as in training.

    Returns
    -------
    Memory of a process's batch on the device, in bytes.

    Raises
    ------
    NeurofitError
        If it does not, with what is needed, what is free and what to change.
    """
    device = torch.device(device)
    size, images = input_size(model), ceil(config.batch_size / world)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    loaded = here * (PREFETCHED + 2) * images * 3 * size**2 * 4
    needs = {torch.device("cpu"): loaded}
    n_images = ceil(images / config.accumulate)
    step = count_bytes(model, config, n_images=n_images, gradients=gradients)
    if device.type in ("cpu", "cuda"):
        needs[device] = loaded + here * step if device.type == "cpu" else step
    for place, need in needs.items():
        if need > (free := free_bytes(place)):
            what = f"{counted(images, 'image')} of {size} x {size} pixels"
            each = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
            more = ", accumulate gradients over more parts, or recompute" if gradients else ""
            raise NeurofitError(
                f"A batch needs about {need / 1e9:,.1f} GB for {what}{each}, and "
                f"{free / 1e9:,.1f} GB of the memory of {place.type} are free. Reduce batch_size "
                f"or input_size{more}.",
                option="batch_size",
            )
    return step


def count_bytes(
    model: nn.Module, config: TrainConfig, *, n_images: int, gradients: bool = True
) -> int:
    """Return the peak size of the tensors of a batch, with the optimizer's, in bytes.

    The batch is run on torch's meta device, whose tensors have shapes but no values. From a model
    that does not run on it, the result is extrapolated from one and two images on the CPU. 0 is
    returned for a model that runs on neither.

    Parameters
    ----------
    model, config
        Model and configuration of the run.
    n_images
        Number of images that go through the model at once.
    gradients
        Whether gradients are computed, as in training.

    Raises
    ------
    NeurofitError
        If the model does not suit the configuration.
    """
    weights = _size(model.state_dict().values())
    state = weights * ((config.momentum > 0) + (config.ema is not None)) if gradients else 0
    share = BFLOAT16 if config.precision == "bfloat16" else 1.0
    try:
        peak = _peak(model, config, n_images, "meta", gradients)
    except NeurofitError:
        raise
    except Exception:  # a user's model may need values
        try:
            one, two = (_peak(model, config, n, "cpu", gradients) for n in (1, 2))
        except Exception:  # training will say what is wrong with it
            return 0
        peak = one + (two - one) * (n_images - 1)
    return state + weights + int(share * (peak - weights))


def _peak(
    model: nn.Module, config: TrainConfig, n_images: int, device: str, gradients: bool
) -> int:
    network: Any = copy.deepcopy(model).to(device)
    network.recompute = config.recompute
    objective = Objective(network, config).train(gradients)
    size = input_size(model)
    with _LiveBytes() as live, torch.set_grad_enabled(gradients):
        live.add(network.state_dict())
        images = torch.zeros(n_images, 3, size, size, device=device)
        loss, _ = objective(images, torch.zeros(n_images, dtype=torch.int64, device=device))
        if gradients:
            loss.backward()
    return int(live.peak)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of all tensors that exist at once, and keep the largest number."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if args and isinstance(args[0], Tensor) and args[0].device.type == "meta":
            if func is torch.ops.aten._local_scalar_dense.default:
                return 0  # the value of a tensor without values
            if "device" in kwargs:  # such a tensor cannot be copied to another device
                kwargs["device"] = args[0].device
        result = func(*args, **kwargs)
        self.add(result)
        return result

    def add(self, tensors: Any) -> None:
        """Count the storages of tensors that are not counted yet, for as long as they live."""
        for each in tree_leaves(tensors):
            if isinstance(each, Tensor) and (key := (storage := each.untyped_storage())._cdata):
                if key in self.sizes:
                    continue
                self.sizes[key] = storage.nbytes()
                self.now += self.sizes[key]
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


def _size(tensors: Any) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)

"""XLA devices (TPUs), through torch_xla.

torch_xla records operations; `sync` compiles and runs what has been recorded, and so does reading a
value. All devices of a machine look like one: what is computed from a batch that `shard` has
divided is divided among them (torch_xla's SPMD mode), so there is one process and one copy of what
is written. On a machine without a TPU, `PJRT_DEVICE=CPU` is an XLA device that compiles for the
CPU.
"""

from __future__ import annotations

import logging
import os
from typing import TypeVar

import torch
from torch import Tensor

from neurofit.errors import NeurofitError

_T = TypeVar("_T", bound=Tensor)


def open_device(device: str | torch.device) -> torch.device:
    """Return a torch device; torch_xla is started for "xla", with exact products of float32.

    Raises
    ------
    NeurofitError
        If torch_xla is not installed, there are several processes, or a gradient was computed on
        another device before torch_xla was started.
    """
    if torch.device(device).type != "xla":
        return torch.device(device)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it warns at each compilation
    try:
        import torch_xla
        from torch_xla import backends, runtime
    except ImportError as error:
        raise NeurofitError(
            f"The device xla needs torch_xla ({error}), in the version of torch: "
            "pip install 'neurofit[tpu]'.",
            option="device",
        ) from error
    if not runtime.is_spmd() and not torch_xla._XLAC._xla_runtime_is_initialized():
        runtime.use_spmd()
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if max(n_processes, runtime.process_count(), runtime.world_size()) > 1:
        raise NeurofitError(
            "One process uses all XLA devices of one machine; several were started. Start one, "
            "without torchrun or torch_xla.launch."
        )
    if backends.get_mat_mul_precision() != "highest":  # TPUs would multiply in bfloat16
        logging.getLogger(backends.__name__).setLevel(logging.ERROR)  # "not recommended" twice
        backends.set_mat_mul_precision("highest")
    opened: torch.device = torch_xla.device()
    _require_gradients(opened)
    return opened


def shard(batch: _T) -> _T:
    """Divide a batch of an XLA device among all devices of the machine, and return it.

    A batch of another device is returned as it is.
    """
    n_devices = count_devices() if batch.device.type == "xla" else 1
    if n_devices > 1:
        from torch_xla.distributed import spmd

        mesh = spmd.Mesh(list(range(n_devices)), (n_devices,), ("batch",))
        spmd.mark_sharding(batch, mesh, ("batch", *(None,) * (batch.ndim - 1)))
    return batch


def sync(device: torch.device) -> None:
    """Run what has been recorded for an XLA device; other devices have no record."""
    if device.type == "xla":
        import torch_xla

        torch_xla.sync()


def seed(value: int, device: torch.device) -> None:
    """Seed the random numbers of torch, and those of an XLA device."""
    torch.manual_seed(value)
    if device.type == "xla":
        import torch_xla

        torch_xla.manual_seed(value)


def count_devices() -> int:
    """Return the number of XLA devices that share a batch; torch_xla has been started."""
    from torch_xla import runtime

    return int(runtime.global_runtime_device_count()) if runtime.is_spmd() else 1


def describe_device(device: str) -> str:
    """Return the name of a device; for "xla", which has been started, with number and kind."""
    if device != "xla":
        return device
    from torch_xla import runtime

    return f"xla ({count_devices()} x {runtime.device_type()})"


def _require_gradients(device: torch.device) -> None:
    """Raise NeurofitError if torch cannot compute gradients on the device."""
    try:
        one = torch.ones((), device=device, requires_grad=True)
        torch.autograd.grad(one.neg(), one)
    except RuntimeError as error:
        if "device_ready_queues_" not in str(error):
            raise
        raise NeurofitError(
            "torch_xla must be started before the first gradient is computed on another device: "
            "call neurofit.config.xla.open_device('xla') at the start of the program."
        ) from error

"""Processes of a training run: one, those started by torchrun (CPU or CUDA), or those of a TPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neurofit.errors import NeurofitError


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, seen from one of them; the training loop is the same for all kinds.

    Parameters
    ----------
    rank, world
        Index of this process and number of processes.
    device
        Device of this process.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and reports progress."""
        return self.rank == 0

    def wrap(self, module: nn.Module, *, some_unused: bool) -> nn.Module:
        """Return a module whose gradients are averaged over processes.

        Parameters
        ----------
        module
            Module to wrap.
        some_unused
            Whether some parameters receive no gradient.
        """
        if self.world == 1 or self.device.type == "xla":
            return module
        devices = [self.device.index or 0] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            module, device_ids=devices, find_unused_parameters=some_unused
        )

    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Average gradients over the processes of a TPU; on other devices, `wrap` does so."""
        if self.device.type == "xla":
            import torch_xla.core.xla_model as xm

            xm.reduce_gradients(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Perform an optimizer step; on a TPU, then execute the recorded graph."""
        optimizer.step()
        if self.device.type == "xla":
            import torch_xla.core.xla_model as xm

            xm.mark_step()

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over processes."""
        if self.world == 1:
            return values
        if self.device.type == "xla":
            import torch_xla.core.xla_model as xm

            reduced: Tensor = xm.all_reduce(xm.REDUCE_SUM, values, scale=1 / self.world)
            return reduced
        values = values.clone()
        torch.distributed.all_reduce(values)
        return values / self.world


@contextmanager
def join_process_group(device: str | torch.device) -> Iterator[ProcessGroup]:
    """Join the processes started by torchrun or torch_xla, if any, and leave them at the end.

    Parameters
    ----------
    device
        "cpu", "cuda" (with the local rank as index) or "xla".

    Raises
    ------
    NeurofitError
        If torch_xla is not installed.
    """
    kind = torch.device(device).type
    if kind == "xla":
        yield _tpu()
        return
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ProcessGroup(0, 1, torch.device(device))
        return
    torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        own = torch.device(device)
        if kind == "cuda":
            own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(own)
        yield ProcessGroup(torch.distributed.get_rank(), world, own)
    finally:
        torch.distributed.destroy_process_group()


def _tpu() -> ProcessGroup:
    try:
        import torch_xla.core.xla_model as xm
        import torch_xla.runtime as xr
    except ImportError as error:
        raise NeurofitError(
            f"A TPU needs torch_xla ({error}). Install it: pip install 'neurofit[tpu]'."
        ) from error
    return ProcessGroup(xr.global_ordinal(), xr.world_size(), xm.xla_device())

"""The processes of a training run: one, those that torchrun started (CPU or CUDA), or those of a TPU; the loop is the same for all."""

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
class Team:
    """Which process this is, of how many, and where it computes.

    Parameters
    ----------
    rank, world
        Which process this is, and of how many.
    device
        Where it computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def share(self, module: nn.Module, *, some_unused: bool) -> nn.Module:
        """Return a module whose gradients are means over the processes; `some_unused`: not every parameter gets one."""
        if self.world == 1 or self.device.type == "xla":
            return module
        devices = [self.device.index or 0] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=some_unused)

    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the mean of gradients over the processes of a TPU; elsewhere the module from `share` has done so."""
        if self.device.type == "xla":
            import torch_xla.core.xla_model as xm

            xm.reduce_gradients(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the optimizer step; on a TPU, run what has been recorded after."""
        optimizer.step()
        if self.device.type == "xla":
            import torch_xla.core.xla_model as xm

            xm.mark_step()

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
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
def joined(device: str | torch.device) -> Iterator[Team]:
    """Join the processes that torchrun or torch_xla started, if any, and leave them at the end.

    Parameters
    ----------
    device
        "cpu", "cuda" (the local rank's) or "xla".

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
        yield Team(0, 1, torch.device(device))
        return
    torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        here = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else torch.device(device)
        if kind == "cuda":
            torch.cuda.set_device(here)
        yield Team(torch.distributed.get_rank(), world, here)
    finally:
        torch.distributed.destroy_process_group()


def _tpu() -> Team:
    try:
        import torch_xla.core.xla_model as xm
        import torch_xla.runtime as xr
    except ImportError as error:
        raise NeurofitError(f"A TPU needs torch_xla ({error}). Install it: pip install 'neurofit[tpu]'.") from error
    return Team(xr.global_ordinal(), xr.world_size(), xm.xla_device())

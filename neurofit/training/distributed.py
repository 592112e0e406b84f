"""Processes of a training run: one, or those started by torchrun (CPU or CUDA)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neurofit.config import xla


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
        if self.world == 1:
            return module
        devices = [self.device.index or 0] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            module, device_ids=devices, find_unused_parameters=some_unused
        )

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over processes."""
        if self.world == 1:
            return values
        values = values.clone()
        torch.distributed.all_reduce(values)
        return values / self.world


@contextmanager
def join_process_group(device: str | torch.device) -> Iterator[ProcessGroup]:
    """Join the processes started by torchrun, if any, and leave them at the end.

    Parameters
    ----------
    device
        "cpu", "cuda" (with the local rank as index) or "xla" (one process, see
        `neurofit.config.xla`).

    Raises
    ------
    NeurofitError
        If torch_xla is not installed, or several processes were started for it.
    """
    kind = torch.device(device).type
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or kind == "xla":
        yield ProcessGroup(0, 1, xla.open_device(device))
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

"""Batch sizes that fit into memory."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from neurofit.activations.model import Model, evaluating, find_layers
from neurofit.activations.presentation import Presentation

LARGEST_BATCH = (32, 256)
"""Largest number of images per batch on a CPU and on a GPU; larger batches are no faster."""


def fitting_batch_size(model: Model, *, device: str | torch.device = "cpu") -> int:
    """Return the number of images whose activations fit into half of the device's free memory.

    It is between 1 and `LARGEST_BATCH`. An image is assumed to need twice the size of all modules'
    outputs in one step (for a wrapped module, in one forward pass).
    """
    largest = LARGEST_BATCH[torch.device(device).type == "cuda"]
    if not isinstance(model, torch.nn.Module):
        return largest
    sizes: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, args, output: sizes.append(_n_bytes(output)))
        for module in model.modules()
        if not list(module.children())
    ]
    try:
        count_units(model)
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, min(largest, free_bytes(torch.device(device)) // (4 * max(sum(sizes), 1))))


def count_units(model: Model, layers: Sequence[str] | None = None) -> dict[str, int]:
    """Return the number of units of each layer."""
    return {layer: math.prod(shape) for layer, shape in layer_shapes(model, layers).items()}


def layer_shapes(model: Model, layers: Sequence[str] | None = None) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's features of an image, from one step on a blank one."""
    names = find_layers(model, layers)
    weights = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
    shape = (1, 3, model.input_size, model.input_size)
    blank = next(weights, torch.empty(0)).new_zeros(shape)
    with torch.no_grad(), evaluating(model):
        _, activations = next(iter(model.unroll(blank, Presentation(n_timesteps=1), layers=names)))
    return {layer: tuple(activations[layer].shape[1:]) for layer in names}


def _n_bytes(output: object) -> int:
    """Return the size of the tensors in a module's output."""
    if isinstance(output, Tensor):
        return output.numel() * output.element_size()
    return sum(_n_bytes(each) for each in output) if isinstance(output, tuple | list) else 0


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a GPU, or the machine's memory available to this process."""
    if device.type == "cuda":
        # what torch holds for its next tensors is free too
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    with suppress(OSError):
        free = [
            1024 * int(line.split()[1])
            for line in Path("/proc/meminfo").read_text().splitlines()
            if line.startswith("MemAvailable")
        ]
    with suppress(OSError, ValueError):  # limit of a container; "max" means none
        group = Path("/sys/fs/cgroup")
        free.append(
            int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        )
    return max(min(free), 0)

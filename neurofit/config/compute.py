"""How an analysis is computed: device, cores, batch size, cache. Nothing here changes a result."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import joblib

from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option
from neurofit.errors import NeurofitError, check_option

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in total)."""


@dataclass(frozen=True, kw_only=True)
class Compute(Configuration):
    """Where and how to compute.

    Parameters
    ----------
    device
        "auto" (a GPU if there is one), "cpu", "cuda" (or "cuda:1") or "xla" (a TPU, for the model
        only; maps are fitted on the CPU).
    n_jobs
        Time bins fitted at once; None uses the cores that this process may use.
    batch_size
        Images that go through the model at once; None uses what fits into memory.
    memory
        Memory in GB that the fits may take; None for what the machine has. A run that would take
        more is refused.
    keep_grams
        Whether to cache the features' Gram matrices on disk and to reuse cached ones.

    Raises
    ------
    NeurofitError
        If a number is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.Compute(device="cpu", n_jobs=2).jobs
    2
    """

    device: str = option("auto", help="Device: auto, cpu, cuda or xla (a TPU).")
    n_jobs: int | None = option(
        None, least=1, help="Time bins fitted at once.", default_text="available cores"
    )
    batch_size: int | None = option(
        None, least=1, help="Images per batch.", default_text="what fits into memory"
    )
    memory: float | None = option(
        None,
        above=0,
        help="Memory in GB that the fits may take.",
        default_text="what the machine has",
    )
    keep_grams: bool = option(
        False, help="Cache the features' Gram matrices on disk and reuse cached ones."
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def jobs(self) -> int:
        """The number of time bins to fit at once."""
        return self.n_jobs or available_cores()


def available_cores() -> int:
    """Return the number of cores that this process may use, as its container limits it."""
    return int(joblib.cpu_count())


def total_bytes() -> int:
    """Return the memory of the machine, as its container limits it."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError):  # "max" means no limit
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found)


def find_device(device: str) -> str:
    """Return the torch device that a name stands for; "auto" is a GPU if there is one.

    torch_xla is started for "xla".

    Raises
    ------
    NeurofitError
        If the name is unknown, there is no CUDA device, or torch_xla is not installed.
    """
    import torch

    check_option("device", device.split(":")[0], ("auto", "cpu", "cuda", "xla"))
    if device.startswith("xla"):
        from neurofit.config.xla import open_device

        return open_device(device).type
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise NeurofitError(f"No CUDA device is available for device {device!r}; use cpu.")
    return device

"""Tests on an XLA device, that of the CPU: skipped without torch_xla.

They fail without it where NEUROFIT_REQUIRE_XLA=1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch

HERE = find_spec("torch_xla") is not None

if HERE:
    from neurofit.config import xla

    os.environ.setdefault("PJRT_DEVICE", "CPU")
    # Programs are compiled in a sixth of the time, and run a little slower.
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    os.environ.setdefault("XLA_FLAGS", quick)
    xla.open_device("xla")  # now, before another test computes a gradient on the CPU


@pytest.fixture(autouse=True, scope="session")
def installed() -> None:
    """Skip or fail without torch_xla."""
    if not HERE:
        missing = "torch_xla is not installed (pip install 'neurofit[tpu]')"
        if os.environ.get("NEUROFIT_REQUIRE_XLA") == "1":
            pytest.fail(f"NEUROFIT_REQUIRE_XLA=1, but {missing}")
        pytest.skip(missing)


@pytest.fixture
def device() -> torch.device:
    """Return the XLA device."""
    return xla.open_device("xla")


@pytest.fixture
def compilations() -> Callable[[], int]:
    """Return a function that counts the programs that XLA has compiled in this process."""

    def count() -> int:
        from torch_xla.debug import metrics

        return (metrics.metric_data("CompileTime") or (0,))[0]

    return count

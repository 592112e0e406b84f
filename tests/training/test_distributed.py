"""What a process does in its group: alone nothing, on a TPU what torch_xla asks for.

Tests with two real processes are in tests/training/test_train.py.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.training.distributed import ProcessGroup, join_process_group


def test_alone_there_is_nothing_to_share() -> None:
    with join_process_group("cpu") as processes:
        assert (processes.rank, processes.world, processes.device, processes.is_main) == (
            0,
            1,
            torch.device("cpu"),
            True,
        )
        module = nn.Linear(2, 2)
        assert processes.wrap(module, some_unused=False) is module
        values = torch.ones(2)
        assert processes.mean(values) is values


def test_without_torch_xla_one_is_told_what_to_install() -> None:
    with (
        pytest.raises(
            NeurofitError, match=r"A TPU needs torch_xla .* pip install 'neurofit\[tpu\]'"
        ),
        join_process_group("xla"),
    ):
        pass


def test_on_a_tpu_gradients_are_meaned_first_and_the_graph_runs_after_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    xla = {
        name: ModuleType(name)
        for name in ("torch_xla", "torch_xla.core", "torch_xla.core.xla_model", "torch_xla.runtime")
    }
    model, runtime = xla["torch_xla.core.xla_model"], xla["torch_xla.runtime"]

    def all_reduce(how: str, values: Tensor, *, scale: float) -> Tensor:
        return 8 * values * scale  # eight equal processes

    fakes: dict[ModuleType, dict[str, Any]] = {
        model: {
            "xla_device": lambda: torch.device("xla", 0),
            "reduce_gradients": lambda optimizer: done.append("mean"),
            "mark_step": lambda: done.append("run"),
            "REDUCE_SUM": "sum",
            "all_reduce": all_reduce,
        },
        runtime: {"global_ordinal": lambda: 3, "world_size": lambda: 8},
    }
    for module, attributes in fakes.items():
        for name, value in attributes.items():
            setattr(module, name, value)
    for name, module in xla.items():
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(xla[parent], own, module)

    with join_process_group("xla") as processes:
        assert (processes.rank, processes.world, processes.device.type, processes.is_main) == (
            3,
            8,
            "xla",
            False,
        )
        weights = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(weights.parameters())
        monkeypatch.setattr(optimizer, "step", lambda: done.append("step"))
        processes.average_gradients(optimizer)
        processes.step(optimizer)
        assert done == ["mean", "step", "run"]
        assert processes.wrap(weights, some_unused=False) is weights
        assert torch.equal(processes.mean(torch.ones(2)), torch.ones(2))
    assert isinstance(processes, ProcessGroup)

"""What a process does in its group: alone, nothing.

Tests with two real processes are in tests/training/test_train.py.
"""

from __future__ import annotations

import torch
from torch import nn

from neurofit.training.distributed import join_process_group


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

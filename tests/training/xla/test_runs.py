"""Runs on XLA devices: compiled once, equal to those of the CPU, resumed to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurofit.config import xla
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models import load_weights, weights_sha256
from neurofit.models.convrnn import ConvRNN
from neurofit.training.config import TrainConfig
from neurofit.training.train import train

Images = Callable[..., ImageSet]
Net = Callable[..., ConvRNN]
Rows = Callable[[Path], list[dict[str, str]]]

CELL = "ugrnn"

SCRIPT = """
import sys
from dataclasses import replace
from neurofit.config import xla
from neurofit.training.train import train
sys.path.insert(0, {folder!r})
import conftest as here
train(
    here.little_net({cell!r}), here.halves(), replace(here.CONFIG, **{options!r}), out={out!r},
    device="xla", resume={resume!r},
)
import torch, torch_xla
batch = xla.shard(torch.zeros(4, 3).to("xla"))
print(torch_xla._XLAC._get_xla_sharding_spec(batch))
"""


def start(
    out: Path, *, resume: bool = False, n_devices: int = 1, **options: Any
) -> subprocess.Popen[str]:
    folder = str(Path(__file__).parents[1])
    code = SCRIPT.format(folder=folder, cell=CELL, options=options, out=str(out), resume=resume)
    without = {key: value for key, value in os.environ.items() if key != "XLA_USE_SPMD"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**without, "CPU_NUM_DEVICES": str(n_devices)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate": 2, "ema": 0.9, "save_steps": 3, "precision": "bfloat16"}],
    ids=["plain", "accumulated"],
)
def test_twenty_steps_compile_as_many_programs_as_three(
    options: dict[str, Any],
    tmp_path: Path,
    image_set: Images,
    net: Net,
    short_run: TrainConfig,
    compilations: Callable[[], int],
) -> None:
    config = replace(short_run, epochs=1, schedule="cosine", warmup_epochs=0.5, **options)
    counts: list[int] = []

    def count(done: int, n_steps: int, known: Mapping[str, float]) -> None:
        counts.append(compilations())

    train(net(CELL), image_set(160), config, out=tmp_path, device="xla", progress=count)
    assert len(counts) == 20
    # The first step has no momentum yet; parts of a batch are other programs than their sum.
    assert 1 <= counts[2] - counts[0] <= 3
    assert counts[18] == counts[2], counts  # the last step is followed by an evaluation


def test_a_run_has_the_weights_and_the_metrics_of_one_on_the_cpu(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, rows: Rows
) -> None:
    config = replace(short_run, epochs=2, ema=0.5)
    done = {}
    for device in ("xla", "cpu"):
        model = net(CELL)
        found = train(model, image_set(), config, out=tmp_path / device, device=device)
        done[device] = model.to("cpu"), found.accuracy, rows(tmp_path / device)
    for (name, ours), theirs in zip(
        done["xla"][0].named_parameters(), done["cpu"][0].parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5, msg=name)
    assert done["xla"][1].top1 == done["cpu"][1].top1
    assert done["xla"][1].by_timestep == done["cpu"][1].by_timestep
    for column in ("loss", "train_top1", "top1", "top5", "test_loss"):
        metrics = {d: [float(row[column] or 0) for row in done[d][2]] for d in done}
        np.testing.assert_allclose(metrics["xla"], metrics["cpu"], rtol=1e-4)


def test_two_devices_share_each_batch_and_give_the_weights_of_one(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    options: dict[str, Any] = {"epochs": 2}
    shared = start(tmp_path / "two", n_devices=2, **options)
    train(alone := net(CELL), image_set(), replace(short_run, **options), out=tmp_path / "one")
    said, error = shared.communicate(timeout=300)
    assert shared.returncode == 0, error
    assert said == "{devices=[2,1]0,1}\n"  # the batch is divided by two, the rest by one
    load_weights(two := net(CELL, seed=7), tmp_path / "two" / "little.safetensors")
    for (name, ours), theirs in zip(two.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5, msg=name)


def test_a_killed_run_goes_on_to_the_same_bits(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, rows: Rows
) -> None:
    options: dict[str, Any] = {"epochs": 12, "save_steps": 1, "evaluate_epochs": 12}
    killed = start(tmp_path / "killed", **options)
    straight = net(CELL)
    config = replace(short_run, **options)
    train(straight, image_set(), config, out=tmp_path / "straight", device="xla")
    begun, table = time.monotonic(), tmp_path / "killed" / "metrics.csv"
    while time.monotonic() - begun < 200 and killed.poll() is None:
        if table.exists() and len(rows(table.parent)) > 5:
            break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    _, error = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, error
    assert not (tmp_path / "killed" / "little.safetensors").exists()
    resumed = net(CELL, seed=9)
    train(resumed, image_set(), config, out=tmp_path / "killed", device="xla", resume=True)
    assert weights_sha256(resumed) == weights_sha256(straight)


def test_what_is_dropped_depends_on_seed_and_step_only(device: torch.device) -> None:
    drop = nn.Dropout(0.5)

    def mask(seed: int) -> Tensor:
        xla.seed(seed, device)
        dropped: Tensor = drop(torch.ones(64, device=device))
        return dropped.cpu()

    assert torch.equal(mask(3), mask(3))
    assert not torch.equal(mask(3), mask(4))


def test_float32_numbers_are_multiplied_as_such() -> None:
    from torch_xla import backends

    assert backends.get_mat_mul_precision() == "highest"


def test_a_gradient_before_the_start_is_refused() -> None:
    code = """
import torch
torch.ones(1, requires_grad=True).sum().backward()
from neurofit.config.xla import open_device
open_device("xla")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "torch_xla must be started before the first gradient is computed" in done.stderr


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(NeurofitError, match="One process uses all XLA devices of one machine"):
        xla.open_device("xla")

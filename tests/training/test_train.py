"""Training: the schedule, the groups, the loop.

A run that is killed, resumed or divided ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models import load_weights, weights_sha256
from neurofit.models.cells import CELLS
from neurofit.models.convrnn import ConvRNN
from neurofit.training import checkpoint
from neurofit.training.config import TrainConfig
from neurofit.training.step import measure_step
from neurofit.training.train import train

Images = Callable[..., ImageSet]
Net = Callable[..., ConvRNN]
Rows = Callable[[Path], list[dict[str, str]]]


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "memoryless"])
def test_every_cell_learns_500_images_by_heart(
    cell: str, tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, rows: Rows
) -> None:
    model = net(cell)
    images = image_set(500)
    images = replace(images, test=images.train)
    config = replace(
        short_run,
        epochs=12,
        lr=0.05,
        batch_size=20,
        evaluate_epochs=12,
        save_steps=25,
        schedule="cosine",
    )
    done = train(model, images, config, out=tmp_path)
    assert done.accuracy.top1 == 1.0
    assert done.accuracy.loss < 0.2
    losses = [float(row["loss"]) for row in rows(tmp_path)]
    assert losses[-1] < losses[0] / 5
    assert min(done.accuracy.by_timestep) == 3


def test_a_run_leaves_its_weights_with_a_card_its_metrics_and_its_state(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, rows: Rows
) -> None:
    model = net()
    seen: list[tuple[int, int]] = []
    done = train(
        model,
        image_set(),
        short_run,
        out=tmp_path / "run",
        progress=lambda now, total, known: seen.append((now, total)),
    )
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors",
        "config.json",
        "little.safetensors",
        "metrics.csv",
    ]
    assert seen == [(step, 18) for step in range(1, 19)]
    again = net(seed=5)
    card = json.loads(load_weights(again, done.weights)["training"])
    assert weights_sha256(again) == weights_sha256(model)
    assert (card["lr"], card["data"], card["step"], card["top1"]) == (
        0.1,
        "halves",
        18,
        done.accuracy.top1,
    )
    table = rows(tmp_path / "run")
    assert [int(row["step"]) for row in table] == [4, 6, 8, 12, 16, 18]
    assert [bool(row["top1"]) for row in table] == [False, True, False, True, False, True]
    assert float(table[-1]["loss"]) < float(table[0]["loss"])


def test_the_same_run_gives_the_same_weights_bit_for_bit(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    hashes: set[str] = set()
    for name in ("a", "b"):
        torch.manual_seed(len(hashes))  # torch's own generator has no say
        train(model := net(), image_set(), short_run, out=tmp_path / name)
        hashes.add(weights_sha256(model))
    assert len(hashes) == 1
    train(model := net(), image_set(), replace(short_run, seed=1), out=tmp_path / "c")
    assert weights_sha256(model) not in hashes


class _Stop(Exception):
    pass


@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9}, {"accumulate": 2, "loss": "all", "label_smoothing": 0.1}]
)
def test_a_run_that_is_interrupted_goes_on_to_the_same_weights(
    options: dict[str, Any],
    tmp_path: Path,
    image_set: Images,
    net: Net,
    short_run: TrainConfig,
    rows: Rows,
) -> None:
    config = replace(short_run, **options)
    train(straight := net(), image_set(), config, out=tmp_path / "straight")
    columns = ("step", "loss", "top1", "test_loss")
    for at in (5, 6, 13):

        def stop(now: int, total: int, known: Mapping[str, float], at: int = at) -> None:
            if now == at:
                raise _Stop

        out = tmp_path / f"stopped {at}"
        with pytest.raises(_Stop):
            train(net(), image_set(), config, out=out, progress=stop)
        train(resumed := net(seed=9), image_set(), config, out=out, resume=True)
        assert weights_sha256(resumed) == weights_sha256(straight), at
        assert [[row[c] for c in columns] for row in rows(out)] == [
            [row[c] for c in columns] for row in rows(tmp_path / "straight")
        ], at


def test_recomputing_steps_changes_no_gradient(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    kept, recomputed = net("rgc"), net("rgc")
    train(kept, image_set(), replace(short_run, epochs=1), out=tmp_path / "kept")
    train(
        recomputed,
        image_set(),
        replace(short_run, epochs=1, recompute=True),
        out=tmp_path / "recomputed",
    )
    torch.testing.assert_close(recomputed.state_dict(), kept.state_dict())


def test_parts_of_a_batch_add_up_to_it(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    whole, parts = net(), net()
    train(whole, image_set(), short_run, out=tmp_path / "whole")
    train(parts, image_set(), replace(short_run, accumulate=4), out=tmp_path / "parts")
    torch.testing.assert_close(parts.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-6)


def test_a_moving_average_is_what_is_kept(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    train(last := net(), image_set(), short_run, out=tmp_path / "last")
    train(average := net(), image_set(), replace(short_run, ema=0.5), out=tmp_path / "average")
    assert weights_sha256(last) != weights_sha256(average)
    train(at_once := net(), image_set(), replace(short_run, ema=0.0), out=tmp_path / "at once")
    assert weights_sha256(last) == weights_sha256(at_once)


def test_bfloat16_trains(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, rows: Rows
) -> None:
    done = train(net(), image_set(), replace(short_run, precision="bfloat16"), out=tmp_path)
    table = rows(tmp_path)
    assert float(table[-1]["loss"]) < float(table[0]["loss"])
    assert done.accuracy.n_images == 24


def test_a_run_records_the_commit_of_a_checkout(repository: Path) -> None:
    expected = ""
    if (repository / ".git").exists() and Path(checkpoint.__file__).resolve().is_relative_to(
        repository
    ):
        command = ["git", "rev-parse", "HEAD"]
        expected = subprocess.run(
            command, cwd=repository, capture_output=True, text=True, check=True
        ).stdout.strip()
    assert checkpoint.code_version().get("commit", "").removesuffix("+") == expected


def test_measuring_a_step_leaves_the_model_as_it_is(net: Net, short_run: TrainConfig) -> None:
    model = net()
    before = weights_sha256(model)
    cost = measure_step(model, short_run)
    assert cost.images_per_s > 0
    assert weights_sha256(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_tensorboard_is_asked_for_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image_set: Images,
    net: Net,
    short_run: TrainConfig,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(NeurofitError, match=r"pip install 'neurofit\[tensorboard\]'"):
        train(net(), image_set(), short_run, out=tmp_path, tensorboard=True)


def test_metrics_go_to_tensorboard_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image_set: Images,
    net: Net,
    short_run: TrainConfig,
    rows: Rows,
) -> None:
    scalars: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert Path(folder) == tmp_path

        def add_scalar(self, name: str, value: float, step: int) -> None:
            scalars.append((name, value, step))

        def flush(self) -> None:
            pass

    board = ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    train(net(), image_set(), short_run, out=tmp_path, tensorboard=True)
    assert [step for name, _, step in scalars if name == "loss"] == [
        int(row["step"]) for row in rows(tmp_path)
    ]


SCRIPT = """
import sys
from dataclasses import replace
import torch
from neurofit.training.train import train
sys.path.insert(0, {folder!r})
import conftest as here
torch.set_num_threads(1)
config = replace(here.CONFIG, **{options!r})
train(here.little_net(), here.halves(), config, out={out!r}, resume={resume!r})
"""


def start(
    out: Path, *, resume: bool = False, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    code = textwrap.dedent(SCRIPT).format(
        folder=str(Path(__file__).parent), options=options, out=str(out), resume=resume
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_run_that_is_killed_goes_on_to_the_same_weights(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, rows: Rows
) -> None:
    options: dict[str, Any] = {"epochs": 20, "save_steps": 1}
    train(straight := net(), image_set(), replace(short_run, **options), out=tmp_path / "straight")
    for kill in range(2):  # a new run, and one that was resumed
        run = start(tmp_path / "killed", resume=kill > 0, **options)
        begun = time.monotonic()
        size = len(rows(tmp_path / "killed")) if kill else 0
        while time.monotonic() - begun < 60 and run.poll() is None:
            if (tmp_path / "killed" / "metrics.csv").exists() and len(
                rows(tmp_path / "killed")
            ) > size + 5:
                break
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert not (tmp_path / "killed" / "little.safetensors").exists()
    run = start(tmp_path / "killed", resume=True, **options)
    _, error = run.communicate(timeout=120)
    assert run.returncode == 0, error
    load_weights(killed := net(seed=7), tmp_path / "killed" / "little.safetensors")
    assert weights_sha256(killed) == weights_sha256(straight)


def test_two_processes_give_the_weights_of_one_with_the_same_batch(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, rows: Rows
) -> None:
    options: dict[str, Any] = {"accumulate": 1, "epochs": 2}
    train(alone := net(), image_set(), replace(short_run, **options), out=tmp_path / "alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [
        start(
            tmp_path / "together",
            environment={
                "WORLD_SIZE": "2",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            **options,
        )
        for rank in range(2)
    ]
    for run in both:
        _, error = run.communicate(timeout=120)
        assert run.returncode == 0, error
    load_weights(shared := net(seed=7), tmp_path / "together" / "little.safetensors")
    for (name, ours), theirs in zip(shared.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5, msg=name)
    losses = [
        [float(row["loss"]) for row in rows(tmp_path / which)] for which in ("together", "alone")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)

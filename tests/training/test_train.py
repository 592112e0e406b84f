"""Training: the schedule, the groups, the loop.

A run that is killed, resumed or divided ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.activations.presentation import Presentation
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.errors import MachineError, NeurofitError
from neurofit.models import create_model, load_weights, weights_sha256
from neurofit.models.cells import CELLS
from neurofit.models.convrnn import ConvRNN
from neurofit.models.layer import Conv, Layer
from neurofit.training import checkpoint
from neurofit.training.config import TrainConfig, learning_rate
from neurofit.training.step import make_optimizer, measure_step
from neurofit.training.train import train

SIZE = 12


def image_set(n: int = 48, *, n_classes: int = 4, seed: int = 0) -> ImageSet:
    """Make pictures whose class is the bright half, upper or lower, and its colour.

    A flip does not change the class.
    """

    def part(n: int, seed: int) -> LabelledImages:
        rng = np.random.default_rng(seed)
        labels = rng.integers(n_classes, size=n)
        pictures = rng.integers(0, 100, (n, SIZE, SIZE, 3), dtype=np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            half, colour = divmod(int(label), 2)
            picture[6 * half : 6 * half + 6, :, colour] += 120
        return LabelledImages(images=pictures, labels=labels)

    classes = tuple(f"class {number}" for number in range(n_classes))
    return ImageSet(
        name="halves",
        classes=classes,
        train=part(n, seed),
        test=part(24, seed + 1),
        views="thumbnails",
    )


def net(cell: str = "gru", *, seed: int = 0, n_classes: int = 4) -> ConvRNN:
    """Make a recurrent net of three layers."""
    options: Mapping[str, Any] = (
        {"cell_channels": 8} if cell in ("gru", "lstm", "simplernn", "ugrnn") else {}
    )
    return ConvRNN(
        "little",
        (
            Layer("conv1", Conv(8, 3, stride=2), before_cell=("elu",)),
            Layer("conv2", Conv(8, 3), before_cell=("elu",), cell=cell, **options),
            Layer("readout", Conv(n_classes, 3), after_cell=("mean",)),
        ),
        region_layers={},
        input_size=SIZE,
        presentations={"default": Presentation(n_timesteps=5)},
        seed=seed,
    )


CONFIG = TrainConfig(epochs=3, batch_size=8, lr=0.1, clip=0.5, save_steps=4, n_workers=1)


# What the learning rate is


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.2] * 10),
        ("step", [0.2] * 4 + [0.02] * 3 + [0.002] * 3),
        ("cosine", [0.1 * (1 + np.cos(np.pi * step / 10)) for step in range(10)]),
    ],
)
def test_the_learning_rate_is_a_function_of_the_step(schedule: str, expected: list[float]) -> None:
    config = TrainConfig(lr=0.2, schedule=schedule, milestones=(0.4, 0.7))
    rates = [
        learning_rate(step, n_steps=10, steps_per_epoch=5, config=config) for step in range(10)
    ]
    np.testing.assert_allclose(rates, expected)


def test_the_learning_rate_warms_up_linearly_to_its_peak() -> None:
    config = TrainConfig(lr=1.0, schedule="cosine", warmup_epochs=0.8)
    rates = [
        learning_rate(step, n_steps=10, steps_per_epoch=5, config=config) for step in range(10)
    ]
    np.testing.assert_allclose(rates[:5], [0.25, 0.5, 0.75, 1.0, 1.0])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[4:]))


# What is decayed


def test_every_group_shrinks_by_its_own_decay() -> None:
    model = create_model("rgc_intermediate", weights="random", input_size=48)
    stated = model.weight_decays()
    optimizer = make_optimizer(model, TrainConfig(weight_decay=2.0))
    decay_of = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        assert decay_of[id(parameter)] == 2 * stated.get(name, 0.0), name
    assert len(optimizer.param_groups) == 3  # none, 1e-4 and that of the search


def test_without_a_gradient_only_the_decay_moves_a_weight() -> None:
    model = net()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, TrainConfig(weight_decay=100.0, lr=0.5, momentum=0.0))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.detach(),
            before[name] * (1 - 0.5 * 100 * model.weight_decays().get(name, 0.0)),
        )


def test_a_module_without_stated_decays_has_its_kernels_decayed() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    decays = {
        tuple(p.shape): group["weight_decay"]
        for group in make_optimizer(module, TrainConfig(weight_decay=0.3)).param_groups
        for p in group["params"]
    }
    assert decays == {(2, 3, 1, 1): 0.3, (2,): 0.0}


# What a run does


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "memoryless"])
def test_every_cell_learns_500_images_by_heart(cell: str, tmp_path: Path) -> None:
    model = net(cell)
    images = image_set(500)
    images = replace(images, test=images.train)
    config = replace(
        CONFIG,
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


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_weights_with_a_card_its_metrics_and_its_state(tmp_path: Path) -> None:
    model = net()
    seen: list[tuple[int, int]] = []
    done = train(
        model,
        image_set(),
        CONFIG,
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


def test_the_same_run_gives_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    hashes: set[str] = set()
    for name in ("a", "b"):
        torch.manual_seed(len(hashes))  # torch's own generator has no say
        train(model := net(), image_set(), CONFIG, out=tmp_path / name)
        hashes.add(weights_sha256(model))
    assert len(hashes) == 1
    train(model := net(), image_set(), replace(CONFIG, seed=1), out=tmp_path / "c")
    assert weights_sha256(model) not in hashes


class _Stop(Exception):
    pass


@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9}, {"accumulate": 2, "loss": "all", "label_smoothing": 0.1}]
)
def test_a_run_that_is_interrupted_goes_on_to_the_same_weights(
    options: dict[str, Any], tmp_path: Path
) -> None:
    config = replace(CONFIG, **options)
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


def test_recomputing_steps_changes_no_gradient(tmp_path: Path) -> None:
    kept, recomputed = net("rgc"), net("rgc")
    train(kept, image_set(), replace(CONFIG, epochs=1), out=tmp_path / "kept")
    train(
        recomputed,
        image_set(),
        replace(CONFIG, epochs=1, recompute=True),
        out=tmp_path / "recomputed",
    )
    torch.testing.assert_close(recomputed.state_dict(), kept.state_dict())


def test_parts_of_a_batch_add_up_to_it(tmp_path: Path) -> None:
    whole, parts = net(), net()
    train(whole, image_set(), CONFIG, out=tmp_path / "whole")
    train(parts, image_set(), replace(CONFIG, accumulate=4), out=tmp_path / "parts")
    torch.testing.assert_close(parts.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-6)


def test_a_moving_average_is_what_is_kept(tmp_path: Path) -> None:
    train(last := net(), image_set(), CONFIG, out=tmp_path / "last")
    train(average := net(), image_set(), replace(CONFIG, ema=0.5), out=tmp_path / "average")
    assert weights_sha256(last) != weights_sha256(average)
    train(at_once := net(), image_set(), replace(CONFIG, ema=0.0), out=tmp_path / "at once")
    assert weights_sha256(last) == weights_sha256(at_once)


def test_bfloat16_trains(tmp_path: Path) -> None:
    done = train(net(), image_set(), replace(CONFIG, precision="bfloat16"), out=tmp_path)
    table = rows(tmp_path)
    assert float(table[-1]["loss"]) < float(table[0]["loss"])
    assert done.accuracy.n_images == 24


# What is refused


def test_another_configuration_does_not_resume(tmp_path: Path) -> None:
    train(net(), image_set(), CONFIG, out=tmp_path)
    with pytest.raises(
        NeurofitError,
        match=r"belongs to another run: lr 0.1, now 0.2; seed 0, now 3\. Resume with the same",
    ):
        train(net(), image_set(), replace(CONFIG, lr=0.2, seed=3), out=tmp_path, resume=True)
    with pytest.raises(NeurofitError, match="already contains a run: resume it"):
        train(net(), image_set(), CONFIG, out=tmp_path)
    with pytest.raises(NeurofitError, match="no checkpoint to resume from"):
        train(net(), image_set(), CONFIG, out=tmp_path / "empty", resume=True)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_last_good_state(
    tmp_path: Path,
) -> None:
    class Explodes(nn.Module):
        input_size = SIZE

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 4))
            self.calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += self.training
            return (
                images.mean(dim=(2, 3)) @ self.weight * (float("nan") if self.calls == 11 else 1.0)
            )

    with pytest.raises(
        NeurofitError,
        match=r"The loss is nan in step 10. "
        r"The last checkpoint, .*checkpoint.safetensors, is after step 8",
    ):
        train(Explodes(), image_set(), CONFIG, out=tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fail(tensors: Any, path: Any, metadata: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, path, metadata=metadata)

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(MachineError, match="No space left"):
        train(net(), image_set(), CONFIG, out=tmp_path)
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    train(resumed := net(seed=3), image_set(), CONFIG, out=tmp_path, resume=True)
    train(straight := net(), image_set(), CONFIG, out=tmp_path / "straight")
    assert weights_sha256(resumed) == weights_sha256(straight)


class _SomeBroken:
    """Pictures of which some cannot be read."""

    def __init__(self, pictures: Any, broken: set[int]) -> None:
        self.pictures = pictures
        self.broken = broken

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int, /) -> np.ndarray:
        if index in self.broken:
            raise NeurofitError(f"picture {index} is broken")
        picture: np.ndarray = self.pictures[index]
        return picture


def test_unreadable_images_are_left_out_and_named_and_too_many_stop_the_run(tmp_path: Path) -> None:
    images = image_set(200)
    few = replace(
        images,
        train=LabelledImages(
            images=_SomeBroken(images.train.images, {3, 77}), labels=images.train.labels
        ),
    )
    done = train(net(), few, replace(CONFIG, epochs=1), out=tmp_path / "few")
    assert done.unreadable == ("picture 3 is broken", "picture 77 is broken")
    many = replace(
        images,
        train=LabelledImages(
            images=_SomeBroken(images.train.images, set(range(0, 200, 3))),
            labels=images.train.labels,
        ),
    )
    with pytest.raises(
        NeurofitError,
        match=r"images cannot be read, more than 1.0%. The last: picture \d+ is broken",
    ):
        train(net(), many, replace(CONFIG, epochs=1), out=tmp_path / "many")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"lr": -1.0}, "lr must not be negative"),
        (
            {"batch_size": 9, "accumulate": 2},
            "batch_size must be a multiple of accumulate, 2; got 9",
        ),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(NeurofitError, match=said):
        TrainConfig(**wrong)


def test_a_batch_that_cannot_be_filled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeurofitError, match="from 1 to the number of training images, 48; got 64"):
        train(net(), image_set(), replace(CONFIG, batch_size=64), out=tmp_path)


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


def test_measuring_a_step_leaves_the_model_as_it_is() -> None:
    model = net()
    before = weights_sha256(model)
    cost = measure_step(model, CONFIG)
    assert cost.images_per_s > 0
    assert weights_sha256(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_tensorboard_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(NeurofitError, match=r"pip install 'neurofit\[tensorboard\]'"):
        train(net(), image_set(), CONFIG, out=tmp_path, tensorboard=True)


def test_metrics_go_to_tensorboard_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    train(net(), image_set(), CONFIG, out=tmp_path, tensorboard=True)
    assert [step for name, _, step in scalars if name == "loss"] == [
        int(row["step"]) for row in rows(tmp_path)
    ]


# Other processes


SCRIPT = """
import sys, os, importlib
sys.path.insert(0, {folder!r})
import torch
torch.set_num_threads(1)
import test_train as here
from dataclasses import replace
options = {options!r}
model = here.net()
here.train(model, here.image_set(), replace(here.CONFIG, **options), out={out!r}, resume={resume!r})
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


def weights(out: Path) -> ConvRNN:
    model = net(seed=7)
    load_weights(model, out / "little.safetensors")
    return model


def test_a_run_that_is_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 20, "save_steps": 1}
    train(straight := net(), image_set(), replace(CONFIG, **options), out=tmp_path / "straight")
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
    assert weights_sha256(weights(tmp_path / "killed")) == weights_sha256(straight)


def test_two_processes_give_the_weights_of_one_with_the_same_batch(tmp_path: Path) -> None:
    options: dict[str, Any] = {"accumulate": 1, "epochs": 2}
    train(alone := net(), image_set(), replace(CONFIG, **options), out=tmp_path / "alone")
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
    shared = weights(tmp_path / "together")
    for (name, ours), theirs in zip(shared.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5, msg=name)
    losses = [
        [float(row["loss"]) for row in rows(tmp_path / which)] for which in ("together", "alone")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)

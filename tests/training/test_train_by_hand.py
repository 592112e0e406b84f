"""Training against SGD written out by hand, in float64, of a net with batch norm and dropout."""

from __future__ import annotations

import copy
import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurofit.activations.presentation import Presentation
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.models.convrnn import ConvRNN
from neurofit.models.layer import Conv, Layer
from neurofit.training.batches import TrainingBatches
from neurofit.training.config import TrainConfig
from neurofit.training.train import train

SIZE = 6  # thumbnails of fewer than 8 pixels are not shifted
N_IMAGES, N_CLASSES = 16, 4

CONFIG = TrainConfig(
    epochs=2,
    batch_size=8,
    lr=0.2,
    schedule="constant",
    momentum=0.0,
    weight_decay=0.0,
    n_workers=1,
    save_steps=1,
)


def labelled() -> LabelledImages:
    """Make pictures that a flip leaves as they are and whose first value is their position."""
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (N_IMAGES, SIZE, SIZE // 2, 3), dtype=np.uint8)
    left[:, 0, 0, 0] = np.arange(N_IMAGES)
    pictures = np.concatenate([left, left[:, :, ::-1]], axis=2)
    return LabelledImages(images=pictures, labels=rng.integers(N_CLASSES, size=N_IMAGES))


def image_set() -> ImageSet:
    classes = tuple(f"class {number}" for number in range(N_CLASSES))
    images = labelled()
    return ImageSet(name="mirrored", classes=classes, train=images, test=images, views="thumbnails")


def positions(images: Tensor) -> list[int]:
    return [round(255 * float(image[0, 0, 0])) for image in images]


class Net(nn.Module):
    """Two linear layers with batch norm and dropout between them.

    The images of every training step are noted, and by what dropout multiplied each unit.
    """

    input_size = SIZE

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(3 * SIZE * SIZE, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.5)
        self.second = nn.Linear(8, N_CLASSES)
        self.steps: list[tuple[Tensor, Tensor]] = []
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(std=0.5, generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.first(images.flatten(1))))
        factors = self.dropout(torch.ones_like(hidden))
        if self.training:
            self.steps.append((images, factors))
        logits: Tensor = self.second(hidden * factors)
        return logits


def by_hand(
    start: Mapping[str, Tensor],
    steps: list[tuple[Tensor, Tensor]],
    config: TrainConfig,
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[float]]:
    """Return the weights after some steps of SGD, their moving average and each step's loss."""
    labels = labelled().labels
    state = {name: values.double() for name, values in start.items()}
    average = dict(state)
    velocity = {name: torch.zeros(()).double() for name in state}
    losses = []
    for images, factors in steps:
        x = images.double().flatten(1)
        w = {name: values for name, values in state.items() if name.endswith(("weight", "bias"))}
        w = {name: values.clone().requires_grad_() for name, values in w.items()}
        hidden = x @ w["first.weight"].T + w["first.bias"]
        mean = hidden.sum(dim=0) / len(x)
        variance = ((hidden - mean) ** 2).sum(dim=0) / len(x)
        normal = (hidden - mean) / (variance + 1e-5).sqrt() * w["norm.weight"] + w["norm.bias"]
        kept = normal.clamp(min=0) * factors
        logits = kept @ w["second.weight"].T + w["second.bias"]
        log_p = logits - logits.exp().sum(dim=1, keepdim=True).log()
        loss = torch.zeros(()).double()
        for row, position in enumerate(positions(images)):
            for number in range(N_CLASSES):
                target = config.label_smoothing / N_CLASSES
                if number == labels[position]:
                    target += 1 - config.label_smoothing
                loss = loss - target * log_p[row, number] / len(x)
        losses.append(float(loss.detach()))
        gradients = dict(zip(w, torch.autograd.grad(loss, list(w.values())), strict=True))
        for name, gradient in gradients.items():
            if config.clip is not None:
                gradient = gradient.clamp(-config.clip, config.clip)
            if gradient.ndim > 1:
                gradient = gradient + config.weight_decay * state[name]
            velocity[name] = config.momentum * velocity[name] + gradient
            ahead = gradient + config.momentum * velocity[name]
            state[name] = state[name] - config.lr * ahead
        unbiased = variance.detach() * len(x) / (len(x) - 1)
        state["norm.running_mean"] = 0.9 * state["norm.running_mean"] + 0.1 * mean.detach()
        state["norm.running_var"] = 0.9 * state["norm.running_var"] + 0.1 * unbiased
        state["norm.num_batches_tracked"] = state["norm.num_batches_tracked"] + 1
        if config.ema is not None:
            for name in average:
                average[name] = config.ema * average[name] + (1 - config.ema) * state[name]
            average["norm.num_batches_tracked"] = state["norm.num_batches_tracked"]
    return state, average, losses


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, values in found.items():
        torch.testing.assert_close(values.double(), expected[name], rtol=1e-4, atol=1e-5, msg=name)


def assert_trains_as_by_hand(config: TrainConfig, out: Path) -> None:
    model = Net()
    start = copy.deepcopy(model.state_dict())
    train(model, image_set(), config, out=out)
    assert len(model.steps) == config.epochs * N_IMAGES // config.batch_size
    weights, _, losses = by_hand(start, model.steps, config)
    assert_same(model.state_dict(), weights)
    with open(out / "metrics.csv", newline="") as file:
        noted = [float(row["loss"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(noted, losses, rtol=1e-4)


# One step


def test_gradients_are_cut_element_by_element_and_before_the_decay(tmp_path: Path) -> None:
    assert_trains_as_by_hand(replace(CONFIG, clip=0.02, weight_decay=0.1), tmp_path)


def test_label_smoothing_gives_its_share_of_the_target_to_all_classes_alike(tmp_path: Path) -> None:
    assert_trains_as_by_hand(replace(CONFIG, label_smoothing=0.3), tmp_path)


def test_a_step_looks_ahead_along_nesterovs_momentum(tmp_path: Path) -> None:
    assert_trains_as_by_hand(replace(CONFIG, momentum=0.9, lr=0.05, weight_decay=0.1), tmp_path)


def test_the_loss_of_all_readouts_is_their_mean(tmp_path: Path) -> None:
    model = ConvRNN(
        "little",
        (
            Layer("conv1", Conv(4, 3, stride=2), before_cell=("elu",), cell="simplernn"),
            Layer("readout", Conv(N_CLASSES, 3), after_cell=("mean",)),
        ),
        region_layers={},
        input_size=SIZE,
        presentations={"default": Presentation(n_timesteps=5)},
        seed=0,
    )
    expected = copy.deepcopy(model)
    images = labelled()
    pictures = torch.from_numpy(np.array(images.images)).permute(0, 3, 1, 2).float() / 255
    readouts = [logits for _, logits in expected.readouts(pictures)]
    assert len(readouts) > 1
    loss = torch.zeros(())
    for logits in readouts:
        for row, label in enumerate(images.labels):
            log_p = logits[row, label] - logits[row].exp().sum().log()
            loss = loss - log_p / len(readouts) / N_IMAGES
    parameters = list(expected.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(CONFIG.lr * gradient)

    config = replace(CONFIG, epochs=1, batch_size=N_IMAGES, loss="all")
    train(model, image_set(), config, out=tmp_path)
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=1e-4, atol=1e-6)
    with open(tmp_path / "metrics.csv", newline="") as file:
        noted = [float(row["loss"]) for row in csv.DictReader(file)]
    assert noted == [pytest.approx(float(loss.detach()), rel=1e-5)]


# From step to step


class _Stop(Exception):
    pass


def stop_after_an_epoch(done: int, total: int, known: Mapping[str, float]) -> None:
    if done == N_IMAGES // CONFIG.batch_size:
        raise _Stop


def test_an_evaluated_average_is_not_what_training_goes_on_from(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=3, ema=0.7, momentum=0.9, lr=0.05)
    model = Net()
    start = copy.deepcopy(model.state_dict())
    train(model, image_set(), config, out=tmp_path)
    _, average, _ = by_hand(start, model.steps, config)
    assert_same(model.state_dict(), average)


def test_a_resumed_run_goes_on_from_the_weights_and_not_from_their_average(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=3, ema=0.7, momentum=0.9, lr=0.05)
    stopped, resumed = Net(), Net(seed=1)
    start = copy.deepcopy(stopped.state_dict())
    with pytest.raises(_Stop):
        train(stopped, image_set(), config, out=tmp_path, progress=stop_after_an_epoch)
    train(resumed, image_set(), config, out=tmp_path, resume=True)
    _, average, _ = by_hand(start, stopped.steps + resumed.steps, config)
    assert_same(resumed.state_dict(), average)


def test_what_dropout_drops_depends_on_the_seed_and_the_step_alone(tmp_path: Path) -> None:
    straight, disturbed, other = Net(), Net(), Net()
    train(straight, image_set(), CONFIG, out=tmp_path / "straight")
    torch.manual_seed(99)
    out = tmp_path / "disturbed"
    with pytest.raises(_Stop):
        train(disturbed, image_set(), CONFIG, out=out, progress=stop_after_an_epoch)
    torch.rand(7)
    train(disturbed, image_set(), CONFIG, out=out, resume=True)
    train(other, image_set(), replace(CONFIG, seed=1), out=tmp_path / "other")

    def dropped(model: Net) -> list[bytes]:
        return [(factors == 0).numpy().tobytes() for _, factors in model.steps]

    assert dropped(disturbed) == dropped(straight)
    assert len({*dropped(straight), *dropped(other)}) == 8
    share = np.mean([float((factors == 0).float().mean()) for _, factors in straight.steps])
    assert 0.4 < share < 0.6


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    images = labelled()
    batches = TrainingBatches(images=images, size=SIZE, views="thumbnails", batch_size=8, seed=3)
    seen: list[int] = []
    for _, (pictures, labels) in batches.iterate(0, 6):
        assert labels.tolist() == [int(images.labels[i]) for i in positions(pictures)]
        seen += positions(pictures)
    orders = [tuple(seen[epoch * N_IMAGES : (epoch + 1) * N_IMAGES]) for epoch in range(3)]
    assert len(set(orders)) == 3
    for epoch, order in enumerate(orders):
        rng = np.random.Generator(np.random.PCG64([3, epoch]))
        assert order == tuple(rng.permutation(N_IMAGES))

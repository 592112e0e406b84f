"""Gradients on an XLA device are those of float64 on the CPU: of every cell, layer and decoder."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.activations.presentation import Presentation
from neurofit.config import xla
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models import layer as layers
from neurofit.models.cells import CELLS, CellShapes
from neurofit.models.convrnn import ConvRNN
from neurofit.models.decoders import DECODERS
from neurofit.models.initialisers import initialise
from neurofit.models.layer import Conv, Layer
from neurofit.training.config import TrainConfig
from neurofit.training.device_check import check_device
from neurofit.training.step import Objective
from neurofit.training.train import train

Net = Callable[..., ConvRNN]
CPU = torch.device("cpu")


def switched(name: str) -> dict[str, bool]:
    """Return the 2018 switches of a cell, each the other way round."""
    given = inspect.signature(CELLS[name]).parameters
    return {key: not given[key].default for key in ("bypassing", "gating") if key in given}


VARIANTS = [
    *((name, {}) for name in CELLS),
    *((name, switched(name)) for name in CELLS if switched(name)),
    ("lstm", {"norm": True, "peepholes": True}),
]


def assert_close(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> None:
    """Compare gradients to 1e-5 of the largest of their tensor, or of a hundredth of all."""
    largest = max(float(values.abs().max()) for values in truth.values())
    for name, values in truth.items():
        scale = max(float(values.abs().max()), largest / 100)
        assert float((found[name].cpu().double() - values).abs().max()) < 1e-5 * scale, name


def weight_of(values: Tensor) -> Tensor:
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    return weights.to(values.device, values.dtype)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_a_cell(name: str, options: dict[str, bool], device: torch.device) -> None:
    fb = (2, 4, 5) if CELLS[name].takes_feedback else None
    cell = CELLS[name](CellShapes(x=(3, 4, 5), u=(2, 4, 5), fb=fb, channels=3), **options)
    initialise(cell, 0)
    generator = torch.Generator().manual_seed(0)
    shapes = [cell.shapes.x, cell.shapes.u, *([] if fb is None else [fb])]
    zeros = cell.initial_state(torch.zeros(2, *cell.shapes.x))
    drawn = [
        torch.randn(2, *shape, generator=generator)
        for shape in (*shapes, *(part.shape[1:] for part in zeros))
    ]

    def gradients(device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        own = copy.deepcopy(cell).to(device, dtype)
        inputs = [each.to(device, dtype).requires_grad_() for each in drawn]
        x, u, *rest = inputs
        fed, state = (rest[0], tuple(rest[1:])) if fb else (None, tuple(rest))
        for _ in range(2):
            output, state = own(x, u, fed, state)
        parts = torch.stack([(part * weight_of(part)).sum() for part in (output, *state)])
        parts.sum().backward()  # type: ignore[no-untyped-call]
        xla.sync(device)
        named = {f"input {i}": each for i, each in enumerate(inputs)}
        return {
            key: each.grad
            for key, each in {**named, **dict(own.named_parameters())}.items()
            if each.grad is not None
        }

    assert_close(gradients(device, torch.float32), gradients(CPU, torch.float64))


def test_a_net_with_what_layers_have(short_run: TrainConfig, device: torch.device) -> None:
    """Feedback that is resized, poolings of odd maps, a residual, several convolutions."""
    model = ConvRNN(
        "everything",
        (
            Layer("conv1", Conv(4, 3, stride=2), before_cell=("elu",), after_cell=("max_pool_3",)),
            Layer(
                "conv2",
                Conv(4, 3),
                before_conv=("swish",),
                cell="rgc",
                post_conv=Conv(3, 3),
                residual=True,
                after_cell=("elu", "max_pool"),
            ),
            Layer("readout", Conv(4, 3, padding="valid"), after_cell=("mean",)),
        ),
        feedback=[("readout", "conv2")],
        region_layers={},
        input_size=18,
        presentations={"default": Presentation(n_timesteps=3, image_off=2)},
        unroll="feedforward-per-step",
    )
    images = torch.rand(3, 3, 18, 18, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 3])
    config = replace(short_run, label_smoothing=0.1, loss="all")

    def gradients(device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        own: nn.Module = copy.deepcopy(model).to(device, dtype)
        loss, _ = Objective(own, config)(images.to(device, dtype), labels.to(device))
        loss.backward()
        xla.sync(device)
        found = {key: each.grad for key, each in own.named_parameters() if each.grad is not None}
        return {"loss": loss.detach(), **found}

    assert_close(gradients(device, torch.float32), gradients(CPU, torch.float64))


@pytest.mark.parametrize("name", list(DECODERS))
def test_a_decoder(name: str, device: torch.device) -> None:
    readouts = 3 * torch.randn(4, 8, 5, generator=torch.Generator().manual_seed(0))

    def gradients(device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        torch.manual_seed(0)  # for the decoder that draws a timestep
        own = readouts.to(device, dtype).requires_grad_()
        logits = DECODERS[name]().to(device, dtype)(own.unbind())
        logits.logsumexp(dim=1).sum().backward()
        xla.sync(device)
        assert own.grad is not None
        return {"logits": logits.detach(), "readouts": own.grad}

    assert_close(gradients(device, torch.float32), gradients(CPU, torch.float64))


def test_a_run_with_torch_xlas_own_elu_is_refused(
    net: Net,
    image_set: Callable[..., ImageSet],
    short_run: TrainConfig,
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    check_device(net("timedecay"), short_run, device)
    ops: dict[Any, Any] = {**layers._OPS, "elu": F.elu}
    monkeypatch.setattr(layers, "_OPS", ops)
    with pytest.raises(NeurofitError, match=r"is torch.nn.functional.elu after net.conv1.conv \("):
        train(net("timedecay"), image_set(), short_run, out=tmp_path, device="xla")
    assert not (tmp_path / "checkpoint.safetensors").exists()

"""The code blocks of models/README.md run as printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import neurofit
from neurofit.activations.model import validate_model
from neurofit.models import CELLS, MODELS, CellShapes, ConvRNN, create_model, shallow
from neurofit.models.catalogue import INFO
from neurofit.models.initialisers import initialise

Block = Callable[[str], str]


@pytest.fixture(autouse=True)
def _restored_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for registry in (CELLS, MODELS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    yield
    INFO.pop("leakygru_shallow", None)


@pytest.fixture(scope="module")
def block(repository: Path) -> Block:
    """Return the one Python block of the README that contains a text."""
    readme = (repository / "models" / "README.md").read_text(encoding="utf-8")

    def find(text: str) -> str:
        blocks: list[str] = re.findall(r"```python\n(.*?)```", readme, re.S)
        (found,) = [code for code in blocks if text in code]
        return found

    return find


@pytest.fixture
def leakygru(block: Block) -> None:
    exec(block("class LeakyGRU"), {"__name__": "neurofit.models.cells.leakygru"})


def test_the_first_example_prints_the_shape_at_every_timestep(
    block: Block, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(block("model.unroll"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 26
    assert printed[25] == "25 torch.Size([2, 32, 4, 4])"


@pytest.mark.usefixtures("leakygru")
def test_the_cell_leaks_as_its_equation_says() -> None:
    # Zero kernels: z = 1/2 and the candidate is 0, so h' = (1 - d) h + d h / 2.
    cell = CELLS["leakygru"](CellShapes(x=(1, 1, 1), u=(1, 1, 1), channels=1))
    torch.nn.init.constant_(cell.get_parameter("rate"), 0.5)
    x = torch.ones(1, 1, 1, 1)
    output, (h,) = cell(x, x, None, (torch.full((1, 1, 1, 1), 4.0),))
    assert output.item() == h.item() == 3
    initialise(cell, 0)
    assert cell.get_parameter("rate").item() == 0.5


@pytest.mark.usefixtures("leakygru")
def test_the_model_keeps_the_contract(block: Block) -> None:
    namespace = dict(vars(shallow))
    exec(block("def leakygru_shallow"), namespace)
    layer = eval(block("Layer("), namespace)
    assert (layer.name, layer.channels, layer.cell_options) == ("conv3", 256, {"rate": 0.3})
    model = create_model("leakygru_shallow", weights="random", input_size=72, n_classes=5)
    assert isinstance(model, ConvRNN)
    assert {model.built_layer(name).spec.cell for name in ("conv3", "conv4", "conv5")} == {
        "leakygru"
    }
    validate_model(model)


def test_a_wrapped_module_has_a_timestep_per_call(block: Block) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.v4, self.it = (
                nn.ModuleDict({"conv": nn.Conv2d(3, 3, 3, padding=1)}) for _ in range(2)
            )

        def forward(self, images: Tensor) -> Tensor:
            it: Tensor = torch.zeros_like(images)
            for _ in range(8):
                it = torch.tanh(self.it["conv"](torch.tanh(self.v4["conv"](images + it))))
            return it

    namespace: dict[str, object] = {"neurofit": neurofit, "net": Net()}
    exec(block("neurofit.wrap("), namespace)
    model = namespace["model"]
    assert isinstance(model, neurofit.models.WrappedModel)
    assert model.presentations["default"].n_timesteps == 8
    assert model.region_layers == {"V4": ("v4.conv",), "IT": ("it.conv",)}

"""The same call gives the same bits; other batches and threads agree within rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurofit
from neurofit.activations.activations import Activations
from neurofit.activations.extract import extract

FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.v4 = nn.Conv2d(3, 8, 7, stride=4)
        self.it = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, images):
        state = drive = torch.relu(self.v4(images))
        for _ in range(8):
            state = torch.relu(drive + self.it(state))
        return state


def make():
    return Net()
"""

NAMES = (
    "timm:resnet10t?input_size=64",
    "timm:convnext_atto?input_size=64",
    "torchvision:resnet18?input_size=64",
    "timm:vit_tiny_patch16_224?img_size=64&input_size=64",
    "torchvision:r3d_18?frames=4&input_size=32",
    "hf:vit",
    "my_net.py:make?input_size=64",
)


@pytest.fixture
def _threads() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.usefixtures("timm", "vit_folder", "_threads")
@pytest.mark.parametrize("name", NAMES)
def test_features_of_every_source_repeat(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_recording: Callable[..., Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(FILE)
    stimuli = make_recording(n_stimuli=7).stimuli

    def features(batch_size: int) -> Activations:
        model = neurofit.create_model(name, weights="random", seed=1)
        shown = model.presentations["default"]
        return extract(model, stimuli, presentation=shown, batch_size=batch_size, storage="memory")

    first, again, other = features(4), features(4), features(3)
    torch.set_num_threads(2)
    threads = features(4)
    assert first.provenance["weights_sha256"] == other.provenance["weights_sha256"]
    for key, values in first.blocks.items():  # type: ignore[attr-defined]
        np.testing.assert_array_equal(again.blocks[key], values)
        for found in (other, threads):
            apart = np.abs(found.blocks[key] - values).max()
            assert apart <= 1e-5 * np.abs(values).max(), key

"""The shallow models are those of the TensorFlow reference: every layer at every step."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from neurofit.models import ConvRNN, list_models

UNIT_TOLERANCE = 1e-4  # of the step's largest value
LOGITS_TOLERANCE = 2e-5


@pytest.mark.parametrize("name", list_models("*_shallow"))
def test_every_layer_at_every_step_is_that_of_the_reference(
    name: str, shared: Callable[[str], Path], golden_images: Tensor, golden_model: Callable[..., ConvRNN]
) -> None:
    compare(name, shared(f"golden/{name}__default__seed0.npz"), golden_images, golden_model)


@pytest.mark.parametrize("name", ["lstm_shallow", "rgc_shallow"])
def test_the_recurrent_layers_are_those_of_the_reference_on_any_machine(
    name: str, embedded: Path, golden_images: Tensor, golden_model: Callable[..., ConvRNN]
) -> None:
    if (embedded.parent.parent.parent / "shared" / "golden").is_dir():
        pytest.skip("the whole golden files, which contain these numbers, are here and compared")
    compare(name, embedded / f"{name}.npz", golden_images, golden_model)


@pytest.mark.parametrize("name", ["lstm_shallow", "rgc_shallow"])
def test_the_embedded_numbers_are_those_of_the_whole_files(name: str, shared: Callable[[str], Path], embedded: Path) -> None:
    with np.load(embedded / f"{name}.npz") as small, np.load(shared(f"golden/{name}__default__seed0.npz")) as whole:
        assert {"logits", "conv3/values", "conv4/values", "conv5/values"} <= set(small)
        for key in small:
            np.testing.assert_array_equal(small[key], whole[key])


def compare(name: str, file: Path, images: Tensor, build: Callable[..., ConvRNN]) -> None:
    with np.load(file) as npz:
        golden: Mapping[str, npt.NDArray[Any]] = dict(npz)
    model = build(name, golden)
    recorded = [layer for layer in model.layers if f"{layer}/values" in golden]
    assert len(recorded) >= 3
    logits = torch.empty(0)
    with torch.no_grad():
        for timestep, activations in model.unroll(images):
            for layer in recorded:
                error = relative_error(sampled(layer, activations[layer]), golden[f"{layer}/values"][timestep])
                assert error < UNIT_TOLERANCE, f"{layer}, timestep {timestep}: {error:.1e}"
            logits = activations["imnetds"].flatten(1)
    assert timestep == len(golden["conv3/values"]) - 1
    assert relative_error(logits.numpy(), golden["logits"]) < LOGITS_TOLERANCE


def sampled(layer: str, activations: Tensor) -> npt.NDArray[np.float32]:
    """Return the 256 units of the golden files, which count (height width channel)."""
    values = activations.permute(0, 2, 3, 1).flatten(1).numpy()
    index = np.random.Generator(np.random.PCG64(zlib.crc32(layer.encode()))).integers(0, values.shape[1], 256)
    return values[:, index]


def relative_error(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())

"""The published models compute what the TensorFlow reference computes."""

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

from neurofit.models import ConvRNN
from neurofit.models.decoders import DECODERS, MaxConf, Thresh

UNIT_TOLERANCE = 1e-4  # relative to the largest value of the step
LOGITS_TOLERANCE = 2e-5

CELLS = ("timedecay", "simplernn", "gru", "lstm", "intersectionrnn", "ugrnn", "rgc")
PUBLISHED = (
    *(f"{cell}_{depth}" for depth in ("shallow", "intermediate") for cell in CELLS),
    *(f"ugrnn_intermediate_{variant}" for variant in ("t30", "t30_dthresh", "t30_tmaxconf")),
    *(f"rgc_intermediate_{variant}" for variant in ("dthresh", "tmaxconf", "t22_tmaxconf")),
)
EMBEDDED = (
    "gru_shallow",
    "intersectionrnn_shallow",
    "lstm_shallow",
    "rgc_shallow",
    "rgc_intermediate_t22_tmaxconf",
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_layer_at_every_step_is_that_of_the_reference(
    name: str,
    shared: Callable[[str], Path],
    golden_images: Tensor,
    golden_model: Callable[..., ConvRNN],
) -> None:
    compare(name, shared(f"golden/{name}__default__seed0.npz"), golden_images, golden_model)


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_recurrent_layers_are_those_of_the_reference_on_any_machine(
    name: str, embedded: Path, golden_images: Tensor, golden_model: Callable[..., ConvRNN]
) -> None:
    if (embedded.parent.parent.parent / "shared" / "golden").is_dir():
        pytest.skip("the whole golden files, which contain these numbers, are here and compared")
    compare(name, embedded / f"{name}.npz", golden_images, golden_model)


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_numbers_are_those_of_the_whole_files(
    name: str, shared: Callable[[str], Path], embedded: Path
) -> None:
    with (
        np.load(embedded / f"{name}.npz") as small,
        np.load(shared(f"golden/{name}__default__seed0.npz")) as whole,
    ):
        assert "logits" in small
        assert sum(key.endswith("/values") for key in small) >= 3
        for key in small:
            np.testing.assert_array_equal(small[key], whole[key])


def test_the_decoders_choose_as_the_reference_does(shared: Callable[[str], Path]) -> None:
    with np.load(shared("golden/decoders.npz")) as golden:
        cases = [key.removesuffix("/kind") for key in golden if key.endswith("/kind")]
        for case in cases:
            kind, beta, threshold = (
                golden[f"{case}/{key}"].item() for key in ("kind", "beta", "threshold")
            )
            outputs = torch.from_numpy(golden[f"logits_T{golden[f'{case}/T']}"]).unbind(1)
            decoder = DECODERS[kind]() if kind == "max_conf" else Thresh(threshold)
            if isinstance(decoder, MaxConf):
                decoder.beta.data.fill_(beta)
            rows = torch.arange(len(outputs[0]))
            expected = torch.stack(outputs)[torch.from_numpy(golden[f"{case}/time_index"]), rows]
            assert torch.equal(decoder(outputs), expected), case
            np.testing.assert_array_equal(
                decoder(outputs).detach().numpy(), golden[f"{case}/logits_out"]
            )
    assert len(cases) == 30


def compare(name: str, file: Path, images: Tensor, build: Callable[..., ConvRNN]) -> None:
    with np.load(file) as npz:
        golden: Mapping[str, npt.NDArray[Any]] = dict(npz)
    model = build(name, golden)
    recorded = [layer for layer in model.layers if f"{layer}/values" in golden]
    assert len(recorded) >= 3
    readouts = []
    with torch.no_grad():
        for timestep, activations in model.unroll(images):
            readouts.append(activations["imnetds"].flatten(1))
            for layer in recorded:
                error = relative_error(
                    sampled(layer, activations[layer]), golden[f"{layer}/values"][timestep]
                )
                assert error < UNIT_TOLERANCE, f"{layer}, timestep {timestep}: {error:.1e}"
        assert timestep == len(golden[f"{recorded[0]}/values"]) - 1
        assert (
            relative_error(model.decoder(readouts[model.decoded_from :]).numpy(), golden["logits"])
            < LOGITS_TOLERANCE
        )


def sampled(layer: str, activations: Tensor) -> npt.NDArray[np.float32]:
    """Return the 256 units of the golden files, whose order is (height width channel)."""
    values = activations.permute(0, 2, 3, 1).flatten(1).numpy()
    index = np.random.Generator(np.random.PCG64(zlib.crc32(layer.encode()))).integers(
        0, values.shape[1], 256
    )
    return values[:, index]


def relative_error(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())

"""The 5-layer nets of 2018 have the layers, shapes and parameters of the authors' files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.models import create_model, list_models, model_info
from neurofit.models.cells import CELLS, Cell, CellShapes
from neurofit.models.five_layer import SMALL, VARIANTS
from neurofit.models.initialisers import initialise
from neurofit.models.layer import _OPS
from neurofit.models.normalisation import BatchNorm

# json/5L_imnet128_*.json of github.com/neuroailab/tnn: (channels, kernel, stride), each followed by
# max pooling of 3 x 3 with stride 2 and padding SAME; then `flatten` and `fc` with 1,001 outputs.
FILE = ((64, 7, 2), (128, 3, 1), (256, 3, 1), (256, 3, 1), (512, 3, 1))
IMAGE, CLASSES = 128, 1001


def sizes_of_the_file() -> list[int]:
    """Return height and width after each of the five layers, by TensorFlow's rule for SAME."""
    size, found = IMAGE, []
    for _, _, stride in FILE:
        size = math.ceil(math.ceil(size / stride) / 2)
        found.append(size)
    return found


def parameters_of_the_file(cell: str) -> int:
    """Count the variables that tnn makes from a file, at the commit of the files (6957ae8)."""
    total, below = 0, 3
    for number, (channels, kernel, _) in enumerate(FILE, 1):
        total += kernel * kernel * below * channels + channels  # component_conv: weights and bias
        total += 2 * channels  # gamma and beta
        if number >= 3 and cell == "lstm":  # [x; h] to four gates, 3 x 3, with a bias
            total += 9 * 2 * channels * 4 * channels + 4 * channels
        if number >= 3 and cell == "rgc":  # input_to_cell, two tau, two gates: 3 x 3, no bias
            total += 5 * 9 * channels * channels
        below = channels
    return total + sizes_of_the_file()[-1] ** 2 * below * CLASSES + CLASSES


@pytest.mark.parametrize("name", ["feedforward", "lstm", "rgc"])
def test_parameters_and_shapes_are_those_of_the_authors_files(name: str) -> None:
    model = create_model(f"{name}_5layer", weights="random", n_classes=CLASSES)
    assert sum(p.numel() for p in model.parameters()) == parameters_of_the_file(name)
    shapes = [model.shapes[f"conv{number}"] for number in range(1, 6)]
    assert shapes == [
        (channels, size, size)
        for (channels, _, _), size in zip(FILE, sizes_of_the_file(), strict=True)
    ]
    assert model.shapes["imnetds"] == (CLASSES, 1, 1)
    decays = model.weight_decays()
    assert set(decays.values()) == {5e-4}
    assert not any("norm" in parameter for parameter in decays)


@pytest.mark.parametrize("size", ["5layer", "5layer_32"])
def test_cells_are_added_to_a_base_that_keeps_its_width(size: str) -> None:
    base = dict(create_model(f"feedforward_{size}", weights="random").named_parameters())
    for stem in VARIANTS:
        if stem in ("feedforward_wide", "feedforward_deep"):
            continue
        parameters = dict(create_model(f"{stem}_{size}", weights="random").named_parameters())
        assert parameters.keys() >= base.keys()
        assert all(parameters[name].shape == base[name].shape for name in base)
        added = {name.split(".")[1] for name in parameters.keys() - base.keys()}
        assert added == (set() if stem == "feedforward" else {"conv3", "conv4", "conv5"})


@pytest.mark.parametrize("size", ["5layer", "5layer_32"])
def test_wide_and_deep_nets_have_the_parameters_of_the_net_with_reciprocal_gates(size: str) -> None:
    def count(stem: str) -> int:
        model = create_model(f"{stem}_{size}", weights="random")
        return sum(p.numel() for p in model.parameters())

    for stem in ("feedforward_wide", "feedforward_deep"):
        assert count(stem) == pytest.approx(count("rgc"), rel=0.01)


def test_the_family_is_registered_at_both_sizes() -> None:
    large, small = set(list_models("*_5layer")), set(list_models("*_5layer_32"))
    assert {name + "_32" for name in large} == small
    assert len(large) == len(VARIANTS) == 15
    for name in small:
        info = model_info(name)
        assert (info.input_size, info.n_classes, info.family) == (32, 10, "5layer_32")
        assert (
            info.presentations["default"].n_timesteps
            >= len(create_model(name, weights="random").layers) + 1
        )
    assert SMALL.widths == tuple(channels // 8 for channels, _, _ in FILE)


@pytest.mark.parametrize("size", range(1, 12))
def test_pooling_is_tensorflows_same_padding(size: int) -> None:
    maps = torch.randn(2, 3, size, size + 1, generator=torch.Generator().manual_seed(size))
    pooled = _OPS["max_pool_3"](maps)
    for axis, n in ((2, size), (3, size + 1)):
        assert pooled.shape[axis] == math.ceil(n / 2)

    def windows(n: int) -> list[slice]:  # TensorFlow's rule, "SAME"
        before = max((math.ceil(n / 2) - 1) * 2 + 3 - n, 0) // 2
        starts = range(-before, -before + 2 * math.ceil(n / 2), 2)
        return [slice(max(start, 0), start + 3) for start in starts]

    expected = np.array(
        [
            [maps[:, :, rows, columns].amax((2, 3)).numpy() for columns in windows(size + 1)]
            for rows in windows(size)
        ]
    )
    np.testing.assert_array_equal(pooled.permute(2, 3, 0, 1).numpy(), expected)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same(maps: Tensor, weight: Tensor, bias: Tensor | None = None, groups: int = 1) -> Tensor:
    return F.conv2d(maps, weight, bias, padding="same", groups=groups)


def build(name: str, shapes: CellShapes, **options: Any) -> Cell:
    return CELLS[name](shapes, **options)


def test_the_cell_of_2018_follows_its_equations() -> None:
    shapes = CellShapes(x=(4, 5, 5), u=(2, 5, 5), fb=(3, 5, 5), channels=4)
    cell = build("rgc", shapes, input_gate=False, feedback_kernel=3)
    initialise(cell, 1)
    cell.double()
    names = {name for name, _ in cell.named_parameters()}
    assert names == {
        f"{part}.weight" for part in ("input_to_cell", "feedback", "cell_to_gates", "out_to_gates")
    }
    w = {name.partition(".")[0]: p for name, p in cell.named_parameters()}
    w_ctau, w_og = w["cell_to_gates"].chunk(2)
    w_otau, w_cg = w["out_to_gates"].chunk(2)
    x, u, fb = drawn(2, 4, 5, 5), drawn(2, 2, 5, 5, seed=1), drawn(2, 3, 5, 5, seed=2)
    c = o = torch.zeros(2, 4, 5, 5, dtype=torch.float64)
    state = cell.initial_state(x)
    for _ in range(3):
        output, state = cell(x, u, fb, state)
        cell_new = (1 - same(c, w_ctau).sigmoid()) * c
        cell_new = cell_new + (1 - same(o, w_cg).sigmoid()) * same(x, w["input_to_cell"])
        out_new = (1 - same(o, w_otau).sigmoid()) * o
        out_new = out_new + (1 - same(c, w_og).sigmoid()) * (x + same(fb, w["feedback"]))
        c, o = F.elu(cell_new), F.elu(out_new)
        torch.testing.assert_close(output, o, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(state, (c, o), rtol=1e-12, atol=1e-12)


def test_res3_is_a_residual_block_of_three_convolutions_when_it_is_unrolled() -> None:
    shapes = CellShapes(x=(8, 5, 5), u=(8, 5, 5), channels=8)
    cell = build("res3", shapes, cell_channels=3, tau_out=1.0)
    initialise(cell, 1)
    cell.double()
    for name, parameter in cell.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.constant_(parameter, 0.0)
    w = {name.partition(".")[0]: p for name, p in cell.named_parameters() if "weight" in name}
    x = drawn(2, 8, 5, 5)
    out_0, state = cell(x, x, None, cell.initial_state(x))
    out_1, state = cell(torch.zeros_like(x), x, None, state)
    out_2, _ = cell(torch.zeros_like(x), x, None, state)

    def branch(maps: Tensor, middle: int) -> Tensor:
        maps = same(maps.relu(), w["input_to_cell"]).relu()
        for _ in range(middle):
            maps = same(maps, w["cell_to_cell"]).relu()
        return same(maps, w["cell_to_out"])

    torch.testing.assert_close(out_0, x + branch(x, 0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(out_1, out_0.relu() + branch(x, 1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(out_2, out_1.relu() + branch(x, 2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("squeeze", [0.0, 0.5])
def test_the_efficient_gated_unit_follows_its_equations(squeeze: float) -> None:
    shapes = CellShapes(x=(6, 5, 5), u=(4, 5, 5), fb=(3, 5, 5), channels=4)
    cell = build("egu", shapes, squeeze=squeeze)
    initialise(cell, 1)
    cell.double()
    p = dict(cell.named_parameters())
    x, u, fb = drawn(3, 6, 5, 5), drawn(3, 4, 5, 5, seed=1), drawn(3, 3, 5, 5, seed=2)

    def normalised(maps: Tensor) -> Tensor:
        mean = maps.mean((0, 2, 3), keepdim=True)
        variance = maps.var((0, 2, 3), unbiased=False, keepdim=True)
        return (maps - mean) / (variance + 1e-5).sqrt()

    h, state = torch.zeros_like(x), cell.initial_state(x)
    for _ in range(3):
        output, state = cell(x, u, fb, state)
        h = h + F.silu(normalised(same(x + h, p["update.conv.weight"], groups=6)))
        h = h + F.silu(normalised(same(fb, p["feedback.conv.weight"])))
        excited = h
        if squeeze:
            squeezed = F.silu(same(h.mean((2, 3), keepdim=True), p["reduce.weight"]))
            assert len(squeezed[0]) == 2
            excited = h * same(squeezed, p["expand.weight"]).sigmoid()
        expected = normalised(same(excited, p["out.conv.weight"])) + u
        torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(state, (h,), rtol=1e-10, atol=1e-10)


def test_batch_norm_uses_the_batch_in_training_and_the_running_statistics_in_a_test() -> None:
    norm = BatchNorm(3, momentum=0.25)
    maps = 2 * drawn(4, 3, 5, 5).float() + 1
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=True)
    out = norm(maps)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    torch.testing.assert_close(norm.running_var, 0.75 + 0.25 * variance)
    one = norm(maps[:1])  # what a layer computes before the image reaches it
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    norm.eval()
    torch.testing.assert_close(norm(maps)[:1], one)


def test_before_the_image_arrives_a_net_computes_in_training_what_it_does_in_a_test() -> None:
    model = create_model("rgc_5layer_32", weights="random")
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for _ in range(2):  # running statistics that are not 0 and 1
        model.train()(images)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    steps = [next(model.train(mode).unroll(images))[1]["conv5"] for mode in (True, False)]
    assert torch.equal(*steps)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in changed} == {"conv1"}


def test_recomputed_gradients_and_statistics_are_those_of_a_stored_step() -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    results = []
    for recompute in (False, True):
        model = create_model("egu_5layer_32", weights="random").train()
        model.recompute = recompute
        model(images).square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        results.append([*gradients, *model.buffers()])
    for stored, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(stored, recomputed)

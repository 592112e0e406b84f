"""Weights depend on name and seed alone, with the distributions of the reference."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from neurofit.errors import NeurofitError
from neurofit.models import MODELS, create_model, list_models, weights_sha256
from neurofit.models.initialisers import (
    Constant,
    GlorotUniform,
    Normal,
    Stacked,
    VarianceScaling,
    initialise,
)

SHAPE = (64, 32, 3, 3)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_variance_scaling_has_its_variance_after_the_cut() -> None:
    values = VarianceScaling(1.5)(rng(), SHAPE)
    std = np.sqrt(1.5 / (32 * 9))
    assert values.std() == pytest.approx(std, rel=0.02)
    assert np.abs(values).max() < 2 * std / 0.8796
    assert np.abs(values).max() > 1.9 * std / 0.8796


def test_glorot_uniform_counts_both_fans() -> None:
    values = GlorotUniform()(rng(), SHAPE)
    limit = np.sqrt(6 / ((64 + 32) * 9))
    assert 0.99 * limit < np.abs(values).max() <= limit
    assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_normal_has_its_std_and_constant_its_value() -> None:
    assert Normal(0.01)(rng(), SHAPE).std() == pytest.approx(0.01, rel=0.02)
    assert (Constant(-1.5)(rng(), (7,)) == -1.5).all()


@pytest.mark.parametrize("name", list_models("*_tiny"))
def test_the_same_seed_gives_the_same_weights_whatever_torch_has_drawn(name: str) -> None:
    first = weights_sha256(create_model(name, weights="random", seed=1))
    torch.rand(5)
    assert weights_sha256(create_model(name, weights="random", seed=1)) == first
    assert weights_sha256(create_model(name, weights="random", seed=2)) != first


def test_building_a_model_does_not_touch_torchs_generator() -> None:
    before = torch.random.get_rng_state()
    create_model("lstm_tiny", weights="random")
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_kernel_follows_from_its_name_alone() -> None:
    weight = create_model("rgc_tiny", weights="random", seed=3).get_parameter(
        "net.conv3.cell.input_to_cell.weight"
    )
    own = np.random.Generator(
        np.random.PCG64([zlib.crc32(b"net.conv3.cell.input_to_cell.weight"), 3])
    )
    np.testing.assert_array_equal(
        weight.detach().numpy(), GlorotUniform()(own, tuple(weight.shape)).astype(np.float32)
    )


def test_a_part_of_a_kernel_has_the_fan_of_the_whole() -> None:
    part = VarianceScaling(in_channels=96)(rng(), SHAPE)
    assert part.std() == pytest.approx(np.sqrt(1 / (96 * 9)), rel=0.02)
    limit = np.sqrt(6 / ((64 + 96) * 9))
    assert 0.99 * limit < np.abs(GlorotUniform(in_channels=96)(rng(), SHAPE)).max() <= limit


def test_stacked_kernels_have_fans_of_their_own() -> None:
    values = Stacked(((48, GlorotUniform()), (16, Constant(2.0))))(rng(), SHAPE)
    limit = np.sqrt(6 / ((48 + 32) * 9))
    assert 0.99 * limit < np.abs(values[:48]).max() <= limit
    assert (values[48:] == 2).all()


@pytest.mark.parametrize(
    ("name", "parameter", "std"),
    # See docs/zoo.md, section 8.2. The two parts of a kernel have the fan-in of the whole.
    [
        ("gru_shallow", "net.conv3.cell.gates.weight", np.sqrt(2 / ((512 + 512) * 9))),
        ("gru_shallow", "net.conv3.cell.candidate.weight", np.sqrt(2 / ((512 + 256) * 9))),
        (
            "lstm_shallow",
            "net.conv3.cell.state.weight",
            np.sqrt(0.7008842622125534 / ((256 + 128) * 4)),
        ),
        ("lstm_shallow", "net.conv4.cell.peepholes.input", np.sqrt(1.8314561102978617 / 14**2)),
        ("ugrnn_shallow", "net.conv3.cell.input.weight", np.sqrt(2 / ((512 + 512) * 9))),
        (
            "rgc_intermediate",
            "net.conv4.cell.out_tau.depthwise.weight",
            np.sqrt(0.6393378386273998 / (49 * 128)),
        ),
        (
            "rgc_intermediate",
            "net.conv6.cell.input_to_out.weight",
            np.sqrt(0.6393378386273998 / (9 * 256)),
        ),
        ("rgc_intermediate", "net.conv6.cell.residual.weight", np.sqrt(2 / (128 + 256))),
        ("rgc_intermediate", "net.imnetds.conv.weight", 0.01),
    ],
)
def test_the_published_models_start_as_the_reference_does(
    name: str, parameter: str, std: float
) -> None:
    with torch.device("meta"):
        initialiser = MODELS[name](seed=None).initialisers()[parameter]
        shape = tuple(MODELS[name](seed=None).get_parameter(parameter).shape)
    assert initialiser(rng(), shape).std() == pytest.approx(std, rel=0.03)


def test_the_weights_of_this_release_stay() -> None:
    # Released results depend on seeded weights: a change must be intended.
    weight = create_model("timedecay_tiny", weights="random").get_parameter("net.conv1.conv.weight")
    np.testing.assert_allclose(
        weight.detach().flatten()[:3].numpy(), [0.19106504, -0.07581072, 0.2415903], rtol=1e-6
    )


def test_a_module_that_forgets_a_parameter_is_refused() -> None:
    class Forgetful(torch.nn.Linear):
        def initialisers(self) -> dict[str, Constant]:
            return {"weight": Constant(0.0)}

    with pytest.raises(
        NeurofitError,
        match=r"Forgetful.initialisers\(\) must name exactly the parameters; "
        "missing or unknown: bias",
    ):
        initialise(Forgetful(2, 2), 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(NeurofitError, match="must be a non-negative integer; got -1"):
        create_model("rgc_tiny", weights="random", seed=-1)

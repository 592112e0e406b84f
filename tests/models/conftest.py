"""Fixtures of the tests of models: images, and weights and images of the golden files."""

from __future__ import annotations

import importlib
import os
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from neurofit.activations.presentation import Presentation
from neurofit.models import MODELS, ConvRNN
from neurofit.models.tensorflow import state_dict

REQUIRED = os.environ.get("NEUROFIT_REQUIRE_MODEL_SOURCES") == "1"
"""Whether missing packages of models are a failure; they are a reason to skip otherwise."""

_operators: list[Any] = []
"""Operators that are declared for torchvision, for as long as tests run."""

Arrays = Mapping[str, npt.NDArray[Any]]


class RandomImages(Protocol):
    def __call__(self, n: int = 2, size: int = 32, *, seed: int = 0) -> Tensor: ...


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """Return torchvision.

    Its C extension need not load beside this build of torch: the operators that its import expects
    of the extension are declared then. No test calls them.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    except ImportError as error:
        _missing(error)
    library: Any = torch.library.Library
    _operators.append(library("torchvision", "DEF"))
    for name in ("nms", "qnms"):
        _operators[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision: Any) -> Any:
    """Return timm."""
    return _import("timm")


@pytest.fixture(scope="session")
def transformers(torchvision: Any) -> Any:
    """Return transformers."""
    return _import("transformers")


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        return _missing(error)


def _missing(error: ImportError) -> None:
    if REQUIRED:
        pytest.fail(f"NEUROFIT_REQUIRE_MODEL_SOURCES=1, but {error}")
    pytest.skip(f"a package of models is not installed: {error}")


@pytest.fixture(scope="session")
def random_images() -> RandomImages:
    """Make images (batch channel height width) in [0, 1]."""

    def make(n: int = 2, size: int = 32, *, seed: int = 0) -> Tensor:
        return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture(scope="session")
def unrolled() -> Callable[..., list[dict[str, Tensor]]]:
    """Unroll a model without gradients: a list over timesteps of its layers' activations."""
    return _unrolled


def _unrolled(
    model: ConvRNN,
    shown: Tensor,
    presentation: str | Presentation = "default",
    layers: Sequence[str] | None = None,
) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        return [activations for _, activations in model.unroll(shown, presentation, layers=layers)]


@pytest.fixture(scope="session")
def golden_images() -> Tensor:
    """Return the two images of the golden files."""
    images = np.random.Generator(np.random.PCG64(0)).random((2, 224, 224, 3), dtype=np.float32)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


class GoldenModel(Protocol):
    def __call__(self, name: str, golden: Arrays) -> ConvRNN: ...


@pytest.fixture(scope="session")
def golden_model() -> GoldenModel:
    """Build a model with the weights of its golden file."""

    def build(name: str, golden: Arrays) -> ConvRNN:
        model = MODELS[name](seed=None)
        assert isinstance(model, ConvRNN)
        model.load_state_dict(state_dict(name, golden_variables(golden)))
        return model

    return build


@pytest.fixture(scope="session")
def embedded(repository: Path) -> Path:
    """Return the folder of the golden files in the repository."""
    return repository / "tests" / "golden"


@pytest.fixture(scope="session")
def rgc_variables(embedded: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return the TensorFlow variables of rgc_shallow's golden file."""
    with np.load(embedded / "rgc_shallow.npz") as golden:
        return golden_variables(golden)


def golden_variables(golden: Arrays) -> dict[str, npt.NDArray[np.float32]]:
    """Return the TensorFlow variables of a golden file, see docs/zoo.md, section 11.1."""
    names, shapes = golden["var_names"].tolist(), golden["var_shapes"].tolist()
    found = {}
    for name, shape, trainable in zip(names, shapes, golden["var_trainable"].tolist(), strict=True):
        size = tuple(int(n) for n in shape.strip("(),").split(",") if n.strip())
        z = (
            np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), 0]))
            .standard_normal(size)
            .astype(np.float32)
        )
        found[name] = _golden_values(name.rsplit("/", 1)[1], z, trainable=trainable).astype(
            np.float32
        )
    return found


def _golden_values(role: str, z: npt.NDArray[np.float32], *, trainable: bool) -> npt.NDArray[Any]:
    if not trainable:
        return np.full_like(
            z, {"memory_decay": 0, "softmax_beta": 1, "decoder_threshold": 0.9}[role]
        )
    if role == "gamma":
        return 1 + 0.1 * z
    if role == "memory_decay":
        return 1 / (1 + np.exp(-z))
    return z * np.sqrt(1.0 / np.prod(z.shape[:-1])) if z.ndim >= 2 else 0.1 * z

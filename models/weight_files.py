"""Weights in safetensors files: written atomically, and read only if all of them are valid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.activations.model import tensors_sha256
from neurofit.errors import NeurofitError, some_of
from neurofit.storage.home import atomic_file


def save_weights(
    model: nn.Module, path: str | Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write the weights of a model, replacing an existing file.

    Parameters
    ----------
    model
        Module whose parameters and persistent buffers are written.
    path
        Path of a .safetensors file.
    metadata
        Strings to store in the file; "weights_sha256" is added.

    Raises
    ------
    NeurofitError
        If the file cannot be written.
    """
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    with atomic_file(Path(path)) as temporary:
        save_file(
            weights,
            temporary,
            metadata={**(metadata or {}), "weights_sha256": tensors_sha256(weights)},
        )


def load_weights(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Load weights into a model, and return the metadata of the file.

    Raises
    ------
    NeurofitError
        If the file does not exist, is damaged, or does not contain exactly the model's weights;
        the model is then unchanged.
    """
    weights, metadata = read_weights(path)
    check_weights(model.state_dict(), weights, source=f"Weights {path}")
    model.load_state_dict(weights)
    return metadata


def training_card(path: str | Path) -> dict[str, Any]:
    """Return the training record that `neurofit.train` stores in a file of weights.

    It is empty for other files. Errors are those of `load_weights`.
    """
    card: dict[str, Any] = json.loads(read_weights(path)[1].get("training", "{}"))
    return card


def check_weights(
    expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], *, source: str
) -> None:
    """Check that names and shapes of weights are the expected ones.

    Raises
    ------
    NeurofitError
        If they are not. The message begins with `source`, and counts and names the deviations.
    """
    missing = expected.keys() - weights.keys()
    unexpected = weights.keys() - expected.keys()
    misshapen = {
        name
        for name in expected.keys() & weights.keys()
        if expected[name].shape != weights[name].shape
    }
    shapes = (
        f"{name} {tuple(weights[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(misshapen)
    )
    if deviations := list_deviations(
        {
            "missing": sorted(missing),
            "unexpected": sorted(unexpected),
            "of another shape": shapes,
        },
        limit=3,
    ):
        raise NeurofitError(f"{source} do not fit the model: {deviations}.")


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a .safetensors file.

    Raises
    ------
    NeurofitError
        If the file does not exist or is damaged.
    """
    path = Path(path)
    if path.name.endswith(".index") or path.with_name(f"{path.name}.index").is_file():
        raise NeurofitError(
            f"{path} is a TensorFlow checkpoint. "
            "Convert it to a .safetensors file with `neurofit weights convert`."
        )
    if not path.is_file():
        raise NeurofitError(f"Weights file not found: {path}.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            names = file.keys()  # a file is not a mapping
            weights = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise NeurofitError(f"{path} is damaged or not a safetensors file: {error}.") from error
    except OSError as error:
        raise NeurofitError(f"Cannot read {path}: {error.strerror or error}.") from error
    if metadata.get("weights_sha256", own := tensors_sha256(weights)) != own:
        raise NeurofitError(
            f"{path} is damaged: its weights do not match the sha256 stored with them."
        )
    return weights, metadata


def list_deviations(deviations: Mapping[str, Iterable[str]], *, limit: int) -> str:
    """Return counts and the first `limit` names of each kind of deviation that occurs."""
    found = {kind: names for kind, each in deviations.items() if (names := list(each))}
    return "; ".join(
        f"{len(names)} {kind} ({some_of(names, most=limit)})" for kind, names in found.items()
    )

"""Weights as safetensors files: written whole or not at all, and read only if every name, shape and byte is right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.home import atomic_file
from neurofit.protocol import tensors_sha256


def save_weights(model: nn.Module, path: str | Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a model's weights; a file that exists is replaced.

    Parameters
    ----------
    model
        Its parameters and persistent buffers are written.
    path
        A .safetensors file.
    metadata
        Texts to keep with them, say of the training; "weights_sha256" is added.

    Raises
    ------
    NeurofitError
        If the path cannot be written to.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_file(Path(path)) as temporary:
        save_file(weights, temporary, metadata={**(metadata or {}), "weights_sha256": tensors_sha256(weights)})


def load_weights(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Read weights into a model, which changes only if all of them fit; return the file's metadata.

    Raises
    ------
    NeurofitError
        If the file does not exist, is damaged, or does not hold exactly the model's weights.
    """
    weights, metadata = read_weights(path)
    check_weights(model.state_dict(), weights, source=f"Weights {path}")
    model.load_state_dict(weights)
    return metadata


def training_card(path: str | Path) -> dict[str, Any]:
    """Return how the weights of a file were trained here, as `neurofit.train` notes it; empty for others. Raises as `load_weights`."""
    card: dict[str, Any] = json.loads(read_weights(path)[1].get("training", "{}"))
    return card


def check_weights(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse weights whose names or shapes are not the expected ones.

    Raises
    ------
    NeurofitError
        In one line that begins with `source`, naming the first few of each fault and their number.
    """
    missing = expected.keys() - weights.keys()
    unexpected = weights.keys() - expected.keys()
    misshapen = {name for name in expected.keys() & weights.keys() if expected[name].shape != weights[name].shape}
    shapes = (f"{name} {tuple(weights[name].shape)}, not {tuple(expected[name].shape)}" for name in sorted(misshapen))
    faults = [
        text
        for text in (listed("missing", sorted(missing)), listed("unexpected", sorted(unexpected)), listed("of another shape", shapes))
        if text
    ]
    if faults:
        raise NeurofitError(f"{source} do not fit the model: {'; '.join(faults)}.")


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a .safetensors file; raise NeurofitError if there is none, or it is damaged."""
    path = Path(path)
    if path.name.endswith(".index") or path.with_name(f"{path.name}.index").is_file():
        raise NeurofitError(f"{path} is a TensorFlow checkpoint: `neurofit weights convert` makes a .safetensors file of it.")
    if not path.is_file():
        raise NeurofitError(f"There is no file of weights at {path}.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is not a mapping
    except SafetensorError as error:
        raise NeurofitError(f"{path} is not a safetensors file, or is damaged: {error}.") from error
    except OSError as error:
        raise NeurofitError(f"Cannot read {path}: {error.strerror or error}.") from error
    if metadata.get("weights_sha256", own := tensors_sha256(weights)) != own:
        raise NeurofitError(f"{path} is damaged: its weights do not have the sha256 that was written with them.")
    return weights, metadata


def listed(fault: str, names: Iterable[str], *, limit: int = 3) -> str:
    """Return the number of names with a fault and the first few of them; empty without any."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} {fault} ({', '.join(names[:limit])}{more})" if names else ""

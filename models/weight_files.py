"""Weights in safetensors files: written atomically, and read only if all of them are valid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.activations.model import tensors_sha256
from neurofit.errors import NeurofitError, some_of
from neurofit.models.catalogue import INFO
from neurofit.storage.cache import register_check
from neurofit.storage.home import atomic_file

ARCHITECTURE = "architecture"
"""Attribute of a model, and field of the metadata of its file: `neurofit.models.architecture`."""

MAX_JSON = 2**24
"""Largest number of characters of JSON that is read from the metadata of a file."""

CARD_FIELDS: Mapping[str, type] = {
    **dict.fromkeys(("model", "data", "recipe", "neurofit", "commit"), str),
    **dict.fromkeys(("input_size", "n_classes", "n_train", "epochs", "seed"), int),
    **dict.fromkeys(("top1", "top5"), float),
}
"""Fields of a training card that are read again, with their types."""

MAX_SIZE = 10**6
"""Largest input size and number of classes that a training card may state."""


def describe_conversion(file: str) -> str:
    """Return how to convert a pickle of PyTorch, as a sentence with a line of Python."""
    target = str(Path(file).with_suffix(".safetensors"))
    convert = f"safetensors.torch.save_file(torch.load({file!r}, weights_only=True), {target!r})"
    return f"If you trust it, convert it once, in Python: {convert}"


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
        Strings to store in the file; "weights_sha256" is added, and the architecture of a model
        that has one.

    Raises
    ------
    NeurofitError
        If the file cannot be written.

    Examples
    --------
    >>> import neurofit
    >>> from neurofit.models import load_weights, save_weights, weights_sha256
    >>> trained = neurofit.create_model("rgc_tiny")
    >>> save_weights(trained, "mine.safetensors", metadata={"note": "a copy"})
    >>> other = neurofit.create_model("rgc_tiny", weights="random", seed=1)
    >>> load_weights(other, "mine.safetensors")["note"]
    'a copy'
    >>> weights_sha256(other) == weights_sha256(trained)
    True
    """
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    own = {**(metadata or {}), "weights_sha256": tensors_sha256(weights)}
    if described := getattr(model, ARCHITECTURE, None):
        own[ARCHITECTURE] = json.dumps(described)
    with atomic_file(Path(path)) as temporary:
        save_file(weights, temporary, metadata=own)


def load_weights(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Load weights into a model, and return the metadata of the file.

    Parameters
    ----------
    model
        Module whose parameters and persistent buffers are replaced.
    path
        Path of a .safetensors file.

    Returns
    -------
    dict of str
        Strings that `save_weights` has stored in the file, such as "weights_sha256".

    Raises
    ------
    NeurofitError
        If the file does not exist, is damaged, states that it is of another registered model, or
        does not contain exactly the model's weights; the model is then unchanged.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models import load_weights, save_weights
    >>> save_weights(torch.nn.Linear(3, 2), "linear.safetensors")
    >>> sorted(load_weights(torch.nn.Linear(3, 2), "linear.safetensors"))
    ['weights_sha256']
    >>> load_weights(torch.nn.Linear(4, 2), "linear.safetensors")
    Traceback (most recent call last):
    neurofit.errors.NeurofitError: Weights linear.safetensors do not fit the model: ...
    """
    weights, metadata = read_weights(path)
    of = metadata.get("model") or _read_card(metadata, path).get("model")
    own = getattr(model, "name", None)
    if of in INFO and own in INFO and of != own:
        raise NeurofitError(
            f"{path} contains weights of {of}, not of {own}: create the model {of} to load them."
        )
    described, stored = getattr(model, ARCHITECTURE, None), metadata.get(ARCHITECTURE)
    if described and stored:
        layers = parse_metadata(stored, f"{path} is damaged: its architecture")
        differ = any(layers.get(part) != described[part] for part in ("stages", "feedback"))
    else:
        differ = False
    if differ:  # shapes may be equal all the same
        raise NeurofitError(
            f"{path} contains weights of another architecture than {own}: create the model "
            f"file:{path} to load them."
        )
    check_weights(model.state_dict(), weights, source=f"Weights {path}")
    model.load_state_dict(weights)
    return metadata


def training_card(path: str | Path) -> dict[str, Any]:
    """Return the training record that `neurofit.train` stores in a file of weights.

    It is empty for other files.

    Raises
    ------
    NeurofitError
        If the file does not exist, or it or its record is damaged.
    """
    return _read_card(read_weights(path)[1], path)


def _read_card(metadata: Mapping[str, str], path: str | Path) -> dict[str, Any]:
    what = "training card"
    card = parse_metadata(metadata.get("training", "{}"), f"{path} is damaged: its {what}")
    for name in card.keys() & CARD_FIELDS.keys():
        kind, value = CARD_FIELDS[name], card[name]
        if type(value) not in (kind, int if kind is float else kind):
            raise NeurofitError(
                f"{path} is damaged: {name} of its {what} must be {kind.__name__}; "
                f"got {str(value)[:40]!r}."
            )
        if name in ("input_size", "n_classes") and not 1 <= value <= MAX_SIZE:
            raise NeurofitError(
                f"{path} is damaged: {name} of its {what} must lie between 1 and {MAX_SIZE:,}; "
                f"got {value}."
            )
    return card


def parse_metadata(text: str, what: str) -> dict[str, Any]:
    """Return a dictionary that is stored as JSON in the metadata of a file.

    Raises
    ------
    NeurofitError
        If the text is not a dictionary in JSON, is nested too deeply or too long. The message
        begins with `what`.
    """
    if len(text) > MAX_JSON:
        raise NeurofitError(f"{what} has {len(text):,} characters, more than {MAX_JSON:,}.")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise NeurofitError(f"{what} is nested too deeply.") from error
    except ValueError as error:
        raise NeurofitError(f"{what} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise NeurofitError(f"{what} must be a dictionary; got {type(found).__name__}.")
    return found


def check_weights(
    expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], *, source: str
) -> None:
    """Check that names, shapes and types of weights are the expected ones, and values finite.

    Raises
    ------
    NeurofitError
        If they are not. The message begins with `source`, and counts and names the deviations.
    """
    missing = expected.keys() - weights.keys()
    unexpected = weights.keys() - expected.keys()
    comparable = expected.keys() & weights.keys()
    misshapen = {name for name in comparable if expected[name].shape != weights[name].shape}
    shapes = (
        f"{name} {tuple(weights[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(misshapen)
    )
    types = {name: (weights[name].dtype, expected[name].dtype) for name in sorted(comparable)}
    mistyped = {name: pair for name, pair in types.items() if pair[0] != pair[1]}
    if deviations := list_deviations(
        {
            "missing": sorted(missing),
            "unexpected": sorted(unexpected),
            "of another shape": shapes,
            "of another type": (
                f"{name} {given}, not {own}".replace("torch.", "")
                for name, (given, own) in mistyped.items()
            ),
            "with NaN or infinite values": (
                name
                for name in sorted(comparable - mistyped.keys())
                if not bool(torch.isfinite(weights[name]).all())
            ),
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
    if _is_pickle(path):
        raise NeurofitError(
            f"{path} is a pickle, which is not loaded: it can run code.\n"
            f"{describe_conversion(str(path))}"
        )
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


@register_check("weights")
def check_file(path: Path) -> str:
    """Return what is wrong with a cached file of weights; "" if nothing is."""
    if path.suffix != ".safetensors":
        return ""
    try:
        read_weights(path)
    except NeurofitError as error:
        return str(error).removeprefix(f"{path} is ")
    return ""


def list_deviations(deviations: Mapping[str, Iterable[str]], *, limit: int) -> str:
    """Return counts and the first `limit` names of each kind of deviation that occurs."""
    found = {kind: names for kind, each in deviations.items() if (names := list(each))}
    return "; ".join(
        f"{len(names)} {kind} ({some_of(names, most=limit)})" for kind, names in found.items()
    )


def _is_pickle(path: Path) -> bool:
    """Return whether the first bytes of a file are those of a pickle of PyTorch, or of a zip."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start[8:9] != b"{" and start.startswith((b"PK\x03\x04", b"\x80"))  # { of safetensors

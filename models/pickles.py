"""Weights in PyTorch's pickles, which are converted once and never loaded as they are."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from neurofit.activations.model import tensors_sha256
from neurofit.errors import NeurofitError
from neurofit.storage.home import atomic_file, sha256_of

NESTED = ("state_dict", "model_state_dict", "model")
"""Entries of a checkpoint in which training scripts keep the weights."""


def is_pickle(path: Path) -> bool:
    """Return whether the first bytes of a file are those of a pickle of PyTorch, or of a zip."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError:
        return False
    return start[8:9] != b"{" and start.startswith((b"PK\x03\x04", b"\x80"))  # { of safetensors


def describe_conversion(path: str | Path) -> str:
    """Return the command that converts a pickle, as a sentence."""
    target = Path(path).with_suffix(".safetensors").name
    return f"Convert it once: neurofit weights convert {path} --out {target}; then use {target}."


def convert_pickle(path: str | Path, target: str | Path) -> list[str]:
    """Write the tensors of a pickle as a .safetensors file, without running code from the pickle.

    Parameters
    ----------
    path
        File written by torch.save: a dictionary of tensors, or one that keeps it in an entry
        `state_dict`, `model_state_dict` or `model`. A prefix "module." of all names is removed.
    target
        File to write; an existing one is replaced.

    Returns
    -------
    list[str]
        Entries that are no tensors, which are left out.

    Raises
    ------
    NeurofitError
        If the file cannot be read, has anything but tensors and plain values, or no tensors.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise NeurofitError(
            f"{path} cannot be converted: it must be a file of tensors written by torch.save "
            f"({type(error).__name__}: {reason})."
        ) from error
    left = []
    for key in NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            left += [str(name) for name in loaded if name != key]
            loaded = loaded[key]
    entries: dict[str, Any] = dict(loaded) if isinstance(loaded, Mapping) else {}
    weights = {
        str(name): each.detach().clone().contiguous()
        for name, each in entries.items()
        if isinstance(each, Tensor)
    }
    left += [str(name) for name in entries if str(name) not in weights]
    if not weights:
        raise NeurofitError(f"{path} cannot be converted: it has no dictionary of tensors.")
    if all(name.startswith("module.") for name in weights):
        weights = {name.removeprefix("module."): each for name, each in weights.items()}
    with atomic_file(Path(target)) as temporary:
        source = json.dumps({Path(path).name: sha256_of(Path(path))})
        metadata = {"source_sha256": source, "weights_sha256": tensors_sha256(weights)}
        save_file(weights, temporary, metadata=metadata)
    return left

"""sha256 of the values of `hvm-sim`, by which a build shows that it is the same recording."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import version

import numpy as np
from threadpoolctl import threadpool_info

from neurofit.data_loaders.hvm_sim.recipe import Recipe, recipe_hash
from neurofit.errors import MachineError

PINNED: dict[str, dict[str, str]] = {
    recipe_hash(): {
        "images": "7c42e7f82fa76055057524811a2221d38b86cc4f6b1e64be0aa30a79c077f558",
        "rates": "7f5963d95252b3f17a0843471dd0b80d6a0c78d5262ea2b6334540165d457976",
        "responses": "d7b2f322063378c99f659dfb833806af78d4fc95c2c9012dfb6c39d8315be52d",
    }
}
"""Hash of a recipe -> part of the recording -> sha256 of its values, in the order of building."""

VERIFIED = "numpy 2.4.6, scipy 1.17.1, torch 2.13.0, pillow 13.0.0"
"""Packages with which the pinned values were computed."""


def fingerprint(blocks: Iterable[np.ndarray]) -> str:
    """Return the sha256 of the values of arrays, one after the other, in C order, little-endian."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def check_fingerprint(recipe: Recipe, part: str, found: str) -> str:
    """Return the sha256 of a part of the recording if it is the pinned one, or none is pinned.

    Raises
    ------
    MachineError
        If the values that this machine computes are not those of the recording.
    """
    expected = PINNED.get(recipe_hash(recipe), {}).get(part, found)
    if found == expected:
        return found
    raise MachineError(
        f"hvm-sim: {part} of version {recipe.version} must have sha256 {expected[:12]}, but this "
        f"machine computes {found[:12]} with {_describe_machine()}. Nothing was stored.\n"
        f"Install {VERIFIED}, with which the recording was made, and call again; "
        "other recordings are not affected."
    )


def _describe_machine() -> str:
    packages = [name.split()[0] for name in VERIFIED.split(", ")]
    kernels = {
        f"{pool['internal_api']} {pool.get('architecture', '')}".strip()
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{versions} ({', '.join(sorted(kernels))}; {platform.machine()})"

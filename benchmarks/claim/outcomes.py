"""What is stored of a finished run: a file of a few kilobytes for each model and seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from images import KINDS
from plan import SEEDS, Row

OUTCOMES = Path(__file__).with_name("outcomes")
"""Folder of the outcomes in docs/claim.md."""


@dataclass(frozen=True)
class Outcome:
    """A trained net on the test images.

    Parameters
    ----------
    settings
        Learning rate and clip, as arguments of the recipe.
    n_parameters, epochs
        Size of the net, and length of its training.
    timesteps
        Timesteps at which the net has a readout.
    accuracy
        Kind of images -> share of images that are right at each timestep, float (timestep).
    right
        Kind of images -> which are right at the last timestep, bool (image).
    """

    settings: dict[str, Any]
    n_parameters: int
    epochs: int
    timesteps: np.ndarray
    accuracy: dict[str, np.ndarray]
    right: dict[str, np.ndarray]

    def write(self, path: Path) -> None:
        """Write a file, with the images' answers as bits."""
        facts = {
            "settings": self.settings,
            "n_parameters": self.n_parameters,
            "epochs": self.epochs,
            "n_images": len(self.right[KINDS[0]]),
        }
        arrays: dict[str, Any] = {"facts": json.dumps(facts), "timesteps": self.timesteps}
        for kind in KINDS:
            arrays[f"accuracy {kind}"] = self.accuracy[kind].astype(np.float32)
            arrays[f"right {kind}"] = np.packbits(self.right[kind])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)


def read(path: Path) -> Outcome:
    """Read the outcome of a run."""
    with np.load(path) as file:
        facts = json.loads(str(file["facts"]))
        n_images = facts.pop("n_images")
        return Outcome(
            **facts,
            timesteps=file["timesteps"],
            accuracy={kind: file[f"accuracy {kind}"] for kind in KINDS},
            right={
                kind: np.unpackbits(file[f"right {kind}"], count=n_images).astype(bool)
                for kind in KINDS
            },
        )


def finished(row: Row, folder: Path) -> dict[int, Outcome]:
    """Return the outcomes of a row of the table: seed -> outcome."""
    paths = {seed: folder / f"{row.key}-{seed}.npz" for seed in SEEDS}
    return {seed: read(path) for seed, path in paths.items() if path.is_file()}

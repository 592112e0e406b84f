"""A trial as a model file: weights, architecture and training card in one file, with its sha256."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from torch import nn

from neurofit.errors import NeurofitError
from neurofit.models.weight_files import (
    check_weights,
    load_weights,
    save_weights,
)
from neurofit.storage.home import atomic_file, sha256_of
from neurofit.training.checkpoint import read_checkpoint
from neurofit.training.run_folder import CHECKPOINT
from neurofit.training.search.trials import SearchFolder, TrialFolder, table_of

KEPT = ("study", "number", "state", "accuracy", "by_timestep", "choices", "seeds", "multiply_adds")
"""Fields of a trial's result that its model file records."""


def export_trial(trial: TrialFolder, out: str | Path | None = None) -> Path:
    """Write a trial that has ended as a model file, and its sha256 beside it.

    The weights are those that the accuracy of the trial was measured with: the last ones, also of a
    net that was stopped early.

    Parameters
    ----------
    trial
        Files of the trial.
    out
        Path of a .safetensors file; by default NET.safetensors in the working directory.

    Returns
    -------
    Path of the file.

    Raises
    ------
    NeurofitError
        If the trial has not ended, or has no weights.
    """
    result = trial.read_result()
    if result is None:
        raise NeurofitError(f"Trial {trial.number} has not ended, or there is no such trial.")
    network = trial.read_net().build(seed=None)
    weights = trial.run / f"{network.name}.safetensors"
    if weights.is_file():
        metadata = load_weights(network, weights)
        card = json.loads(metadata.get("training", "{}"))
    else:
        card = _load_checkpoint(network, trial)
    path = Path(out or f"{network.name}.safetensors")
    if path.suffix != ".safetensors":
        raise NeurofitError(f"A model file ends in .safetensors; got {path}.")
    card |= {"top1": result["accuracy"], "search": {name: result[name] for name in KEPT}}
    save_weights(network, path, metadata={"training": json.dumps(card)})
    with atomic_file(path.with_name(f"{path.name}.sha256")) as temporary:
        temporary.write_text(f"{sha256_of(path)}  {path.name}\n", encoding="utf-8")
    return path


def export_table(folder: SearchFolder, out: str | Path) -> int:
    """Write the table of a search as CSV or JSON, by the ending of the file; return its rows.

    The table is made of the lines of the trials that have ended; Optuna is not needed.

    Raises
    ------
    NeurofitError
        If the ending is another one, or a line is damaged.
    """
    path, results = Path(out), folder.results()
    columns, rows = table_of(results)
    if path.suffix == ".csv":
        with atomic_file(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
    elif path.suffix == ".json":
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    else:
        raise NeurofitError(f"A table ends in .csv or .json; got {path}.")
    return len(rows)


def _load_checkpoint(network: nn.Module, trial: TrialFolder) -> dict[str, Any]:
    """Load the weights of the last checkpoint; return what its run records."""
    step, record, tensors = read_checkpoint(trial.run / CHECKPOINT)
    part = "average" if any(name.startswith("average.") for name in tensors) else "model"
    weights = {
        name.removeprefix(f"{part}."): values
        for name, values in tensors.items()
        if name.startswith(f"{part}.")
    }
    check_weights(network.state_dict(), weights, source=f"The weights of trial {trial.number}")
    network.load_state_dict(weights)
    return {**record, "step": step}

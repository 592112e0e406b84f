"""A trial trained again from its line alone, to the same accuracy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurofit.config.compute import find_device
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError, some_of
from neurofit.models.architecture import architecture_of
from neurofit.training.evaluate import Accuracy
from neurofit.training.search.study import Search
from neurofit.training.search.trials import search_of
from neurofit.training.train import train


class _Reached(Exception):
    """The epoch after which the trial ended."""


def read_line(path: str | Path, number: int) -> tuple[Search, dict[str, Any]]:
    """Return the search and the line of a trial from a published table (docs/open_table.json).

    Raises
    ------
    NeurofitError
        If the file is no such table, or has no such trial.
    """
    try:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
        search = search_of(table["search"])
        lines = {int(each["number"]): each for each in table["trials"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NeurofitError(f"{path} is not the table of a search: {error}.") from error
    if number not in lines:
        raise NeurofitError(f"{path} has no trial {number}; it has {some_of(sorted(lines))}.")
    return search, lines[number]


def repeat_trial(
    search: Search,
    result: Mapping[str, Any] | None,
    images: ImageSet,
    *,
    out: str | Path,
    device: str = "auto",
) -> tuple[float, float]:
    """Train a trial again; return its accuracy, then and now, after as many epochs.

    Parameters
    ----------
    search, result
        The search, and the line of the trial.
    images
        Images of the search.
    out
        Folder of the new run. A run that was interrupted goes on.
    device
        Device of the training.

    Raises
    ------
    NeurofitError
        If the trial has not ended, or no epoch of it, or the run in `out` is beyond it.
    """
    if result is None or not result["epochs"]:
        raise NeurofitError("A trial that has not ended, or no epoch of it, cannot be repeated.")
    config = search.config(int(result["number"]), **result["training"])
    n_epochs, found = result["epochs"][-1]["epoch"], dict[int, Accuracy]()

    def progress(step: int, n_steps: int, values: Mapping[str, float]) -> None:
        done = step * config.epochs // n_steps
        if "top1" in values and n_epochs <= done < config.epochs:
            raise _Reached

    try:
        network = architecture_of(result["architecture"]).build(seed=result["seeds"]["weights"])
        done = train(
            network,
            images,
            config,
            out=out,
            device=find_device(device),
            resume="auto",
            progress=progress,
            on_accuracy=found.__setitem__,
        )
        found[config.epochs] = done.accuracy
    except _Reached:
        pass
    if n_epochs not in found:
        raise NeurofitError(f"{out} has a run beyond epoch {n_epochs}; choose another folder.")
    return float(result["accuracy"]), found[n_epochs].top1

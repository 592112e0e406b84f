"""A trial trained again from its line alone, to the same accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neurofit.config.compute import find_device
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models.architecture import architecture_of
from neurofit.training.evaluate import Accuracy
from neurofit.training.search.study import Search
from neurofit.training.search.trials import TrialFolder
from neurofit.training.train import train


class _Reached(Exception):
    """The epoch after which the trial ended."""


def repeat_trial(
    search: Search, trial: TrialFolder, images: ImageSet, *, out: str | Path, device: str = "auto"
) -> tuple[float, float]:
    """Train a trial again; return its accuracy, then and now, after as many epochs.

    Parameters
    ----------
    search, trial
        The search, and the files of the trial, of which only the line is read.
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
    result = trial.read_result()
    if result is None or not result["epochs"]:
        raise NeurofitError(f"Trial {trial.number} has no accuracy to repeat.")
    config = search.config(trial.number, **result["training"])
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

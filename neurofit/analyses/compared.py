"""What a model is compared with in a run: its baselines, its other layers, or another model."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from neurofit.activations.baselines import BASELINES, baselines_of
from neurofit.analyses.inputs import find_activations, needed_bins, needed_layers
from neurofit.analyses.partition.config import OTHER_LAYERS
from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError, NeurofitWarning

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.analyses.run import RunConfig
    from neurofit.recordings.recording import Recording


def find_baselines(
    config: RunConfig, activations: Activations, recording: Recording
) -> dict[str, Activations]:
    """Return the baselines of activations that an analysis can take; warn of those it cannot."""
    layers = needed_layers(config.analysis, activations, recording.regions[0])
    time_bins = needed_bins(config.analysis, recording)
    made = baselines_of(activations, time_bins, layers=layers, seed=config.model_seed)
    if getattr(config.analysis, "time_mode", "") == "fixed":
        made.pop("layers-over-time", None)  # one map cannot take other layers in other bins
    for name in (each for each in BASELINES if each not in made):
        warnings.warn(
            f"The baseline {name} is left out: it needs several layers, a map for each time bin "
            "and time bins that do not overlap.",
            NeurofitWarning,
            stacklevel=2,
        )
    return made


def find_against(
    config: RunConfig,
    activations: Activations,
    recording: Recording,
    *,
    progress: Progress | None,
) -> Activations:
    """Return the second activations of an analysis of two models: what its `against` names.

    It is a baseline of the model, other layers of it, or another model, with its own weights if a
    file of weights is given for the first.

    Raises
    ------
    NeurofitError
        If the baseline is not defined for these layers and time bins; as `find_activations`.
    """
    analysis = config.analysis
    if analysis.against in BASELINES:
        layers = needed_layers(analysis.second, activations, recording.regions[0])
        seed, bins = config.model_seed, recording.time_bins
        made = baselines_of(activations, bins, layers=layers, seed=seed)
        if analysis.against not in made:
            raise NeurofitError(
                f"The baseline {analysis.against} needs several layers, and time bins that do not "
                "overlap.",
                option="against",
            )
        return made[analysis.against]
    if analysis.against == OTHER_LAYERS:
        return activations
    weights = config.weights if str(config.weights) in ("auto", "random") else "auto"
    other = replace(config, model=analysis.against, weights=weights, analysis=analysis.second)
    return find_activations(
        replace(other, baselines=False), recording, on_plan=None, progress=progress
    )


def need_one_region(models: int, recording: Recording) -> None:
    """Refuse a recording of several regions for an analysis of a model."""
    if models and len(recording.regions) != 1:
        raise NeurofitError(
            f"Name the region to analyse: {recording.name} has {', '.join(recording.regions)}."
        )

"""What the fits of an encoding analysis will take, known before a feature is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurofit.analyses.analysis import Cost
from neurofit.analyses.encoding.averages import MAX_STORED_HALVES
from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.mappings import find_mappings
from neurofit.analyses.encoding.splits import PARTS
from neurofit.analyses.encoding.targets import chunk_halves
from neurofit.config.compute import Compute
from neurofit.mapping.contract import GramMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import count_trials


def estimate_cost(
    recording: Recording, config: EncodingConfig, layer_units: Mapping[str, int], compute: Compute
) -> Cost:
    """Return the number of maps to fit and about how much memory they take.

    Where trials are missing, neuroids with other stimuli have maps of their own; they are counted
    in the middle time bin.

    Parameters
    ----------
    recording
        Responses of one region.
    config, compute
        Mappings, splits and halves; time bins fitted at once.
    layer_units
        Number of units of each layer to fit.
    """
    n_stimuli, n_bins = len(recording.stimuli), len(recording.time_bins)
    n_neuroids = recording.responses.sizes["neuroid"]
    times, groups = (1, n_bins) if config.time_mode == "per-bin" else (n_bins, 1)
    n_layers, n_mappings = len(layer_units), len(config.mappings)
    rows = n_stimuli * times
    gram = 8 * max(rows * min(rows, units) for units in layer_units.values())
    per_half = bytes_per_half(recording, config, find_mappings(config))
    at_once = len(chunk_halves(config.n_halves, bytes_per_half=per_half)[0])
    n_parts = n_learning_parts(config)
    n_groups = int(getattr(config, "jackknife", 0))
    decomposed = at_once < config.n_halves and "ridge" in config.mapping_names
    trials = 4 * recording.responses.sizes["presentation"] * n_neuroids
    fitting = (
        (1 + at_once) * per_half
        + (2 + decomposed * config.n_splits * (1 + n_parts)) * gram
        + 3 * trials
    )
    values = n_layers * n_mappings * n_neuroids * n_bins
    stored = 8 * values * config.n_splits * min(config.n_halves, MAX_STORED_HALVES)
    influences = 2 * 4 * values * n_stimuli
    if getattr(config, "formula", "") == "pooled_r":  # until the maps of a group of bins are fitted
        one = 4 * config.n_splits * n_stimuli * n_neuroids * times
        fitting += one * (2 * n_layers * n_mappings + 1)
        without = 8 * n_groups * (config.n_splits + 3) * n_neuroids * times
        fitting += without * (3 * n_layers * n_mappings + 2)
        influences = 0
    drawn = 6 * 8 * getattr(config, "n_bootstraps", 0) * n_neuroids * n_bins
    return Cost(
        n_fits=_n_sessions(recording)
        * (n_layers * n_mappings * groups * config.n_splits * config.n_sets)
        * (1 + n_parts + n_groups),
        n_bytes=min(compute.jobs, groups) * fitting + (2 + n_parts) * stored + influences + drawn,
    )


def n_learning_parts(config: EncodingConfig) -> int:
    """Return the number of parts of the training stimuli of a split, for a learning curve."""
    return len(PARTS) * bool(getattr(config, "learning_curve", False))


def least_trained(config: EncodingConfig) -> float:
    """Return the smallest share of the training stimuli that a map is fitted to."""
    if n_learning_parts(config):
        return PARTS[0]
    n_groups = int(getattr(config, "jackknife", 0))
    return 1 - 1 / n_groups if n_groups else 1.0


def _n_sessions(recording: Recording) -> int:
    """Return the number of groups of neuroids with the same stimuli in the middle time bin."""
    trials = recording.block(len(recording.time_bins) // 2)
    usable = count_trials(recording.stimulus_rows, trials) > 1
    return len(np.unique(np.packbits(usable, axis=0), axis=1).T)


def bytes_per_half(
    recording: Recording, config: EncodingConfig, mappings: Sequence[GramMapping]
) -> int:
    """Return the memory that the two sets of a half take in a fit, or for r_yy alone."""
    n_neuroids = recording.responses.sizes["neuroid"]
    n_bins = 1 if config.time_mode == "per-bin" else len(recording.time_bins)
    rows = len(recording.stimuli) * n_bins
    fitted = (1 - config.test_share) * least_trained(config)
    predictions = config.n_splits * round(rows * (1 - fitted)) * n_neuroids
    inner_mappings = [getattr(mapping, "mapping", mapping) for mapping in mappings]
    numbers = [getattr(mapping, "n_components", None) for mapping in inner_mappings]
    n_components = max(n if isinstance(n, int) else 25 for n in numbers)
    inner = config.n_splits * n_neuroids * (n_neuroids + n_components)
    if not config.fit_halves:
        return 2 * 8 * 2 * rows * n_neuroids
    return 2 * 8 * (5 * rows * n_neuroids + predictions + inner)

"""Why a neuroid has a score in a time bin, or not."""

from __future__ import annotations

import numpy as np

from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.pooling import PooledScores
from neurofit.analyses.predictivity.terms import Predictivity
from neurofit.metrics.consistency import null_reliability_sd, reliable

REASONS = (
    "scored",
    "before_model_responds",
    "after_model_ends",
    "features_constant",
    "too_few_stimuli",
    "recording_not_reliable",
    "map_not_consistent",
)
"""Flags of the variable `reason`; positions are its values.

before_model_responds
    The time bin begins before the first timestep at which the image reaches the layer.
after_model_ends
    The time bin ends after the last timestep of the model.
features_constant
    Predictions do not vary over the test stimuli, because features or responses do not.
too_few_stimuli
    Too few stimuli have the two trials that a neuroid needs.
recording_not_reliable
    Responses of two trial halves do not agree beyond chance. Pooled scores and time mode
    "per-bin" fit no maps there.
map_not_consistent
    Predictions of the maps fitted to two trial halves do not agree beyond chance.
"""


def find_reasons(
    fitting: Fitting,
    reliability: Reliability,
    predictivity: Predictivity,
    pooled: PooledScores | None,
    best: np.ndarray | None,
    *,
    config: ScoreConfig,
) -> np.ndarray:
    """Return the first reason that applies: position in `REASONS` (layer neuroid time_bin).

    Parameters
    ----------
    fitting, reliability, predictivity
        What was fitted, and its statistics.
    pooled
        Pooled scores, if the curve is pooled.
    best
        Layer of each split, if each split chooses its own.
    """
    before, after = uncovered(fitting)
    if best is not None:
        before, after = (np.all(each[best], axis=0)[None] for each in (before, after))
    if pooled is None:
        inconsistent = np.zeros((1, 1, 1), dtype=bool)
        unreliable = ~recorded_reliably(fitting, reliability, config=config)
    else:
        least = -np.inf if config.min_z is None else config.min_z
        unreliable, inconsistent = (
            ~(np.nan_to_num(z[:, :1], nan=-np.inf) >= least) for z in (pooled.z_yy, pooled.z_xx)
        )
        if config.min_z is None:  # every bin whose denominator is positive
            unreliable = ~np.any(pooled.r_yy > 0, axis=1, keepdims=True)
            inconsistent = np.isnan(pooled.score[:, :1])
    nothing = np.isnan(predictivity.r_xy).all(axis=1)
    if pooled is None:
        constant = nothing
    else:  # a prediction that is constant in a single neuroid counts as 0
        silent = np.isnan(reliability.raw.value)
        constant = nothing & (nothing.all(axis=1, keepdims=True) | silent) & ~pooled.unreliable
    rules = [
        ("before_model_responds", before[:, None]),
        ("after_model_ends", after[:, None]),
        ("too_few_stimuli", reliability.missing),
        ("features_constant", constant),
        ("recording_not_reliable", unreliable),
        ("map_not_consistent", inconsistent),
    ]
    shape = nothing.shape
    conditions = [np.broadcast_to(applies, shape) for _, applies in rules]
    positions = [REASONS.index(name) for name, _ in rules]
    return np.select(conditions, positions, REASONS.index("scored"))


def uncovered(fitting: Fitting) -> tuple[np.ndarray, np.ndarray]:
    """Return which bins lie before or after what each layer predicts: boolean (layer time_bin)."""
    activations = fitting.activations
    starts = np.array([start for start, _ in fitting.recording.time_bins])
    first = [activations.first_timestep[layer] for layer in fitting.layers]
    before = starts < np.array(first)[:, None] * activations.ms_per_timestep
    return before & ~fitting.covered, ~before & ~fitting.covered


def recorded_reliably(
    fitting: Fitting, reliability: Reliability, *, config: ScoreConfig
) -> np.ndarray:
    """Return which neuroids the recording alone lets count: boolean (neuroid time_bin)."""
    if config.reliability_floor is None and config.false_discovery_rate == 1:
        return np.ones(fitting.shape, dtype=bool)
    all_stimuli = config.ceiling_stimuli == "all" or config.splits == "folds-together"
    null_sd = null_reliability_sd(
        n_test=1,
        n_splits=len(reliability.r_yy),
        n_halves=config.n_halves,
        test_share=1.0 if all_stimuli else config.test_share,
    )
    floor = config.reliability_floor
    return reliable(
        reliability.value(config.average),
        floor=-np.inf if floor is None else floor,
        false_discovery_rate=config.false_discovery_rate,
        null_sd=null_sd / np.sqrt(reliability.n_test),
        min_neuroids=config.min_neuroids,
    )

"""Which model time belongs to which recorded time? Lag and pace of a recording behind a model.

    recorded time = intercept + pace model time
    lag = recorded time - model time, in the middle of the compared time bins

For each model time and recorded bin, ridge predicts stimuli that are left out; r is averaged over
neuroids. The lag and the pace are those of the affine map along which the mean of r over recorded
bins is the largest. Every candidate is compared in the same bins.

The estimate and its interval are from all stimuli. What the map is worth is a question of
prediction: in each split, the training stimuli choose a lag and a pace, and the maps from those
model times are scored on the test stimuli next to the one-to-one map.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neurofit.analyses.analysis import (
    ENDS,
    banded_variables,
    register_analysis,
    score_variable,
    variable,
)
from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.training import training_reliability
from neurofit.analyses.lag.candidates import Candidates
from neurofit.analyses.lag.config import LagConfig
from neurofit.analyses.lag.estimate import PARAMETERS, Estimate, best_of, estimate
from neurofit.analyses.lag.held_out import HeldOut, ShiftedFitting
from neurofit.analyses.lag.profile import Profile
from neurofit.analyses.lag.responses import Responses
from neurofit.config.compute import Compute, Progress
from neurofit.metrics.contrasts import compare_contrasts
from neurofit.metrics.pooled import deal_strata
from neurofit.metrics.two_way import (
    describe_band,
    describe_interval,
    describe_samples,
    interval_of,
    percent,
)
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

MIN_ROOT = 0.1
"""Least square root of a bin's pooled reliability that `predictivity` is divided by."""

UNITS = {"lag": "ms", "pace": "1", "intercept": "ms"}

MEANINGS = {
    "lag": "lag of the recording behind the model in the middle of the compared time bins",
    "pace": "pace, ms of the recording per ms of the model",
    "intercept": "recorded time of the model's image onset",
}


@register_analysis(LagConfig, cost=estimate_cost)
def lag(
    activations: Activations,
    recording: Recording,
    config: LagConfig = LagConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Lag and pace of a recording behind a model: which model time predicts which recorded time.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order, at all timesteps that the lags and
        paces reach.
    recording
        Repeated trials of one area, in time bins of equal width.
    config
        Layers, splits and halves; range of lags and paces.
    compute
        Device, cores and cache; these do not change the numbers.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Dataset
        `lag`, `pace` and `intercept` (layer) with intervals; NaN where the interval reaches an end
        of the candidates, so that none is defined. `predictivity` (layer time_bin_model time_bin)
        of each model time, and `model_time` (layer time_bin) of the best map. On test stimuli,
        `curve` with the model time that training stimuli chose and `curve_one_to_one`, with
        intervals and bands, and `gain` (layer), their mean difference.

    Raises
    ------
    NeurofitError
        As `neurofit.score`, if bins differ in width, and if lags and paces reach beyond the model's
        timesteps in all but two bins.
    """
    names = config.layers_for(activations, recording.regions[0])
    found: list[_Layer] = []
    for name in names:
        own = replace(config, layers=(name,))
        candidates = Candidates.of(activations, name, recording, config)
        fitting = Fitting(activations, recording, own, compute, smoothers=True)
        if not found:
            strata = deal_strata(training_reliability(fitting))
            responses = Responses.read(fitting, strata)
        profile = Profile.of(
            fitting, name, candidates, responses, alphas=config.ridge.alphas, progress=progress
        )
        best = estimate(
            profile,
            candidates,
            over=config.interval_over,
            level=config.interval,
            seed=config.seed,
        )
        weights = candidates.weights.reshape(len(candidates.lags), -1)
        chosen = np.array([best_of(weights @ each.ravel()) for each in profile.training])
        found.append(_Layer(name, candidates, profile, best, chosen, responses))
        fitting = found[-1].test(fitting, strata, progress)
    return _make_result(recording, found, fitting, config)


class _Layer:
    """What is known of a layer.

    Attributes
    ----------
    chosen
        Candidate that the training stimuli of each split choose.
    scores
        Scores on test stimuli.
    """

    scores: HeldOut

    def __init__(
        self,
        name: str,
        candidates: Candidates,
        profile: Profile,
        best: Estimate,
        chosen: np.ndarray,
        responses: Responses,
    ) -> None:
        self.name, self.candidates, self.profile, self.best = name, candidates, profile, best
        self.chosen, self.responses = chosen, responses

    def test(self, fitting: Fitting, strata: np.ndarray, progress: Progress | None) -> Fitting:
        """Score the chosen maps and the one-to-one map on test stimuli; return the fits."""
        bins, distinct = fitting.recording.time_bins, np.unique(self.chosen).tolist()
        windows = [self.candidates.windows_of(candidate, bins) for candidate in (0, *distinct)]
        driven = np.array([[self.candidates.of_driven(each) for each in own] for own in windows])
        shifted = ShiftedFitting(
            fitting.activations,
            fitting.recording,
            fitting.config,
            fitting.compute,
            smoothers=True,
            windows=windows,
            splits_of_maps=[
                np.arange(len(self.chosen)),
                *(np.flatnonzero(self.chosen == each) for each in distinct),
            ],
            bins=self.candidates.compared & driven.all(axis=0),
        )
        self.scores = HeldOut.empty(shifted, strata)
        shifted.run(self.scores, progress=progress)
        return shifted

    def clear(self, config: LagConfig) -> Bool[np.ndarray, " time_bin"]:
        """Return the bins in which both curves have a score."""
        least = -np.inf if config.min_z is None else config.min_z
        z = np.minimum(self.scores.z_maps.min(axis=0), self.scores.z_recording)
        known = np.isfinite(self.scores.score).all(axis=0)
        return np.asarray(known & (np.nan_to_num(z, nan=-np.inf) >= least))

    def defined(self, config: LagConfig) -> dict[str, bool]:
        """Return whether the interval of each parameter lies within the candidates."""
        made = {}
        for name, given in (("lag", self.candidates.lags), ("pace", self.candidates.paces)):
            low, high = self.best.low[name], self.best.high[name]
            alone = given.min() == given.max()
            made[name] = alone or bool(given.min() < low and high < given.max())
        return {**made, "intercept": made["lag"] and made["pace"]}

    def model_time(self, config: LagConfig) -> Float[np.ndarray, " time_bin"]:
        """Return the model time of each compared bin; NaN where no lag is defined."""
        shown = self.candidates.compared & self.defined(config)["lag"]
        return np.where(shown, self.candidates.model_time[self.best.best], np.nan)


def _make_result(
    recording: Recording, found: list[_Layer], fitting: Fitting, config: LagConfig
) -> xr.Dataset:
    bins = np.array(recording.time_bins)
    windows = np.array(sorted({each for own in found for each in own.candidates.times.windows}))
    splits = np.arange(len(fitting.train))
    return xr.Dataset(
        {
            "predictivity": score_variable(
                ("layer", "time_bin_model", "time_bin"),
                np.stack([_predictivity(each, windows) for each in found]),
                long_name="r corrected for the noise of the recording",
                formula="mean r of left-out stimuli / mean over strata of sqrt(Y_j)",
                column="r",
                path="model_time",
            ),
            **_parameters(found, config),
            **_gains(found, config),
            **_curves(found, config),
            "model_time": variable(
                ("layer", "time_bin"),
                np.stack([each.model_time(config) for each in found]),
                "detail",
                "model time of the best map",
                units="ms",
            ),
            "compared": variable(
                ("layer", "time_bin"),
                np.stack([each.candidates.compared for each in found]).astype(np.int8),
                "detail",
                "whether candidates are compared in a time bin",
            ),
            **{
                f"{name}_of_split": variable(
                    ("layer", "split"),
                    np.stack([getattr(each.candidates, values)[each.chosen] for each in found]),
                    "detail",
                    f"{name} that the training stimuli of a split choose",
                    units=UNITS[name],
                )
                for name, values in (("lag", "lags"), ("pace", "paces"))
            },
        },
        coords={
            "layer": [each.name for each in found],
            "split": splits,
            **time_coords(*windows.T, dim="time_bin_model"),
            **time_coords(*bins.T),
        },
        attrs={
            "method": f"{fitting.mappings[0].name}, lag and pace by left-out stimuli",
            "notes": json.dumps(
                [*_notes(found, config), *fitting.splits.notes, *fitting.left_out.notes()]
            ),
        },
    )


def _predictivity(layer: _Layer, windows: np.ndarray) -> Float[np.ndarray, "window time_bin"]:
    """Return r of each model time, corrected for the noise of the recording."""
    root, times = layer.responses.root, layer.candidates.times
    made = np.full((len(windows), len(root)), np.nan)
    places = [windows.tolist().index([*each]) for each in times.windows[times.first :]]
    with np.errstate(invalid="ignore", divide="ignore"):
        made[places] = np.where(root >= MIN_ROOT, layer.profile.r[times.first :] / root, np.nan)
    return made


def _parameters(found: list[_Layer], config: LagConfig) -> dict[str, Any]:
    """Return lag, pace and intercept with their intervals."""
    words = (
        f"{percent(config.interval)} interval over "
        f"{describe_samples(config.interval_over, config.groups)} (random weights)"
    )
    made: dict[str, Any] = {}
    for name in PARAMETERS:
        values = [
            each.best.values[name] if each.defined(config)[name] else np.nan for each in found
        ]
        made[name] = score_variable(
            ("layer",),
            values,
            long_name=MEANINGS[name],
            formula="recorded time = intercept + pace model time",
            units=UNITS[name],
            best=1.0 if name == "pace" else 0.0,
            low=f"{name}_low",
            high=f"{name}_high",
            interval=words,
            **({} if name == "intercept" else {"column": name + " (ms)" * (name == "lag")}),
        )
        for side in ("low", "high"):
            made[f"{name}_{side}"] = variable(
                ("layer",),
                [getattr(each.best, side)[name] for each in found],
                "interval",
                f"{side} end: {words}",
                units=UNITS[name],
            )
    return made


def _gains(found: list[_Layer], config: LagConfig) -> dict[str, Any]:
    """Return the mean difference of the chosen and the one-to-one map on test stimuli."""
    made = []
    for each in found:
        clear = each.clear(config)
        weights = (clear / max(int(clear.sum()), 1))[:, None]
        value = np.nan_to_num(each.scores.score[1] - each.scores.score[0]) @ weights
        value = value if clear.any() else np.full(1, np.nan)
        made.append(
            (
                value,
                compare_contrasts(
                    value,
                    each.scores.influences((-1.0, 1.0), weights),
                    np.zeros(1, dtype=np.int64),
                    over=config.interval_over,
                    level=config.interval,
                    seed=config.seed,
                ),
            )
        )
    words = describe_interval(config.interval, config.interval_over, config.groups, each="layer")
    return {
        "gain": score_variable(
            ("layer",),
            np.concatenate([value for value, _ in made]),
            long_name="gain of the chosen over the one-to-one map, test stimuli",
            formula="mean over bins of curve - curve_one_to_one",
            best=np.nan,
            low="gain_low",
            high="gain_high",
            interval=words,
            column="gain",
        ),
        **{
            f"gain_{end}": variable(
                ("layer",),
                np.concatenate([getattr(tests, end) for _, tests in made]),
                "interval",
                f"{end} end of the {words}",
            )
            for end in ("low", "high")
        },
    }


def _curves(found: list[_Layer], config: LagConfig) -> dict[str, Any]:
    """Return the scores on test stimuli with intervals and bands."""
    made: dict[str, Any] = {}
    names = {"curve_one_to_one": "of the recorded time", "curve": "of the chosen model time"}
    for curve, (name, meaning) in enumerate(names.items()):
        scores, intervals, signs = [], [], (1.0 - curve, float(curve))
        for each in found:
            score = np.where(each.clear(config), each.scores.score[curve], np.nan)
            scores.append(score)
            intervals.append(
                interval_of(
                    score,
                    each.scores.influences(signs, np.eye(len(score))),
                    over=config.interval_over,
                    level=config.interval,
                    seed=config.seed,
                )
            )
        made |= banded_variables(
            name,
            ("layer", "time_bin"),
            np.stack(scores),
            {end: np.stack([getattr(each, end) for each in intervals]) for end in ENDS},
            interval=describe_interval(config.interval, config.interval_over, config.groups),
            band=describe_band(config.interval),
            long_name=f"noise-corrected r from features {meaning}, test stimuli",
            formula="sum_j X_j / sum_j sqrt(P_j Y_j)",
        )
    return made


def _notes(found: list[_Layer], config: LagConfig) -> list[str]:
    """Return the bins that candidates are compared in, and the layers without a lag or a pace."""
    notes = []
    for each in found:
        used = each.candidates.middles[each.candidates.compared]
        width = each.candidates.width
        notes.append(
            f"{each.name}: lags and paces are compared in the {len(used)} time bins of "
            f"{used[0] - width / 2:g}-{used[-1] + width / 2:g} ms, for which the model's time is "
            f"known whichever holds; the lag is at {each.candidates.pivot:g} ms."
        )
        defined = each.defined(config)
        lacking = [name for name in ("lag", "pace") if not defined[name]]
        if lacking:
            ranges = [
                f"{getattr(config, name + 's')[0]:g} to {getattr(config, name + 's')[1]:g}"
                + " ms" * (name == "lag")
                for name in lacking
            ]
            notes.append(
                f"{each.name} has no {' and no '.join(lacking)}: the interval reaches an end of "
                f"the candidates ({' and '.join(ranges)}). Either the features hardly change, or "
                "the range is too narrow."
            )
    return notes

"""When do responses begin to tell images apart, and when do they most? Sites, areas, layers.

The time course of a site is the variance of its signal over images, estimated without trial noise
as the covariance of two trial halves: 0 where the image has no influence, without any baseline. The
onset is when it rises to half of its peak, the peak where it is largest, both interpolated between
bins (`neurofit.metrics.latency`). An area's course is the mean of its sites', each relative to its
own peak; a layer's is the variance of its units over images.

Intervals are percentiles of a bootstrap over images, and over sites for an area. No onset is the
first of several significant bins: such an onset moves with the number of images and trials.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurofit.activations.activations import check_inputs
from neurofit.analyses.analysis import register_analysis, score_variable, variable
from neurofit.analyses.layers import LayersConfig, kernel_of
from neurofit.analyses.windows import need_bins
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option
from neurofit.metrics.latency import onset, peak
from neurofit.metrics.two_way import percent
from neurofit.recordings.reliability import check_stimuli
from neurofit.recordings.trials import TrialSets, deal_trials
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

MIN_Z = 4.0
"""A site has latencies if its peak is so many standard errors above 0."""

MIN_BINS = 3
"""Smallest number of time bins in which a course has a peak."""

Courses = Float[np.ndarray, "draw *any time_bin"]
"""Time courses; the first of all images, the others of bootstrap samples."""


@dataclass(frozen=True, kw_only=True)
class LatencyConfig(LayersConfig):
    """Options of latencies.

    Parameters
    ----------
    layers
        Names of layers; None takes the layers that stand for the region.
    share
        Share of the peak at which a response begins.
    n_halves
        Number of random halvings of the trials.
    n_bootstraps, interval
        Number of bootstrap samples, and coverage of the interval.
    seed
        Random seed for trial halves and samples.

    Raises
    ------
    NeurofitError
        If an option is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.LatencyConfig(share=0.25, n_bootstraps=200)
    LatencyConfig(share=0.25, n_bootstraps=200)
    """

    share: float = option(
        0.5, above=0, below=1, help="Share of the peak at which a response begins."
    )
    n_halves: int = option(5, least=1, help="Number of random halvings of the trials.")
    n_bootstraps: int = option(500, least=20, help="Number of bootstrap samples.")
    seed: int = option(0, least=0, help="Random seed for trial halves and bootstrap samples.")

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if a recording has too few time bins."""
        need_bins(recording, MIN_BINS, "A latency")


@register_analysis(LatencyConfig)
def latency(
    activations: Activations,
    recording: Recording,
    config: LatencyConfig = LatencyConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Onset and peak latency of an area, of its sites and of a model's layers, with intervals.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area, in three time bins or more; a neuroid that lacks a stimulus in
        some bin has no latency.
    config
        Layers, share of the peak and interval.
    compute
        Not used.
    progress
        Called with ("time bins", bins done, bins in total).

    Returns
    -------
    Dataset
        `onset` and `peak` (model) in ms with their intervals, of the recording and of each layer;
        `onset_of_site` and `peak_of_site` (neuroid) with theirs; `course` (model time_bin), from
        which they are read.

    Raises
    ------
    NeurofitError
        If stimuli do not match, a layer is unknown, or there are fewer than three time bins.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 130))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> config = neurofit.LatencyConfig(layers=("conv3",), n_halves=2, n_bootstraps=20)
    >>> result = neurofit.latency(activations, recording, config)
    >>> result["onset"].dims, result["model"].values.tolist()
    (('model',), ['V4 of hvm-sim', 'rgc_tiny conv3'])
    """
    del compute
    check_stimuli(recording)
    check_inputs(activations, recording)
    bins = np.array(recording.time_bins)
    config.check_recording(recording)
    layers = config.layers_for(activations, recording.regions[0])
    names = [f"{recording.regions[0]} of {recording.name}"]
    names += [f"{activations.model} {layer}" for layer in layers]
    n, rng = len(recording.stimuli), np.random.default_rng(config.seed)
    drawn = rng.integers(n, size=(config.n_bootstraps, n))
    times = np.ones((1 + config.n_bootstraps, n))
    times[1:] = [np.bincount(each, minlength=n) for each in drawn]
    sites = _site_courses(recording, times, config, progress)
    chosen = rng.integers(sites.shape[1], size=(config.n_bootstraps, sites.shape[1]))
    courses = np.stack(
        [
            _area_course(sites, chosen),
            *(_layer_course(activations, layer, recording, times) for layer in layers),
        ],
        axis=1,
    )
    return _make_result(recording, names, bins, courses, sites, config)


def _site_courses(
    recording: Recording,
    times: Float[np.ndarray, "draw stimulus"],
    config: LatencyConfig,
    progress: Progress | None,
) -> Float[np.ndarray, "draw neuroid time_bin"]:
    """Return the covariance of trial halves over images, of each site, bin and sample."""
    rows, n_bins = recording.stimulus_rows, len(recording.time_bins)
    trials = TrialSets(rows, deal_trials(rows, n_halves=config.n_halves, seed=config.seed))
    weights = times / times.sum(axis=1, keepdims=True)
    courses = []
    for b in range(n_bins):
        halves = trials.means(recording.block(b))[1:]
        made = 0.0
        for x, y in zip(*np.split(halves, 2), strict=True):
            x, y = x - x.mean(axis=0), y - y.mean(axis=0)
            made = made + weights @ (x * y) - (weights @ x) * (weights @ y)
        courses.append(made / config.n_halves)
        if progress:
            progress("time bins", b + 1, n_bins)
    return np.stack(courses, axis=-1)


def _area_course(
    sites: Float[np.ndarray, "draw neuroid time_bin"], chosen: np.ndarray
) -> Float[np.ndarray, "draw time_bin"]:
    """Return the mean course of sites relative to their peaks; samples draw sites too."""
    clear = _is_clear(sites)
    scale = np.where(clear, 1 / np.where(clear, sites[0].max(axis=1), 1.0), 0.0)
    relative = np.nan_to_num(sites) * scale[:, None]
    first = relative[0].mean(axis=0)
    others = [relative[1 + draw, picked].mean(axis=0) for draw, picked in enumerate(chosen)]
    return np.stack([first, *others])


def _is_clear(sites: Float[np.ndarray, "draw neuroid time_bin"]) -> np.ndarray:
    """Return whether the peak of a site's course is clear of 0."""
    known = np.isfinite(sites[0]).all(axis=1)
    top = np.nan_to_num(sites[0]).argmax(axis=1)
    at_top = np.take_along_axis(sites, top[None, :, None], axis=2)[..., 0]
    return np.asarray(known & (np.nan_to_num(at_top[0]) > MIN_Z * np.nan_to_num(at_top[1:].std(0))))


def _layer_course(
    activations: Activations,
    layer: str,
    recording: Recording,
    times: Float[np.ndarray, "draw stimulus"],
) -> Float[np.ndarray, "draw time_bin"]:
    """Return the variance of a layer's units over images, summed; 0 before it sees the image."""
    bins = recording.time_bins
    covered = activations.covered(layer, bins)
    first = activations.first_timestep[layer] * activations.ms_per_timestep
    weights = times / times.sum(axis=1, keepdims=True)
    course = np.zeros((len(times), len(bins)))
    for b, time_bin in enumerate(bins):
        if covered[b]:
            kernel = kernel_of(activations.features(layer, time_bin))
            course[:, b] = weights @ np.diagonal(kernel) - ((weights @ kernel) * weights).sum(
                axis=1
            )
        elif time_bin[0] >= first:  # after the model's last step
            course[:, b] = np.nan
    return course


def _make_result(
    recording: Recording,
    names: list[str],
    bins: np.ndarray,
    courses: Float[np.ndarray, "draw layer time_bin"],
    sites: Float[np.ndarray, "draw neuroid time_bin"],
    config: LatencyConfig,
) -> xr.Dataset:
    middles = bins.mean(axis=1)
    clear = _is_clear(sites)
    made: dict[str, Any] = {}
    over = {"": "images and sites", "_of_site": "images"}
    for suffix, (dim, values) in {"": ("model", courses), "_of_site": ("neuroid", sites)}.items():
        words = f"{percent(config.interval)} interval over {over[suffix]} (bootstrap percentiles)"
        for name, found in (
            ("onset", onset(values, middles, share=config.share)),
            ("peak", peak(values, middles)),
        ):
            if suffix:
                found = np.where(clear, found, np.nan)
            tails = [(1 - config.interval) / 2, (1 + config.interval) / 2]
            with np.errstate(invalid="ignore"):
                ends = _quantiles(found[1:], tails)
            ends = np.where(np.isfinite(found[0]), ends, np.nan)
            own = f"{name}{suffix}"
            long_name = f"{name} latency" + " of each site" * bool(suffix)
            if suffix:
                made[own] = variable((dim,), found[0], "detail", long_name, units="ms")
            else:
                formula = (
                    f"time at {percent(config.share)} of the peak of the signal variance"
                    if name == "onset"
                    else "time of the largest signal variance over images"
                )
                made[own] = score_variable(
                    (dim,),
                    found[0],
                    long_name=long_name,
                    formula=formula,
                    units="ms",
                    best=np.nan,
                    low=f"{own}_low",
                    high=f"{own}_high",
                    interval=words,
                    column=f"{name} (ms)",
                    panel="course",
                )
            role = "detail" if suffix else "interval"
            for end, side in zip(ends, ("low", "high"), strict=True):
                made[f"{own}_{side}"] = variable(
                    (dim,), end, role, f"{side} end: {words}", units="ms"
                )
    top = np.nanmax(courses[0], axis=1, keepdims=True)
    made["course"] = variable(
        ("model", "time_bin"),
        courses[0] / np.where(top > 0, top, np.nan),
        "detail",
        "signal variance, relative to its peak",
    )
    made["site_is_clear"] = variable(
        ("neuroid",),
        clear.astype(np.int8),
        "detail",
        f"whether the peak of a site is {MIN_Z:g} standard errors above 0",
    )
    notes = [
        f"{names[0]} is the mean of {int(clear.sum())} of {len(clear)} sites, those "
        f"whose peak is {MIN_Z:g} standard errors above 0."
    ]
    at = np.nan_to_num(courses[0]).argmax(axis=1)
    if rising := [name for name, b in zip(names, at, strict=True) if b == len(bins) - 1]:
        notes.append(f"Largest in the last time bin, so without a peak: {', '.join(rising)}.")
    return xr.Dataset(
        made,
        coords={"model": names, **time_coords(*bins.T)},
        attrs={
            "method": f"signal variance of {config.n_halves} halvings, bootstrap",
            "notes": json.dumps(notes),
        },
    )


def _quantiles(values: np.ndarray, tails: list[float]) -> np.ndarray:
    """Return quantiles over samples, NaN where fewer than half of them have a value."""
    enough = np.isfinite(values).mean(axis=0) > 0.5
    filled = np.where(enough, values, 0.0)
    return np.where(enough, np.nanquantile(filled, tails, axis=0), np.nan)

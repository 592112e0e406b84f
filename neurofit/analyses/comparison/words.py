"""The conclusion of a comparison in sentences that a paper can use."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurofit.analyses.comparison.config import CompareConfig
from neurofit.errors import counted
from neurofit.metrics.two_way import percent

MAX_PAIRS = 3
"""Up to so many pairs, each has sentences of its own."""

MAX_WHOLE = 10
"""Up to so many pairs, each has a sentence on the whole curve."""

EXPLAINED = {
    "features_constant": "features constant over images, as those of a network without memory are "
    "once the image is off"
}
"""Reasons that need more words."""


def conclude(result: xr.Dataset, config: CompareConfig) -> list[str]:
    """Return what a comparison found and how sure it is.

    Parameters
    ----------
    result
        Dataset of a comparison.
    config
        What was tested.
    """
    sentences = []
    if "best_rank" in result and result.sizes["model"] > 2:
        sentences.append(_ranks(result))
    for pair in range(result.sizes["pair"]):
        if result.sizes["pair"] <= MAX_PAIRS:
            sentences += _of_pair(result.isel(pair=pair), config)
        elif result.sizes["pair"] <= MAX_WHOLE or "best_rank" not in result:
            sentences.append(_whole(result.isel(pair=pair), config))
    return [*sentences, f"These statements are {describe_scope(result, config)}."]


def describe_scope(result: xr.Dataset, config: CompareConfig) -> str:
    """Return what a claim is about: "about other neuroids of IT and other images"."""
    area, n = result.attrs["region"], result.attrs["n_neuroids"]
    animals = f" of these {result.sizes['subject']} animals" if "subject" in result.dims else ""
    neuroids, images = {
        "stimuli": (f"these {n} neuroids" if n > 1 else "this neuroid", "other images"),
        "neuroids": (f"other neuroids of {area}{animals}", "these images"),
        "both": (f"other neuroids of {area}{animals}", "other images"),
    }[config.over]
    simulated = " of a simulated recording" if result.attrs["simulated"] else ""
    return f"about {neuroids}{simulated} and {images}"


def _of_pair(result: xr.Dataset, config: CompareConfig) -> list[str]:
    """Return sentences on one pair: the whole curve, its bins, windows and subjects."""
    one, other = str(result["first"].values), str(result["second"].values)
    shown = np.isfinite(result.difference.values)
    sentences = [_whole(result, config)]
    means = [
        result.curve.sel(model=each).values[shown].mean() for each in (one, other) if any(shown)
    ]
    if means and max(means) <= 0:
        sentences.append(f"Neither {one} nor {other} has a mean score above 0.")
    if np.isfinite(result.p_adjusted.values).sum() > 1:
        sentences.append(_bins(result, one, other, config))
    for window in result.get("window", xr.DataArray([])).values:
        at = result.sel(window=window)
        if np.isfinite(at.window_difference.item()):
            sentences.append(_window(at, str(window), config))
    if "cluster" in result and np.isfinite(result.p.values).any():
        sentences += _clusters(result, config)
    sentences += _alone(result, one, other)
    if "subject" in result.dims:
        sentences.append(_subjects(result, config))
    return sentences


def _whole(result: xr.Dataset, config: CompareConfig) -> str:
    """Return the sentence on the whole curve of a pair, or on the part that both have."""
    shown, verdict = np.isfinite(result.difference.values), _verdict(result, "whole_", config)
    if not shown.any():
        return f"{verdict}."
    names = [result["first"].item(), result["second"].item()]
    either = np.isfinite(result.curve.sel(model=names).values).any(axis=0)
    bins = f"{counted(int(shown.sum()), 'time bin')} in {_ranges(result, shown)}"
    if either.sum() > shown.sum():
        return f"Where both have a score ({bins}), {verdict}."
    return f"Over the whole curve ({bins}), {verdict}."


def _verdict(result: xr.Dataset, beginning: str, config: CompareConfig, ending: str = "") -> str:
    """Return which model is better and by how much, or that the data cannot tell."""
    one, other = str(result["first"].values), str(result["second"].values)
    difference, low, high, p = _numbers(result, beginning, ending)
    area = result.attrs["region"]
    if np.isnan(difference):
        return f"{one} and {other} have no time bin in which both have a score"
    if np.isnan(p):
        return f"{one} - {other} = {difference:z.3f}, which cannot be tested"
    if p > 1 - config.level or not difference:
        shown = _interval(config, difference, low, high, p)
        return f"the data cannot tell {one} and {other} apart ({one} - {other} = {shown})"
    if difference < 0:
        one, other, difference, low, high = other, one, -difference, -high, -low
    shown = _interval(config, difference, low, high, p)
    return f"{one} predicts {area} better than {other} (difference {shown})"


def _numbers(result: xr.Dataset, beginning: str, ending: str = "") -> tuple[float, ...]:
    """Return the difference, the band, which belongs to its p value, and this."""
    name = f"{beginning}difference"
    names = (name, f"{name}_band_low", f"{name}_band_high", f"{beginning}p_adjusted")
    return tuple(result[f"{each}{ending}"].item() for each in names)


def _interval(config: CompareConfig, difference: float, low: float, high: float, p: float) -> str:
    """Return "0.052, 95% band 0.031 to 0.073, p < .001"."""
    band = f"{percent(config.level)} band {low:z.3f} to {high:z.3f}"
    return f"{difference:z.3f}, {band}, {describe_p(p)}"


def describe_p(p: float) -> str:
    """Return "p < .001" or "p = .012"."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def _bins(result: xr.Dataset, one: str, other: str, config: CompareConfig) -> str:
    """Return in which time bins a model is better, beyond the band of all bins."""
    low, high = result.difference_band_low.values, result.difference_band_high.values
    found = [
        f"{model} is better in {_ranges(result, where)}"
        for model, where in ((one, low > 0), (other, high < 0))
        if where.any()
    ]
    band = f"{percent(config.level)} band for all time bins at once"
    if not found:
        return f"No single time bin shows a difference ({band})."
    return f"{' and '.join(found)} ({band})."


def _ranges(result: xr.Dataset, where: np.ndarray) -> str:
    """Return runs of time bins as "100-150 ms and 170-180 ms"."""
    runs: list[list[int]] = []
    for place in np.flatnonzero(where):
        start, end = int(result.time_bin_start[place]), int(result.time_bin_end[place])
        if runs and runs[-1][1] == start:
            runs[-1][1] = end
        else:
            runs.append([start, end])
    named = [f"{start}-{end} ms" for start, end in runs]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


def _window(at: xr.Dataset, window: str, config: CompareConfig) -> str:
    if " less " not in window:
        return f"In {_compared(at, window)}, {_verdict(at, 'window_', config)}."
    late, early = (_compared(at, each) for each in window.split(" less "))
    change = _numbers(at, "window_")
    if np.isnan(change[-1]):
        return f"The change from {early} to {late} cannot be tested."
    verdict = "changes by" if change[-1] <= 1 - config.level else "does not change measurably:"
    between = f"{at['first'].item()} - {at['second'].item()}"
    shown = _interval(config, *change)
    return f"From {early} to {late} the difference {between} {verdict} {shown}."


def _clusters(result: xr.Dataset, config: CompareConfig) -> list[str]:
    """Return the clusters of a pair, and what they do not show."""
    numbers, p = result.cluster.values, result.p_cluster.values
    each = [numbers == number for number in range(1, numbers.max() + 1)]
    named = {
        large: [
            f"{_ranges(result, bins)} ({describe_p(p[bins][0])})"
            for bins in each
            if (p[bins][0] <= 1 - config.level) == large
        ]
        for large in (True, False)
    }
    if not each:
        return ["No cluster of time bins lies beyond the pointwise interval."]
    sentences = []
    if named[True]:
        sentences.append(
            f"Clusters of time bins that are larger than chance: {', '.join(named[True])}. A "
            "cluster shows that the curves differ; its first bin is no onset of the difference, "
            "and its extent is not tested."
        )
    if named[False]:
        sentences.append(f"Clusters that are no larger than chance: {', '.join(named[False])}.")
    return sentences


def _compared(at: xr.Dataset, window: str) -> str:
    """Return the name of a window, and the part of it in which both have a score."""
    start, end = map(int, window.removesuffix(" ms").split("-"))
    inside = ((at.time_bin_start >= start) & (at.time_bin_end <= end)).values
    shown = inside & np.isfinite(at.difference.values)
    bounds = at.time_bin_start.values[shown], at.time_bin_end.values[shown]
    if shown.sum() == inside.sum() and (bounds[0].min(), bounds[1].max()) == (start, end):
        return window
    return f"{window} (scores of both only in {_ranges(at, shown)})"


def _alone(result: xr.Dataset, one: str, other: str) -> list[str]:
    """Return in which time bins only one of a pair has a score, and why the other has none."""
    meanings = str(result.reason.attrs["flag_meanings"]).split()
    sentences = []
    for model, without in ((one, other), (other, one)):
        has, lacks = (np.isfinite(result.curve.sel(model=each).values) for each in (model, without))
        flags = result.reason.sel(model=without).values
        for flag in np.unique(flags[has & ~lacks]):
            where = _ranges(result, has & ~lacks & (flags == flag))
            reason = meanings[int(flag)]
            why = EXPLAINED.get(reason, reason.replace("_", " "))
            sentences.append(f"In {where} only {model} has a score ({without}: {why}).")
    return sentences


def _subjects(result: xr.Dataset, config: CompareConfig) -> str:
    """Return what holds in each animal, over the whole curve."""
    p = result.whole_p_adjusted_of_subject.values
    signs = np.sign(result.whole_difference_of_subject.values)
    names = [str(name) for name in result.subject.values]
    verdicts = [
        f"{name}: {_verdict(result.sel(subject=name), 'whole_', config, '_of_subject')}"
        for name in names
    ]
    shown = bool((p <= 1 - config.level).all())
    found = "holds in each animal" if len(set(signs)) == 1 else "has opposite signs in the animals"
    holds = found if shown else "is not shown in each animal"
    return (
        f"The difference over the whole curve {holds} ({'; '.join(verdicts)}); "
        f"nothing follows for animals other than these {len(names)}."
    )


def _ranks(result: xr.Dataset) -> str:
    """Return the order of the models, with ties where the data cannot tell."""
    common = np.isfinite(result.curve.values).all(axis=0)
    if not common.any():
        return "The models have no rank: in no time bin do all have a score."
    order = np.lexsort((-result.mean_curve.values, result.best_rank + result.worst_rank))
    words = []
    for place in order:
        best, worst = int(result.best_rank[place]), int(result.worst_rank[place])
        rank = f"{best}" if best == worst else f"{best} to {worst}"
        words.append(f"{result.model.values[place]} (rank {rank})")
    bins = f"{counted(int(common.sum()), 'time bin')} in {_ranges(result, common)}"
    where = "the whole curves" if _all_shown(result, common) else "the part that all have"
    ranks = ", ".join(words)
    return (
        f"Over {where} ({bins}), models rank as follows, tied where the data cannot tell: {ranks}."
    )


def _all_shown(result: xr.Dataset, common: np.ndarray) -> bool:
    return bool(common.sum() == np.isfinite(result.curve.values).any(axis=0).sum())

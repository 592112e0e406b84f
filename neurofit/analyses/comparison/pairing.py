"""What a comparison reads from results, and what has to be equal so that they can be paired."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurofit.analyses.comparison.config import CompareConfig
from neurofit.analyses.repeat import command_of, run_config_of
from neurofit.errors import CannotRepeat, NeurofitError, check_option, some_of, unknown_name
from neurofit.metrics.two_way import Influences, Interval, interval_of

SPLITTING = (
    *("seed", "splits", "n_splits", "train_size", "stratified", "strata", "groups"),
    *("n_halves", "halves_by", "ceiling_stimuli"),
)
"""Options that decide splits and trial halves."""


SINGLE = ("layer", "mapping")
"""Dimensions along which a comparison takes one curve."""


@dataclass(frozen=True)
class Influenced:
    """A score per time bin with its influences, of all neuroids or of those of one subject.

    Parameters
    ----------
    score
        Scores; NaN where there is none.
    neuroids, stimuli
        Influences on it.
    cells, pairs
        Sketches of what these count twice (`neurofit.metrics.two_way`).
    """

    score: Float[np.ndarray, " time_bin"]
    neuroids: Float[np.ndarray, "neuroid time_bin"]
    stimuli: Float[np.ndarray, "stimulus time_bin"]
    cells: Float[np.ndarray, "bucket time_bin"]
    pairs: Float[np.ndarray, "bucket time_bin"]

    def combine(self, function: Callable[..., np.ndarray], *others: Influenced) -> Influenced:
        """Return a function of the scores that is linear, with its influences."""
        return Influenced(
            *(
                function(*(getattr(each, name) for each in (self, *others)))
                for name in ("score", "neuroids", "stimuli", "cells", "pairs")
            )
        )

    def minus(self, other: Influenced) -> Influenced:
        """Return the difference."""
        return self.combine(np.subtract, other)

    def weighted(self, weights: Float[np.ndarray, "time_bin contrast"]) -> Influenced:
        """Return linear combinations of the bins that have a score; NaN if none has one."""
        shown = np.isfinite(self.score)
        used = weights[shown]

        def combined(values: np.ndarray) -> np.ndarray:
            own = values[..., shown]
            unknown = np.isnan(own).any(axis=tuple(range(own.ndim - 1))) @ (used != 0)
            return np.where(unknown | (not shown.any()), np.nan, np.nan_to_num(own) @ used)

        return self.combine(combined)

    def interval(self, *, over: str, level: float, seed: int) -> Interval:
        """Return the interval and the band of the score."""
        influences = Influences.of_sketches(self.neuroids, self.stimuli, self.cells, self.pairs)
        return interval_of(self.score, influences, over=over, level=level, seed=seed)


def whole_area(result: xr.Dataset) -> Influenced:
    """Return the pooled score of all neuroids."""
    return _influenced(result, "curve", "")


def of_subject(result: xr.Dataset, subject: str) -> Influenced:
    """Return the pooled score of one subject."""
    return _influenced(result.sel(subject=subject), "curve_of_subject", "_on_subject")


def _influenced(result: xr.Dataset, curve: str, suffix: str) -> Influenced:
    names = [f"influence_of_{what}{suffix}" for what in ("neuroids", "stimuli", "cells")]
    names += ["influence_of_pairs"]
    return Influenced(*(np.asarray(result[name], np.float64) for name in (curve, *names)))


def check_chosen(results: Sequence[xr.Dataset], config: CompareConfig) -> None:
    """Check that a layer or mapping that is chosen is in one of the results.

    Raises
    ------
    NeurofitError
        If none has it: of results with a single one, another would be compared without a word.
    """
    for dim in SINGLE:
        names = {name for each in results for name in _named(each, dim)}
        if (chosen := getattr(config, dim)) and chosen not in names:
            raise unknown_name(dim, chosen, names, option=dim)


def _named(result: xr.Dataset, dim: str) -> list[str]:
    """Return the layers or mappings of a result; a single mapping is no dimension."""
    if dim in result.coords:
        return [str(name) for name in np.atleast_1d(result[dim].values)]
    only = json.loads(result.attrs["config"]).get(dim)
    return [str(only["name"] if isinstance(only, dict) else only)]


def choose_curve(result: xr.Dataset, label: str, config: CompareConfig) -> xr.Dataset:
    """Return a result with a single layer and a single mapping.

    Raises
    ------
    NeurofitError
        If it is no pooled score, or has several layers or mappings of which none is chosen.
    """
    attrs = result.attrs
    if attrs["analysis"] != "score" or "influence_of_stimuli" not in result:
        formula = json.loads(attrs["config"]).get("formula", "none")
        raise NeurofitError(
            f"Only pooled scores are compared; {label} is a result of {attrs['analysis']} with the "
            f"formula {formula}. Score the model with --preset pooled."
        )
    for dim in SINGLE:
        names, chosen = _named(result, dim), getattr(config, dim)
        if len(names) > 1 and not chosen:
            raise NeurofitError(
                f"{label} has several {dim}s ({some_of(names)}); name the one to compare with "
                f"{dim}.",
                option=dim,
            )
        if len(names) > 1:
            result = result.sel({dim: [check_option(dim, chosen, names)]})
    return result


def one_curve(result: xr.Dataset) -> xr.Dataset:
    """Return a result of one layer and one mapping without these dimensions."""
    return result.squeeze([dim for dim in SINGLE if dim in result.dims], drop=True)


def without_neuroids(config: CompareConfig, *, n_neuroids: int) -> tuple[CompareConfig, list[str]]:
    """Return what can be claimed with a single neuroid, and a note that says so.

    Raises
    ------
    NeurofitError
        If the claim is about other neuroids alone.
    """
    if n_neuroids > 1 or config.over == "stimuli":
        return config, []
    if config.over == "neuroids":
        raise NeurofitError(
            "A claim about other neuroids needs two neuroids or more; the results have one.",
            option="over",
        )
    note = "There is a single neuroid: intervals are over stimuli and hold for this neuroid."
    return replace(config, over="stimuli"), [note]


def check_pairs(results: Sequence[xr.Dataset], labels: Sequence[str]) -> None:
    """Check that results are of the same neuroids, stimuli, bins, splits, halves and formula.

    Raises
    ------
    NeurofitError
        Naming the first attribute that differs, both values and the options that make them equal.
    """
    first, whose = results[0], labels[0]
    for other, label in zip(results[1:], labels[1:], strict=True):
        for what, read in REQUIREMENTS:
            values = [read(each) for each in (first, other)]
            if values[0] != values[1]:
                shown = [_short(value) for value in values]
                raise NeurofitError(
                    f"Results are compared on the same {what}; {whose} has {shown[0]}, {label} "
                    f"has {shown[1]}.\n{_score_again(first, other, (whose, label))}"
                )


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} ({some_of(value, most=3)})"
    return str(value)[:40] or "none"


def _attribute(name: str) -> Callable[[xr.Dataset], Any]:
    return lambda result: result.attrs.get(name, "")  # results of older versions lack some


def _names(name: str) -> Callable[[xr.Dataset], Any]:
    return lambda result: tuple(result[name].values.tolist())


def _bins(result: xr.Dataset) -> tuple[str, ...]:
    starts, ends = result.time_bin_start.values, result.time_bin_end.values
    return tuple(f"{start}-{end} ms" for start, end in zip(starts, ends, strict=True))


def _option(name: str) -> Callable[[xr.Dataset], Any]:
    return lambda result: json.dumps(json.loads(result.attrs["config"]).get(name, 0))


def _score_again(first: xr.Dataset, other: xr.Dataset, labels: Sequence[str]) -> str:
    """Return the command that scores the second model as the first one was scored."""
    try:
        wanted, own = run_config_of(first), run_config_of(other)
    except CannotRepeat:  # scored in Python, from activations
        return f"Score {labels[1]} with the recording and the options of {labels[0]}."
    drawn = {name: getattr(wanted.analysis, name) for name in (*SPLITTING, "formula", "jackknife")}
    config = replace(
        own,
        recording=wanted.recording,
        images=wanted.images,
        time_bin=wanted.time_bin,
        selection=wanted.selection,
        analysis=replace(own.analysis, **drawn),
    )
    return f"Score {labels[1]} as {labels[0]} was scored:\n  {command_of(config)}"


REQUIREMENTS: tuple[tuple[str, Callable[[xr.Dataset], Any]], ...] = (
    ("region", _attribute("region")),
    ("recording", _attribute("recording")),
    ("neuroids", _names("neuroid_id")),
    ("stimuli", _names("stimulus_id")),
    ("time bins", _bins),
    ("responses (recording_sha256)", _attribute("recording_sha256")),
    *((f"{name.replace('_', ' ')}", _option(name)) for name in SPLITTING),
    ("splits (splits_sha256)", _attribute("splits_sha256")),
    ("trial halves (halves_sha256)", _attribute("halves_sha256")),
    ("formula", _option("formula")),
    ("jackknife", _option("jackknife")),
)
"""What has to be equal, and how it is read from a result."""

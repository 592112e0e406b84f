"""Paired differences between models, from stored results alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import ENDS, banded_variables, variable
from neurofit.analyses.comparison.clusters import find_clusters
from neurofit.analyses.comparison.config import CompareConfig
from neurofit.analyses.comparison.curves import model_variables
from neurofit.analyses.comparison.families import (
    Family,
    make_family,
    name_windows,
    over_all_bins,
    over_windows,
)
from neurofit.analyses.comparison.pairing import (
    Influenced,
    check_chosen,
    check_pairs,
    choose_curve,
    of_subject,
    one_curve,
    whole_area,
    without_neuroids,
)
from neurofit.analyses.comparison.words import conclude
from neurofit.analyses.windows import Bins, Window, find_windows, in_window
from neurofit.errors import NeurofitError, unknown_name
from neurofit.metrics.two_way import describe_interval, percent
from neurofit.results.io import load_result
from neurofit.results.labels import label_results
from neurofit.results.provenance import package_versions
from neurofit.results.schema import time_coords, validate_result

Pair = tuple[int, int]


def compare(
    results: Sequence[xr.Dataset | str | Path], config: CompareConfig | None = None, **options: Any
) -> xr.Dataset:
    """Compare models by their stored scores (docs/compare.md).

    Parameters
    ----------
    results
        Two or more results of `score` with the formula pooled_r, or their paths, each with a single
        layer and mapping; all of the same neuroids, stimuli, time bins, splits and halves.
    config
        What is tested; by default `CompareConfig(**options)`.
    **options
        Fields of `CompareConfig`.

    Returns
    -------
    xr.Dataset
        By the contract of results, with the dimensions pair, time_bin, window and model:
        differences with intervals, bands and p values. `attrs["conclusion"]` is a JSON list of
        sentences.

    Raises
    ------
    NeurofitError
        If there are fewer than two results, or they cannot be paired: the message names the
        attribute that differs and the command that makes them fit.

    Notes
    -----
    With a single neuroid, `over="both"` becomes "stimuli", which a note says.

    Examples
    --------
    >>> import neurofit
    >>> config = neurofit.RunConfig(
    ...     model=["rgc_tiny", "feedforward_tiny"],
    ...     selection=neurofit.Selection(region="V4", window=(90, 110)),
    ...     analysis=neurofit.ScoreConfig(layers=("conv3",), n_splits=2, n_halves=2),
    ... )
    >>> result = neurofit.compare(list(neurofit.run_each(config)))
    >>> result["difference"].dims
    ('pair', 'time_bin')
    """
    config = config or CompareConfig(**options)
    if len(results) < 2:
        raise NeurofitError(f"A comparison takes two results or more; got {len(results)}.")
    loaded = [each if isinstance(each, xr.Dataset) else load_result(each) for each in results]
    check_chosen(loaded, config)
    chosen = [
        choose_curve(each, label, config)
        for each, label in zip(loaded, label_results(loaded), strict=True)
    ]
    labels = label_results(chosen)
    curves = list(map(one_curve, chosen))
    check_pairs(curves, labels)
    config, alone = without_neuroids(config, n_neuroids=curves[0].sizes["neuroid"])
    pairs = _pairs(labels, config.reference)
    first = curves[0]
    bins = np.stack([first.time_bin_start.values, first.time_bin_end.values], axis=1)
    windows = find_windows(bins, config.windows)
    areas = [whole_area(each) for each in curves]
    made, families = _differences(areas, pairs, bins, windows, config)
    coords: dict[str, Any] = {
        "pair": [f"{labels[a]} - {labels[b]}" for a, b in pairs],
        "first": ("pair", [labels[a] for a, _ in pairs]),
        "second": ("pair", [labels[b] for _, b in pairs]),
        "model": labels,
        **time_coords(bins[:, 0], bins[:, 1]),
    }
    if windows:
        coords["window"] = name_windows(windows)
    if "curve_of_subject" in first:
        coords["subject"] = first.subject.values.tolist()
        parts = [
            _differences(
                [of_subject(each, name) for each in curves],
                pairs,
                bins,
                windows,
                config,
                like=families,
            )[0]
            for name in coords["subject"]
        ]
        made |= _along_subjects(parts)
    result = xr.Dataset(
        {**made, **model_variables(curves, areas, pairs, config)},
        coords=coords,
        attrs=_attrs(loaded, labels, config, alone),
    )
    result.attrs["conclusion"] = json.dumps(conclude(result, config))
    validate_result(result)
    return result


def _pairs(labels: list[str], reference: str) -> list[Pair]:
    """Return the positions of the models of each pair: all pairs, or all with the reference."""
    if not reference:
        return list(combinations(range(len(labels)), 2))
    if reference not in labels:
        raise unknown_name("reference", reference, labels, option="reference")
    against = labels.index(reference)
    return [(other, against) for other in range(len(labels)) if other != against]


def _differences(
    areas: list[Influenced],
    pairs: list[Pair],
    bins: Bins,
    windows: list[Window],
    config: CompareConfig,
    *,
    like: dict[str, Family] | None = None,
) -> tuple[dict[str, Any], dict[str, Family]]:
    """Return the variables of all differences, and the families that they come from.

    Parameters
    ----------
    areas
        Score of each model.
    pairs, bins, windows, config
        What is compared.
    like
        Families of all neuroids, for the scores of a subject.
    """
    each = [areas[a].minus(areas[b]) for a, b in pairs]
    contrasts = {"": each, "whole_": [over_all_bins(one) for one in each]}
    if windows:
        contrasts["window_"] = [over_windows(one, bins, windows) for one in each]
    families = {
        name: make_family(made, config, like=like[name] if like else None)
        for name, made in contrasts.items()
    }
    made: dict[str, Any] = {}
    for name, family in families.items():
        made |= _tested(name, family, config)
    if windows:
        counts = _count_bins(each, bins, windows)
        words = "number of time bins in which both have a score"
        made["window_bins"] = variable(("pair", "window"), counts, "count", words, column="bins")
    if config.clusters and like is None:
        made |= _clustered(families[""], config)
    return made, families


MEANINGS = {
    "": ("difference in noise-corrected r", "A - B for the pair A - B"),
    "whole_": (
        "difference in noise-corrected r, whole curve",
        "mean of A - B over all time bins in which both have a score",
    ),
    "window_": (
        "difference in noise-corrected r, windows",
        "mean of A - B over the time bins of a window in which both have a score",
    ),
}
"""Beginning of a variable's name -> its meaning and its formula."""

AXES = {"": "time_bin", "whole_": "", "window_": "window"}


def _tested(beginning: str, family: Family, config: CompareConfig) -> dict[str, Any]:
    """Return differences with intervals, bands and p values."""
    axis = AXES[beginning]
    dims = ("pair", axis) if axis else ("pair",)
    name, (long_name, formula) = f"{beginning}difference", MEANINGS[beginning]
    every = {"": "time bins", "whole_": "pairs", "window_": "windows"}[beginning]

    def shaped(values: np.ndarray) -> np.ndarray:
        return values if axis else values[:, 0]

    return {
        **banded_variables(
            name,
            dims,
            shaped(family.values),
            {end: shaped(family.of(end)) for end in ENDS},
            interval=describe_interval(config.level, config.over, each=every.removesuffix("s")),
            band=f"{percent(config.level)} band, for all {every} at once",
            long_name=long_name,
            formula=formula,
            best=np.nan,
            column="difference",
        ),
        **{
            f"{beginning}{p}": variable(dims, shaped(family.of(p)), "p_value", meaning, **heading)
            for p, meaning, heading in (
                ("p", f"p value of each of the {every} on its own", {}),
                (
                    "p_adjusted",
                    f"p value adjusted over all pairs and {every}".replace(
                        "pairs and pairs", "pairs"
                    ),
                    {"column": "p"},
                ),
                (
                    "p_false_discovery",
                    "p value adjusted for the false discovery rate (Benjamini-Hochberg)",
                    {"column": "p (BH)"},
                ),
            )
        },
    }


def _count_bins(each: list[Influenced], bins: Bins, windows: list[Window]) -> np.ndarray:
    """Return the number of scored bins of each pair and window; of both for a difference."""
    shown = np.isfinite([one.score for one in each]).astype(int)
    counts = shown @ np.stack([in_window(bins, window) for window in windows], axis=1)
    late, early = counts[:, 1:], counts[:, :-1]
    return np.concatenate([counts, np.where(late * early > 0, late + early, 0)], axis=1)


def _clustered(family: Family, config: CompareConfig) -> dict[str, Any]:
    clusters = find_clusters(family, config)
    dims = ("pair", "time_bin")
    return {
        "cluster": variable(dims, clusters.number, "detail", "number of a bin's cluster, 0: none"),
        "p_cluster": variable(
            dims, clusters.p, "p_value", "p value of a bin's cluster, adjusted over all pairs"
        ),
    }


def _along_subjects(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the variables of all subjects along the dimension subject."""
    renamed = {name: f"{name}_of_subject" for name in parts[0]}
    made = {}
    for name, new in renamed.items():
        dims, _, attrs = parts[0][name]
        attrs = {key: renamed.get(value, value) for key, value in attrs.items() if key != "column"}
        made[new] = (("subject", *dims), np.stack([part[name][1] for part in parts]), attrs)
    return made


def _attrs(
    results: list[xr.Dataset], labels: list[str], config: CompareConfig, own_notes: list[str]
) -> dict[str, Any]:
    """Return the attributes of the contract; what all results share is that of the first."""
    first = results[0].attrs
    shared = ("contract", "recording", "recording_sha256", "region", "simulated", "selection")
    notes: dict[str, list[str]] = {}
    for result, label in zip(results, labels, strict=True):
        for note in json.loads(result.attrs.get("notes", "[]")):
            notes.setdefault(note, []).append(label)
    return {
        **{name: first[name] for name in shared},
        "analysis": "compare",
        "model": ", ".join(labels),
        "control": "",
        "seed": config.seed,
        "n_neuroids": int(results[0].sizes["neuroid"]),
        "n_stimuli": int(results[0].sizes["stimulus"]),
        "config": json.dumps(asdict(config)),
        "activations": json.dumps(
            dict(
                zip(
                    labels, (json.loads(each.attrs["activations"]) for each in results), strict=True
                )
            )
        ),
        "compared": json.dumps(
            {
                label: {key: each.attrs[key] for key in ("model", "control", "config", "versions")}
                for label, each in zip(labels, results, strict=True)
            }
        ),
        "method": f"{results[0].attrs.get('method', '')}, paired differences",
        "versions": package_versions(),
        "notes": json.dumps(
            [
                note if len(whose) == len(results) else f"{', '.join(whose)}: {note}"
                for note, whose in notes.items()
            ]
            + own_notes
        ),
    }

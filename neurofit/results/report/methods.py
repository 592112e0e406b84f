"""The methods of a report as paragraphs that can be pasted into a paper."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurofit.errors import counted
from neurofit.results.report.citations import uses_brainscore
from neurofit.results.report.prose import listed
from neurofit.results.schema import SERIES, axes, describe_selection, headline, is_time, with_role

MAPS = {"per-bin": ", with a map for each time bin", "fixed": ", with one map for all time bins"}
"""Time modes -> what they do with time bins."""


def methods(results: Sequence[xr.Dataset], comparisons: Sequence[xr.Dataset]) -> list[str]:
    """Return paragraphs: one for results of the same recording and options, one on versions."""
    groups: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for result in results:
        config = {k: v for k, v in json.loads(result.attrs["config"]).items() if k != "layers"}
        own = [result.attrs[key] for key in ("analysis", "recording", "selection")]
        own += [result.attrs.get("method", ""), json.dumps(config, sort_keys=True)]
        groups.setdefault(tuple(own), []).append(result)
    paragraphs = [" ".join(filter(None, _paragraph(group))) for group in groups.values()]
    paragraphs += list(dict.fromkeys(_of_comparison(each) for each in comparisons))
    return [*paragraphs, _versions([*results, *comparisons])]


def _paragraph(results: list[xr.Dataset]) -> list[str]:
    """Return sentences on the data, the models, the score and its uncertainty."""
    first = results[0]
    return [
        _data(results),
        _models(results),
        _sampling(first),
        _score(first),
        _uncertainty(first),
    ]


def _data(results: list[xr.Dataset]) -> str:
    first, attrs = results[0], results[0].attrs
    areas = dict.fromkeys(_area(result) for result in results)
    simulated = "simulated " if attrs["simulated"] else ""
    said = f"We analysed {listed(list(areas))} of the {simulated}recording {attrs['recording']}"
    said += f" ({attrs['citation']})" if attrs.get("citation") and not attrs["simulated"] else ""
    if "stimulus" in first.sizes:
        said += f" with {counted(first.sizes['stimulus'], 'image')}"
    dims = [dim for dim in axes(first, headline(first)) if is_time(dim)]
    if dims:
        start, end = (first[f"{dims[0]}_{which}"].values for which in ("start", "end"))
        widths = np.unique(end - start)
        width = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
        said += f", in {counted(len(start), 'time bin')} of {width} ms from {start.min()} to "
        said += f"{end.max()} ms after stimulus onset"
    selected = describe_selection(first)
    return said + (f" (selection: {selected})." if selected else ".")


def _area(result: xr.Dataset) -> str:
    n = result.sizes.get("neuroid")
    return str(result.attrs["region"]) + (f" ({counted(n, 'neuroid')})" if n else "")


def _models(results: list[xr.Dataset]) -> str:
    """Return the models, those with the same area, layers and weights together."""
    groups: dict[tuple[str, str], list[str]] = {}
    controls: list[str] = []
    for result in results:
        if control := result.attrs["control"]:
            controls.append(control)
        elif model := result.attrs["model"]:
            words = [
                f"{dim} {listed(list(map(str, result[dim].values)))}"
                for dim in SERIES
                if dim in result[headline(result)].dims
            ]
            words += filter(None, [json.loads(result.attrs["activations"]).get("weights", "")])
            groups.setdefault((", ".join(words), result.attrs["region"]), []).append(model)
    said = [
        f"{', '.join(dict.fromkeys(names))}{f' ({words})' * bool(words)} for {region}"
        for (words, region), names in groups.items()
    ]
    models = f"Models: {'; '.join(said)}." if said else ""
    names = listed(list(dict.fromkeys(controls)))
    return " ".join(filter(None, [models, f"Baselines and controls: {names}." if names else ""]))


def _sampling(result: xr.Dataset) -> str:
    """Return how images and trials were divided, as far as the dimensions say."""
    said = []
    if method := result.attrs.get("method"):
        said.append(f"Method: {method}.")
    config = json.loads(result.attrs["config"])
    if isinstance(mapping := config.get("mapping"), dict):
        options = [f"{k} {v}" for k, v in mapping.items() if k != "name" and v is not None]
        said.append(
            f"Features were mapped to responses by {mapping.get('name', 'regression')}"
            f"{f' ({listed(options)})' * bool(options)}"
            f"{MAPS.get(config.get('time_mode'), '')}."
        )
    n = result.sizes.get("split") or result.sizes.get("fold")
    if n:
        train = result["train"].values.mean() if "train" in result else None
        share = "" if train is None else f" with {train:.0%} of them for training"
        said.append(f"Images were divided {_times(n)} into training and test images{share}.")
    if "half" in result.sizes:
        said.append(f"Trials were divided {_times(result.sizes['half'])} into halves.")
    return " ".join(said)


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _score(result: xr.Dataset) -> str:
    attrs = result[headline(result)].attrs
    said = f"Score: {attrs['long_name']}; {attrs['formula'].rstrip('.')}."
    if "bound" in attrs:
        said += f" Ceiling: {result[attrs['bound']].attrs['long_name']}."
    return said


def _uncertainty(result: xr.Dataset) -> str:
    attrs = result[headline(result)].attrs
    words = [attrs[kind] for kind in ("interval", "band") if kind in attrs]
    return f"Uncertainty: {'; '.join(words)}." if words else "The score has no interval."


def _of_comparison(result: xr.Dataset) -> str:
    attrs = result[headline(result)].attrs
    tested = [name for name in with_role(result, "p_value") if "column" in result[name].attrs]
    words = dict.fromkeys(result[name].attrs["long_name"] for name in tested)
    said = f"Models were compared on the same neuroids and images: {attrs['long_name']}, "
    said += f"{attrs['formula'].rstrip('.')}. {_uncertainty(result)}"
    return said + (f" Tests: {'; '.join(words)}." if words else "")


def _versions(results: Sequence[xr.Dataset]) -> str:
    versions = json.loads(results[0].attrs["versions"])
    own = versions.pop("neurofit", "")
    others = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    seeds = sorted({int(result.attrs["seed"]) for result in results})
    said = f"Analyses used neurofit {own}" + (f" with {others}" if others else "") + "; random seed"
    said += f"{'s' * (len(seeds) > 1)} {listed(list(map(str, seeds)))}."
    said += " The method follows Nayebi et al. (2018) and Nayebi et al. (2022)."
    if any(map(uses_brainscore, results)):
        said += " Brain-Score: Schrimpf et al. (2018, 2020)."
    return said

"""Short names that tell results apart, for legends, tables and comparisons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import xarray as xr

from neurofit.results.schema import SERIES


def label_results(results: Sequence[xr.Dataset]) -> list[str]:
    """Return a different label for each result: its model, and whatever else tells it apart.

    Beside the model these are, where they differ: control, area, recording, layer and mapping (of
    results with a single one), weights, and the options of the analysis. Results that differ in
    nothing are numbered.
    """
    words = [_words(result) for result in results]
    labels = [each["model"] for each in words]
    for key in dict.fromkeys(key for each in words for key in each):
        twins = {label for label, n in Counter(labels).items() if n > 1}
        for twin in twins:
            places = [i for i, label in enumerate(labels) if label == twin]
            values = {i: words[i].get(key, "") for i in places}
            if len(set(values.values())) > 1:
                for i in places:
                    labels[i] = " ".join(filter(None, [twin, values[i]]))
    seen: Counter[str] = Counter()
    for i, label in enumerate(labels):
        seen[label] += 1
        labels[i] = label + f" ({seen[label]})" * (seen[label] > 1)
    return labels


def named_by(result: xr.Dataset, label: str) -> bool:
    """Return whether the series of a result name its model, so that such a label says it twice."""
    return label == result.attrs["model"] and bool({"model", "part"} & set(result.dims))


def _words(result: xr.Dataset) -> dict[str, str]:
    """Return what may tell a result apart, the most telling first."""
    attrs = result.attrs
    model = attrs["model"] or attrs["analysis"]
    made: dict[str, Any] = {"model": model}
    made["control"] = f"({attrs['control']})" if attrs["control"] else ""
    made["region"], made["recording"] = attrs["region"], attrs["recording"]
    for dim in SERIES:
        if dim != "model" and dim in result.dims and result.sizes[dim] == 1:
            made[dim] = str(result[dim].values[0])
    activations = json.loads(attrs["activations"])
    made["weights"] = f"({activations['weights']} weights)" if "weights" in activations else ""
    for key, value in (json.loads(attrs["config"]) | json.loads(attrs["selection"])).items():
        if isinstance(value, dict) and "name" in value:
            made[key] = str(value["name"])
            key = f"{key} options"
        made[key] = f"{key}={value}"
    return made

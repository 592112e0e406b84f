"""Provenance: the attributes from which a result can be repeated, written in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.results.schema import CONTRACT

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

PACKAGES = ("neurofit", "numpy", "scipy", "scikit-learn", "xarray", "torch")
"""Packages whose versions a result records."""

AGAINST = "against"
"""Attribute with the origin of the second activations of an analysis of two models, as JSON."""

RUN = "run"
"""Attribute with the options of a run, from which it is repeated (neurofit.analyses.repeat)."""


def describe_provenance(
    analysis: str,
    config: Any,
    recording: Recording,
    activations: Activations | None = None,
    against: Activations | None = None,
) -> dict[str, Any]:
    """Return the attributes that every result has.

    There is no time of day among them: a rerun is equal to the bit.

    Parameters
    ----------
    analysis
        Name of the analysis.
    config
        Configuration of the analysis, a dataclass; with a method `as_attrs`, what that returns is
        recorded.
    recording, activations, against
        What was analysed; an analysis of the recording alone has no activations, and only one of
        two models has a second, which the attribute `against` describes with its name and control.
    """
    made = _origin(activations)
    control = str(made.pop("control", ""))
    return {
        "contract": CONTRACT,
        "analysis": analysis,
        "model": "" if activations is None else activations.model,
        "recording": recording.name,
        "recording_sha256": recording.sha256,
        "citation": recording.citation,
        "region": ", ".join(recording.regions),
        "simulated": int(recording.simulated),
        "control": control,
        "seed": int(getattr(config, "seed", 0)),
        "config": to_json(config.as_attrs() if hasattr(config, "as_attrs") else _plain(config)),
        "selection": to_json(dict(recording.selection)),
        "activations": to_json(made),
        "versions": package_versions(),
        **(
            {}
            if against is None
            else {AGAINST: to_json({"model": against.model} | _origin(against))}
        ),
    }


def _origin(activations: Activations | None) -> dict[str, Any]:
    """Return where activations come from, with the presentation of the images."""
    if activations is None:
        return {}
    shown = activations.presentation
    return {
        **activations.provenance,
        "presentation": None if shown is None else _plain(shown),
        "ms_per_timestep": activations.ms_per_timestep,
    }


def package_versions() -> str:
    """Return the versions of the packages that a result records, as JSON."""
    return json.dumps({name: _version(name) for name in PACKAGES})


def _plain(config: Any) -> Mapping[str, Any]:
    return {each.name: getattr(config, each.name) for each in fields(config)}


def to_json(values: Any) -> str:
    """Return values as JSON: arrays as lists, whatever else JSON does not know as text."""
    return json.dumps(values, default=_as_plain)


def _as_plain(value: Any) -> Any:
    """Return a value that JSON does not know as one that it knows."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

"""A cell: one result of a study, found by the hash of what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from neurofit.analyses.analysis import analysis_of
from neurofit.analyses.identity import NUMBERS, result_key, weights_identity
from neurofit.analyses.repeat import run_config_of
from neurofit.analyses.run import RunConfig
from neurofit.errors import NeurofitError
from neurofit.results.io import load_result, save_result
from neurofit.results.provenance import RUN, to_json
from neurofit.storage.cache import register_check
from neurofit.storage.home import cached


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a study.

    Parameters
    ----------
    key
        Hash of what its result depends on.
    choices
        Choices of the study by name: model, region, mapping ...
    attrs
        Attributes from which its configuration is made again: analysis, config, run; and the
        version of the numbers.
    weights
        What identified the model and its weights when the key was made, so that no other weights
        are used under this key; empty if only building the model tells.
    """

    key: str
    choices: Mapping[str, str]
    attrs: Mapping[str, str]
    weights: str = ""

    @property
    def result(self) -> Path:
        """Path of its result, shared by all studies of a NEUROFIT_HOME."""
        return result_path(self.key)

    @property
    def config(self) -> RunConfig:
        """The configuration of its run."""
        return run_config_of(xr.Dataset(attrs=dict(self.attrs)))

    @property
    def name(self) -> str:
        """Choices in words, and the start of the key."""
        words = [value for value in self.choices.values() if value]
        return f"{' '.join(words)} ({self.key[:8]})"

    def as_json(self) -> dict[str, Any]:
        """Return the cell as values that JSON takes."""
        attrs = dict(self.attrs)
        return {**vars(self), "choices": dict(self.choices), "attrs": attrs}

    def check_weights(self) -> None:
        """Check that the weights are those that the key was made of.

        Raises
        ------
        NeurofitError
            If they were downloaded or replaced since.
        """
        if weights_identity(self.config) != self.weights:
            raise NeurofitError(
                f"The weights of {self.choices['model']} have changed since the study was planned: "
                "plan it again with neurofit sweep resume STUDY.toml."
            )


def result_path(key: str) -> Path:
    """Return the path of the result of a cell."""
    return cached("cells", key[:2], f"{key}.nc")


def make_cell(choices: Mapping[str, str], config: RunConfig, recording: str) -> Cell:
    """Return the cell of a configuration and of the identity of its recording."""
    own: Any = config.analysis
    options = own.as_attrs() if hasattr(own, "as_attrs") else vars(own)
    return Cell(
        key=result_key(config, recording),
        choices=choices,
        attrs={
            "analysis": analysis_of(own).name,
            "config": to_json(options),
            RUN: to_json(config.as_attrs()),
            "numbers": str(NUMBERS),
        },
        weights=weights_identity(config),
    )


def save_cell(cell: Cell, result: xr.Dataset) -> None:
    """Write the result of a cell, whole or not at all, with the hash of its values."""
    content = {**cell.as_json(), "values_sha256": _sha256(result)}
    save_result(result.assign_attrs(cell=json.dumps(content)), cell.result)


def _sha256(result: xr.Dataset) -> str:
    """Return the hash of the values of all variables and coordinates."""
    digest = hashlib.sha256()
    for name in sorted(map(str, result.variables)):
        values = result[name].values
        digest.update(f"{name} {result[name].dims} {values.shape}".encode())
        text = values.dtype.kind in "OUS"
        digest.update(repr(values.tolist()).encode() if text else values.tobytes())
    return digest.hexdigest()


@register_check("cells")
def check_cell(path: Path) -> str:
    """Return what is wrong with the result of a cell; "" if nothing is."""
    try:
        result = load_result(path)
    except NeurofitError as error:
        return str(error).splitlines()[0]
    cell = json.loads(result.attrs.get("cell", "{}"))
    if cell.get("key") != path.stem:
        return "it is the result of another cell"
    if cell.get("values_sha256") not in (None, _sha256(result)):
        return "its values do not match the sha256 stored with them"
    return ""


def load_cell(cell: Cell) -> xr.Dataset:
    """Return the result of a cell.

    Raises
    ------
    NeurofitError
        If it is missing or damaged, or belongs to another cell.
    """
    result = load_result(cell.result)
    if json.loads(result.attrs.get("cell", "{}")).get("key") != cell.key:
        raise NeurofitError(f"{cell.result} is the result of another cell.")
    return result

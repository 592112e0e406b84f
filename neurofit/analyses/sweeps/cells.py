"""A cell: one result of a study, found by the hash of what it depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from neurofit.analyses.analysis import analysis_of
from neurofit.analyses.identity import NUMBERS, result_key
from neurofit.analyses.repeat import run_config_of
from neurofit.analyses.run import RunConfig
from neurofit.errors import NeurofitError
from neurofit.results.io import load_result, save_result
from neurofit.results.provenance import RUN, to_json
from neurofit.storage.home import home


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
    """

    key: str
    choices: Mapping[str, str]
    attrs: Mapping[str, str]

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
        """Its choices in words, and the start of its key."""
        words = [value for value in self.choices.values() if value]
        return f"{' '.join(words)} ({self.key[:8]})"

    def as_json(self) -> dict[str, Any]:
        """Return the cell as values that JSON takes."""
        return {"key": self.key, "choices": dict(self.choices), "attrs": dict(self.attrs)}


def result_path(key: str) -> Path:
    """Return the path of the result of a cell."""
    return home() / "cells" / key[:2] / f"{key}.nc"


def make_cell(choices: Mapping[str, str], config: RunConfig, recording_sha256: str) -> Cell:
    """Return the cell of a configuration and of the content of its recording."""
    own: Any = config.analysis
    options = own.as_attrs() if hasattr(own, "as_attrs") else vars(own)
    return Cell(
        key=result_key(config, recording_sha256),
        choices=choices,
        attrs={
            "analysis": analysis_of(own).name,
            "config": to_json(options),
            RUN: to_json(config.as_attrs()),
            "numbers": str(NUMBERS),
        },
    )


def save_cell(cell: Cell, result: xr.Dataset) -> None:
    """Write the result of a cell, whole or not at all."""
    save_result(result.assign_attrs(cell=json.dumps(cell.as_json())), cell.result)


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

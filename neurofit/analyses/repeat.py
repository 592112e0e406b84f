"""The configuration that made a result, from its attributes, and the command line of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from neurofit.analyses.analysis import ANALYSES, analysis_of
from neurofit.analyses.run import RunConfig
from neurofit.config.options import flag_of, options_of
from neurofit.errors import CannotRepeat, NeurofitError, check_option
from neurofit.mapping import MAPPINGS
from neurofit.mapping.contract import find_mapping
from neurofit.recordings.selection import Selection
from neurofit.results.provenance import RUN

COMMANDS = ("score", "ceiling")
"""Analyses that are commands of their own; the others follow `neurofit analyse`."""


def run_config_of(result: xr.Dataset) -> RunConfig:
    """Return the configuration that made a result, from its attributes.

    It equals the configuration that was given in everything that changes numbers: names of mappings
    stand for their default options, stimuli that a file listed are listed, and `compute` is the
    default.

    Parameters
    ----------
    result
        Result of `neurofit.run`, `neurofit.run_each` or the command line.

    Raises
    ------
    CannotRepeat
        If an attribute that is needed is missing, as in results of analyses that were called with
        activations of one's own, or if its analysis or its mapping is not registered.
    NeurofitError
        If this version of neurofit lacks an option of the result, or a value is not permitted.
    """
    for name in ("analysis", "config", RUN):
        if name not in result.attrs:
            raise CannotRepeat(
                f"This result cannot be repeated: its attribute {name!r} is missing. Results of "
                "neurofit.run and of the command line have it; an analysis that is called with "
                "activations of your own does not know how they were made."
            )
    name = str(result.attrs["analysis"])
    if name not in ANALYSES:
        raise CannotRepeat(
            f"This result cannot be repeated: the analysis {name!r} is not registered. "
            "If a file of your own registers it, give the file with --plugin."
        )
    given = _plain(json.loads(result.attrs[RUN]))
    selection = Selection(**_known(Selection, given.pop("selection")))
    config = _known(ANALYSES[name].config, _plain(json.loads(result.attrs["config"])))
    if hasattr(ANALYSES[name].config, "mapping_names"):
        config["mapping"] = _mapping_of(config["mapping"])
    return RunConfig(
        **_known(RunConfig, given), selection=selection, analysis=ANALYSES[name].config(**config)
    )


def command_of(config: RunConfig) -> str:
    """Return the command line of a configuration, with the options that differ from the defaults.

    Raises
    ------
    NeurofitError
        If the command line has no option for a choice: a mapping that is an object, for example.
    """
    analysis = analysis_of(config.analysis)
    words = ["neurofit", *(() if analysis.name in COMMANDS else ("analyse",)), analysis.name]
    words += _words(config, RunConfig())
    words += _words(config.selection, Selection())
    own, usual = config.analysis, analysis.make_config()
    if hasattr(analysis.config, "from_options"):
        words += _words(own, usual, only=("preset",))
        usual = analysis.make_config(preset=own.preset)
    words += _words(own, usual, skip=("preset", "mapping"))
    if hasattr(own, "mapping_names"):
        words += _mapping_words(own, usual)
    return shlex.join(words)


def _known(config: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a dataclass; an option that it does not have is an error."""
    names = [each.name for each in fields(config)]
    for name in values:
        check_option(f"option of {config.__name__} (the result has it)", name, names)
    return values


def _plain(value: Any) -> Any:
    """Return a value of JSON with its lists as tuples."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _mapping_of(described: Any) -> Any:
    """Return the mapping or mappings of a result; a name stands for its default options."""
    if isinstance(described, tuple):
        return tuple(map(_mapping_of, described))
    name, *own = described.items()
    key = name[1]
    if key not in MAPPINGS:
        raise CannotRepeat(
            f"This result cannot be repeated: the mapping {key!r} is not registered. "
            "If a file of your own registers it, give the file with --plugin."
        )
    made = MAPPINGS[key](**dict(own))
    return key if made == MAPPINGS[key]() else made


def _words(
    config: Any, usual: Any, *, prefix: str = "", only: tuple[str, ...] = (), skip: Any = ()
) -> Iterator[str]:
    """Yield the flags and values of the options that differ from the usual ones."""
    for each in fields(config):
        value = getattr(config, each.name)
        if each.name in skip or (only and each.name not in only):
            continue
        if is_dataclass(value) or each.name == "device" or value == getattr(usual, each.name):
            continue
        name = f"{prefix}{each.name}"
        text = _text(each.name, value)
        if each not in options_of(config) or text is None:
            raise NeurofitError(f"The command line has no option for {name}={value!r}.")
        if isinstance(value, bool):
            yield flag_of(name if value else f"no_{name}")
        else:
            yield from (flag_of(name), text)


def _text(name: str, value: Any) -> str | None:
    """Return a value as the command line takes it, or None if it cannot."""
    if name == "bins" and not isinstance(value, str):
        (start, end), width = (value[0][0], value[-1][1]), value[0][1] - value[0][0]
        regular = tuple((at, at + width) for at in range(start, end, width))
        return f"{start}:{end}:{width}" if tuple(map(tuple, value)) == regular else None
    if name == "stimuli" and isinstance(value, tuple):
        clean = not any("," in each for each in value)
        return f"stimulus_id={','.join(value)}" if clean else None
    if name in ("window", "time_bin", "lags", "paces"):
        return ":".join(map(str, value))
    if name == "windows":
        return ",".join(f"{start}:{end}" for start, end in value)
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return str(value) if isinstance(value, str | int | float | Path) else None


def _mapping_words(config: Any, usual: Any) -> Iterator[str]:
    """Yield the option of the mappings' names, and the options of each mapping."""
    if config.mapping_names != usual.mapping_names:
        yield from ("--mapping", ",".join(config.mapping_names))
    named = dict(zip(usual.mapping_names, usual.mappings, strict=True))
    for name, mapping in zip(config.mapping_names, config.mappings, strict=True):
        if name not in MAPPINGS:
            raise NeurofitError(f"The command line has no name for the mapping {name}.")
        made, default = find_mapping(mapping), find_mapping(named.get(name, name))
        yield from _words(made, default, prefix=f"{name}_")

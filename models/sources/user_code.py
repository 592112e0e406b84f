"""A function of one's own that returns a network: `FILE.py:FACTORY` or `package.module:FACTORY`.

The code is run. The sha256 of its file is recorded.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from neurofit.activations.model import Model
from neurofit.errors import NeurofitError, check_option, unknown_name
from neurofit.models.sources.contract import OWN, Network, translate
from neurofit.models.sources.names import SOURCES, unknown_model
from neurofit.storage.home import sha256_of


def find_weights(name: str, options: Mapping[str, Any]) -> Path | None:
    """Return None: the factory makes the weights."""
    return None


def build(name: str, options: Mapping[str, Any], weights: Path | None) -> Network:
    """Run the file or the module, and call the factory with the options."""
    place, _, factory = name.rpartition(":")
    with translate(name), _importable(place):
        module = _run_file(Path(place)) if place.endswith(".py") else _import(place)
        make = getattr(module, factory, None)
        if not callable(make):
            own = [
                key
                for key, each in vars(module).items()
                if callable(each) and getattr(each, "__module__", "") == module.__name__
            ]
            raise unknown_name(f"function of {place}", factory, own)
        made = isinstance(make, nn.Module)  # anew whenever a file is run, once if it is imported
        if made and not place.endswith(".py"):
            raise NeurofitError(f"{name} is a network; name a function that makes it.")
        parameters = {} if made else inspect.signature(make).parameters
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        given = {key: each for key, each in options.items() if key in parameters or key not in OWN}
        for key in () if takes_all else given:
            check_option(f"option of {name}", key, [*parameters, *OWN])
        if missing := [key for key in _required(parameters) if key not in given]:
            raise NeurofitError(
                f"{name} takes {' and '.join(missing)}: give a value in the name, as "
                f"{name}?{'&'.join(f'{key}=VALUE' for key in missing)}."
            )
        network = make if made else make(**given)
    if not isinstance(network, nn.Module | Model):
        raise NeurofitError(
            f"{name} must return a torch module or a neurofit model; it returned "
            f"{type(network).__name__}."
        )
    file = getattr(module, "__file__", None)
    return Network(
        module=network,
        provenance={"file": str(file), "file_sha256": sha256_of(Path(file)) if file else ""},
    )


def _required(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Return the parameters that have to be given, and can be by their names."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    every = parameters.items()
    return [key for key, each in every if each.default is each.empty and each.kind in kinds]


@contextmanager
def _importable(place: str) -> Iterator[None]:
    """Let code import what lies beside its file, or in the working directory, within the block."""
    folder = str(Path(place).resolve().parent if place.endswith(".py") else Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _run_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise NeurofitError(f"There is no file {file}; a model is named as FILE.py:FACTORY.")
    name = f"neurofit_model_{file.stem}_{sha256_of(file)[:8]}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise NeurofitError(f"{file} is not a Python file.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up in it later
    spec.loader.exec_module(module)
    return module


def _import(place: str) -> ModuleType:
    try:
        return import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise
        if difflib.get_close_matches(place, SOURCES):
            raise unknown_model(f"{place}:", ()) from error
        raise NeurofitError(
            f"There is no Python module {error.name!r} here, in which {place} would lie. "
            "A model of your own is named FILE.py:FACTORY or package.module:FACTORY."
        ) from error

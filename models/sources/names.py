"""Names of models of sources: `SOURCE:NAME?key=value&key=value`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError, some_of, unknown_name

SOURCES = ("timm", "torchvision", "hf", "brainscore", "file")
"""Prefixes of names, each with a module of this package."""

WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Name:
    """A name that has been taken apart.

    Parameters
    ----------
    source
        One of `SOURCES`, or "user_code".
    network
        Name in the source, or FILE.py:FACTORY.
    options
        Options after the question mark.
    query
        The same as they were written.
    """

    source: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""

    @property
    def has_weights(self) -> bool:
        """Whether the network comes with weights that are not files of its own."""
        return self.source in ("brainscore", "user_code")

    @property
    def runs_code(self) -> bool:
        """Whether the name is of a file or module whose code is run."""
        return self.source == "user_code"

    @property
    def takes_own(self) -> bool:
        """Whether the source itself takes the options of every name, such as `input_size`."""
        return self.source in ("user_code", "file")

    def __str__(self) -> str:
        place = Path(self.network).name if self.takes_own else self.network
        place = place if self.runs_code else f"{self.source}:{place}"
        kept = [each for each in self.query.split("&") if not each.startswith("sha256=")]
        return f"{place}?{'&'.join(kept)}" if any(kept) else place


def parse(text: str) -> Name | None:
    """Return a name of a source taken apart; None for a name that is no such name.

    Raises
    ------
    NeurofitError
        If an option has no value, or the name of a Python file no function.
    """
    whole, _, query = text.partition("?")
    options = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier():
            raise NeurofitError(
                f"Options of a model are written NAME?key=value&key=value; got {part!r} in "
                f"{text!r}."
            )
        options[key] = _value(value)
    prefix, colon, rest = whole.partition(":")
    if colon and prefix in SOURCES:
        return Name(prefix, rest, options, query)
    place, colon, factory = whole.rpartition(":")
    is_module = len(place) > 1 and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", place)
    if colon and factory.isidentifier() and (place.endswith(".py") or is_module):
        return Name("user_code", whole, options, query)
    file = place if colon else whole
    if file.endswith(".py"):
        raise NeurofitError(
            f"A network in a file is named by the function that returns it, as {file}:FUNCTION; "
            f"got {whole!r}.{_defined_in(Path(file))}"
        )
    return None


def unknown_model(text: str, registered: Iterable[str]) -> NeurofitError:
    """Return the error for a name that is neither registered nor of a source."""
    prefix, colon, _ = text.partition(":")
    if colon and prefix != "baseline":
        own = ("FILE.py:FACTORY", "package.module:FACTORY")
        known = (*(f"{each}:NAME" for each in SOURCES), *own)
        return unknown_name("source of models", prefix, known)
    return unknown_name("model", text, registered)


def _defined_in(file: Path) -> str:
    """Return what a Python file defines, in words, without running it; empty if it is none."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ""
    names = [each.name for each in body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    return f" It defines {some_of(names)}." if names else ""


def _value(text: str) -> Any:
    """Return the value of an option: a Python literal, true, false, none, or text."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text

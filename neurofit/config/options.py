"""Options are dataclass fields that carry their own help, choices and bounds.

The command line is made from these fields, so an option is described in one place only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, Field, field, fields
from functools import cache
from typing import Any

from neurofit.errors import NeurofitError, unknown_name


def option(
    default: Any = MISSING,
    *,
    help: str,  # the word that argparse, click and typer use
    choices: Iterable[str] = (),
    least: int | float | None = None,
    above: int | float | None = None,
    below: int | float | None = None,
    parse: Callable[[str], Any] | None = None,
    metavar: str = "",
    default_text: str = "",
    panel: str = "",
    only_with: tuple[str, str] | None = None,
) -> Any:
    """Return a dataclass field that is also a command-line option.

    Parameters
    ----------
    default
        Default value; without one the option is required.
    help
        A sentence for the command line's help.
    choices
        Permitted values, a registry for example; they are read when a value is checked.
    least, above, below
        Smallest permitted value, and bounds that are themselves not permitted.
    parse
        Function that makes the value from the text given on the command line; by default the
        field's type is used.
    metavar
        Placeholder for the value in the help, "START:END" for example.
    default_text
        Description of the default, where the value does not speak for itself.
    panel
        Heading under which the command line's help shows it.
    only_with
        Another option and its value without which this one has no effect; another value than the
        default is then refused.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "least": least,
        "above": above,
        "below": below,
        "parse": parse,
        "metavar": metavar,
        "default_text": default_text,
        "panel": panel,
        "only_with": only_with,
    }
    return field(default=default, metadata=metadata)


def options_of(config: Any) -> tuple[Field[Any], ...]:
    """Return the fields of a dataclass (or of an instance) that are options."""
    return _options_of(config if isinstance(config, type) else type(config))


@cache
def _options_of(kind: type[Any]) -> tuple[Field[Any], ...]:
    return tuple(each for each in fields(kind) if "help" in each.metadata)


def flag_of(name: str) -> str:
    """Return the flag of an option on the command line."""
    return f"--{name.replace('_', '-')}"


def check_fields(config: Any) -> None:
    """Check every option of a dataclass: choices, bounds, and effect; for `__post_init__`.

    Raises
    ------
    NeurofitError
        Naming the option, its rule and the value given.
    """
    for each in options_of(config):
        value, rule = getattr(config, each.name), each.metadata
        if rule["only_with"] and value != each.default:
            other, needed = rule["only_with"]
            if (given := getattr(config, other)) != needed:
                raise NeurofitError(
                    f"{each.name} has an effect only with {other} {needed!r}; got {other} "
                    f"{given!r}.",
                    option=each.name,
                )
        if value is None or (each.default is not MISSING and value is each.default):
            continue
        names = list(rule["choices"])
        if names and isinstance(value, str) and value not in names:
            raise unknown_name(each.name, value, names, option=each.name)
        bounds = {key: rule[key] for key in ("least", "above", "below") if rule[key] is not None}
        if bounds:
            _check_bounds(each.name, value, **bounds)


def _check_bounds(
    name: str,
    value: Any,
    *,
    least: int | float | None = None,
    above: int | float | None = None,
    below: int | float | None = None,
) -> None:
    try:
        too_small = (least is not None and not value >= least) or (
            above is not None and not value > above
        )
        too_large = below is not None and not value < below
        infinite = value == math.inf
    except TypeError:
        raise NeurofitError(f"{name} must be a number; got {value!r}.", option=name) from None
    if infinite:
        raise NeurofitError(f"{name} must be finite; got {value}.", option=name)
    if not (too_small or too_large):
        return
    if above is not None and below is not None:
        rule = f"lie between {above:g} and {below:g}"
    else:
        bounds = (("at least", least), ("above", above), ("below", below))
        rule = "be " + " and ".join(f"{word} {n:g}" for word, n in bounds if n is not None)
    raise NeurofitError(f"{name} must {rule}; got {value}.", option=name)


def parse_names(text: str) -> tuple[str, ...]:
    """Return names joined by commas as a tuple, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def one_or_several(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return a name, names joined by commas or a sequence of names as a tuple."""
    if value is None:
        return ()
    return parse_names(value) if isinstance(value, str) else tuple(value)

"""Errors and warnings of neurofit.

A message states the rule, what was given, what exists and the nearest name, in one or two lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

MAX_LISTED = 12
"""Longest list of names in a message; beyond it, the nearest six are shown."""

_collected: ContextVar[list[str] | None] = ContextVar("faults", default=None)


class NeurofitError(Exception):
    """An incorrect use of neurofit: a name, file or value that breaks a stated rule (exit code 2).

    Parameters
    ----------
    message
        The rule, what was given, what exists and the nearest name.
    faults
        One sentence per fault, if the message summarises several.
    option
        Name of the option that is wrong, or names of several, as the message writes it; the command
        line puts the flag in its place.

    Examples
    --------
    >>> import neurofit
    >>> try:
    ...     neurofit.load_recording("hvm-sin")
    ... except neurofit.NeurofitError as error:
    ...     print(error)
    Unknown recording 'hvm-sin'. ...
    """

    exit_code = 2

    def __init__(
        self, message: str, *, faults: Sequence[str] = (), option: str | tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.faults = tuple(faults) or (message,)
        self.options = (option,) if isinstance(option, str) else option


class MachineError(NeurofitError):
    """A failure of the machine, such as a full disk or a broken download (exit code 1)."""

    exit_code = 1


class DivergedError(NeurofitError):
    """A training run whose loss or weights are not finite."""


class CannotRepeat(NeurofitError):
    """A result that does not say, or not here, how it was made (exit code 1)."""

    exit_code = 1


class NeurofitWarning(UserWarning):
    """A condition that is not an error, but has to be known to interpret a number."""


def fault(message: str) -> None:
    """Report a fault of a file that does not prevent reading the rest of it.

    Inside `all_faults` the message is collected, elsewhere it is raised.

    Raises
    ------
    NeurofitError
        With the message, outside `all_faults`.
    """
    faults = _collected.get()
    if faults is None:
        raise NeurofitError(message)
    if message not in faults:
        faults.append(message)


def report(source: object, faults: Iterable[str]) -> None:
    """Report faults of a file as `fault` does, each with its source; empty ones are none."""
    for each in faults:
        if each:
            fault(f"{source}: {each}")


@contextmanager
def all_faults() -> Iterator[list[str]]:
    """Collect the messages of `fault` within the block, so that a check reports all of them."""
    faults: list[str] = []
    token = _collected.set(faults)
    try:
        yield faults
    finally:
        _collected.reset(token)


def some_of(names: Sequence[object], *, most: int = MAX_LISTED) -> str:
    """Return the first `most` names for a message, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number with a noun, in the plural unless it is one."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def unknown_name(
    kind: str, given: str, existing: Iterable[str], *, option: str = ""
) -> NeurofitError:
    """Return an error for an unknown name that lists the existing names and the nearest one."""
    names = sorted(existing)
    near = [name for name in names if name.lower() == given.lower()]
    near = near or difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    shown = names
    if len(names) > MAX_LISTED:
        shown = sorted(difflib.get_close_matches(given, names, n=MAX_LISTED // 2, cutoff=0.0))
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    listed = ", ".join(shown) + more if names else "none"
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return NeurofitError(f"Unknown {kind} {given!r}.{hint}\nExisting: {listed}.", option=option)


def check_option(kind: str, given: str, existing: Iterable[str]) -> str:
    """Return `given` if it is one of the existing names.

    Raises
    ------
    NeurofitError
        If it is not. The message suggests the nearest name.
    """
    names = list(existing)
    if given not in names:
        raise unknown_name(kind, given, names)
    return given

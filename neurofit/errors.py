"""What neurofit raises and warns of: the rule, what was given, what exists and the nearest name, in one or two lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

FEW = 12
"""Names that a message lists; of more, the nearest half of so many."""

_collected: ContextVar[list[str] | None] = ContextVar("faults", default=None)


class NeurofitError(Exception):
    """A wrong use of neurofit: a name, file or value that breaks a stated rule (exit code 2).

    Parameters
    ----------
    message
        The rule, what was given, what exists and the nearest name.
    faults
        Where the message is of several faults: a sentence for each.
    """

    exit_code = 2

    def __init__(self, message: str, *, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults) or (message,)


class MachineError(NeurofitError):
    """A fault of the machine rather than of the request: a full disk, a broken download (exit code 1)."""

    exit_code = 1


class NeurofitWarning(UserWarning):
    """Something that is not wrong in itself, but that a number should not be trusted without knowing."""


def fault(message: str) -> None:
    """Say what is wrong with a file where reading can go on without it: raised, unless `all_faults` collects.

    Raises
    ------
    NeurofitError
        With the message.
    """
    faults = _collected.get()
    if faults is None:
        raise NeurofitError(message)
    if message not in faults:  # what is met twice is one
        faults.append(message)


@contextmanager
def all_faults() -> Iterator[list[str]]:
    """Collect what `fault` says within the block, so that a check names everything and not only what comes first."""
    faults: list[str] = []
    token = _collected.set(faults)
    try:
        yield faults
    finally:
        _collected.reset(token)


def some_of(names: Sequence[object], *, most: int = FEW) -> str:
    """Return names for a message: all, or the first `most` and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def unknown_name(kind: str, given: str, existing: Iterable[str]) -> NeurofitError:
    """Describe a name that does not exist, with those that do and the nearest of them."""
    names = sorted(existing)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    shown = names if len(names) <= FEW else sorted(difflib.get_close_matches(given, names, n=FEW // 2, cutoff=0.0))
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    listed = ", ".join(shown) + more if names else "none"
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return NeurofitError(f"Unknown {kind} {given!r}.{hint}\nExisting: {listed}.")


def check_option(kind: str, given: str, existing: Iterable[str]) -> str:
    """Return `given` if it is one of `existing`.

    Raises
    ------
    NeurofitError
        If it is not; the message names the nearest one.
    """
    names = list(existing)
    if given not in names:
        raise unknown_name(kind, given, names)
    return given

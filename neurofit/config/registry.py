"""Registries of models, cells, recordings, mappings, presets and analyses by name.

The name is the name of the registered function, unless another one is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from neurofit.errors import NeurofitError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named objects of one kind.

    Duplicate names are refused, and unknown ones are answered with the nearest.

    Parameters
    ----------
    kind
        Word for one of the objects in error messages ("model", "recording").

    Examples
    --------
    >>> from neurofit.mapping import MAPPINGS
    >>> list(MAPPINGS)  # in alphabetical order
    ['pls', 'ridge']
    >>> MAPPINGS["rigde"]
    Traceback (most recent call last):
    neurofit.errors.NeurofitError: Unknown mapping 'rigde'. ...
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str | None = None) -> Callable[[T], T]:
        """Return a decorator that registers its object as `name` (default: the object's own name).

        Raises
        ------
        NeurofitError
            If the name is taken; both modules are named.
        """

        def decorate(entry: T) -> T:
            key = name or str(getattr(entry, "__name__"))  # noqa: B009 - T has no static __name__
            if key in self._entries:
                modules = [
                    getattr(getattr(each, "function", each), "__module__", "?")
                    for each in (self._entries[key], entry)
                ]
                raise NeurofitError(
                    f"Duplicate {self.kind} {key!r}, in {modules[0]} and in {modules[1]}. "
                    "Rename one of them."
                )
            self._entries[key] = entry
            return entry

        return decorate

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

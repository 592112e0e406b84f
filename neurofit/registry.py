"""Names for things people register: models, cells, recordings, mappings, presets. The name is the function's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from neurofit.errors import NeurofitError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to objects of one kind; duplicates fail and unknown names get the nearest one.

    Parameters
    ----------
    kind
        What is registered, in the words of the error messages ("model", "recording").
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
                modules = [getattr(e, "__module__", "?") for e in (self._entries[key], entry)]
                raise NeurofitError(f"Two {self.kind}s are called {key!r}: in {modules[0]} and in {modules[1]}.")
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

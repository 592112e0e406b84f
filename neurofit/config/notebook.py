"""How objects print: a line in a terminal, a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from html import escape
from typing import Any

from neurofit.config.options import options_of


def html_table(title: str, rows: Iterable[Iterable[object]]) -> str:
    """Return a table as HTML, in which every text is escaped."""
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{body}</tbody></table>"


class Facts:
    """An object that prints as what it is and a few facts: `Recording('x': 3 sites)`."""

    def facts(self) -> dict[str, str]:
        """Return the facts by what they are called, the most important first."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return the facts in a line."""
        return f"{type(self).__name__}({', '.join(filter(None, self.facts().values()))})"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self.facts().items())


class Configuration:
    """A dataclass of options that prints those that are not the default."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Print like this although dataclasses have a way of their own."""
        super().__init_subclass__(**options)
        cls.__repr__ = Configuration.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        """Return the options that differ from their defaults."""
        changed = []
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            default = each.default
            if each.default_factory is not MISSING:
                default = each.default_factory()
            if value != default:  # a field without a default has one that equals nothing
                changed.append(f"{each.name}={value!r}")
        return f"{type(self).__name__}({', '.join(changed)})"

    def _repr_html_(self) -> str:
        rows = (
            (each.name, getattr(self, each.name), each.metadata["help"])
            for each in options_of(self)
        )
        return html_table(type(self).__name__, rows)

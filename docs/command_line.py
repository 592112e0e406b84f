"""A directive that lists the commands of neurofit with their options, from the commands.

sphinx-click knows click's commands only, and typer has its own since 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from neurofit.cli.app import app


def listed(command: Any, name: str) -> Iterator[str]:
    """Yield lines of Markdown about a command and those below it."""
    info = typer.Context(typer.main.get_command(app), info_name=name)
    yield from (f"## {name}", "", plain(command.help), "")
    yield from ("```", f"{name} {' '.join(command.collect_usage_pieces(info))}", "```", "")
    options = [each for each in command.params if getattr(each, "help", None)]
    if options:
        yield from ("| option | meaning | default |", "| --- | --- | --- |")
    for option in options:
        flags = " ".join([", ".join(option.opts), option.metavar or ""]).strip()
        text, _, default = plain(option.help).partition(" [default: ")
        yield f"| `{flags}` | {text} | {default.rstrip(']')} |"
    yield ""
    if hasattr(command, "list_commands"):
        for below in command.list_commands(info):
            *_, found, _ = command.resolve_command(info, [below])
            yield from listed(found, f"{name} {below}")


def plain(text: str | None) -> str:
    """Return a text without the markup of rich, in one line, for a cell of a table."""
    return re.sub(r"\\?\[/?[a-z ]+\]", "", " ".join((text or "").split())).replace("|", "\\|")


class CommandLine(SphinxDirective):
    """List all commands."""

    def run(self) -> list[nodes.Node]:
        """Return the sections of all commands."""
        text = "\n".join(listed(typer.main.get_command(app), "neurofit"))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    sphinx.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}

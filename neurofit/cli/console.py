"""What commands share: consoles, progress bars, warnings and errors in one or two lines."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from neurofit.errors import NeurofitWarning

_HARMLESS: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    **dict.fromkeys(
        (*range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
        "\ufffd",
    ),
}
"""Control characters, and those that turn the direction of text -> what is printed for them."""

plugins: list[str] = []
"""Files that --plugin has run in this command, in order."""


def harmless(text: str) -> str:
    """Return a text whose characters do not move the cursor, ring, or hide what is beside them.

    Names in files may contain anything.
    """
    return text.translate(_HARMLESS)


class SafeConsole(Console):
    """A console that prints text only, whatever names contain, and outlives its reader."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield what is printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))

    def on_broken_pipe(self) -> None:
        """Go on without a reader, such as `head`, that has seen enough: a result is not lost."""
        close_pipe(self.file)


def close_pipe(stream: IO[str]) -> None:
    """Send what is still written to a stream nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def write(text: str) -> None:
    """Write a text to the standard output as it stands."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        close_pipe(sys.stdout)


out = SafeConsole(highlight=False, emoji=False)
err = SafeConsole(stderr=True, highlight=False, emoji=False)

_printed: set[str] = set()
"""Kinds of warnings that have been printed."""


def bullets(sentences: Iterable[str]) -> None:
    """Print sentences as a list; nothing if there are none."""
    lines = Table.grid(padding=(0, 1))
    for sentence in sentences:
        lines.add_row("-", Text(sentence))
    if lines.row_count:
        out.print(lines)


def set_offline(offline: bool) -> None:
    """Forbid downloads for the rest of the process."""
    if offline:
        os.environ["NEUROFIT_OFFLINE"] = "1"


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (label, done, total) that shows a progress bar for each label, on stderr."""
    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=err)
    tasks: dict[str, Any] = {}

    def report(label: str, done: int, total: int) -> None:
        if label not in tasks:
            tasks[label] = bars.add_task(label, total=None, visible=False)
        if done:  # a bar appears with the first piece of work that is done
            bars.start()
            bars.update(tasks[label], completed=done, total=total, visible=True)

    try:
        yield report
    finally:
        if bars.live.is_started:  # stopping what has not begun prints an empty line
            bars.stop()


def describe_duration(seconds: float) -> str:
    """Return a rough time with its unit."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 3 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def print_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print a warning of neurofit as a line; those of other packages only under --debug."""
    kind = re.sub(r"\d+", "", str(message))  # the same warning for another time bin is not printed
    own = issubclass(category, NeurofitWarning) and kind not in _printed
    if own or os.environ.get("NEUROFIT_DEBUG"):
        _printed.add(kind)
        err.print(f"Note: {message}", markup=False, soft_wrap=True)


def fail(message: str, code: int) -> NoReturn:
    """Print an error and exit; with its traceback under --debug."""
    if os.environ.get("NEUROFIT_DEBUG"):
        err.print_exception()
    err.print(message, markup=False, soft_wrap=True)
    sys.exit(code)

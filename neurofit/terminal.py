"""What all commands share: loading with a bar, writing early or not at all, options in text."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from neurofit.errors import NeurofitError
from neurofit.tables import err

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurofit.assemblies import Recording

Report = Callable[[str], Callable[[int, int], None]]


def set_offline(offline: bool) -> None:
    """Forbid downloads for the rest of the process."""
    if offline:
        os.environ["NEUROFIT_OFFLINE"] = "1"


def parse_window(text: str) -> tuple[int, int] | None:
    """Return START:END in ms; None of an empty text."""
    if not text:
        return None
    try:
        start, end = (int(part) for part in text.split(":"))
    except ValueError:
        raise NeurofitError(f"--window takes START:END in ms, as 70:260; got {text!r}.") from None
    return start, end


def writable(folder: Path) -> Path:
    """Return the folder, made if need be, after trying to write to it: hours of work should not fail at the end."""
    from neurofit.home import atomic_file

    new = [part for part in (folder, *folder.parents) if not part.exists()]
    with atomic_file(folder / ".writable"):
        pass
    (folder / ".writable").unlink()
    for part in new:
        part.rmdir()
    return folder


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON, whole or not at all."""
    from neurofit.home import atomic_file

    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


@contextmanager
def progress() -> Iterator[Report]:
    """Yield a function that opens a progress bar with remaining time, on stderr."""
    # A bar appears with the first piece of work that is done.
    columns = (TextColumn("{task.description:<26}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bars:

        def report(label: str) -> Callable[[int, int], None]:
            task = bars.add_task(label, total=None, visible=False)
            return lambda done, total: bars.update(task, completed=done, total=total, visible=True)

        yield report


def load(name: str, report: Report, *, pictures: str = "") -> Recording:
    """Return a recording by name or path, with a bar for each thing that takes time."""
    from neurofit.data_loaders import load_recording

    bars: dict[str, Callable[[int, int], None]] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = report(what)
        bars[what](done, total)

    if name.startswith("brainscore:"):
        return of_brainscore("candidate").recording_of(name.partition(":")[2])  # type: ignore[no-any-return]
    return load_recording(name, pictures=pictures or None, progress=show)


def of_brainscore(module: str) -> Any:
    """Return a module of neurofit.brainscore; without Brain-Score, say how to install it."""
    try:
        return import_module(f"neurofit.brainscore.{module}")
    except ImportError as error:
        raise NeurofitError(str(error)) from error

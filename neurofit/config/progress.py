"""A progress bar for scripts and notebooks."""

from __future__ import annotations

from functools import cache
from typing import Any


def show_progress(what: str, done: int, total: int) -> None:
    """Show a progress bar, in a terminal or a notebook: `progress=neurofit.show_progress`.

    Parameters
    ----------
    what
        What is being done; each has a bar of its own.
    done, total
        Steps done, and steps in total.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> config = neurofit.CeilingConfig(n_halves=2, n_bootstraps=20)
    >>> result = neurofit.ceiling(recording, config, progress=neurofit.show_progress)
    blocks of the recording ...
    """
    bars, tasks = _bars()
    if what not in tasks:
        tasks[what] = bars.add_task(what, total=total)
    bars.start()
    bars.update(tasks[what], completed=done, total=total)
    if all(task.finished for task in bars.tasks):
        bars.stop()  # the next bar begins a new display
        _bars.cache_clear()


@cache
def _bars() -> tuple[Any, dict[str, Any]]:
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = Progress.get_default_columns()[:2]
    return Progress(*columns, MofNCompleteColumn(), TimeRemainingColumn()), {}

"""Faults of tables: rows, separators and numbers of CSV files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from forms import Session
from matrix import TABLES, Fault, refused

WITH_CSV = ("npy and tables", "spike folder", "spike table")

Rng = np.random.Generator


def in_csv(session: Session, rng: Rng, *, change: Callable[[str], str], row: bool = True) -> None:
    """Change a row of a table, or all of it."""
    at = int(rng.integers(1, 5))

    def edit(path: Path) -> None:
        files = ("spikes.csv", "presentations.csv")
        file = next((path / name for name in files if (path / name).exists()), path)
        lines = file.read_text().splitlines()
        lines = [
            change(line) if number == at or not row else line for number, line in enumerate(lines)
        ]
        file.write_text("\n".join(lines))

    session.edits.append(edit)


def double_a_column(line: str) -> str:
    """Return a line of a table with its last value twice."""
    return f"{line},{line.rpartition(',')[2]}"


def say_a_time(session: Session, rng: Rng, *, said: str) -> None:
    in_csv(session, rng, change=lambda line: f"{line.rpartition(',')[0]},{said}")


def fire_at_no_time(session: Session, rng: Rng) -> None:
    session.rows.loc[rng.integers(len(session.rows)), "ms"] = np.nan


FAULTS = (
    Fault(
        what="a row that is longer than the header",
        plant=partial(in_csv, change=lambda line: f"{line},1"),
        cells={WITH_CSV: refused("values, but its header has")},
    ),
    Fault(
        what="a row that is shorter than the header",
        plant=partial(in_csv, change=lambda line: line.rpartition(",")[0]),
        cells={WITH_CSV: refused("values, but its header has")},
    ),
    Fault(
        what="a column twice",
        plant=partial(in_csv, change=double_a_column, row=False),
        cells={WITH_CSV: refused("has several columns called")},
    ),
    Fault(
        what="semicolons between columns",
        plant=partial(in_csv, change=lambda line: line.replace(",", ";"), row=False),
        cells={
            ("npy and tables", "spike folder"): refused(
                "are separated by semicolons; use commas, and decimal points."
            ),
            ("spike table",): refused("is unknown; known:"),
        },
    ),
    Fault(
        what="tabs between columns",
        plant=partial(in_csv, change=lambda line: line.replace(",", "\t"), row=False),
        cells={
            ("npy and tables", "spike folder"): refused(
                "are separated by tabs; use commas, and decimal points."
            ),
            ("spike table",): refused("is unknown; known:"),
        },
    ),
    Fault(
        what="a decimal comma",
        plant=partial(say_a_time, said='"12,5"'),
        cells={("spike folder", "spike table"): refused("time_ms is not a number in row")},
    ),
    Fault(
        what="a time of a spike in words",
        plant=partial(say_a_time, said="late"),
        cells={("spike folder", "spike table"): refused("time_ms is not a number in row")},
    ),
    Fault(
        what="a time of a spike that is NaN",
        plant=fire_at_no_time,
        cells={
            TABLES: refused("time_ms is not a number in row"),
            ("NWB",): refused("1 spike times of unit"),
        },
    ),
)

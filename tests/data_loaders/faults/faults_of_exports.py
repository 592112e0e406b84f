"""Faults that come with an export: copies, other units, single precision, spreadsheets, padding."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from forms import Session
from matrix import NAMED, RIGHT, TABLES, Fault, noted, refused

Rng = np.random.Generator


def copy_a_neuroid(session: Session, rng: Rng) -> None:
    rows = session.rows
    session.spikes = pd.concat([rows, rows[rows.site == 0]])


def edges_of_unit(session: Session, rng: Rng, *, units: str, per_ms: float) -> None:
    starts, ends = np.array(session.bins).T
    session.arrays["bin_edges"] = np.append(starts, ends[-1]) * per_ms
    session.arrays |= {"time_bin_start": None, "time_bin_end": None}
    session.units["bin_edges"] = units


def contradict_width(session: Session, rng: Rng, *, name: str) -> None:
    session.arrays[name] = np.array(50)


def sessions_of_trials(session: Session, rng: Rng) -> None:
    """Record a neuroid in the last trials only, of which the table of neuroids says nothing."""
    first = np.arange(len(session.stimulus_id)) < max(5, len(session.stimulus_id) // 2)
    session.trials["session"] = np.where(first, "monday", "tuesday")
    session.counts[first, 0] = 0
    assert session.spikes is None


def sessions_of_neuroids(session: Session, rng: Rng) -> None:
    days = ["monday", *["tuesday"] * (len(session.neuroid_id) - 1)]
    session.sites["session"] = np.array(days)


TIME = (
    Fault(
        what="`bin_edges` in microseconds, as their units say",
        plant=partial(edges_of_unit, units="us", per_ms=1000),
        cells={("HDF5",): RIGHT},
    ),
    Fault(
        what="a width of time bins that contradicts their ends",
        plant=partial(contradict_width, name="bin_width"),
        cells={NAMED: refused("the file states that its time bins are 50 ms wide")},
    ),
    Fault(
        what="spikes of a neuroid twice",
        plant=copy_a_neuroid,
        cells={(*TABLES, "NWB"): refused("Keep one of each.")},
    ),
)

IDENTITY = (
    Fault(
        what="sessions of presentations that neuroids do not state",
        plant=sessions_of_trials,
        cells={("spike folder",): noted("have no spike in session monday: counts of 0.")},
    ),
    Fault(
        what="sessions of neuroids that presentations do not state",
        plant=sessions_of_neuroids,
        cells={("spike folder",): refused("presentations.csv needs a column session too.")},
    ),
)

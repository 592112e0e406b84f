"""Faults that come with an export: copies, other units, single precision, spreadsheets, padding."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from forms import Session
from matrix import ALL, BINNED, NAMED, NETCDF, RIGHT, TABLES, Fault, noted, refused

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


def halve_the_onset(session: Session, rng: Rng) -> None:
    session.onset = 10.5  # type: ignore[assignment]


def sessions_of_trials(session: Session, rng: Rng) -> None:
    """Record a neuroid in the last trials only, of which the table of neuroids says nothing."""
    first = np.arange(len(session.stimulus_id)) < max(5, len(session.stimulus_id) // 2)
    session.trials["session"] = np.where(first, "monday", "tuesday")
    session.counts[first, 0] = 0
    assert session.spikes is None


def sessions_of_neuroids(session: Session, rng: Rng) -> None:
    days = ["monday", *["tuesday"] * (len(session.neuroid_id) - 1)]
    session.sites["session"] = np.array(days)


def single(session: Session, rng: Rng) -> None:
    """Store numbers of stimuli in single precision, in which two of them are one."""
    _, rows = np.unique(session.stimulus_id, return_inverse=True)
    session.stimulus_id = (2**24 + rows).astype("f4")


def round_as_a_spreadsheet(session: Session, rng: Rng) -> None:
    _, rows = np.unique(session.stimulus_id, return_inverse=True)
    session.stimulus_id = np.array([f"{1.23 + each // 2:.2f}E+15" for each in rows])


def hide(session: Session, rng: Rng, *, mark: str) -> None:
    row = int(rng.integers(len(session.stimulus_id)))
    session.stimulus_id = session.stimulus_id.astype("U3")
    session.stimulus_id[row] += mark


def cells_of_numbers(session: Session, rng: Rng, *, first: float) -> None:
    _, rows = np.unique(session.stimulus_id, return_inverse=True)
    session.stimulus_id = rows + int(first)
    session.arrays["stimulus_id"] = np.array([first + 1.0 * each for each in rows], dtype=object)


def label(session: Session, rng: Rng, *, names: tuple[str, str]) -> None:
    """Give raster files two labels, a category and the stimulus."""
    labels = {names[0]: np.arange(len(session.stimulus_id)) % 2, names[1]: session.stimulus_id}
    session.arrays["raster_labels"] = {k: v.astype(object) for k, v in labels.items()}


def pack(session: Session, rng: Rng, *, attrs: dict[str, Any]) -> None:
    """Pack responses, with -99.5 in place of a trial."""
    session.meant = 0.5 * session.counts
    session.meant[rng.integers(len(session.counts)), 0] = np.nan
    session.responses = np.where(np.isnan(session.meant), -199, session.counts).astype("i2")
    session.attrs |= {"scale_factor": 0.5, **attrs}
    session.edits.append(partial(_say, attrs=session.attrs))


def _say(path: Path, attrs: dict[str, Any]) -> None:
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file["responses"].attrs.update(attrs)


def miss(session: Session, rng: Rng, *, numbers: Any) -> None:
    """Put numbers for missing trials, of which an array tells."""
    values = session.counts.astype("f4")
    values[0, 0], values[1, 0] = -1.5, -99.9
    session.responses = values
    session.meant = np.where(values < 0, np.nan, values)
    session.arrays["missing"] = np.array(numbers)


def name_nothing(session: Session, rng: Rng) -> None:
    """Call responses and baselines by names that say nothing."""
    values = session.counts.astype(float)
    session.arrays |= {"evoked": values, "before": 0 * values, "responses": None}
    session.dims = None


def name_blocks(session: Session, rng: Rng) -> None:
    """Name four blocks of two kinds in place of pictures, in a long recording."""
    n = len(session.stimulus_id)
    session.trials["image_name"] = np.tile(session.stimulus_id, 4)
    session.stimulus_id = np.repeat(["scenes", "objects"] * 2, n)
    session.repetition = np.arange(4 * n)
    session.counts = np.tile(session.counts, (4, 1, 1))


def contradict(session: Session, rng: Rng) -> None:
    session.sidecar["region"] = "V4"


def without_names_of_axes(session: Session, rng: Rng) -> None:
    session.dims, session.arrays["neuroid_id"] = None, None
    session.neuroid_id = np.array([f"r-{each:04d}" for each in range(len(session.neuroid_id))])
    session.counts = np.concatenate([session.counts] * 7, axis=2)


TIME = (
    Fault(
        what="an onset of a fraction of a ms",
        plant=halve_the_onset,
        cells={("raster",): refused("alignment_event_time is 10.5; it is a whole number of ms.")},
    ),
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
        what="a column of blocks that recur, beside one of pictures",
        plant=name_blocks,
        cells={
            (*BINNED, "spike folder", "NWB"): refused(
                "Name a column that tells pictures apart: image_name."
            )
        },
    ),
    Fault(
        what="an area in the sidecar that is not that of the file",
        plant=contradict,
        cells={(*BINNED, *TABLES, "NWB"): refused("Remove one of them, or correct it.")},
    ),
    Fault(
        what="whole numbers beyond 2^24 in single precision",
        plant=single,
        cells={(*NETCDF, *NAMED, "Parquet"): refused("contains floats beyond 2^24")},
    ),
    Fault(
        what="numbers in cells",
        plant=partial(cells_of_numbers, first=1),
        cells={("MATLAB v5",): RIGHT},
    ),
    Fault(
        what="numbers beyond 2^53 in cells",
        plant=partial(cells_of_numbers, first=2.0**53),
        cells={("MATLAB v5",): refused("contains floats beyond 2^53")},
    ),
    Fault(
        what="long numbers that a spreadsheet rounded (1.23E+15)",
        plant=round_as_a_spreadsheet,
        cells={ALL: refused("contains numbers that a spreadsheet rounded, such as 1.23E+15")},
    ),
    Fault(
        what="stimuli that differ in a zero-width space",
        plant=partial(hide, mark="\u200b"),
        cells={ALL: refused("differ only in blanks or in their Unicode normal form.")},
    ),
    Fault(
        what="a label of categories before one of pictures",
        plant=partial(label, names=("category", "image_name")),
        cells={("raster",): RIGHT},
    ),
    Fault(
        what="two labels of which none is known to name the stimulus",
        plant=partial(label, names=("category", "what")),
        cells={("raster",): refused("its labels are category, what; name that of the stimulus")},
    ),
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

VALUES = (
    Fault(
        what="axes without names, whose rows are trials",
        plant=without_names_of_axes,
        cells={("npz", "HDF5", "MATLAB v5"): RIGHT},
    ),
    Fault(
        what="`missing_value` in the units of unpacked numbers",
        plant=partial(pack, attrs={"missing_value": -99.5}),
        cells={(*NETCDF, "HDF5"): RIGHT},
    ),
    Fault(
        what="`missing_value` as text",
        plant=partial(pack, attrs={"missing_value": "-199"}),
        cells={(*NETCDF, "HDF5"): RIGHT},
    ),
    Fault(
        what="two numbers for missing trials in the file",
        plant=partial(miss, numbers=[-1.5, -99.9]),
        cells={NAMED: RIGHT},
    ),
    Fault(
        what="a number for missing trials as text",
        plant=partial(miss, numbers="-1.5"),
        cells={NAMED: refused("missing must be numbers, those of missing trials.")},
    ),
    Fault(
        what="two arrays that could each be the responses",
        plant=name_nothing,
        cells={NAMED: refused("could each be the responses; call one of them responses.")},
    ),
)

"""Faults of time: units, edges of bins, clocks and onsets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from forms import WIDTH_MS, Session
from matrix import (
    ALL,
    BINNED,
    NAMED,
    NETCDF,
    RIGHT,
    TABLES,
    Fault,
    noted,
    refused,
)

from neurofit import Selection
from neurofit.recordings.recording import Recording

EDGES = ("time_bin_start", "time_bin_end")
STATED = (*NETCDF, "HDF5")
"""Formats whose times have units."""

Rng = np.random.Generator


def edges_in(session: Session, rng: Rng, *, units: str, per_ms: float, dtype: str = "f8") -> None:
    for name, edges in zip(EDGES, np.array(session.bins).T, strict=True):
        session.arrays[name] = (edges * per_ms).astype(dtype)
        if units:
            session.units[name] = units


def edges_of_dates(session: Session, rng: Rng) -> None:
    days = np.datetime64("2020-01-01") + np.arange(session.counts.shape[2])
    edges_in(session, rng, units="ms since 2020-01-01", per_ms=1)
    session.edits.append(partial(_dates_of_numpy, days=days))


def _dates_of_numpy(path: Any, days: np.ndarray) -> None:
    if path.suffix == ".npz":
        with np.load(path) as held:
            arrays = dict(held)
        np.savez(path, **arrays | {EDGES[0]: days})


def edges_as_durations(session: Session, rng: Rng) -> None:
    for name, edges in zip(EDGES, np.array(session.bins).T, strict=True):
        session.arrays[name] = (edges * 10**6).astype("m8[ns]")


def computed_edges(session: Session, rng: Rng) -> None:
    for name, edges in zip(EDGES, np.array(session.bins).T, strict=True):
        session.arrays[name] = np.nextafter(edges, rng.choice([-np.inf, np.inf], len(edges)))


def change_edges(session: Session, rng: Rng, *, change: Callable[..., Any]) -> None:
    starts, ends = np.array(session.bins, dtype=float).T
    session.arrays |= dict(zip(EDGES, change(starts, ends), strict=True))


def repeat(starts: np.ndarray, ends: np.ndarray) -> Any:
    starts[1], ends[1] = starts[0], ends[0]
    return starts, ends


def empty(starts: np.ndarray, ends: np.ndarray) -> Any:
    ends[1] = starts[1]
    return starts, ends


def widen(starts: np.ndarray, ends: np.ndarray) -> Any:
    starts[2:] += WIDTH_MS
    return starts, None


def begin_before_onset(session: Session, rng: Rng) -> None:
    session.start = -2 * WIDTH_MS


def new_bins(recording: Recording, *, shift: int, width: int) -> None:
    start = recording.time_bins[0][0] + shift
    Selection(bins=f"{start}:{start + 2 * WIDTH_MS}:{width}").apply(recording)


def nothing(session: Session, rng: Rng) -> None:
    """Leave the recording as it is."""


def clock(session: Session, rng: Rng, *, column: str) -> None:
    session.clock = column


def scale_spikes(session: Session, rng: Rng, *, by: float) -> None:
    session.rows["ms"] *= by


def session_clock(session: Session, rng: Rng) -> None:
    session.rows["ms"] += 1000.0 * session.rows.trial


def trial_clock(session: Session, rng: Rng) -> None:
    """Let spikes be from their trial; the first trials are those in which they seem to lie."""
    session.clock, session.begun = "own", np.arange(float(len(session.stimulus_id)))


def spikes_on_edges(session: Session, rng: Rng) -> None:
    rows = session.rows
    first = WIDTH_MS * np.floor(rows.ms / WIDTH_MS)
    session.spikes = rows.assign(ms=np.nextafter(first, rng.choice([-np.inf, np.inf], len(rows))))
    n = len(session.stimulus_id)
    session.begun = 5 + 0.1 * np.cumsum(rng.integers(10, 20, n))


def spikes_outside(session: Session, rng: Rng) -> None:
    rows = session.rows
    far = [rows.assign(ms=rows.ms + 2000 + 37.0 * number) for number in range(12)]
    session.spikes = pd.concat([rows, *far])


def spikes_twice(session: Session, rng: Rng) -> None:
    session.spikes = pd.concat([session.rows, session.rows])


def onsets(session: Session, rng: Rng, *, of: Callable[[np.ndarray], Any]) -> None:
    begun = 5.0 + np.arange(len(session.stimulus_id))
    session.trials["stimulus_onset"] = np.asarray(of(begun), dtype=float)
    session.onset = 0


def fixation(session: Session, rng: Rng) -> None:
    """Let trials begin before their stimulus, which another column times."""
    begun = 5.0 + np.arange(len(session.stimulus_id))
    session.rows["ms"] += 100.0
    session.begun, session.trials["stim_on"] = begun, begun + 0.1


def rates(session: Session, rng: Rng, *, times: float) -> None:
    session.responses = session.meant = session.counts * np.float32(times)
    session.sidecar["units"] = "spikes per bin"


FAULTS = (
    Fault(
        what="edges in seconds, as their units say",
        plant=partial(edges_in, units="s", per_ms=1e-3),
        cells={STATED: RIGHT},
    ),
    Fault(
        what="edges in microseconds, as their units say",
        plant=partial(edges_in, units="microseconds", per_ms=1e3, dtype="i4"),
        cells={STATED: RIGHT},
    ),
    Fault(
        what="edges as durations (`timedelta64`)",
        plant=edges_as_durations,
        cells={(*NETCDF, "npz"): RIGHT},
    ),
    Fault(
        what="edges as dates",
        plant=edges_of_dates,
        cells={(*STATED, "npz"): refused("give ms from stimulus onset.")},
    ),
    Fault(
        what="edges in an unknown unit",
        plant=partial(edges_in, units="frames", per_ms=1),
        cells={STATED: refused("has the unknown units 'frames'; known: ms, s, us, ns.")},
    ),
    Fault(
        what="edges in seconds that nothing says",
        plant=partial(edges_in, units="", per_ms=1e-3),
        cells={BINNED: refused("They look like seconds: multiply them by 1,000.")},
    ),
    Fault(
        what="edges computed in floats (56.99999999999999)",
        plant=computed_edges,
        cells={BINNED: RIGHT},
    ),
    Fault(
        what="edges with fractions of a ms",
        plant=partial(change_edges, change=lambda starts, ends: (starts + 0.25, ends + 0.25)),
        cells={BINNED: refused("Give whole numbers: ms from stimulus onset.")},
    ),
    Fault(
        what="a bin twice",
        plant=partial(change_edges, change=repeat),
        cells={BINNED: refused("occurs twice. Keep one")},
    ),
    Fault(
        what="bins in descending order",
        plant=partial(change_edges, change=lambda starts, ends: (starts[::-1], ends[::-1])),
        cells={BINNED: refused("Repair: responses.sortby('time_bin_start').")},
    ),
    Fault(
        what="a bin that ends where it starts",
        plant=partial(change_edges, change=empty),
        cells={BINNED: refused("has no positive width. Bins are half-open [start, end) in ms")},
    ),
    Fault(
        what="starts without ends, evenly spaced",
        plant=partial(change_edges, change=lambda starts, ends: (starts, None)),
        cells={(*NETCDF, *NAMED, "npy and tables"): RIGHT},
    ),
    Fault(
        what="starts without ends, unevenly spaced",
        plant=partial(change_edges, change=widen),
        cells={
            (*NETCDF, *NAMED, "npy and tables"): refused("are not evenly spaced; add time_bin_end.")
        },
    ),
    Fault(
        what="bins before stimulus onset",
        plant=begin_before_onset,
        cells={ALL: noted("Time bins that begin before stimulus onset")},
    ),
    Fault(
        what="new bins that are finer than the recorded ones",
        plant=nothing,
        then=partial(new_bins, shift=0, width=WIDTH_MS // 2),
        cells={ALL: refused("New time bins must not divide recorded ones")},
    ),
    Fault(
        what="new bins that are shifted against the recorded ones",
        plant=nothing,
        then=partial(new_bins, shift=WIDTH_MS // 2, width=WIDTH_MS),
        cells={ALL: refused("New time bins must not divide recorded ones")},
    ),
    Fault(
        what="a duration that nothing states",
        plant=nothing,
        cells={ALL: noted("100 ms (assumed)")},
    ),
    Fault(
        what="spikes in seconds, as their column says",
        plant=partial(clock, column="time_s"),
        cells={TABLES: RIGHT},
    ),
    Fault(
        what="spikes in microseconds, as their column says",
        plant=partial(clock, column="spike_time_us"),
        cells={TABLES: RIGHT},
    ),
    Fault(
        what="spikes in seconds that are called ms",
        plant=partial(scale_spikes, by=1e-3),
        cells={TABLES: refused("they look like seconds. Give them as time_s.")},
    ),
    Fault(
        what="spikes in ms that are taken for seconds",
        plant=partial(scale_spikes, by=1e3),
        cells={
            ("NWB",): refused("be in seconds from the start of the session"),
        },
    ),
    Fault(
        what="spikes from the start of the session",
        plant=session_clock,
        cells={TABLES: refused("they look like times from the start of the session.")},
    ),
    Fault(
        what="spikes from the start of their own trial",
        plant=trial_clock,
        cells={("NWB",): refused("to times from a trial's onset, add that onset.")},
    ),
    Fault(
        what="spikes on the edges of bins, computed in floats",
        plant=spikes_on_edges,
        cells={(*TABLES, "NWB"): RIGHT},
    ),
    Fault(
        what="spikes nearly all outside the bins",
        plant=spikes_outside,
        cells={TABLES: noted("spikes lie outside the time bins")},
    ),
    Fault(
        what="spikes twice, as in a table joined with itself",
        plant=spikes_twice,
        cells={(*TABLES, "NWB"): refused("times or more, at the same time of the same neuroid.")},
    ),
    Fault(
        what="onsets that are all equal",
        plant=partial(onsets, of=lambda begun: np.full(len(begun), 0.1)),
        cells={("NWB",): refused("one for each trial.")},
    ),
    Fault(
        what="flags in place of onsets",
        plant=partial(onsets, of=lambda begun: np.arange(len(begun)) % 2),
        cells={("NWB",): refused("contains only 0 and 1, flags rather than times.")},
    ),
    Fault(
        what="onsets from the start of their trial",
        plant=partial(onsets, of=lambda begun: 0.1 + begun / 1e3),
        cells={("NWB",): refused("add the start of each trial.")},
    ),
    Fault(
        what="an onset outside of its trial",
        plant=partial(onsets, of=lambda begun: np.append(begun[:-1], begun[-1] + 0.9)),
        cells={("NWB", "raster"): refused("lies outside of its trial")},
    ),
    Fault(
        what="trials that begin before their stimulus, whose onset is a column",
        plant=fixation,
        cells={("NWB",): RIGHT},
    ),
    Fault(
        what="trials whose stimulus onset nothing states",
        plant=nothing,
        cells={("NWB",): noted("Stimulus onset: start of the trial (assumed).")},
    ),
    Fault(
        what="rates that no neuron has",
        plant=partial(rates, times=1000.0),
        cells={BINNED: noted("Mean rates above 500 spikes/s")},
    ),
)

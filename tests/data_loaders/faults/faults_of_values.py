"""Faults of fills and types: packed and missing numbers, objects, tables and axes."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from forms import DIMS, Session
from matrix import BINNED, COUNTED, NAMED, NETCDF, RIGHT, Fault, noted, refused
from scipy import sparse

from neurofit.recordings.rebinning import are_counts
from neurofit.recordings.recording import Recording

ARRAYS = (*NAMED, "npy and tables")
MATLAB = ("MATLAB v5", "MATLAB v7.3")

Rng = np.random.Generator


def somewhere(session: Session, rng: Rng) -> tuple[int, int]:
    return int(rng.integers(session.counts.shape[0])), int(rng.integers(session.counts.shape[1]))


def pack(session: Session, rng: Rng) -> None:
    session.responses = session.meant = 0.25 * session.counts + 3
    how = {"dtype": "i2", "scale_factor": 0.25, "add_offset": 3.0, "_FillValue": -32767}
    session.encoding["responses"] = how


def fill(session: Session, rng: Rng) -> None:
    lack_a_trial(session, rng)
    session.encoding["responses"] = {"_FillValue": -999.0}


def put(session: Session, rng: Rng, *, number: float, meant: float, dtype: str = "f4") -> None:
    """Put a number in place of a trial of a neuroid."""
    values = session.counts.astype(dtype)
    values[somewhere(session, rng)] = number
    session.responses = values
    session.meant = np.where(values == number, meant, values)


def lack_a_trial(session: Session, rng: Rng) -> None:
    put(session, rng, number=np.nan, meant=np.nan)
    session.meant = session.responses


def attribute(session: Session, rng: Rng, *, name: str, value: Any, number: float) -> None:
    put(session, rng, number=number, meant=np.nan)
    session.attrs[name] = np.array(value, "f4")
    session.encoding["responses"] = {"_FillValue": None}


def unsigned(session: Session, rng: Rng) -> None:
    counts = rng.integers(0, 255, session.counts.shape).astype("u1")
    session.responses, session.meant = counts.view("i1"), counts
    session.attrs["_Unsigned"] = "true"


def sidecar_missing(session: Session, rng: Rng) -> None:
    put(session, rng, number=255, meant=np.nan)
    session.sidecar["missing"] = 255


def array_missing(session: Session, rng: Rng) -> None:
    put(session, rng, number=-1, meant=np.nan, dtype="i2")
    session.arrays["missing"] = -1


def undeclared(session: Session, rng: Rng) -> None:
    put(session, rng, number=-1, meant=-1)
    session.sidecar["units"] = "spikes per bin"


def silence(session: Session, rng: Rng) -> None:
    session.responses = session.counts.astype("f4")
    session.responses[:, rng.integers(session.counts.shape[1])] = np.nan


def large(session: Session, rng: Rng, *, dtype: str, base: float) -> None:
    session.responses = session.counts.astype(dtype) + np.dtype(dtype).type(base)
    session.meant = session.responses.astype("f4")


def of_type(session: Session, rng: Rng, *, dtype: str) -> None:
    session.responses = session.counts.astype(dtype)


def of_rates(session: Session, rng: Rng) -> None:
    session.arrays |= {"rates": session.counts, "responses": None}


def are_rates(recording: Recording) -> None:
    assert not are_counts(recording.responses)


def of_objects(session: Session, rng: Rng) -> None:
    session.responses = session.counts.astype(object)


def of_cells(session: Session, rng: Rng) -> None:
    trials = np.empty(len(session.counts), dtype=object)
    trials[:] = [each[: 1 + row % 2] for row, each in enumerate(session.counts.astype(float))]
    session.responses = trials


def one_bin(session: Session, rng: Rng) -> None:
    session.counts = session.counts[..., :1]


def without_times(session: Session, rng: Rng) -> None:
    """Keep one bin without an axis, whose time the sidecar gives."""
    one_bin(session, rng)
    session.responses = session.counts[..., 0].astype("f4")
    session.arrays |= {"time_bin_start": None, "time_bin_end": None}
    session.dims = DIMS[:2]
    session.sidecar["time_bin"] = session.bins[0]


def sparse_counts(session: Session, rng: Rng) -> None:
    without_times(session, rng)
    session.responses = sparse.csc_matrix(session.counts[..., 0].astype(float))


def one_site(session: Session, rng: Rng) -> None:
    session.counts, session.neuroid_id = session.counts[:, :1], session.neuroid_id[:1]


def turn_axes(session: Session, rng: Rng) -> None:
    session.responses, session.meant = session.counts.T.astype("f4"), session.counts
    session.dims = DIMS[::-1]


def mean_over_trials(session: Session, rng: Rng) -> None:
    """Leave a response of each stimulus over time, whose axes nothing names."""
    ids = np.unique(session.stimulus_id)
    session.responses = np.array(
        [session.counts[session.stimulus_id == each].mean(0) for each in ids]
    )
    session.responses = np.concatenate([session.responses] * 5, axis=2)
    session.arrays |= {"stimulus_id": ids, "repetition": None, "time_bin_start": None}
    session.arrays |= {"time_bin_end": None}
    session.dims = None


def edges(session: Session, rng: Rng, *, shift: int) -> None:
    starts, ends = np.array(session.bins).T
    session.arrays["binEdges"] = np.append(starts, ends[-1]) + shift
    if not shift:
        session.arrays |= {"time_bin_start": None, "time_bin_end": None}


def bins_for_arrays(session: Session, rng: Rng) -> None:
    session.sidecar["bins"] = [0, 300, 10]


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def string_object(session: Session, rng: Rng) -> None:
    """Put an object of MATLAB's class string in place of the names of stimuli."""
    session.arrays["stimulus_id"] = None
    session.edits.append(_add_object)


def _add_object(path: Path) -> None:
    handle = np.array([0xDD000000, 2, 1, 1, 1, 1], "u4")
    if h5py.is_hdf5(path):
        with h5py.File(path, "a") as file:
            file["stimulus_id"] = handle[None]
            file["stimulus_id"].attrs["MATLAB_class"] = np.bytes_("string")
            file["stimulus_id"].attrs["MATLAB_object_decode"] = np.int32(3)
        return
    flags, shape = (
        element(*each) for each in ((6, struct.pack("<II", 17, 0)), (5, struct.pack("<ii", 6, 1)))
    )
    names = b"".join(element(1, each) for each in (b"stimulus_id", b"MCOS", b"string"))
    held = (
        element(6, struct.pack("<II", 13, 0))
        + shape
        + element(1, b"")
        + element(6, handle.tobytes())
    )
    path.write_bytes(path.read_bytes() + element(14, flags + names + element(14, held)))


FAULTS = (
    Fault(what="`scale_factor` and `add_offset`", plant=pack, cells={NETCDF: RIGHT}),
    Fault(what="`_FillValue` in place of a trial", plant=fill, cells={NETCDF: RIGHT}),
    Fault(
        what="`missing_value` in place of a trial",
        plant=partial(attribute, name="missing_value", value=-99, number=-99),
        cells={NETCDF: RIGHT},
    ),
    Fault(
        what="a number outside of `valid_range`",
        plant=partial(attribute, name="valid_range", value=[0, 100], number=101),
        cells={NETCDF: RIGHT},
    ),
    Fault(
        what="a number below `valid_min`",
        plant=partial(attribute, name="valid_min", value=0, number=-7),
        cells={NETCDF: RIGHT},
    ),
    Fault(what="`_Unsigned` bytes", plant=unsigned, cells={NETCDF: RIGHT}),
    Fault(
        what="a number for missing trials in the sidecar",
        plant=sidecar_missing,
        cells={BINNED: RIGHT},
    ),
    Fault(
        what="a number for missing trials in the file",
        plant=array_missing,
        cells={NAMED: RIGHT},
    ),
    Fault(
        what="-1 for missing counts that nothing states",
        plant=undeclared,
        cells={BINNED: noted("although their units (spikes per bin) are counts.")},
    ),
    Fault(what="NaN in place of a trial", plant=lack_a_trial, cells={BINNED: RIGHT}),
    Fault(
        what="a neuroid that is NaN throughout",
        plant=silence,
        cells={BINNED: refused("is NaN in every trial and bin. Drop it")},
    ),
    Fault(
        what="infinite responses",
        plant=partial(put, number=np.inf, meant=np.inf),
        cells={BINNED: refused("Repair: mark missing trials as NaN.")},
    ),
    Fault(
        what="differences that float32 rounds",
        plant=partial(large, dtype="f8", base=1e9 + 1 / 3),
        cells={BINNED: noted("which float32 rounds.")},
    ),
    Fault(
        what="whole numbers that float32 rounds",
        plant=partial(large, dtype="i4", base=2**26 + 1),
        cells={BINNED: noted("which float32 rounds.")},
    ),
    Fault(
        what="responses of 8 bits",
        plant=partial(of_type, dtype="u1"),
        cells={BINNED: RIGHT},
    ),
    Fault(
        what="rates that are whole numbers",
        plant=of_rates,
        then=are_rates,
        cells={("npz", "MATLAB v5", "MATLAB v7.3"): RIGHT},
    ),
    Fault(
        what="responses as text",
        plant=partial(of_type, dtype="U4"),
        cells={
            ("netCDF", "netCDF, named axes in a group"): refused("needs one numeric variable"),
            ("npz", "npy and tables"): refused("responses must be numbers."),
        },
    ),
    Fault(
        what="complex responses",
        plant=partial(of_type, dtype="c16"),
        cells={
            ("npz", "npy and tables", "HDF5"): refused("responses"),
            ("MATLAB v5",): refused("responses is an array of complex numbers"),
        },
    ),
    Fault(
        what="Python objects",
        plant=of_objects,
        cells={
            ("npz", "npy and tables"): refused(
                "contains Python objects, which are never loaded. Save numbers and text."
            )
        },
    ),
    Fault(
        what="cells of unequal trials",
        plant=of_cells,
        cells={("MATLAB v5",): refused("responses is a cell array that holds arrays; only arrays")},
    ),
    Fault(
        what="names as an object of class string",
        plant=string_object,
        cells={MATLAB: refused("stimulus_id is a string object; only arrays of numbers or text")},
    ),
    Fault(what="a sparse matrix", plant=sparse_counts, cells={MATLAB: RIGHT}),
    Fault(what="one site", plant=one_site, cells={(*BINNED, *COUNTED): RIGHT}),
    Fault(what="one bin", plant=one_bin, cells={(*BINNED, *COUNTED): RIGHT}),
    Fault(
        what="no axis of time, its bin in the sidecar",
        plant=without_times,
        cells={BINNED: RIGHT},
    ),
    Fault(what="axes in another order, named", plant=turn_axes, cells={ARRAYS: RIGHT}),
    Fault(
        what="axes without names (a mean over trials over time)",
        plant=mean_over_trials,
        cells={
            NAMED: refused("may be repetition or time_bin."),
            ("npy and tables",): refused("or name the axes."),
        },
    ),
    Fault(
        what="`binEdges` in place of starts and ends",
        plant=partial(edges, shift=0),
        cells={NAMED: RIGHT},
    ),
    Fault(
        what="`binEdges` that contradict starts and ends",
        plant=partial(edges, shift=5),
        cells={NAMED: refused("state different time bins.")},
    ),
    Fault(
        what="`bins` in the sidecar of responses that are counted",
        plant=bins_for_arrays,
        cells={(*BINNED, "raster"): refused("applies to spike times")},
    ),
)

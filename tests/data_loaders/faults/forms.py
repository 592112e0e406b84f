"""A small valid recording, and its writers: one for each format, by libraries rather than neurofit.

Planters change what is written: the fields of a `Session`, or with `edits` its files.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse
import xarray as xr

WIDTH_MS = 10
DIMS = ("presentation", "neuroid", "time_bin")
BASELINE_MS = 20
"""Time of a raster before its onset."""


@dataclass
class Session:
    """What is written of a recording; each field is for all formats that have its like.

    Parameters
    ----------
    counts
        Spikes in each bin, int64 (presentation neuroid time_bin), fewer than 10.
    stimulus_id, repetition, neuroid_id
        Names of the presentations and neuroids.
    start
        Start of the first bin, in ms.
    seed
        Seed of the times of spikes within bins.
    """

    counts: np.ndarray
    stimulus_id: np.ndarray
    repetition: np.ndarray
    neuroid_id: np.ndarray
    start: int
    seed: int
    responses: Any = None
    meant: Any = None
    arrays: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    dims: tuple[str, ...] | None = DIMS
    encoding: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    trials: dict[str, Any] = field(default_factory=dict)
    sites: dict[str, Any] = field(default_factory=dict)
    clock: str = "time_ms"
    spikes: pd.DataFrame | None = None
    begun: np.ndarray | None = None
    onset: int = BASELINE_MS + 1
    sidecar: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    left_out: tuple[int, ...] = ()
    edits: list[Callable[[Path], Any]] = field(default_factory=list)

    @property
    def bins(self) -> list[tuple[int, int]]:
        """Time bins of the counts in ms."""
        starts = self.start + WIDTH_MS * np.arange(self.counts.shape[2])
        return [(int(start), int(start) + WIDTH_MS) for start in starts]

    @property
    def values(self) -> np.ndarray:
        """Responses as written: the counts unless others are planted."""
        return self.counts.astype(np.float32) if self.responses is None else self.responses

    @property
    def rows(self) -> pd.DataFrame:
        """A row for each spike: number of presentation and neuroid, and ms from onset."""
        if self.spikes is None:
            self.spikes = self._draw_spikes()
        return self.spikes

    def _draw_spikes(self) -> pd.DataFrame:
        rng = np.random.default_rng(self.seed)
        rows = []
        for (trial, site, number), count in np.ndenumerate(self.counts):
            ms = self.bins[number][0] + rng.permutation(WIDTH_MS)[:count]
            rows += [(trial, site, each + 0.25) for each in ms]
        return pd.DataFrame(rows, columns=["trial", "site", "ms"])

    def named(self) -> dict[str, Any]:
        """Return the arrays of a file of arrays, without what is planted as None."""
        starts, ends = np.array(self.bins).T
        own = {
            "responses": self.values,
            "stimulus_id": self.stimulus_id,
            "repetition": self.repetition,
            "neuroid_id": self.neuroid_id,
            "region": np.full(len(self.neuroid_id), "IT"),
            "time_bin_start": starts,
            "time_bin_end": ends,
            **self.trials,
            **self.arrays,
        }
        return {name: _array(values) for name, values in own.items() if values is not None}

    def along(self, name: str) -> str:
        """Return the axis of an array."""
        if name in ("stimulus_id", "repetition", "image_id", *self.trials):
            return "presentation"
        return "neuroid" if name in ("neuroid_id", "region", *self.sites) else "time_bin"


def _array(values: Any) -> Any:
    return values if scipy.sparse.issparse(values) else np.asarray(values)


def _netcdf(session: Session, folder: Path, **more: Any) -> Path:
    _dataset(session).to_netcdf(
        folder / "r.nc", **{"engine": "h5netcdf", "encoding": session.encoding, **more}
    )
    return folder / "r.nc"


def _dataset(session: Session) -> xr.Dataset:
    arrays = session.named()
    values = arrays.pop("responses")
    coords = {
        name: (session.along(name), each, _units(session, name)) if each.ndim else each
        for name, each in arrays.items()
    }
    return xr.Dataset({"responses": (DIMS[: values.ndim], values, session.attrs)}, coords=coords)


def _units(session: Session, name: str) -> dict[str, str]:
    return {"units": session.units[name]} if name in session.units else {}


def _netcdf_classic(session: Session, folder: Path) -> Path:
    return _netcdf(session, folder, engine="scipy", format="NETCDF3_64BIT")


def _netcdf_assembly(session: Session, folder: Path) -> Path:
    """Write axes in the order and with the names that Brain-Score or a laboratory gives them."""
    renamed = {"stimulus_id": "image_id", "time_bin_end": "time_bin_stop", "responses": "data"}
    renamed |= {dim: f"of_{dim}" for dim in DIMS}
    held = _dataset(session)
    held = held.rename(
        {n: other for n, other in renamed.items() if n in (*held, *held.dims, *held.coords)}
    )
    held["data"] = held["data"].transpose(*reversed(held["data"].dims))
    encoding = {renamed.get(name, name): how for name, how in session.encoding.items()}
    held.to_netcdf(folder / "r.nc", engine="h5netcdf", group="assembly", encoding=encoding)
    return folder / "r.nc"


def _npz(session: Session, folder: Path) -> Path:
    arrays: dict[str, Any] = session.named() | _said_dims(session)
    np.savez(folder / "r.npz", **arrays)
    return folder / "r.npz"


def _said_dims(session: Session) -> dict[str, Any]:
    return {} if session.dims is None else {"dims": np.array(session.dims)}


def _npy(session: Session, folder: Path) -> Path:
    arrays = session.named()
    np.save(folder / "responses.npy", arrays.pop("responses"))
    for table, dim in zip(("presentations", "neuroids", "time_bins"), DIMS, strict=True):
        columns = {name: each for name, each in arrays.items() if session.along(name) == dim}
        if columns:
            pd.DataFrame(columns).to_csv(folder / f"{table}.csv", index=False)
    session.sidecar = {
        **({} if session.dims is None else {"dims": session.dims}),
        **session.sidecar,
    }
    return folder


def _hdf5(session: Session, folder: Path) -> Path:
    with h5py.File(folder / "r.h5", "w") as file:
        for name, each in session.named().items():
            file[name] = each.tolist() if each.dtype.kind == "U" else each
            if name in session.units:
                file[name].attrs["units"] = session.units[name]
        if session.dims is not None:
            file["responses"].attrs["dims"] = list(session.dims)
    return folder / "r.h5"


def _matlab(session: Session, folder: Path) -> Path:
    held = {name: _cells(each) for name, each in (session.named() | _said_dims(session)).items()}
    scipy.io.savemat(folder / "r.mat", held)
    return folder / "r.mat"


def _cells(values: np.ndarray) -> Any:
    return values.astype(object) if values.dtype.kind == "U" and values.ndim else values


def _matlab_v7_3(session: Session, folder: Path) -> Path:
    path = folder / "r.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, each in (session.named() | _said_dims(session)).items():
            if isinstance(each, scipy.sparse.csc_matrix):
                group = file.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("double")
                group.attrs["MATLAB_sparse"] = np.uint64(each.shape[0])
                group["data"], group["ir"], group["jc"] = each.data, each.indices, each.indptr
            elif each.dtype.kind == "U":
                letters = [
                    np.frombuffer(t.encode("utf-16-le"), "u2")[:, None] for t in each.tolist()
                ]
                cells = [
                    file.create_dataset(
                        f"#refs#/{name}{i}", data=text if len(text) else np.zeros(2)
                    )
                    for i, text in enumerate(letters)
                ]
                for cell, text in zip(cells, letters, strict=True):
                    cell.attrs["MATLAB_class"] = np.bytes_("char")
                    if not len(text):
                        cell.attrs["MATLAB_empty"] = np.uint8(1)
                kept = file.create_dataset(name, (1, len(cells)), h5py.ref_dtype)
                kept[0] = [cell.ref for cell in cells]
                kept.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                file[name] = np.atleast_2d(each).T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def _raster(session: Session, folder: Path) -> Path:
    length = BASELINE_MS + session.bins[-1][1]
    for site, name in enumerate(session.neuroid_id):
        raster = np.zeros((len(session.stimulus_id), length), np.uint8)
        own = session.rows[session.rows.site == site]
        raster[own.trial, BASELINE_MS + np.floor(own.ms).astype(int)] = 1
        labels = {"stimulus_ID": np.array(session.stimulus_id, dtype=object), **session.trials}
        held = {"raster_data": raster, "raster_labels": labels, **session.arrays}
        info = {"raster_site_info": {"alignment_event_time": session.onset}}
        scipy.io.savemat(folder / f"{name}_raster_data.mat", held | info)
    session.sidecar = {"region": "IT", **session.sidecar}
    return folder


def _clocked(session: Session) -> dict[str, np.ndarray]:
    scale = {"s": 1e-3, "us": 1e3}.get(session.clock.rpartition("_")[2], 1)
    return {session.clock: scale * session.rows.ms.to_numpy()}


def _spike_folder(session: Session, folder: Path) -> Path:
    rows, n = session.rows, len(session.stimulus_id)
    spikes = {"neuroid_id": session.neuroid_id[rows.site], "presentation": rows.trial}
    pd.DataFrame(spikes | _clocked(session)).to_csv(folder / "spikes.csv", index=False)
    trials = {"presentation": range(n), "stimulus_id": session.stimulus_id, **session.trials}
    pd.DataFrame(trials).to_csv(folder / "presentations.csv", index=False)
    sites = {"neuroid_id": session.neuroid_id, "region": "IT", **session.sites}
    pd.DataFrame(sites).to_csv(folder / "neuroids.csv", index=False)
    session.sidecar = {"bins": _sidecar_bins(session), **session.sidecar}
    return folder


def _sidecar_bins(session: Session) -> list[int]:
    return [session.bins[0][0], session.bins[-1][1], WIDTH_MS]


def _one_table(session: Session) -> pd.DataFrame:
    rows = session.rows
    columns = {
        "neuroid_id": session.neuroid_id[rows.site],
        "region": "IT",
        "stimulus_id": session.stimulus_id[rows.trial],
        "repetition": session.repetition[rows.trial],
        **{name: np.asarray(each)[rows.trial] for name, each in session.trials.items()},
        **_clocked(session),
    }
    session.sidecar = {"bins": _sidecar_bins(session), **session.sidecar}
    return pd.DataFrame(columns)


def _spike_table(session: Session, folder: Path) -> Path:
    _one_table(session).to_csv(folder / "r.csv", index=False)
    return folder / "r.csv"


def _parquet(session: Session, folder: Path) -> Path:
    _one_table(session).to_parquet(folder / "r.parquet")
    return folder / "r.parquet"


def _nwb(session: Session, folder: Path) -> Path:
    import pynwb

    nwb = pynwb.NWBFile(
        session_description="s",
        identifier="session",
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    begun = 5.0 + np.arange(len(session.stimulus_id)) if session.begun is None else session.begun
    for name in ("region", "neuroid_id"):
        nwb.add_unit_column(name, "of the unit")
    rows = session.rows
    for site, name in enumerate(session.neuroid_id.tolist()):
        own = rows[rows.site == site]
        times = own.ms.to_numpy() / 1e3
        if session.clock == "time_ms":  # of the session; else each trial's own
            times = np.sort(times + begun[own.trial])
        nwb.add_unit(spike_times=times, region="IT", neuroid_id=name)
    columns = {"stimulus_id": session.stimulus_id, **session.trials}
    for name in columns:
        nwb.add_trial_column(name, "of the trial")
    for number, start in enumerate(begun.tolist()):
        row = {name: np.asarray(each)[number].item() for name, each in columns.items()}
        nwb.add_trial(start_time=start, stop_time=start + 0.8, **row)
    with pynwb.NWBHDF5IO(str(folder / "r.nwb"), "w") as io:
        io.write(nwb)
    session.sidecar = {"bins": _sidecar_bins(session), **session.sidecar}
    return folder / "r.nwb"


FORMS: Mapping[str, Callable[[Session, Path], Path]] = {
    "netCDF": _netcdf,
    "netCDF, named axes in a group": _netcdf_assembly,
    "classic netCDF": _netcdf_classic,
    "npz": _npz,
    "npy and tables": _npy,
    "HDF5": _hdf5,
    "MATLAB v5": _matlab,
    "MATLAB v7.3": _matlab_v7_3,
    "raster": _raster,
    "spike folder": _spike_folder,
    "spike table": _spike_table,
    "Parquet": _parquet,
    "NWB": _nwb,
}
"""Format -> its writer, which returns what is to be opened."""


def write(form: str, session: Session, folder: Path) -> Path:
    """Write a session with its sidecar and pictures, and edit the files; return what to open."""
    path = FORMS[form](session, folder)
    if session.sidecar:
        sidecar = path / "recording.json" if path.is_dir() else path.with_suffix(".json")
        sidecar.write_text(json.dumps(session.sidecar))
    stimuli = path / "stimuli" if path.is_dir() else path.with_suffix(".stimuli")
    if session.table is not None:
        session.table.to_csv(f"{stimuli}.csv", index=False)
    for name, content in session.pictures.items():
        (stimuli / name).parent.mkdir(parents=True, exist_ok=True)
        (stimuli / name).write_bytes(content)
    for edit in session.edits:
        path = edit(path) or path
    return path


def make_session(
    *,
    n_stimuli: int = 4,
    n_repetitions: int = 3,
    n_neuroids: int = 3,
    n_bins: int = 3,
    start: int = 50,
    seed: int = 0,
) -> Session:
    """Make a valid recording; in each trial a neuroid has a spike in the first and the last bin."""
    rng = np.random.default_rng(seed)
    n = n_stimuli * n_repetitions
    counts = rng.poisson(2, (n, n_neuroids, n_bins)).clip(max=8)
    counts[..., [0, -1]] += 1
    order = rng.permutation(n)
    shown, repetition = order % n_stimuli, np.empty(n, np.int64)
    for stimulus in range(n_stimuli):
        repetition[shown == stimulus] = np.arange(n_repetitions)
    return Session(
        counts=counts,
        stimulus_id=np.array([f"s{i}" for i in range(n_stimuli)])[shown],
        repetition=repetition,
        neuroid_id=np.array([f"n{i}" for i in range(n_neuroids)]),
        start=start,
        seed=seed,
    )

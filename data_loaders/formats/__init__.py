"""Recordings from files, in the forms that people have them, told apart by content: `open_recording(PATH)`.

netcdf.py   Brain-Score's assemblies and our own netCDF, a block at a time; netcdf_axes.py: which axis is which; netcdf_fills.py: fills
arrays.py   .npz, .npy with CSV tables, HDF5, MATLAB v5 to v7.3
raster.py   folders of the Neural Decoding Toolbox
spikes.py   tables of spike times, CSV or Parquet
nwb.py      Neurodata Without Borders (extra nwb); nwb_pictures.py finds the pictures in its files, stored_pictures.py reads them
writing.py  a recording as netCDF or .npz, with its pictures, whole or not at all
named.py    from named arrays to our axes; words.py other people's words for them; sidecar.py what is said beside a file
tables.py   tables in our words; pictures.py the pictures beside a file; limits.py and probe.py look first
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.assemblies import Recording
from neurofit.data_loaders.formats import arrays, netcdf, nwb, nwb_pictures, raster, spikes
from neurofit.data_loaders.formats.limits import HDF5, head_of, short
from neurofit.data_loaders.formats.netcdf import LAYOUTS, read_netcdf, write_netcdf
from neurofit.data_loaders.formats.pictures import HeldPictures, find_stimuli, with_pictures
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Said, said_beside
from neurofit.data_loaders.formats.words import TOLD, number_told, was_simulated
from neurofit.data_loaders.formats.writing import write_recording
from neurofit.errors import MachineError, NeurofitError, some_of
from neurofit.time_bins import TimeBin

__all__ = ["FORMATS", "LAYOUTS", "Format", "find_format", "open_recording", "read_netcdf", "write_netcdf", "write_recording"]


ENDINGS = (".nc", ".npz", ".npy", ".h5", ".hdf5", ".mat", ".csv", ".parquet")
"""Of files that may be recordings, to name them."""

ARCHIVE = b"PK"
"""How a zip archive begins, and so a .npz."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A form of recordings: what it is called, how it is recognised, how its responses are read (presentation neuroid time_bin).

    `of_one_bin`: a file may hold a single bin and not say when it is, so that `read` takes `time_bin`. `pictures` finds those of stimulus
    ids in the file itself, where the form may hold any.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[..., xr.DataArray]
    of_one_bin: bool = False
    pictures: Callable[[Path, Said, list[str]], HeldPictures] | None = None


FORMATS = (
    Format(name="NWB", recognises=nwb.recognises, read=nwb.read_nwb, pictures=nwb_pictures.held_in),
    Format(name="netCDF", recognises=netcdf.recognises, read=lambda path: read_netcdf(path).responses, of_one_bin=True),
    Format(name="raster folder", recognises=raster.recognises, read=raster.read_raster),
    Format(name="spike times", recognises=spikes.recognises, read=spikes.read_spikes),
    Format(name="NumPy arrays", recognises=arrays.recognises_numpy, read=arrays.read_numpy, of_one_bin=True),
    Format(name="MATLAB", recognises=arrays.recognises_matlab, read=arrays.read_matlab, of_one_bin=True),
    Format(name="HDF5", recognises=arrays.recognises_hdf5, read=arrays.read_hdf5, of_one_bin=True),
)
"""In the order in which they are tried."""


def find_format(path: Path) -> Format:
    """Return the form of a file or folder, by its content.

    Raises
    ------
    NeurofitError
        If there is nothing, or nothing of a known form.
    """
    if not path.exists():
        raise NeurofitError(f"There is no recording at {path}.")
    try:
        head = b"" if path.is_dir() else head_of(path)
    except OSError as error:
        raise NeurofitError(f"Cannot read {path}: {error.strerror or error}.") from error
    if head.startswith((HDF5, b"MATLAB 7.3")):
        check_hdf5(path)
    found = [each for each in FORMATS if _recognises(each, path, head)]
    if not found and not path.is_dir() and (head.startswith(ARCHIVE) or not head):
        raise NeurofitError(f"{path} is empty." if not head else f"{path} is damaged, or an archive of something else: it holds no arrays.")
    if not found:
        inside = sorted(each.name for each in path.iterdir() if each.suffix.lower() in ENDINGS) if path.is_dir() else []
        give = f"It holds {some_of(inside)}: give one. " if inside else ""
        forms = ", ".join(each.name for each in FORMATS)
        raise NeurofitError(f"{path} is no recording of a known form: {forms}. {give}See docs/recordings.md.")
    if path.is_dir() and len(found) > 1:
        raise NeurofitError(f"{path} holds recordings of several forms: {', '.join(each.name for each in found)}. Give one, or its folder.")
    return found[0]


def _recognises(form: Format, path: Path, head: bytes) -> bool:
    try:
        return form.recognises(path, head)
    except Exception:  # h5py raises nearly anything on broken bytes; the last form of HDF5 that is tried says what is wrong
        return False


def open_recording(path: str | Path, *, pictures: str | Path | None = None, time_bin: TimeBin | None = None) -> Recording:
    """Return the recording of a file or folder; netCDF is read when used, every other form at once.

    Parameters
    ----------
    path
        A file or folder of one of `FORMATS`.
    pictures
        A table (.csv), zip or folder of its pictures; None: those beside it. Without any the recording is good for ceilings only.
    time_bin
        (start, end) in ms from onset of the only bin of a file that does not say when it is.

    Raises
    ------
    NeurofitError
        If it is of no known form, or damaged, or lacks what every recording has.
    """
    path, given = Path(path), None if pictures is None else Path(pictures)
    form = find_format(path)
    if time_bin is not None and not form.of_one_bin:
        forms = ", ".join(each.name for each in FORMATS if each.of_one_bin)
        raise NeurofitError(f"time_bin is for a file with one bin that does not say when it is ({forms}); {path} is {form.name}.")
    if time_bin is not None and not time_bin[0] < time_bin[1]:
        raise NeurofitError(f"time_bin is (start, end) in ms from onset, the end after the start; got {time_bin}.")
    if form.name == "netCDF":
        return read_netcdf(path, pictures=given, time_bin=time_bin)
    try:
        responses = form.read(path, time_bin=time_bin) if form.of_one_bin else form.read(path)
    except (NeurofitError, MachineError):
        raise
    except MemoryError as error:
        raise NeurofitError(f"{path} does not fit into memory; netCDF is the form for recordings that do not.") from error
    except Exception as error:  # libraries raise nearly anything on broken bytes
        raise NeurofitError(f"Cannot read {path} as {form.name}: {short(error)}.") from error
    said = said_beside(path)
    inside = partial(form.pictures, path, said) if form.pictures is not None else None
    told = {key: responses.attrs.pop(key) for key in TOLD if key != "units" and key in responses.attrs}
    degrees, duration = (getattr(said, key) or number_told(told, key, path) for key in ("visual_degrees", "duration_ms"))
    stimuli = find_stimuli(path, responses, given=given, inside=inside, visual_degrees=degrees, duration_ms=duration)
    return Recording(
        name=told.get("identifier") or path.stem,
        responses=responses,
        stimuli=stimuli,
        simulated=was_simulated(told),
        sha256=with_pictures(_sha256(responses), stimuli),
        citation=told.get("citation", ""),
    )


def _sha256(responses: xr.DataArray) -> str:
    """Return the hash of responses and what is known of them, from however many files they come."""
    whole = hashlib.sha256(np.ascontiguousarray(responses.values).data)
    whole.update(str(responses.attrs.get("units", "")).encode())
    for name in sorted(map(str, responses.coords)):
        values = np.ascontiguousarray(responses[name].values)
        whole.update(f"{name} {values.dtype.str} {values.shape}".encode())
        whole.update(values.tobytes())
    return whole.hexdigest()

"""Read and write recording files; the format is detected from the content: `open_recording(PATH)`.

netcdf.py    netCDF of Brain-Score or neurofit, read lazily (netcdf_axes.py, netcdf_fills.py,
             by_bin.py)
arrays.py    .npz, .npy with CSV tables, HDF5, MATLAB v5 to v7.3 (named.py, matlab.py)
raster.py    raster folders of the Neural Decoding Toolbox
spikes.py    tables of spike times, CSV or Parquet
nwb.py       Neurodata Without Borders (extra nwb); images: nwb_images.py, nwb_matching.py,
             stored_images.py
writing.py   write a recording with its images

Shared: names.py (standard names and aliases), coordinates.py (what a file leaves out, joined
sessions), sidecar.py (NAME.json), tables.py, stimuli.py (images beside a file), limits.py and
probe.py (checks before a file is read).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats import arrays, netcdf, nwb, nwb_images, raster, spikes
from neurofit.data_loaders.formats.limits import HDF5, read_head, short
from neurofit.data_loaders.formats.names import ATTRIBUTES, METADATA_KEYS
from neurofit.data_loaders.formats.netcdf import read_netcdf
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Sidecar, read_sidecar, sidecar_path
from neurofit.data_loaders.formats.stimuli import FoundImages, as_recording
from neurofit.data_loaders.formats.writing import write_recording
from neurofit.errors import MachineError, NeurofitError, some_of
from neurofit.recordings.recording import Recording
from neurofit.recordings.time_bins import TimeBin

__all__ = ["open_recording", "write_recording"]

ENDINGS = (".nc", ".npz", ".npy", ".h5", ".hdf5", ".mat", ".csv", ".parquet")
"""Suffixes of recording files, for suggestions in messages."""

ARCHIVE = b"PK"
"""First bytes of a zip archive, and so of a .npz file."""


@dataclass(frozen=True)
class Format:
    """Format of recording files, with its name for messages.

    Parameters
    ----------
    recognises
        Function of a path and its first bytes: whether the file has this format.
    read
        Function of a path and its sidecar that returns responses (presentation neuroid time_bin).
    single_bin
        Whether a file may contain one time bin without its times.
    images
        Function that finds the images of stimulus ids in the file itself.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[..., xr.DataArray]
    single_bin: bool = False
    images: Callable[[Path, Sidecar, list[str]], FoundImages] | None = None


FORMATS = (
    Format("NWB", nwb.recognises, nwb.read_nwb, images=nwb_images.find_images),
    Format(
        "netCDF", netcdf.recognises, lambda path, _: read_netcdf(path).responses, single_bin=True
    ),
    Format("raster folder", raster.recognises, raster.read_raster),
    Format("spike times", spikes.recognises, spikes.read_spikes),
    Format("NumPy arrays", arrays.recognises_numpy, arrays.read_numpy, single_bin=True),
    Format("MATLAB", arrays.recognises_matlab, arrays.read_matlab, single_bin=True),
    Format("HDF5", arrays.recognises_hdf5, arrays.read_hdf5, single_bin=True),
)
"""Known formats, in the order in which they are tried."""


def find_format(path: Path) -> Format:
    """Return the format of a file or folder, detected from its content.

    Raises
    ------
    NeurofitError
        If the path does not exist, or its format is unknown or ambiguous.
    """
    if not path.exists():
        raise NeurofitError(f"There is no recording at {path}.")
    try:
        head = b"" if path.is_dir() else read_head(path)
    except OSError as error:
        raise NeurofitError(f"Cannot read {path}: {error.strerror or error}.") from error
    if head.startswith((HDF5, b"MATLAB 7.3")):
        check_hdf5(path)
    found = [each for each in FORMATS if _recognises(each, path, head)]
    if not found and not head and not path.is_dir():
        raise NeurofitError(f"{path} is empty.")
    if not found and head.startswith(ARCHIVE):
        raise NeurofitError(f"{path} is damaged, or not a .npz file: it contains no arrays.")
    names = ", ".join(each.name for each in found or FORMATS)
    if not found:
        inside = sorted(path.iterdir()) if path.is_dir() else []
        inside = [each for each in inside if each.suffix.lower() in ENDINGS]
        listed = some_of([each.name for each in inside])
        hint = f"It contains {listed}: give one of them. " if inside else ""
        raise NeurofitError(
            f"The format of {path} is unknown; known: {names}. {hint}See docs/recordings.md."
        )
    if path.is_dir() and len(found) > 1:
        raise NeurofitError(
            f"{path} contains recordings in several formats: {names}. Give one file, or separate "
            "them into folders."
        )
    return found[0]


def _recognises(candidate: Format, path: Path, head: bytes) -> bool:
    try:
        return candidate.recognises(path, head)
    except Exception:  # h5py may raise any error on damaged files; reading as HDF5 reports it
        return False


def open_recording(
    path: str | Path, *, images: str | Path | None = None, time_bin: TimeBin | None = None
) -> Recording:
    """Open a recording file or folder. NetCDF is read lazily, every other format at once.

    Parameters
    ----------
    path
        File or folder; its format is detected from the content. docs/recordings.md describes the
        formats: netCDF, NumPy arrays, HDF5, MATLAB, NWB, spike times and raster folders.
    images
        Stimulus images: a table (.csv), zip archive or folder. Default: those found beside the
        recording. A recording without images supports ceilings only.
    time_bin
        (start, end) in ms from onset of the only time bin of a file that does not state it.

    Returns
    -------
    Recording
        Responses (presentation neuroid time_bin) and stimuli; `load_recording` also validates them.

    Raises
    ------
    NeurofitError
        If the format is unknown, the file is damaged, or required coordinates are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from neurofit.data_loaders import open_recording
    >>> counts = np.random.default_rng(0).poisson(2.0, size=(8, 3)).astype(np.float32)
    >>> stimuli, repetitions = ["a", "b", "c", "d"] * 2, [0] * 4 + [1] * 4
    >>> np.savez(
    ...     "mine.npz",
    ...     responses=counts,  # (presentation neuroid)
    ...     stimulus_id=stimuli,
    ...     repetition=repetitions,
    ...     neuroid_id=["u1", "u2", "u3"],
    ...     region=["IT"] * 3,
    ... )
    >>> recording = open_recording("mine.npz", time_bin=(70, 170))
    >>> recording.time_bins, dict(recording.responses.sizes)
    ([(70, 170)], {'presentation': 8, 'neuroid': 3, 'time_bin': 1})
    >>> np.array_equal(recording.responses.values[..., 0], counts)
    True
    """
    path, given = Path(path), None if images is None else Path(images)
    found = find_format(path)
    if time_bin is not None and not found.single_bin:
        formats = ", ".join(each.name for each in FORMATS if each.single_bin)
        raise NeurofitError(
            f"time_bin applies to single-bin files that do not state their time ({formats}); "
            f"{path} is {found.name}."
        )
    if time_bin is not None and not time_bin[0] < time_bin[1]:
        raise NeurofitError(
            f"time_bin must be (start, end) in ms from onset, with start < end; got {time_bin}."
        )
    sidecar = read_sidecar(path, time_bin=time_bin)
    if found.name not in ("NWB", "spike times") and sidecar.bins is not None:
        raise NeurofitError(
            f"bins in {sidecar_path(path)} applies to spike times; {path} is {found.name}, whose "
            "time bins are its own. Join them with --bins, in Python with Selection(bins=...)."
        )
    if found.name == "netCDF":
        return read_netcdf(path, images=given, time_bin=time_bin)
    try:
        responses = found.read(path, sidecar)
    except (NeurofitError, MachineError):
        raise
    except MemoryError as error:
        raise NeurofitError(
            f"{path} does not fit into memory; use netCDF for such recordings."
        ) from error
    except Exception as error:  # the libraries may raise any error on damaged files
        raise NeurofitError(f"Cannot read {path} as {found.name}: {short(error)}.") from error
    keys = [key for key in METADATA_KEYS if key not in ATTRIBUTES and key in responses.attrs]
    return as_recording(
        path,
        responses,
        {key: responses.attrs.pop(key) for key in keys},
        sidecar,
        sha256=lambda: _sha256(responses),
        images=given,
        inside=partial(found.images, path, sidecar) if found.images is not None else None,
    )


def _sha256(responses: xr.DataArray) -> str:
    """Return the hash of responses, their units and coordinates."""
    digest = hashlib.sha256(np.ascontiguousarray(responses.values).data)
    digest.update(str(responses.attrs.get("units", "")).encode())
    for name in sorted(map(str, responses.coords)):
        values = np.ascontiguousarray(responses[name].values)
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()

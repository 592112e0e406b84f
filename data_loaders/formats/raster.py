"""Read raster folders of the Neural Decoding Toolbox (Meyers 2013).

A .mat file per site contains raster_data (trial ms) of 0 and 1, and labels. Sites are recorded one
after the other, so trials of different sites with the same number were not simultaneous.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats.limits import refuse_many, short
from neurofit.data_loaders.formats.matlab import read_mat
from neurofit.data_loaders.formats.sidecar import Sidecar, read_sidecar, sidecar_path
from neurofit.errors import NeurofitError, fault, report
from neurofit.recordings.times import ONSET, onset_faults

WIDTH_MS = 10


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a folder contains raster files."""
    return path.is_dir() and any(path.glob("*raster_data.mat"))


def read_raster(
    path: Path, *, region: str | None = None, label: str | None = None, onset: int | None = None
) -> xr.DataArray:
    """Return spike counts (presentation neuroid time_bin) of a raster folder, in bins of 10 ms.

    Parameters
    ----------
    path
        Folder of raster files.
    region
        Area of all sites. Default: from recording.json in the folder.
    label
        Name of the stimulus in `raster_labels`. Default: "combined_ID_position", "stimulus_ID", or
        the first label.
    onset
        Sample of stimulus onset, counted from 1 as in MATLAB. Default: `alignment_event_time`.

    Raises
    ------
    NeurofitError
        If a file is not a raster file, or the area is missing.
    """
    sidecar = read_sidecar(path)
    region = region or sidecar.region
    if region is None:
        fault(
            f"Raster files do not state the recorded area. "
            f'Write {{"region": "IT"}} into {sidecar_path(path)}.'
        )
    sites, files = [], sorted(path.glob("*raster_data.mat"))
    refuse_many(path, len(files), what="raster files")
    for file in files:
        try:
            sites.append(_site(file, label, onset))
        except NeurofitError as error:
            fault(str(error))
    if not sites:
        raise NeurofitError(f"{path} has no readable raster file.")
    return _joined(sites, region or "", sidecar)


def _site(file: Path, label: str | None, onset: int | None) -> dict[str, Any]:
    try:
        names = ("raster_data", "raster_labels", "raster_site_info")
        raster, labels, info = map(read_mat(file).get, names)
        if not isinstance(raster, np.ndarray) or raster.dtype.kind not in "iuf":
            raise NeurofitError("raster_data is missing")
        if not isinstance(labels, dict):
            raise NeurofitError("raster_labels is missing")
        chosen = label or next(
            (n for n in ("combined_ID_position", "stimulus_ID", *labels) if n in labels), ""
        )
        if chosen not in labels:
            raise NeurofitError(f"raster_labels has {', '.join(labels)}, not {chosen}")
        shown = np.array([str(np.squeeze(each)) for each in np.ravel(labels[chosen][0])])
        if onset is None:
            if not isinstance(info, dict) or "alignment_event_time" not in info:
                raise NeurofitError("alignment_event_time, the stimulus onset, is missing")
            onset = int(np.squeeze(info["alignment_event_time"][0]))
    except (NeurofitError, OSError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise NeurofitError(
            f"{file} is not a raster file of the Neural Decoding Toolbox: {short(error)}."
        ) from error
    if raster.ndim != 2 or len(shown) != len(raster):
        raise NeurofitError(
            f"{file}: raster_data must be (trial, ms) with one label per trial; "
            f"got {raster.shape} and {len(shown)} labels."
        )
    at, begin, end = (np.array([float(each)]) for each in (onset, 1, raster.shape[1]))
    clock, name = "ms of the raster, counted from 1", "alignment_event_time"
    report(file, onset_faults(at, starts=begin, stops=end, name=name, clock=clock))
    first = (onset - 1) % WIDTH_MS  # so that a bin starts at the onset
    n_bins = (raster.shape[1] - first) // WIDTH_MS
    milliseconds = (
        raster[:, first : first + n_bins * WIDTH_MS]
        .reshape(len(raster), n_bins, WIDTH_MS)
        .astype(np.float64)
    )
    # only spikes are summed; fractions are averaged
    are_spikes = bool((milliseconds[np.isfinite(milliseconds)] % 1 == 0).all())
    values = milliseconds.sum(axis=2) if are_spikes else milliseconds.mean(axis=2)
    return {
        "name": file.stem,
        "shown": shown,
        "values": values.astype(np.float32),
        "start": first - (onset - 1),
        "are_spikes": are_spikes,
    }


def _joined(sites: list[dict[str, Any]], region: str, sidecar: Sidecar) -> xr.DataArray:
    """Align the trials of all sites by stimulus and trial number; missing trials are NaN."""
    if len({(site["start"], site["values"].shape[1]) for site in sites}) > 1:
        raise NeurofitError(
            "Raster files of one folder must cover the same time around stimulus onset."
        )
    of_spikes = [site["name"] for site in sites if site["are_spikes"]]
    if 0 < len(of_spikes) < len(sites):
        other = next(site["name"] for site in sites if not site["are_spikes"])
        raise NeurofitError(
            "Raster files of one folder must contain the same kind of data; "
            f"{of_spikes[0]} has spikes, {other} fractions."
        )
    stimuli = sorted({str(s) for site in sites for s in site["shown"]})
    most = {s: max(int((site["shown"] == s).sum()) for site in sites) for s in stimuli}
    rows = [(s, repetition) for s in stimuli for repetition in range(most[s])]
    begin = dict(
        zip(
            stimuli,
            np.concatenate([[0], np.cumsum([most[s] for s in stimuli])[:-1]]).tolist(),
            strict=True,
        )
    )
    n_bins = sites[0]["values"].shape[1]
    trials = np.full((len(rows), len(sites), n_bins), np.nan, dtype=np.float32)
    for number, site in enumerate(sites):
        for s in stimuli:
            mine = site["values"][site["shown"] == s]
            trials[begin[s] : begin[s] + len(mine), number] = mine
    starts = sites[0]["start"] + WIDTH_MS * np.arange(n_bins)
    coords: dict[str, Any] = {
        "stimulus_id": ("presentation", np.array([s for s, _ in rows])),
        "repetition": ("presentation", np.array([r for _, r in rows])),
        "neuroid_id": (
            "neuroid",
            np.array([site["name"].removesuffix("_raster_data") for site in sites]),
        ),
        "region": ("neuroid", np.full(len(sites), region)),
        "time_bin_start": ("time_bin", starts),
        "time_bin_end": ("time_bin", starts + WIDTH_MS),
    }
    if sidecar.subject is not None:
        coords["subject"] = ("neuroid", np.full(len(sites), sidecar.subject))
    units = "spikes per bin" if of_spikes else "mean of raster_data"
    return xr.DataArray(
        trials,
        dims=("presentation", "neuroid", "time_bin"),
        coords=coords,
        attrs={"units": units, ONSET: "alignment_event_time"},
    )

"""Read raster folders of the Neural Decoding Toolbox (Meyers 2013).

A .mat file per site contains raster_data (trial ms) of 0 and 1, and labels. Sites are recorded one
after the other, so trials of different sites with the same number were not simultaneous.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.coordinates import Session, join
from neurofit.data_loaders.formats.limits import refuse_many, short
from neurofit.data_loaders.formats.matlab import read_mat
from neurofit.data_loaders.formats.sidecar import Sidecar, sidecar_path
from neurofit.errors import NeurofitError, fault, report
from neurofit.recordings.identifiers import number_repetitions
from neurofit.recordings.time_bins import make_time_bins
from neurofit.recordings.times import ONSET, onset_faults

WIDTH_MS = 10

LABELS = ("combined_ID_position", "stimulus_ID")
"""Names in `raster_labels` of the stimulus of each trial; otherwise the first label."""


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a folder contains raster files."""
    return path.is_dir() and any(path.glob("*raster_data.mat"))


def read_raster(path: Path, sidecar: Sidecar) -> xr.DataArray:
    """Return spike counts (presentation neuroid time_bin) of a raster folder, in bins of 10 ms.

    Trials of all sites are aligned by stimulus and trial number; missing trials are NaN.

    Raises
    ------
    NeurofitError
        If a file is not a raster file, or the area is missing.
    """
    if sidecar.region is None:
        fault(
            f"Raster files do not state the recorded area. "
            f'Write {{"region": "IT"}} into {sidecar_path(path)}.'
        )
    sites: list[Session] = []
    starts: set[tuple[int, int]] = set()
    spikes: dict[bool, str] = {}  # whether a site has spikes -> its name
    files = sorted(path.glob("*raster_data.mat"))
    refuse_many(path, len(files), what="raster files")
    for file in files:
        try:
            values, trials, start, are_spikes = _site(file)
        except NeurofitError as error:
            fault(str(error))
            continue
        own = {"neuroid_id": file.stem.removesuffix("_raster_data"), "region": sidecar.region or ""}
        own |= {"subject": sidecar.subject} if sidecar.subject is not None else {}
        sites.append(Session(values[:, None], trials, pd.DataFrame([own])))
        starts.add((start, values.shape[1]))
        spikes.setdefault(are_spikes, file.stem)
    if not sites:
        raise NeurofitError(f"{path} has no readable raster file.")
    if len(starts) > 1:
        raise NeurofitError(
            "Raster files of one folder must cover the same time around stimulus onset."
        )
    if len(spikes) > 1:
        raise NeurofitError(
            "Raster files of one folder must contain the same kind of data; "
            f"{spikes[True]} has spikes, {spikes[False]} fractions."
        )
    ((start, n_bins),) = starts
    bins = make_time_bins(start, start + n_bins * WIDTH_MS, WIDTH_MS)
    units = "spikes per bin" if True in spikes else "mean of raster_data"
    return join(sites, ["stimulus_id", "repetition"], sort=True).responses(
        bins, units=units, **{ONSET: "alignment_event_time"}
    )


def _site(file: Path) -> tuple[np.ndarray, pd.DataFrame, int, bool]:
    """Return responses of a site (trial bin), its trials, the first bin, whether it has spikes."""
    try:
        names = ("raster_data", "raster_labels", "raster_site_info")
        raster, labels, info = map(read_mat(file).get, names)
        if not isinstance(raster, np.ndarray) or raster.dtype.kind not in "iuf":
            raise NeurofitError("raster_data is missing")
        if not isinstance(labels, dict) or not labels:
            raise NeurofitError("raster_labels is missing")
        label = next(name for name in (*LABELS, *labels) if name in labels)
        shown = np.array([str(np.squeeze(each)) for each in np.ravel(labels[label][0])])
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
    milliseconds = raster[:, first : first + n_bins * WIDTH_MS].astype(np.float64)
    milliseconds = milliseconds.reshape(len(raster), n_bins, WIDTH_MS)
    # only spikes are summed; fractions are averaged
    are_spikes = bool((milliseconds[np.isfinite(milliseconds)] % 1 == 0).all())
    values = milliseconds.sum(axis=2) if are_spikes else milliseconds.mean(axis=2)
    trials = pd.DataFrame({"stimulus_id": shown, "repetition": number_repetitions(shown)})
    return values.astype(np.float32), trials, first - (onset - 1), are_spikes

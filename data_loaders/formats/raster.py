"""Read raster folders of the Neural Decoding Toolbox (Meyers 2013).

A .mat file per site contains raster_data (trial ms) of 0 and 1, and labels. Sites are recorded one
after the other, so trials of different sites with the same number were not simultaneous.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.coordinates import Session, join
from neurofit.data_loaders.formats.limits import refuse_many, short
from neurofit.data_loaders.formats.matlab import read_mat
from neurofit.data_loaders.formats.sidecar import Sidecar, sidecar_path
from neurofit.errors import NeurofitError, fault, report
from neurofit.recordings.identifiers import MORE_PRECISE, as_texts, fixed_width, number_repetitions
from neurofit.recordings.time_bins import make_time_bins
from neurofit.recordings.times import ONSET, onset_faults

WIDTH_MS = 10

LABELS = ("combined_ID_position", "stimulus_ID", "stimulus_id", "stimID", *MORE_PRECISE)
"""Names in `raster_labels` of the stimulus of each trial; otherwise it is the only label."""


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
            values, trials, start, are_spikes = _site(file, sidecar.words)
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


def _label(labels: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """Return the name of the label that says which stimulus a trial showed."""
    given = [name for name, word in words.items() if word == "stimulus_id"]
    known = [name for name in (*given, *LABELS) if name in labels]
    if not known and len(labels) > 1:
        raise NeurofitError(
            f"its labels are {', '.join(labels)}; name that of the stimulus in recording.json, as "
            f'in {{"words": {{"{next(iter(labels))}": "stimulus_id"}}}}'
        )
    return (known or list(labels))[0]


def _site(file: Path, words: Mapping[str, str]) -> tuple[np.ndarray, pd.DataFrame, int, bool]:
    """Return responses of a site (trial bin), its trials, the first bin, whether it has spikes."""
    try:
        names = ("raster_data", "raster_labels", "raster_site_info")
        raster, labels, info = map(read_mat(file).get, names)
        if not isinstance(raster, np.ndarray) or raster.dtype.kind not in "iuf":
            raise NeurofitError("raster_data is missing")
        if not isinstance(labels, dict) or not labels:
            raise NeurofitError("raster_labels is missing")
        cells = np.ravel(labels[_label(labels, words)][0])
        ids = [np.squeeze(each)[()] if np.size(each) else "" for each in cells]
        shown = fixed_width(as_texts(ids), name="a label")
        if not isinstance(info, dict) or "alignment_event_time" not in info:
            raise NeurofitError("alignment_event_time, the stimulus onset, is missing")
        onset = float(np.squeeze(info["alignment_event_time"][0]))
        if onset % 1 != 0:
            raise NeurofitError(f"alignment_event_time is {onset:g}; it is a whole number of ms")
        onset = int(onset)
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

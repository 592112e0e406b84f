"""V4 responses to 640 images, one 100 ms bin: Cowley, Stan, Pillow & Smith (2023), "Compact deep neural network models of visual cortex".

The source states neither the pictures' visual degrees nor how long they were shown; 8 degrees and 100 ms, as in the HvM experiments the
pictures come from, are taken.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assemblies import Recording
from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.download import RemoteFile, fetch_file
from neurofit.errors import NeurofitError
from neurofit.stimuli import ImageZip, StimulusSet

SOURCE = "https://raw.githubusercontent.com/cowleygroup/V4_compact_models/f4552ad9d34a466ebc66658f72a08a8e5038f1cf/data_V4_responses"
RESPONSES = RemoteFile(
    name="responses_210325.npy",
    url=f"{SOURCE}/responses_raw/responses_210325.npy",
    sha256="4008dbbf31a47d9b1b8d8da609f4a7a3433c7071f0e45c611c220b217dd75b76",
)
IMAGES = RemoteFile(
    name="images_210325.zip",
    url=f"{SOURCE}/images/images_210325.zip",
    sha256="992774eca3508a2ad01accb1a31f5f3e3d90248c49f4eec314f2a915a263e454",
)
CATEGORIES = ("bear", "elephant", "face", "car", "dog", "apple", "chair", "plane")
"""Eight blocks of 80 images, in this order."""


@register_recording(regions=("V4",), citation="Cowley, Stan, Pillow & Smith (2023)")
def cowley2023(progress: Progress | None = None) -> Recording:
    """50 V4 sites, 640 HvM images, 6 to 10 repetitions, spike counts in one bin of 50-150 ms."""
    if progress:
        progress("fetching cowley2023", 0, 2)
    responses_path = fetch_file(RESPONSES, dataset="cowley2023")
    if progress:
        progress("fetching cowley2023", 1, 2)
    images_path = fetch_file(IMAGES, dataset="cowley2023")
    if progress:
        progress("fetching cowley2023", 2, 2)
    responses = np.load(responses_path, allow_pickle=False)
    stimuli = _stimuli(ImageZip(images_path, [f"image{number:04d}.jpg" for number in range(1, responses.shape[1] + 1)]))
    return Recording(
        name="cowley2023",
        responses=arrange(responses, stimuli),
        stimuli=stimuli,
        sha256=hashlib.sha256(f"{RESPONSES.sha256} {IMAGES.sha256}".encode()).hexdigest(),
        citation="Cowley, Stan, Pillow & Smith (2023), Compact deep neural network models of visual cortex",
    )


def arrange(responses: np.ndarray, stimuli: StimulusSet) -> xr.DataArray:
    """Bring the published array into the recording's form; trials that are NaN stay missing.

    Parameters
    ----------
    responses
        Spike counts (neuroid stimulus repetition), NaN where a trial is missing.
    stimuli
        The 640 pictures, in the order of the array.

    Raises
    ------
    NeurofitError
        If the array is not of that form.
    """
    if responses.ndim != 3 or responses.shape[1] != len(stimuli):
        raise NeurofitError(f"{RESPONSES.name} must be (neuroid, {len(stimuli)} stimuli, repetition); got {responses.shape}.")
    n_neuroids, n_stimuli, n_repetitions = responses.shape
    trials = responses.transpose(1, 2, 0).reshape(n_stimuli * n_repetitions, n_neuroids, 1)
    shown = ~np.isnan(trials).all(axis=(1, 2))  # a repetition that no site has was never shown
    table = stimuli.table
    return xr.DataArray(
        trials[shown].astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", np.repeat(table.stimulus_id.to_numpy(), n_repetitions)[shown]),
            "object_name": ("presentation", np.repeat(table.object_name.to_numpy(), n_repetitions)[shown]),
            "repetition": ("presentation", np.tile(np.arange(n_repetitions), n_stimuli)[shown]),
            "neuroid_id": ("neuroid", [f"cowley2023-210325-{site:02d}" for site in range(n_neuroids)]),
            "region": ("neuroid", ["V4"] * n_neuroids),
            "time_bin_start": ("time_bin", [50]),
            "time_bin_end": ("time_bin", [150]),
        },
        attrs={"units": "spikes per bin"},
    )


def _stimuli(images: ImageZip) -> StimulusSet:
    names = np.repeat(CATEGORIES, len(images) // len(CATEGORIES))
    table = pd.DataFrame({"stimulus_id": [name.removesuffix(".jpg") for name in images.names], "object_name": names, "category": names})
    return StimulusSet(name="cowley2023-210325", table=table, images=images, visual_degrees=8.0, duration_ms=100.0)

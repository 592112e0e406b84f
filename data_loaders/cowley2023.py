"""V4 responses to natural images in one 100 ms bin: Cowley, Stan, Pillow & Smith (2023).

"Compact deep neural network models of visual cortex": 50 sessions of 400 to 3,000 images in three
animals. `cowley2023` is session 210325 (HvM images), the others are `cowley2023-SESSION`.

The source gives neither the visual degrees of the images nor their duration. All sessions use
8 degrees and 100 ms, as in the HvM experiments that the images of 210325 come from. The source does
not state the time bin either; 50-150 ms is taken from the article. Five sessions are published
without images and support ceilings only.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import ImageZip, NoImages, StimulusSet
from neurofit.storage.download import RemoteFile, fetch_file

SOURCE = (
    "https://raw.githubusercontent.com/cowleygroup/V4_compact_models/"
    "f4552ad9d34a466ebc66658f72a08a8e5038f1cf/data_V4_responses"
)
CITATION = (
    "Cowley, Stan, Pillow & Smith (2023), Compact deep neural network models of visual cortex"
)
HVM = "210325"
"""Session registered as `cowley2023`."""

SHA256 = {
    "responses_210325.npy": "4008dbbf31a47d9b1b8d8da609f4a7a3433c7071f0e45c611c220b217dd75b76",
    "images_210325.zip": "992774eca3508a2ad01accb1a31f5f3e3d90248c49f4eec314f2a915a263e454",
}
CATEGORIES = ("bear", "elephant", "face", "car", "dog", "apple", "chair", "plane")
"""Categories of session 210325: eight blocks of 80 images, in this order."""

VERIFIED = ("201016", HVM)
"""Sessions whose loader was run on the original files. Trial means equal those of the source
(201016) and of an independent copy (210325)."""


class Session(TypedDict):
    """Animal, size and git blobs of the files of a session; `images` is None if it has none."""

    subject: str
    neuroids: int
    stimuli: int
    responses: str
    images: str | None


SESSIONS: dict[str, Session] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
)


@register_recording(regions=("V4",), citation="Cowley, Stan, Pillow & Smith (2023)")
def cowley2023(progress: Progress | None = None) -> Recording:
    """50 V4 sites, 640 HvM images, 6 to 10 repetitions, spike counts in one bin of 50-150 ms."""
    return _load(HVM, "cowley2023", progress)


def _register(session: str, facts: Session) -> None:
    name = f"cowley2023-{session}"

    def load(progress: Progress | None = None) -> Recording:
        return _load(session, name, progress)

    images = "images" if facts["images"] else "images (not published: ceilings only)"
    load.__doc__ = (
        f"{facts['neuroids']} V4 sites of animal {facts['subject']}, "
        f"{facts['stimuli']} {images}; one bin of 50-150 ms."
    )
    register_recording(
        name=name,
        regions=("V4",),
        citation="Cowley, Stan, Pillow & Smith (2023)",
        verified=session in VERIFIED,
        variant_of="cowley2023",
        supports="score" if facts["images"] else "ceiling",
    )(load)


for _session, _facts in SESSIONS.items():
    if _session != HVM:
        _register(_session, _facts)


def _load(session: str, name: str, progress: Progress | None) -> Recording:
    facts = SESSIONS[session]
    files = [_file("responses_raw", f"responses_{session}.npy", facts["responses"])]
    if facts["images"]:
        files.append(_file("images", f"images_{session}.zip", facts["images"]))
    paths = []
    for number, file in enumerate(files):
        if progress:
            progress(f"fetching {name}", number, len(files))
        paths.append(fetch_file(file, dataset=name))
    if progress:
        progress(f"fetching {name}", len(files), len(files))
    responses = np.load(paths[0], allow_pickle=False)
    images = image_zip(paths[1]) if facts["images"] else NoImages(responses.shape[1], name)
    stimuli = _stimuli(session, images)
    return Recording(
        name=name,
        responses=arrange(responses, stimuli, session=session),
        stimuli=stimuli,
        sha256=hashlib.sha256(" ".join(file.fingerprint for file in files).encode()).hexdigest(),
        citation=CITATION,
    )


def _file(folder: str, name: str, git_blob: str) -> RemoteFile:
    return RemoteFile(name, f"{SOURCE}/{folder}/{name}", SHA256.get(name), git_blob=git_blob)


def image_zip(path: Path) -> ImageZip:
    """Return the images of a session in the order of its responses: image0001.jpg, ...

    Raises
    ------
    NeurofitError
        If the file is not a zip archive, or a number is missing or occurs twice.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [
                (int(match[1]), name)
                for name in archive.namelist()
                if (match := re.search(r"(?:^|/)image(\d+)\.jpg$", name))
            ]
    except (OSError, zipfile.BadZipFile) as error:
        raise NeurofitError(f"Cannot read {path} as a zip archive of stimuli: {error}.") from error
    found.sort()
    wrong = [expected for expected, (number, _) in enumerate(found, start=1) if number != expected]
    if wrong or not found:
        raise NeurofitError(
            f"{path} must contain image0001.jpg, image0002.jpg, ... once each; "
            f"it has {len(found)} images and lacks number {(wrong or [1])[0]}."
        )
    return ImageZip(path, [name for _, name in found])


def arrange(responses: np.ndarray, stimuli: StimulusSet, *, session: str = HVM) -> xr.DataArray:
    """Convert the published array to responses (presentation neuroid time_bin).

    Parameters
    ----------
    responses
        Spike counts (neuroid stimulus repetition). Missing trials are NaN and stay NaN.
    stimuli
        Stimulus set, in the order of the array.
    session
        Name of the session in the source.

    Raises
    ------
    NeurofitError
        If the array does not have this shape.
    """
    if responses.ndim != 3 or responses.shape[1] != len(stimuli):
        raise NeurofitError(
            f"responses_{session}.npy must be (neuroid, {len(stimuli)} stimuli, repetition); "
            f"got {responses.shape}."
        )
    n_neuroids, n_stimuli, n_repetitions = responses.shape
    trials = responses.transpose(1, 2, 0).reshape(n_stimuli * n_repetitions, n_neuroids, 1)
    shown = ~np.isnan(trials).all(axis=(1, 2))  # a trial missing at every site was never shown
    known = {
        name: ("presentation", np.repeat(stimuli.table[name].to_numpy(), n_repetitions)[shown])
        for name in ("stimulus_id", "object_name")
        if name in stimuli.table
    }
    return xr.DataArray(
        trials[shown].astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            **known,
            "repetition": ("presentation", np.tile(np.arange(n_repetitions), n_stimuli)[shown]),
            "neuroid_id": (
                "neuroid",
                [f"cowley2023-{session}-{site:02d}" for site in range(n_neuroids)],
            ),
            "region": ("neuroid", ["V4"] * n_neuroids),
            "subject": ("neuroid", [SESSIONS[session]["subject"]] * n_neuroids),
            "time_bin_start": ("time_bin", [50]),
            "time_bin_end": ("time_bin", [150]),
        },
        attrs={"units": "spikes per bin"},
    )


def _stimuli(session: str, images: ImageZip | NoImages) -> StimulusSet:
    table = pd.DataFrame(
        {"stimulus_id": [f"image{number:04d}" for number in range(1, len(images) + 1)]}
    )
    if session == HVM:
        names = np.repeat(CATEGORIES, len(images) // len(CATEGORIES))
        table = table.assign(object_name=names, category=names)
    return StimulusSet(
        name=f"cowley2023-{session}",
        table=table,
        images=images,
        visual_degrees=8.0,
        duration_ms=100.0,
    )

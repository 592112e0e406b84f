"""IT responses over time: Zhang, Meyers, Bichot, Serre, Poggio & Desimone (2011), PNAS 108(21).

132 units recorded one after the other; 7 objects at 3 positions, about 20 trials each. Spikes from
500 ms before to 500 ms after onset are counted in 10 ms bins. Trials that a unit lacks are NaN. The
images were not published, so the recording supports ceilings only.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from neurofit.data_loaders.formats.raster import read_raster
from neurofit.data_loaders.formats.sidecar import Sidecar
from neurofit.data_loaders.formats.stimuli import as_recording
from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.recordings.recording import Recording
from neurofit.storage.download import RemoteFile, fetch_file

SOURCE = (
    "https://raw.githubusercontent.com/emeyers/NeuroDecodeR/"
    "826e2119a69d7879c3f58c75854272324dead2a7/"
    "data-raw/raster/Zhang_Desimone_7object_raster_data_mat"
)
SHA256: dict[str, str] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""File name -> sha256."""


@register_recording(
    regions=("IT",),
    citation="Zhang, Meyers, Bichot, Serre, Poggio & Desimone (2011), PNAS 108(21)",
    supports="ceiling",
)
def zhang2011(progress: Progress | None = None) -> Recording:
    """132 IT units, 21 conditions, 20 repetitions, 100 bins of 10 ms; no images, ceilings only."""
    folder = Path()
    for number, (name, sha256) in enumerate(SHA256.items()):
        folder = fetch_file(
            RemoteFile(name, f"{SOURCE}/{name}", sha256), dataset="zhang2011"
        ).parent
        if progress:
            progress("fetching zhang2011", number + 1, len(SHA256))
    sidecar = Sidecar(region="IT")
    responses = read_raster(folder, sidecar)
    objects = [str(stimulus).partition("_")[0] for stimulus in responses.stimulus_id.values]
    responses = responses.assign_coords(object_name=("presentation", objects))
    metadata = {
        "identifier": "zhang2011",
        "citation": "Zhang, Meyers, Bichot, Serre, Poggio & Desimone (2011), Object decoding with "
        "attention in inferior temporal cortex",
    }
    sha256 = hashlib.sha256(" ".join(SHA256.values()).encode()).hexdigest()
    return as_recording(folder, responses, metadata, sidecar, sha256=sha256)

"""V1, V4 and IT responses to THINGS images: Papale, Wang, Self & Roelfsema (2025).

The test images of the TVSD as Brain-Score packages them: 2,048 electrodes of two animals,
100 images, 30 repetitions, multi-unit activity in one bin of 70-170 ms, normalised per electrode.
`--min-reliability` excludes electrodes without a visual response. The 22,248 training images were
shown once each; noise correction needs a second repetition, so they are not registered.

The images are not public; without them the recording supports ceilings only. If you have
Brain-Score's two stimulus files, put them into NEUROFIT_MIRROR/THINGS_TVSD_test_Stimuli. The images
are 17.3 degrees wide for one animal and 18.6 for the other; 18 is used, as in Brain-Score.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurofit.data_loaders import brainscore_files
from neurofit.data_loaders.formats.netcdf import read_netcdf
from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.recordings.recording import Recording
from neurofit.storage.download import find_in_mirror

CITATION = (
    "Papale, Wang, Self & Roelfsema (2025), An extensive dataset of spiking activity to reveal the "
    "syntax of the ventral stream, Neuron 113"
)
FOLDER = "brainscore-vision/benchmarks/Papale2025"
TEST = brainscore_files.assembly_file(
    "THINGS_TVSD_test_Assembly",
    sha1="685025f67e90006e775ac153e8e0007e35b62bbc",
    version="XK0CVCAzfHNOrKgmNrLqFfwvs_gSWKb.",
    folder=FOLDER,
)
THINGS = brainscore_files.stimulus_files(
    "THINGS_TVSD_test_Stimuli",
    sha1s=("b08c1c560f008cf3fb2982c22c881ea8ffce0410", "dfd6e8769414505afbf51de3ab207cb7a3cf49d6"),
    versions=("gEGUgT7PJB8z3roRkTiJ6zriSuehd2DI", "AGNDfuS5nyIjTuXrM4hWFze.sWM9py2Z"),
    folder=FOLDER,
    visual_degrees=18.0,
    duration_ms=200.0,
)


@register_recording(
    regions=("V1", "V4", "IT"),
    citation="Papale, Wang, Self & Roelfsema (2025)",
    verified=False,
    supports="ceiling",
    download_hint="neurofit data get papale2025 downloads the responses; the images are not "
    "public: to score, put Brain-Score's two stimulus files into "
    f"NEUROFIT_MIRROR/{THINGS.name} first",
)
def papale2025(progress: Progress | None = None) -> Recording:
    """2,048 V1, V4 and IT electrodes, 100 THINGS images (not public), 30 repetitions, 70-170 ms."""
    files = [(TEST, "papale2025")]
    if find_in_mirror(THINGS.table.name, dataset=THINGS.name):
        files += [(THINGS.table, THINGS.name), (THINGS.archive, THINGS.name)]
    path, *table = brainscore_files.fetch(files, name="papale2025", progress=progress)
    recording = read_netcdf(
        path,
        images=table[0] if table else None,
        name="papale2025",
        sha256=brainscore_files.sha256_of(files),
    )
    return brainscore_files.with_metadata(
        _with_unique_ids(recording), THINGS, citation=CITATION, units="normalised rate"
    )


def _with_unique_ids(recording: Recording) -> Recording:
    """Prefix neuroid ids with the subject: the file counts the electrodes of each animal from 0."""
    responses = recording.responses
    ids = [
        f"{subject}-{number}"
        for subject, number in zip(
            responses.subject.values, responses.neuroid_id.values, strict=True
        )
    ]
    return replace(
        recording, responses=responses.assign_coords(neuroid_id=("neuroid", np.array(ids)))
    )

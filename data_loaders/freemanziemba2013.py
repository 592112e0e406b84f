"""V1 and V2 responses over time to textures and noise: Freeman, Ziemba, Heeger et al. (2013).

The public part of the data set in Brain-Score: 102 V1 and 103 V2 units, 135 of the 450 images
(4 degrees, in an aperture), 20 repetitions, 300 bins of 1 ms from onset. Few bins of 1 ms contain
a spike; `--bins 50:200:10` sums them. `--stimuli texture_type=texture` selects the textures.
"""

from __future__ import annotations

from neurofit.data_loaders import brainscore_files
from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.recordings.recording import Recording

CITATION = (
    "Freeman, Ziemba, Heeger, Simoncelli & Movshon (2013), A functional and perceptual signature "
    "of the second visual area in primates, Nature Neuroscience 16(7)"
)
PUBLIC = brainscore_files.assembly_file(
    "movshon.FreemanZiemba2013.public",
    sha1="761c08f796db4e342555cdb60eef23a4f19ead43",
    version="W2vx7jdh9utZdVumHHarXa4L1zOrA8Fd",
)
TEXTURES = brainscore_files.stimulus_files(
    "FreemanZiemba2013.aperture-public",
    sha1s=("194c9b301a4e3e9cff02481d4c19b39331d52660", "3a6fec1fc28c212882d6833e267ea8654d289611"),
    visual_degrees=4.0,
    duration_ms=100.0,
)


@register_recording(
    regions=("V1", "V2"),
    citation="Freeman, Ziemba, Heeger, Simoncelli & Movshon (2013)",
    verified=False,
    options="--bins 50:200:10 --layers all",  # models assign layers to V4 and IT only
)
def freemanziemba2013(progress: Progress | None = None) -> Recording:
    """102 V1 and 103 V2 units, 135 textures and noises, 20 repetitions, 300 bins of 1 ms."""
    return brainscore_files.load(
        "freemanziemba2013",
        PUBLIC,
        TEXTURES,
        citation=CITATION,
        units="spikes per bin",
        progress=progress,
    )

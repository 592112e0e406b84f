"""V4 and IT responses over time to HvM images: Majaj, Hong, Solomon & DiCarlo (2015).

The data set as Brain-Score publishes it (variations 0 and 3): 88 V4 and 168 IT sites (`subregion`:
pIT, cIT, aIT) of two animals, 3,200 images of 64 objects, about 46 repetitions. The responses are
rates normalised per site, so they may be negative.

The 39 time bins are windows of 20 ms that begin every 10 ms, from -100 to 300 ms, so that
neighbouring bins share half of their spikes. `--bins 70:250:20` selects every second one, which
share none. `majajhong2015-static` has one bin of 70-170 ms.

`--stimuli variation=3` selects the images with varied position, size, pose and background;
`--subregion aIT` selects part of IT.
"""

from __future__ import annotations

from neurofit.data_loaders import brainscore_files
from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.recordings.recording import Recording

CITATION = (
    "Majaj, Hong, Solomon & DiCarlo (2015), Simple learned weighted sums of inferior temporal "
    "neuronal firing rates accurately predict human core object recognition performance, "
    "Journal of Neuroscience 35(39)"
)
TEMPORAL = brainscore_files.assembly_file(
    "dicarlo.MajajHong2015.temporal.public", sha1="093ac35b3e8464c676d24cf38238415d4d6a9448"
)
STATIC = brainscore_files.assembly_file(
    "dicarlo.MajajHong2015.public", sha1="13d28ca0ce88ee550b54db3004374ae19096e9b9"
)
HVM = brainscore_files.stimulus_files(
    "hvm-public",
    sha1s=("5ca7a3da00d8e9c694a9cd725df5ba0ad6d735af", "8aa44e038d7b551efa8077467622f9d48d72e473"),
    visual_degrees=8.0,
    duration_ms=100.0,
)


@register_recording(
    regions=("V4", "IT"),
    citation="Majaj, Hong, Solomon & DiCarlo (2015)",
    verified=False,
    options="--bins 70:250:20",
)
def majajhong2015(progress: Progress | None = None) -> Recording:
    """88 V4 and 168 IT sites, 3,200 HvM images, about 46 repetitions, 39 overlapping 20 ms bins."""
    return brainscore_files.load(
        "majajhong2015",
        TEMPORAL,
        HVM,
        citation=CITATION,
        units="normalised rate",
        progress=progress,
    )


@register_recording(
    name="majajhong2015-static",
    regions=("V4", "IT"),
    citation="Majaj, Hong, Solomon & DiCarlo (2015)",
    verified=False,
)
def majajhong2015_static(progress: Progress | None = None) -> Recording:
    """88 V4 and 168 IT sites, 3,200 HvM images, about 46 repetitions, one bin of 70-170 ms."""
    return brainscore_files.load(
        "majajhong2015-static",
        STATIC,
        HVM,
        citation=CITATION,
        units="normalised rate",
        progress=progress,
    )

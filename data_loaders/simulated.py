"""Built-in recording hvm-sim: simulated V4 and IT sites with known truth."""

from __future__ import annotations

from neurofit.data_loaders.recordings import Progress, register_recording
from neurofit.recordings.recording import Recording


@register_recording(
    name="hvm-sim",
    regions=("V4", "IT"),
    simulated=True,
    citation="neurofit, simulated",
    download_hint="neurofit data get hvm-sim builds it once; nothing is downloaded",
)
def hvm_sim(progress: Progress | None = None) -> Recording:
    """88 simulated V4 and 168 IT sites, 640 images, 20 to 40 repetitions, 0-260 ms; version 3.

    Unlike version 2, it has the same bits on every machine.
    """
    from neurofit.data_loaders.hvm_sim import load_or_build

    return load_or_build(progress)

"""hvm-sim, the embedded recording: simulated V4 and IT with known truth (see `neurofit.data_loaders.hvm_sim`)."""

from __future__ import annotations

from neurofit.assemblies import Recording
from neurofit.data_loaders.recordings import Progress, register_recording


@register_recording(
    name="hvm-sim",
    regions=("V4", "IT"),
    simulated=True,
    citation="neurofit, simulated",
    bring="neurofit data get hvm-sim builds it, once; nothing is downloaded",
)
def hvm_sim(progress: Progress | None = None) -> Recording:
    """88 simulated V4 and 168 IT sites, 640 rendered images, 20 to 40 repetitions, 26 bins of 10 ms from 0 to 260 ms."""
    from neurofit.data_loaders.hvm_sim import load_or_build

    return load_or_build(progress)

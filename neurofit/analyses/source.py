"""The recorded area that predicts, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neurofit.analyses.inputs import find_recording
from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError

if TYPE_CHECKING:
    from neurofit.analyses.run import RunConfig
    from neurofit.recordings.recording import Recording


def find_source(
    config: RunConfig, whole: Recording, *, progress: Progress | None = None
) -> Recording | None:
    """Return the area that predicts: one of the same recording, or RECORDING:AREA.

    None for an analysis without a source.

    It has the selection of the recording, but for the area; animals are selected alike.

    Raises
    ------
    NeurofitError
        If no source is named, or there is no such recording or area.
    """
    if not hasattr(config.analysis, "source"):
        return None
    name, _, area = config.analysis.source.rpartition(":")
    if not area:
        raise NeurofitError(
            f"Name the area that predicts: source is AREA or RECORDING:AREA; {whole.name} has "
            f"{', '.join(whole.regions)}.",
            option="source",
        )
    same = name in ("", str(config.recording), whole.name)
    found = whole if same else find_recording(replace(config, recording=name), progress=progress)
    return replace(config.selection, region=area, subregion=None).apply(found)

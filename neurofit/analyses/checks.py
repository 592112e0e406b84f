"""What is refused before anything is computed: the model of a run, and what its recording lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurofit.analyses.inputs import BRAINSCORE, source_options
from neurofit.recordings.requirements import with_requirements

if TYPE_CHECKING:
    from neurofit.analyses.run import RunConfig
    from neurofit.recordings.recording import Recording


def check_model(config: RunConfig) -> None:
    """Refuse a model that does not exist or has no weights, before a recording is read.

    Networks of sources and of Brain-Score are checked when they are built.

    Raises
    ------
    NeurofitError
        If the name, the duration of a timestep or the file of weights is wrong.
    """
    from neurofit.models import find_name, find_weights, model_info

    name = str(config.model)
    if not name.startswith(BRAINSCORE):
        source_options(name, "auto", config.ms_per_timestep)
        if find_name(name) is None:
            find_weights(model_info(name), config.weights)


def check_recording(config: RunConfig, recording: Recording) -> Recording:
    """Return the recording of a run of a model, with the width of its images.

    Raises
    ------
    NeurofitError
        If it has no images, or neither it nor the configuration states their width or stimulus
        onset.
    """
    degrees, start = config.visual_degrees, config.trial_start
    return with_requirements(recording, visual_degrees=degrees, trial_start=start)

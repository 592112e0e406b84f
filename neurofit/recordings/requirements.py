"""What a recording has to state before a model can see its images as the animal did."""

from __future__ import annotations

from dataclasses import replace

from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.times import ASSUMED


def find_lacking(
    recording: Recording, *, visual_degrees: float | None = None, trial_start: bool = False
) -> list[NeurofitError]:
    """Return an error for each thing that is not stated.

    Parameters
    ----------
    recording
        Recording.
    visual_degrees
        Width of its images in degrees of visual angle, if it is confirmed.
    trial_start
        Whether it is confirmed that trials start at stimulus onset.
    """
    name, stimuli = recording.name, recording.stimuli
    lacking = []
    if isinstance(stimuli.images, NoImages):
        lacking.append(NeurofitError(str(stimuli.images)))
    if ASSUMED in recording.onset and not trial_start:
        lacking.append(
            NeurofitError(
                f"{name} does not state when in a trial the stimulus came on. Name the column of "
                'onsets in NAME.json beside it, as in {"words": {"image_on": "onset"}}, or '
                "confirm by trial_start that it was at the start of the trial.",
                option="trial_start",
            )
        )
    if "visual_degrees" in stimuli.assumed and visual_degrees is None:
        lacking.append(
            NeurofitError(
                f"{name} does not state how wide its images were shown, and a model sees them at "
                f"that width. Give visual_degrees ({stimuli.visual_degrees:g} is what describe "
                "and check assume), or write it into NAME.json beside the recording: "
                f'{{"visual_degrees": {stimuli.visual_degrees:g}}}.',
                option="visual_degrees",
            )
        )
    return lacking


def with_requirements(
    recording: Recording, *, visual_degrees: float | None = None, trial_start: bool = False
) -> Recording:
    """Return the recording with the confirmed width of its images.

    Raises
    ------
    NeurofitError
        If something is lacking (all of it, as in `find_lacking`), or the recording states a width
        other than the given one.
    """
    lacking = find_lacking(recording, visual_degrees=visual_degrees, trial_start=trial_start)
    if lacking:
        messages = [str(each) for each in lacking]
        options = tuple(name for each in lacking for name in each.options)
        raise NeurofitError("\n".join(messages), faults=messages, option=options)
    stimuli = recording.stimuli
    if "visual_degrees" in stimuli.assumed and visual_degrees is not None:
        known = tuple(name for name in stimuli.assumed if name != "visual_degrees")
        shown = replace(stimuli, visual_degrees=visual_degrees, assumed=known)
        return replace(recording, stimuli=shown)
    if visual_degrees not in (None, stimuli.visual_degrees):
        raise NeurofitError(
            f"visual_degrees is for a recording that does not state it; {recording.name} states "
            f"{stimuli.visual_degrees:g} degrees.",
            option="visual_degrees",
        )
    return recording

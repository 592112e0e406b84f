"""The list of registered recordings, and loading one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neurofit.assemblies import Recording, validate_structure
from neurofit.registry import Registry

Progress = Callable[[str, int, int], None]
Loader = Callable[[Progress | None], Recording]


@dataclass(frozen=True, kw_only=True)
class RecordingInfo:
    """What is known of a registered recording without loading it."""

    name: str
    load: Loader
    summary: str
    regions: tuple[str, ...]
    simulated: bool
    citation: str


RECORDINGS: Registry[RecordingInfo] = Registry("recording")


def register_recording(
    *, regions: tuple[str, ...], citation: str, simulated: bool = False, name: str | None = None
) -> Callable[[Loader], Loader]:
    """Register a function `(progress) -> Recording` under its own name (or `name`); the first line of its docstring is the summary.

    Parameters
    ----------
    regions
        Areas recorded from.
    citation
        Where it was published.
    simulated
        Whether a program made the responses.
    name
        Where the recording's name is no Python name.
    """

    def decorate(load: Loader) -> Loader:
        key = name or load.__name__
        summary = (load.__doc__ or "").strip().partition("\n")[0]
        info = RecordingInfo(name=key, load=load, summary=summary, regions=regions, simulated=simulated, citation=citation)
        RECORDINGS.register(key)(info)
        return load

    return decorate


def list_recordings() -> list[str]:
    """Return the names of the registered recordings."""
    return list(RECORDINGS)


def describe_recording(name: str) -> RecordingInfo:
    """Return what is known of a recording without loading it; an unknown name is refused with the nearest."""
    return RECORDINGS[name]


def load_recording(
    name: str, *, region: str | None = None, window: tuple[int, int] | None = None, progress: Progress | None = None
) -> Recording:
    """Return a registered recording; its files are built or downloaded on the first call, its responses read when used.

    Parameters
    ----------
    name
        Registered name, see `list_recordings`.
    region, window
        Keep one area, and the bins inside (start, end) ms.
    progress
        Called with (what is being done, done, in all).

    Raises
    ------
    NeurofitError
        Unknown name or region; a file that is not the published one; faults of the recording.
    MachineError
        A download that fails, a full disk.
    """
    recording = RECORDINGS[name].load(progress)
    validate_structure(recording)
    return recording.select(region=region, window=window)

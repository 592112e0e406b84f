"""Registry of recordings, and loading one by name or from a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neurofit.config.registry import Registry
from neurofit.data_loaders.formats import open_recording
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.identifiers import alike_notes
from neurofit.recordings.recording import Recording, identifiers_of
from neurofit.recordings.validation import validate_structure

Progress = Callable[[str, int, int], None]
Loader = Callable[[Progress | None], Recording]


@dataclass(frozen=True, kw_only=True)
class RecordingInfo:
    """Description of a registered recording, available without loading it.

    Parameters
    ----------
    name, load, summary
        Registered name, its function, and the first line of the function's docstring.
    regions, simulated, citation, verified, variant_of, supports, download_hint, options
        See `register_recording`.
    """

    name: str
    load: Loader
    summary: str
    regions: tuple[str, ...]
    simulated: bool
    citation: str
    verified: bool = True
    variant_of: str = ""
    supports: str = "score"
    download_hint: str
    options: str = ""

    @property
    def caution(self) -> str:
        """Caution about the loader; empty if there is none."""
        return "" if self.verified else "not verified against the original file"


RECORDINGS: Registry[RecordingInfo] = Registry("recording")


def register_recording(
    *,
    regions: tuple[str, ...],
    citation: str,
    simulated: bool = False,
    name: str | None = None,
    verified: bool = True,
    variant_of: str = "",
    supports: str = "score",
    download_hint: str = "",
    options: str = "",
) -> Callable[[Loader], Loader]:
    """Return a decorator that registers a function as the recording of its name.

    Parameters
    ----------
    regions
        Recorded areas.
    citation
        Publication.
    simulated
        Whether the responses are simulated.
    name
        Name of the recording; default: the name of the function.
    verified
        Whether the loader was run on the original files.
    variant_of
        Recording of which this is another session or version; listings show only that one.
    supports
        "score"; "ceiling" for a recording without images; "table" for one without responses.
    download_hint
        How to get the files; default: `neurofit data get NAME`.
    options
        Command line options recommended for a first score or ceiling.

    Returns
    -------
    Callable
        Decorator of a function `(progress) -> Recording`, whose docstring begins with the summary
        of the recording.

    Raises
    ------
    NeurofitError
        If the name is already registered.

    Examples
    --------
    >>> import neurofit
    >>> @neurofit.register_recording(regions=("V4",), citation="Me (2026)", simulated=True)
    ... def late_v4(progress=None):
    ...     '''The last bins of simulated V4.'''
    ...     return neurofit.load_recording("hvm-sim", region="V4", window=(200, 260))
    >>> neurofit.load_recording("late_v4").regions
    ('V4',)
    """

    def decorate(load: Loader) -> Loader:
        key = name or load.__name__
        summary = (load.__doc__ or "").strip().partition("\n")[0]
        info = RecordingInfo(
            name=key,
            load=load,
            summary=summary,
            regions=regions,
            simulated=simulated,
            citation=citation,
            verified=verified,
            variant_of=variant_of,
            supports=supports,
            download_hint=download_hint or f"neurofit data get {key}",
            options=options,
        )
        RECORDINGS.register(key)(info)
        return load

    return decorate


def list_recordings() -> list[str]:
    """Return the names of the registered recordings.

    Returns
    -------
    list of str
        Names in alphabetical order, which `load_recording` takes.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.list_recordings()
    [..., 'hvm-sim', ...]
    """
    return list(RECORDINGS)


def describe_recording(name: str) -> RecordingInfo:
    """Return the description of a recording without loading it.

    Parameters
    ----------
    name
        Registered name, see `list_recordings`.

    Returns
    -------
    RecordingInfo
        Attributes `name` and `summary`, and those that `register_recording` takes, such as
        `regions`, `simulated` and `citation`.

    Raises
    ------
    NeurofitError
        If the name is unknown; the message gives the nearest one.

    Examples
    --------
    >>> from neurofit.data_loaders import describe_recording
    >>> described = describe_recording("hvm-sim")
    >>> described.regions, described.simulated
    (('V4', 'IT'), True)
    """
    return RECORDINGS[name]


def is_path(name: str | Path) -> bool:
    """Return whether a name is a path: not a registered name, and an existing or path-like one."""
    path = Path(name)
    return isinstance(name, Path) or (
        name not in RECORDINGS and (path.exists() or path.suffix != "" or len(path.parts) > 1)
    )


def load_recording(
    name: str | Path,
    *,
    region: str | None = None,
    window: tuple[int, int] | None = None,
    images: str | Path | None = None,
    time_bin: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Load a recording by name or from a file.

    A registered recording is built or downloaded on the first call. Responses are read lazily.

    Parameters
    ----------
    name
        Registered name (see `list_recordings`), or path of a file or folder (see
        `neurofit.data_loaders.formats`).
    region, window
        Area to select, and (start, end) in ms of the time bins to select.
    images
        Stimulus images for a recording given as a path: a table (.csv), zip archive or folder.
        Default: those found beside it.
    time_bin
        (start, end) in ms from onset of the only time bin of a file that does not state it.
    progress
        Function called with (current step, steps done, total steps).

    Returns
    -------
    Recording
        Responses (presentation neuroid time_bin) and stimuli.

    Raises
    ------
    NeurofitError
        If the name or region is unknown, a file is not the published one, or the recording is
        invalid.
    MachineError
        If a download fails or the disk is full.

    Warns
    -----
    NeurofitWarning
        About identifiers that differ only in case or leading zeros.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    Recording('hvm-sim', simulated, 88 V4 neuroids, ... 640 stimuli, 2 time bins in 90-110 ms)

    A recording of your own is loaded by the paths of its file and of its images:

    >>> mine = neurofit.load_recording("my_v4.nc", images="my_images/")  # doctest: +SKIP
    """
    recording = read_recording(name, images=images, time_bin=time_bin, progress=progress)
    validate_structure(recording)
    for note in alike_notes(identifiers_of(recording)):
        warnings.warn(note, NeurofitWarning, stacklevel=2)
    return recording.select(region=region, window=window)


def read_recording(
    name: str | Path,
    *,
    images: str | Path | None = None,
    time_bin: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Load a recording without validating it. Parameters and other errors: see `load_recording`."""
    if is_path(name):
        return open_recording(name, images=images, time_bin=time_bin)
    for given, value in (("time_bin", time_bin), ("images", images)):
        if value is not None:
            raise NeurofitError(f"{given} applies to files only; {name} is a registered recording.")
    return RECORDINGS[str(name)].load(progress)

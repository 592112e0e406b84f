"""The list of registered recordings, and loading one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neurofit.assemblies import Recording, validate_structure
from neurofit.data_loaders.formats import open_recording
from neurofit.errors import NeurofitError
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
    verified: bool = True
    variant_of: str = ""
    good_for: str = "score"
    bring: str = ""
    options: str = ""

    @property
    def how_to_bring(self) -> str:
        """What to do for its files to be here."""
        return self.bring or f"neurofit data get {self.name}"

    @property
    def caution(self) -> str:
        """What to know before trusting the loader; empty if there is nothing."""
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
    good_for: str = "score",
    bring: str = "",
    options: str = "",
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
    verified
        Whether the loader was run on the original files.
    variant_of
        Of which recording it is another session or form; lists name only that one.
    good_for
        "score"; "ceiling", where there are no pictures; "table", where there are no responses.
    bring
        How its files come here, if not by `neurofit data get` alone.
    options
        Of the command line, without which a first score or ceiling is not what one wants.
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
            good_for=good_for,
            bring=bring,
            options=options,
        )
        RECORDINGS.register(key)(info)
        return load

    return decorate


def list_recordings() -> list[str]:
    """Return the names of the registered recordings."""
    return list(RECORDINGS)


def describe_recording(name: str) -> RecordingInfo:
    """Return what is known of a recording without loading it; an unknown name is refused with the nearest."""
    return RECORDINGS[name]


def is_path(name: str | Path) -> bool:
    """Return whether a recording is asked for by path: it is no registered name, and exists or looks like one."""
    path = Path(name)
    return isinstance(name, Path) or (name not in RECORDINGS and (path.exists() or path.suffix != "" or len(path.parts) > 1))


def load_recording(
    name: str | Path,
    *,
    region: str | None = None,
    window: tuple[int, int] | None = None,
    pictures: str | Path | None = None,
    time_bin: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Return a recording by name or from a file; registered ones are built or downloaded on the first call, responses read when used.

    Parameters
    ----------
    name
        Registered name, see `list_recordings`; or the path of a file or folder, see `neurofit.data_loaders.formats`.
    region, window
        Keep one area, and the bins inside (start, end) ms.
    pictures
        Of a file: a table, zip or folder of its pictures, if they are not beside it.
    time_bin
        Of a file with one bin that does not say when it is: (start, end) in ms from onset.
    progress
        Called with (what is being done, done, in all).

    Raises
    ------
    NeurofitError
        Unknown name or region; a file that is not the published one; faults of the recording.
    MachineError
        A download that fails, a full disk.
    """
    recording = read_recording(name, pictures=pictures, time_bin=time_bin, progress=progress)
    validate_structure(recording)
    return recording.select(region=region, window=window)


def read_recording(
    name: str | Path,
    *,
    pictures: str | Path | None = None,
    time_bin: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Return a recording as it is, whatever its faults; parameters and errors, but for these, as of `load_recording`."""
    if is_path(name):
        return open_recording(name, pictures=pictures, time_bin=time_bin)
    for given, value in (("time_bin", time_bin), ("pictures", pictures)):
        if value is not None:
            raise NeurofitError(f"{given} is for a file that does not say it; {name} is registered and does.")
    return RECORDINGS[str(name)].load(progress)

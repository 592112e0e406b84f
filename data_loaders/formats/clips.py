"""Clips beside a recording: a folder of frames or an animated image for each stimulus."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from neurofit.errors import NeurofitError, some_of
from neurofit.recordings.clips import ClipFiles, open_clips
from neurofit.recordings.image_decoding import is_hidden

ANIMATED = (".gif", ".png", ".apng", ".webp", ".tif", ".tiff")
"""Suffixes of animated images."""

MOVIES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
"""Suffixes of movies, for which there is no decoder here."""


def find_clips(
    names: Sequence[str], location: Path, suffixes: Sequence[str], *, frame_ms: float
) -> ClipFiles:
    """Return the clips of stimuli in a folder.

    Parameters
    ----------
    names
        For each stimulus, the name of its folder of frames or of its file, which may lack its
        suffix. Frames are ordered by the numbers in their names.
    location
        Folder.
    suffixes
        Suffixes of frames.
    frame_ms
        Duration of a frame in ms.

    Raises
    ------
    NeurofitError
        If a clip is missing, is a movie, has another number of frames than the first, or states
        another duration of a frame.
    """
    if not location.is_dir():
        raise NeurofitError(f"Clips are in a folder, one for each stimulus; {location} is none.")
    found = {name: _files_of(name, location, suffixes) for name in names}
    if lacking := [name for name, own in found.items() if not own]:
        raise NeurofitError(
            f"{location} lacks {len(lacking)} of {len(names)} clips: {some_of(lacking)}. A clip is "
            f"a folder of frames, or an animated image ({', '.join(ANIMATED)})."
        )
    return open_clips([found[name] for name in names], frame_ms=frame_ms)


def _files_of(name: str, location: Path, suffixes: Sequence[str]) -> tuple[Path, ...]:
    """Return the frames of a clip, its animated file, or nothing."""
    place = location / name
    if location.resolve() not in place.resolve().parents:
        return ()
    if place.is_dir():
        frames = [
            path
            for path in place.iterdir()
            if path.name.lower().endswith(tuple(suffixes)) and not is_hidden(path.name)
        ]
        return tuple(sorted(frames, key=_natural))
    files = [place, *(place.with_name(f"{place.name}{suffix}") for suffix in (*ANIMATED, *MOVIES))]
    file = next((each for each in files if each.is_file()), None)
    if file is not None and file.suffix.lower() in MOVIES:
        raise NeurofitError(
            f"{file} is a movie, which is not decoded here. Make a folder of its frames: "
            f"mkdir {file.with_suffix('')} && ffmpeg -i {file} {file.with_suffix('')}/%05d.png"
        )
    return () if file is None or file.suffix.lower() not in ANIMATED else (file,)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key by which "frame2" comes before "frame10"."""
    parts = re.split(r"(\d+)", path.stem)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]

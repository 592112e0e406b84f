"""Clips of a recording: a folder of frames, or an animated image, for each stimulus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import count_frames, decode_frames
from neurofit.recordings.stimuli import ImageFiles


@dataclass(frozen=True)
class ClipFiles:
    """Clips as folders of frames or as animated images (GIF, PNG, WebP, TIFF), decoded on access.

    As a sequence of images it has the first frame of each clip.

    Parameters
    ----------
    paths
        Files of the frames of each clip in order, or a single animated file.
    n_frames
        Number of frames of every clip.
    """

    paths: Sequence[tuple[Path, ...]]
    n_frames: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        first: np.ndarray = self.frames(index, [0])[0]
        return first

    def frames(self, index: int, numbers: Sequence[int]) -> np.ndarray:
        """Return frames of a clip: uint8 (frame height width channel).

        Raises
        ------
        NeurofitError
            If a frame cannot be read, or frames differ in size.
        """
        own = self.paths[index]
        if len(own) == 1:
            content = ImageFiles(own).content(0)
            found = decode_frames(content, numbers, name=str(own[0]))
        else:
            files = ImageFiles(own, keep=False)
            found = [files[number] for number in numbers]
        shapes = {each.shape for each in found}
        if len(shapes) > 1:
            raise NeurofitError(
                f"The frames of {own[0].parent} must have one size; they have "
                f"{', '.join(f'{width} x {height}' for height, width, _ in sorted(shapes))} px."
            )
        return np.stack(found)

    def content(self, index: int) -> bytes:
        """Return the bytes of all files of a clip, each after its number of bytes."""
        files = ImageFiles(self.paths[index], keep=False)
        parts = [files.content(number) for number in range(len(files))]
        return parts[0] if len(parts) == 1 else b"".join(b"%d " % len(p) + p for p in parts)

    def entry(self, index: int) -> str:
        """Return the names of a clip's folder and first file, and the bytes of its files."""
        own = self.paths[index]
        return f"{own[0].parent.name}/{own[0].name} {sum(path.stat().st_size for path in own)}"


def open_clips(paths: Sequence[tuple[Path, ...]], *, frame_ms: float) -> ClipFiles:
    """Return clips from the files of each, with the duration of a frame in ms.

    Raises
    ------
    NeurofitError
        If clips differ in their number of frames, or a file states another duration of a frame.
    """
    counts = [
        len(own)
        if len(own) > 1
        else count_frames(ImageFiles(own).content(0), name=str(own[0]), frame_ms=frame_ms)
        for own in paths
    ]
    for own, count in zip(paths, counts, strict=True):
        if count != counts[0]:
            raise NeurofitError(
                f"Clips must have the same number of frames; {paths[0][0].parent.name}/"
                f"{paths[0][0].name} has {counts[0]}, {own[0].parent.name}/{own[0].name} {count}."
            )
    return ClipFiles(paths, counts[0])

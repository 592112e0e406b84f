"""Download Brain-Score's files over HTTPS, without Brain-Score, pinned by SHA-1.

Assemblies are netCDF files; stimulus sets are a table and a zip archive. An object is called
PREFIX + identifier (dots become underscores) + ending, in a folder of the bucket at a stated
version. The SHA-1s and versions are those of the public repository brain-score/vision,
`brainscore_vision/data/*/__init__.py`. In NEUROFIT_HOME and in a mirror, assemblies are in a
folder named after the recording, stimuli in one named after their set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neurofit.data_loaders.formats.netcdf import read_netcdf
from neurofit.data_loaders.recordings import Progress
from neurofit.recordings.recording import Recording
from neurofit.storage.download import RemoteFile, fetch_file

BUCKET = "https://brainscore-storage.s3.amazonaws.com"


def assembly_file(
    identifier: str, *, sha1: str, version: str = "null", folder: str = "brainio-brainscore"
) -> RemoteFile:
    """Return the remote file of an assembly."""
    return _object(
        f"assy_{identifier.replace('.', '_')}.nc", sha1=sha1, version=version, folder=folder
    )


@dataclass(frozen=True, kw_only=True)
class StimulusFiles:
    """Files of a stimulus set, and how its images were shown.

    Parameters
    ----------
    name
        Identifier of the set.
    table, archive
        CSV table of the stimuli and zip archive of their images.
    visual_degrees, duration_ms
        Width of an image in degrees of visual angle, and presentation time in ms.
    """

    name: str
    table: RemoteFile
    archive: RemoteFile
    visual_degrees: float
    duration_ms: float


def stimulus_files(
    identifier: str,
    *,
    sha1s: tuple[str, str],
    versions: tuple[str, str] = ("null", "null"),
    folder: str = "brainio-brainscore",
    visual_degrees: float,
    duration_ms: float,
) -> StimulusFiles:
    """Return a stimulus set from the SHA-1s and versions of its table and of its zip archive."""
    table, archive = (
        _object(
            f"stimulus_{identifier.replace('.', '_')}.{ending}",
            sha1=sha1,
            version=version,
            folder=folder,
        )
        for ending, sha1, version in zip(("csv", "zip"), sha1s, versions, strict=True)
    )
    return StimulusFiles(
        name=identifier,
        table=table,
        archive=archive,
        visual_degrees=visual_degrees,
        duration_ms=duration_ms,
    )


def load(
    name: str,
    file: RemoteFile,
    stimuli: StimulusFiles,
    *,
    citation: str,
    units: str,
    progress: Progress | None,
) -> Recording:
    """Return the recording of an assembly with its images; responses are read lazily.

    Raises
    ------
    NeurofitError
        If a file is not the published one, or does not contain a recording.
    MachineError
        If a download fails or the disk is full.
    """
    files = [(file, name), (stimuli.table, stimuli.name), (stimuli.archive, stimuli.name)]
    path, table, _ = fetch(files, name=name, progress=progress)
    return with_metadata(
        read_netcdf(path, images=table, name=name, sha256=sha256_of(files)),
        stimuli,
        citation=citation,
        units=units,
    )


def fetch(
    files: Sequence[tuple[RemoteFile, str]], *, name: str, progress: Progress | None
) -> list[Path]:
    """Return the local paths of (file, folder) pairs, downloading what is not cached."""
    paths = []
    for number, (file, folder) in enumerate(files):
        if progress:
            progress(f"fetching {name}", number, len(files))
        paths.append(fetch_file(file, dataset=folder))
    if progress:
        progress(f"fetching {name}", len(files), len(files))
    return paths


def sha256_of(files: Sequence[tuple[RemoteFile, str]]) -> str:
    """Return the hash of a recording of pinned files, from their verified hashes."""
    return hashlib.sha256(" ".join(file.fingerprint for file, _ in files).encode()).hexdigest()


def with_metadata(
    recording: Recording, stimuli: StimulusFiles, *, citation: str, units: str
) -> Recording:
    """Return a recording with degrees and duration of its images, units and citation added."""
    return replace(
        recording,
        stimuli=replace(
            recording.stimuli,
            name=stimuli.name,
            visual_degrees=stimuli.visual_degrees,
            duration_ms=stimuli.duration_ms,
        ),
        responses=recording.responses.assign_attrs(units=units),
        citation=f"{citation}, from Brain-Score",
    )


def _object(file: str, *, sha1: str, version: str, folder: str) -> RemoteFile:
    return RemoteFile(file, f"{BUCKET}/{folder}/{file}?versionId={version}", sha1=sha1)

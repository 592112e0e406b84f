"""Brain-Score's files over plain HTTPS, without Brain-Score: assemblies (netCDF) and stimulus sets (a table and a zip), pinned by SHA-1.

An object is called PREFIX + identifier (dots become underscores) + ending, and lies in a folder of the bucket at a stated version, as
in the public repository brain-score/vision, `brainscore_vision/data/*/__init__.py`, from which the SHA-1s and versions are. In
NEUROFIT_HOME and in a mirror, assemblies lie in a folder named by the recording, stimuli in one named by their set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neurofit.assemblies import Recording
from neurofit.data_loaders.formats.netcdf import read_netcdf
from neurofit.data_loaders.recordings import Progress
from neurofit.download import RemoteFile, fetch_file

BUCKET = "https://brainscore-storage.s3.amazonaws.com"


def assembly(identifier: str, *, sha1: str, version: str = "null", folder: str = "brainio-brainscore") -> RemoteFile:
    """Return the file of an assembly."""
    return _object(f"assy_{identifier.replace('.', '_')}.nc", sha1=sha1, version=version, folder=folder)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A stimulus set: its table and its pictures, and how they were shown.

    Parameters
    ----------
    name
        Identifier of the set.
    table, archive
        Its files.
    visual_degrees, duration_ms
        Width of a picture in degrees of visual angle; for how long it was shown.
    """

    name: str
    table: RemoteFile
    archive: RemoteFile
    visual_degrees: float
    duration_ms: float


def pictures(
    identifier: str,
    *,
    sha1s: tuple[str, str],
    versions: tuple[str, str] = ("null", "null"),
    folder: str = "brainio-brainscore",
    visual_degrees: float,
    duration_ms: float,
) -> Pictures:
    """Return a stimulus set, from the SHA-1s and versions of its table and of its zip."""
    table, archive = (
        _object(f"stimulus_{identifier.replace('.', '_')}.{ending}", sha1=sha1, version=version, folder=folder)
        for ending, sha1, version in zip(("csv", "zip"), sha1s, versions, strict=True)
    )
    return Pictures(name=identifier, table=table, archive=archive, visual_degrees=visual_degrees, duration_ms=duration_ms)


def load(name: str, file: RemoteFile, shown: Pictures, *, citation: str, units: str, progress: Progress | None) -> Recording:
    """Return the recording of an assembly with its pictures; its responses are read when used.

    Raises
    ------
    NeurofitError
        If a file is not the published one, or its content no recording.
    MachineError
        If a download fails or the disk is full.
    """
    files = [(file, name), (shown.table, shown.name), (shown.archive, shown.name)]
    path, table, _ = fetch(files, name=name, progress=progress)
    return described(read_netcdf(path, pictures=table, name=name, sha256=sha256_of(files)), shown, citation=citation, units=units)


def fetch(files: Sequence[tuple[RemoteFile, str]], *, name: str, progress: Progress | None) -> list[Path]:
    """Return the paths of files, each with the folder that it lies in."""
    paths = []
    for number, (file, folder) in enumerate(files):
        if progress:
            progress(f"fetching {name}", number, len(files))
        paths.append(fetch_file(file, dataset=folder))
    if progress:
        progress(f"fetching {name}", len(files), len(files))
    return paths


def sha256_of(files: Sequence[tuple[RemoteFile, str]]) -> str:
    """Return the hash of a recording of pinned files: of the hashes that they were found to have, so that none is read again."""
    return hashlib.sha256(" ".join(file.fingerprint for file, _ in files).encode()).hexdigest()


def described(recording: Recording, shown: Pictures, *, citation: str, units: str) -> Recording:
    """Return a recording with what its file does not say: degrees and duration of its pictures, units, citation."""
    stimuli = replace(recording.stimuli, name=shown.name, visual_degrees=shown.visual_degrees, duration_ms=shown.duration_ms)
    return replace(recording, stimuli=stimuli, responses=recording.responses.assign_attrs(units=units), citation=citation)


def _object(file: str, *, sha1: str, version: str, folder: str) -> RemoteFile:
    return RemoteFile(file, f"{BUCKET}/{folder}/{file}?versionId={version}", sha1=sha1)

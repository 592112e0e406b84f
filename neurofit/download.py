"""Published files, of data sets and weights: from a local mirror or over plain HTTPS, pinned by their hash, whole or not at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from neurofit.errors import MachineError, NeurofitError
from neurofit.home import atomic_file, hash_of, home


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set, or of a model's weights, at a pinned address.

    Parameters
    ----------
    name
        File name, the same in a mirror.
    url
        Plain HTTPS address.
    sha256
        Hash of the content; None where it is not known.
    sha1, git_blob
        What is known instead: the SHA-1 of the content, or the name that git gives it (SHA-1 of "blob", its size and the content).
        Where nothing is known, whoever reads the file has to check it.
    """

    name: str
    url: str
    sha256: str | None = None
    sha1: str | None = None
    git_blob: str | None = None

    @property
    def fingerprint(self) -> str:
        """The hash by which the file is pinned; empty where none is known."""
        return self.sha256 or self.sha1 or self.git_blob or ""

    def differs(self, path: Path) -> str:
        """Return which hash of a file is not this one's ("sha256", "sha1", "git blob"); empty if all that are known agree."""
        known = {"sha256": self.sha256, "sha1": self.sha1, "git blob": self.git_blob}
        return next((kind for kind, expected in known.items() if expected is not None and hash_of(path, kind) != expected), "")


def offline() -> bool:
    """Return whether NEUROFIT_OFFLINE forbids downloads."""
    return os.environ.get("NEUROFIT_OFFLINE", "") not in ("", "0")


def mirrored(name: str, *, dataset: str) -> Path | None:
    """Return a file's path in the mirror (NEUROFIT_MIRROR=DIR, laid out DIR/dataset/name), if there is a mirror that holds it."""
    mirror = os.environ.get("NEUROFIT_MIRROR")
    path = Path(mirror).expanduser() / dataset / name if mirror else None
    return path if path is not None and path.is_file() else None


def fetch_file(file: RemoteFile, *, dataset: str, kind: str = "recordings") -> Path:
    """Return the path of a file's verified copy in NEUROFIT_HOME/kind/dataset, bringing it there if need be.

    The mirror comes first, then the address. An interrupted download goes on
    where it stopped. A file without a known hash is whole, but not otherwise checked.

    Raises
    ------
    NeurofitError
        If the file is neither here nor in the mirror and downloads are off, or a content does not have its hash.
    MachineError
        If the download fails or the disk is full.
    """
    target = home() / kind / dataset / file.name
    if target.is_file():
        if wrong := file.differs(target):
            raise NeurofitError(f"{target} is not the published {file.name} (its {wrong} differs). Delete it and run the command again.")
        return target
    source = mirrored(file.name, dataset=dataset)
    with atomic_file(target) as temporary:
        if source is not None:
            shutil.copyfile(source, temporary)
            origin = str(source)
        elif offline():
            mirror = os.environ.get("NEUROFIT_MIRROR")
            looked = f" nor at {Path(mirror).expanduser() / dataset / file.name}" if mirror else ""
            raise NeurofitError(
                f"{file.name} of {dataset} is not at {target}{looked}, and downloads are off.\n"
                "Allow them (drop --offline), or set NEUROFIT_MIRROR to a folder that holds "
                f"{dataset}/{file.name}."
            )
        else:
            _download(file, target.with_name(f"{file.name}.part"), temporary)
            origin = file.url
        if wrong := file.differs(temporary):
            raise NeurofitError(f"{origin} is not the published {file.name}: its {wrong} differs. Nothing was kept.")
    return target


def _download(file: RemoteFile, part: Path, destination: Path) -> None:
    """Download into `destination`; what an interruption leaves stays in `part` and is continued (pooch cannot continue)."""
    import requests

    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=30) as response:
            if response.status_code != requests.codes.requested_range_not_satisfiable:  # that one: the part is whole already
                response.raise_for_status()
                continues = response.status_code == requests.codes.partial_content
                with open(part, "ab" if continues else "wb") as growing:
                    for chunk in response.iter_content(2**16):
                        growing.write(chunk)
    except requests.RequestException as error:
        kept = part.stat().st_size if part.exists() else 0
        raise MachineError(
            f"Cannot download {file.url} ({type(error).__name__}); {kept / 1e6:.1f} MB are kept and the next run goes on from there.\n"
            "NEUROFIT_MIRROR=DIR reads a local copy instead."
        ) from error
    part.replace(destination)

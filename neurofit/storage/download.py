"""Published files of data sets and weights: copied from a mirror or downloaded, and verified."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from neurofit.errors import MachineError, NeurofitError
from neurofit.storage.claims import Claim
from neurofit.storage.home import atomic_file, cached, exclusive_lock, hash_of
from neurofit.storage.unfinished import partial_file, read_until_exit

_PINNED: dict[str, list[RemoteFile]] = {}
"""Published files by their names, as modules state them."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file, pinned by a hash of its content.

    Parameters
    ----------
    name
        File name, also in a mirror.
    url
        HTTPS address.
    sha256
        SHA-256 of the content; None if it is not known.
    sha1, git_blob
        Hash that is known instead: the SHA-1 of the content, or the name that git gives it (SHA-1
        of "blob", its size and the content). A file without any known hash has to be checked by
        its reader.
    """

    name: str
    url: str
    sha256: str | None = None
    sha1: str | None = None
    git_blob: str | None = None

    def __post_init__(self) -> None:
        _PINNED.setdefault(self.name, []).append(self)

    @property
    def fingerprint(self) -> str:
        """Hash by which the file is pinned; empty if none is known."""
        return self.sha256 or self.sha1 or self.git_blob or ""

    def verify(self, path: Path, *, origin: object, advice: str) -> None:
        """Check all known hashes of a copy of the file.

        Parameters
        ----------
        path
            Copy of the file.
        origin, advice
            Source of the copy and last sentence, for the message.

        Raises
        ------
        NeurofitError
            If a hash differs.
        """
        known = {"sha256": self.sha256, "sha1": self.sha1, "git blob": self.git_blob}
        for kind, expected in known.items():
            if expected is not None and hash_of(path, kind) != expected:
                raise NeurofitError(
                    f"{origin} is not the published {self.name}: its {kind} differs. {advice}"
                )


def check_pinned(path: Path) -> str:
    """Return that a file has not the hash that is stated for its name; "" if it has, or none is."""
    pinned = [file for file in _PINNED.get(path.name, []) if file.fingerprint]
    for file in pinned:
        try:
            file.verify(path, origin=path, advice="")
        except NeurofitError:
            continue
        return ""
    return "not the published file of this name: its hash differs" if pinned else ""


def offline() -> bool:
    """Return whether NEUROFIT_OFFLINE forbids downloads."""
    return os.environ.get("NEUROFIT_OFFLINE", "") not in ("", "0")


def find_in_mirror(name: str, *, dataset: str) -> Path | None:
    """Return the path of a file in the mirror, NEUROFIT_MIRROR/dataset/name; None without one."""
    path = _mirror_path(name, dataset=dataset)
    return path if path is not None and path.is_file() else None


def _mirror_path(name: str, *, dataset: str) -> Path | None:
    mirror = os.environ.get("NEUROFIT_MIRROR")
    return Path(mirror).expanduser() / dataset / name if mirror else None


def fetch_file(file: RemoteFile, *, dataset: str, kind: str = "recordings") -> Path:
    """Return the path of a verified copy of a file, NEUROFIT_HOME/kind/dataset/name.

    A missing file is copied from the mirror or, if that does not have it, downloaded. An
    interrupted download is continued. Of several processes that need the same file, one downloads
    it and the others wait.

    Raises
    ------
    NeurofitError
        If the file is neither cached nor in the mirror and downloads are off, or if a hash
        differs.
    MachineError
        If the download fails or the disk is full.
    """
    target = cached(kind, dataset, file.name)
    if target.is_file():
        _verify_cached(file, target)
    elif (source := find_in_mirror(file.name, dataset=dataset)) is not None:
        with atomic_file(target) as temporary:
            shutil.copyfile(source, temporary)
            file.verify(temporary, origin=source, advice="The copy was deleted.")
    elif offline():
        mirror = _mirror_path(file.name, dataset=dataset)
        raise NeurofitError(
            f"{file.name} of {dataset} is not at {target}{f' nor at {mirror}' if mirror else ''}, "
            "and downloads are off.\nAllow them (drop --offline), or set NEUROFIT_MIRROR to a "
            f"folder that contains {dataset}/{file.name}."
        )
    else:
        part, claim = partial_file(f"{_short_hash(file.url)}-{file.name}")
        with exclusive_lock(claim) as own:
            if target.is_file():  # another process has downloaded it in the meantime
                _verify_cached(file, target)
            else:
                _download(file.url, part, own)
                with atomic_file(target) as temporary:
                    shutil.move(part, temporary)
                    file.verify(temporary, origin=file.url, advice="The download was deleted.")
    read_until_exit(target)
    return target


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _verify_cached(file: RemoteFile, path: Path) -> None:
    file.verify(path, origin=path, advice="Delete it and run the command again.")


def _download(url: str, part: Path, claim: Claim) -> None:
    """Download into `part`, after the bytes that it already has (pooch cannot continue).

    A process that had slept for so long that another one has taken over writes nothing any more.
    """
    import requests

    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    looked = time.monotonic()
    try:
        with requests.get(url, headers=headers, stream=True, timeout=30) as response:
            # This status means that `part` is already complete.
            if response.status_code != requests.codes.requested_range_not_satisfiable:
                response.raise_for_status()
                continues = response.status_code == requests.codes.partial_content
                with open(part, "ab" if continues else "wb") as file:
                    for chunk in response.iter_content(2**16):
                        if time.monotonic() - looked > 1:
                            if not claim.holds():
                                raise MachineError(f"Another process has taken {url} over.")
                            looked = time.monotonic()
                        file.write(chunk)
    except requests.RequestException as error:
        done = part.stat().st_size if part.exists() else 0
        raise MachineError(
            f"Cannot download {url} ({type(error).__name__}). The next run continues after the "
            f"{done / 1e6:.1f} MB received so far.\nNEUROFIT_MIRROR=DIR reads a local copy instead."
        ) from error

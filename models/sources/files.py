"""Files of weights: downloads from the Hugging Face Hub, pickles that are refused, and pins."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import requests

from neurofit.errors import MachineError, NeurofitError
from neurofit.models.sources.contract import import_extra
from neurofit.models.weight_files import describe_conversion
from neurofit.storage.download import offline
from neurofit.storage.home import atomic_file, exclusive_lock, places, writable

SHORTEST = 8
"""Smallest number of digits of a sha256 in a name."""


def refuse_pickle(what: str, file: str) -> NeurofitError:
    """Return the error for weights that exist as a pickle only."""
    return NeurofitError(
        f"{what} are a pickle ({file}), which is not loaded: it can run code. Give a file of "
        "safetensors by --weights, or --weights random.\n"
        f"{describe_conversion(file.rsplit('/', 1)[-1])}"
    )


def download(repository: str, file: str, *, revision: str | None = None) -> Path:
    """Return the path of a file of the Hugging Face Hub, in its cache.

    Raises
    ------
    NeurofitError
        If downloads are off and the file is not in the cache, or the repository lacks it.
    MachineError
        If the download fails.
    """
    hub = import_extra("huggingface_hub", extra="hf")
    fetch = partial(hub.hf_hub_download, repository, file, revision=revision)
    with suppress(hub.errors.LocalEntryNotFoundError):
        return Path(fetch(local_files_only=True))
    advice = "Give --weights FILE, or --weights random."
    if offline():
        raise NeurofitError(
            f"{file} of {repository} is not in the cache of the Hugging Face Hub, and downloads "
            f"are off.\nAllow them (drop --offline). {advice}"
        )
    try:
        requests.head(hub.constants.ENDPOINT, timeout=10)  # the hub's own client tries for longer
        return Path(fetch())
    except hub.errors.EntryNotFoundError as error:
        raise NeurofitError(
            f"{repository} on the Hugging Face Hub has no {file}.\n{advice}"
        ) from error
    except (requests.RequestException, hub.errors.HfHubHTTPError, OSError) as error:
        raise MachineError(
            f"Cannot download {file} of {repository} from the Hugging Face Hub "
            f"({type(error).__name__}).\n{advice}"
        ) from error


def check_pin(name: str, sha256: str, *, stated: str) -> None:
    """Check the sha256 of a network's weights: the stated one, or that of their first use.

    Parameters
    ----------
    name
        Name of the network with its options.
    sha256
        Hash of its state (`neurofit.models.weights_sha256`), as results record it.
    stated
        Beginning of the hash that the name states; "" compares with the first use on this machine,
        which NEUROFIT_HOME/weights/pins.json records.

    Raises
    ------
    NeurofitError
        If it differs.
    """
    if stated:
        if len(stated) < SHORTEST or not sha256.startswith(stated.lower()):
            raise NeurofitError(
                f"{name}: sha256 must be the first {SHORTEST} or more digits of that of the "
                f"weights, {sha256}; got {stated}."
            )
        return
    path = writable("weights", "pins.json")
    with exclusive_lock(path.with_suffix(".claim")):
        pins: dict[str, Any] = {}
        for each in reversed(places("weights", "pins.json")):
            pins |= json.loads(each.read_text()) if each.is_file() else {}
        if pins.get(name) == sha256:
            return
        if pins.setdefault(name, sha256) != sha256:
            raise NeurofitError(
                f"The weights of {name} have changed since their first use here: sha256 "
                f"{sha256[:12]}, before {pins[name][:12]}.\nTo use them, state them in the name: "
                f"{name}{'&' if '?' in name else '?'}sha256={sha256[:12]}"
            )
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(pins, indent=1, sort_keys=True))

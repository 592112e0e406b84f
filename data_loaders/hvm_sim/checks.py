"""Checks of cached recordings: pinned files by their hash, `hvm-sim` by its values."""

from __future__ import annotations

import json
from pathlib import Path

import h5netcdf
import numpy as np

from neurofit.data_loaders.hvm_sim.fingerprint import PINNED, fingerprint
from neurofit.data_loaders.hvm_sim.storage import load
from neurofit.errors import NeurofitError
from neurofit.storage.cache import register_check
from neurofit.storage.download import check_pinned


@register_check("recordings")
def check_recording(path: Path) -> str:
    """Return what is wrong with a file of a recording; "" if nothing is or no hash is known.

    The manifest of `hvm-sim` vouches for its files; it is itself checked against the values that
    are pinned in neurofit, which are computed from the files.
    """
    if path.parent.parent.name != "hvm-sim":
        return check_pinned(path)
    if path.name != "manifest.json":
        return ""  # the check of the manifest includes its files
    try:
        load(path.parent)
        manifest = json.loads(path.read_text(encoding="utf-8"))
        stated = manifest["values_sha256"]
        found = _values(path.parent)
        known = PINNED.get(str(manifest["recipe_sha256"]), stated)
    except (NeurofitError, OSError, KeyError, ValueError, TypeError) as error:
        return f"the recording beside it is damaged ({str(error).splitlines()[0]})"
    if not str(manifest["recipe_sha256"]).startswith(path.parent.name):
        return "it is that of another recording"
    wrong = ", ".join(
        name for name in found if {stated.get(name), known.get(name)} != {found[name]}
    )
    return f"the values of {wrong} are not those of hvm-sim" if wrong else ""


def _values(folder: Path) -> dict[str, str]:
    """Return the hashes of the values of a built recording, computed as when it was built."""
    recording = load(folder)
    with h5netcdf.File(folder / "responses.nc", "r") as file:
        counts = file.variables["responses"]
        shown = (recording.stimulus_rows, recording.responses.repetition.values)
        blocks = [each.astype(np.int64) for each in shown]
        blocks += [counts[:, :, time_bin] for time_bin in range(counts.shape[2])]
        return {
            "images": fingerprint(
                [np.load(folder / "images.npy"), np.load(folder / "calibration.npy")]
            ),
            "responses": fingerprint(blocks),
        }

"""Records of extractions: what is known of activations without building their model again.

A record is a JSON file in NEUROFIT_HOME/extractions, found by the hash of what determines the
activations. With it and cached Gram matrices, other mappings and presets are scored without the
model and without an image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.activations.activations import Activations
from neurofit.activations.presentation import Presentation
from neurofit.errors import NeurofitError
from neurofit.storage.cache import register_check
from neurofit.storage.home import atomic_file, cached, writable

FIELDS = ("model", "first_timestep", "ms_per_timestep", "n_timesteps", "region_layers")
"""Fields of activations that are stored as they are."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of an extraction; stands for the model where only its layers matter.

    Parameters
    ----------
    activations
        Activations without blocks, whose `probes` name what was extracted.
    layers
        Layers of the model.
    units
        Extracted layer -> number of units.
    static
        Whether the model is static, so that its presentation is as long as the time bins.
    """

    activations: Activations
    layers: tuple[str, ...]
    units: Mapping[str, int]
    static: bool = False

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.activations.model

    @property
    def region_layers(self) -> Mapping[str, tuple[str, ...]]:
        """Area -> layers that model it."""
        return self.activations.region_layers


def record_path(key: str) -> Path:
    """Return the path of a record."""
    return cached("extractions", f"{key}.json")


def save_record(
    activations: Activations,
    key: str,
    *,
    layers: Sequence[str],
    units: Mapping[str, int],
    static: bool = False,
) -> None:
    """Write the record of activations, together with what an earlier one has of other layers.

    Nothing is written where there is no room for it.

    Parameters
    ----------
    activations
        Activations with a fingerprint.
    key
        Hash of what determines them.
    layers
        Layers of the model, in its order.
    units
        Extracted layer -> number of units.
    static
        Whether the model is static, so that its presentation is as long as the time bins.
    """
    earlier = _read(key)
    probes = {f"{layer} {step}": sha256 for (layer, step), sha256 in activations.probes.items()}
    shown = activations.presentation
    record = {
        "key": key,
        **{name: getattr(activations, name) for name in FIELDS},
        "presentation": None if shown is None else asdict(shown),
        "provenance": dict(activations.provenance),
        "fingerprint": activations.fingerprint,
        "stimulus_ids": activations.stimulus_ids.tolist(),
        "probes": probes,
        "layers": list(layers),
        "units": dict(units),
        "unseen": dict(activations.unseen),
        "static": static,
    }
    if earlier.get("fingerprint") == activations.fingerprint:
        record["probes"] = {**earlier["probes"], **probes}
        record["units"] = {**earlier["units"], **units}
        for layer, step in earlier.get("unseen", {}).items():
            if (layer, step) not in activations.probes:  # of which these activations know nothing
                record["unseen"][layer] = min(step, activations.unseen.get(layer, step))
    if record != earlier:
        with (
            suppress(NeurofitError),
            atomic_file(writable("extractions", f"{key}.json")) as temporary,
        ):
            temporary.write_text(json.dumps(record), encoding="utf-8")


def load_record(key: str, stimulus_ids: np.ndarray) -> Record | None:
    """Return what is known of an extraction; None if there is no record.

    Parameters
    ----------
    key
        Hash of what determines them.
    stimulus_ids
        Ids of the stimuli, array (stimulus), which must be those of the record.
    """
    record = _read(key)
    if not record or record["stimulus_ids"] != stimulus_ids.tolist():
        return None
    probes = {}
    for name, sha256 in record["probes"].items():
        layer, _, step = name.rpartition(" ")
        probes[layer, int(step)] = sha256
    shown = record["presentation"]
    found = Activations(
        **{name: record[name] for name in FIELDS if name != "region_layers"},
        region_layers={area: tuple(own) for area, own in record["region_layers"].items()},
        stimulus_ids=stimulus_ids,
        blocks={},
        presentation=None if shown is None else Presentation(**shown),
        provenance=record["provenance"],
        fingerprint=record["fingerprint"],
        probes=probes,
        unseen=record.get("unseen", {}),
    )
    return Record(
        activations=found,
        layers=tuple(record["layers"]),
        units=record["units"],
        static=record.get("static", False),
    )


@register_check("extractions")
def check_record(path: Path) -> str:
    """Return what is wrong with a record; "" if nothing is."""
    return "" if _parse(path, path.stem) else "not the record of an extraction of this name"


def _read(key: str) -> dict[str, Any]:
    """Return a record; empty if it is missing, damaged, or that of another key."""
    return _parse(record_path(key), key)


def _parse(path: Path, key: str) -> dict[str, Any]:
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] != key or not {*FIELDS, "layers", "units", "probes"} <= set(record):
            return {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return dict(record)

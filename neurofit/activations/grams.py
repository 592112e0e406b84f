"""Gram matrices of a layer's features in each time bin, shared between bins and cached on disk.

A Gram matrix is all that mappings need of the features and takes a tenth of their size. Once it is
cached, other mappings, splits or presets are scored without extracting the activations. Its file
is found by what it depends on: the identity of the activations in the bin (weights, presentation,
pixels of all stimuli, and activations of a few of them), the precision and the reduction. The same
hash stands in the file, so that one which was moved or renamed is not used.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from neurofit.activations.activations import Activations
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.mapping.gram import Gram, GramPlan
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.reduce import Reduction
from neurofit.recordings.time_bins import TimeBin
from neurofit.storage.cache import register_check
from neurofit.storage.home import atomic_file, places


@dataclass
class GramStore:
    """Builds, shares and caches the Gram matrices of one model's activations.

    Parameters
    ----------
    activations
        Activations for the recording's stimuli.
    time_bins
        All bins whose Gram matrices will be needed.
    precision
        Precision of the products; see `neurofit.mapping.gram_building.gram_of`.
    reduction
        Reduction of the features before the products.
    device
        Device that computes the products: "cpu", "torch-cpu" or "cuda".
    keep
        Whether Gram matrices are cached in NEUROFIT_HOME/grams and reused. Otherwise they are
        stored until the activations are deleted, so that the next process goes on from them if this
        one is killed. Those of activations without a `fingerprint` are not.
    """

    activations: Activations
    time_bins: Sequence[TimeBin]
    precision: str = "auto"
    reduction: Reduction = field(default_factory=Reduction)
    device: str = "cpu"
    keep: bool = False

    def __post_init__(self) -> None:
        self._shared: dict[tuple[object, ...], Gram] = {}
        self._uses: dict[str, Counter[tuple[object, ...]]] = {}
        self._stored: set[tuple[object, ...]] = set()
        self._lock = threading.Lock()
        self.plans: dict[str, GramPlan] = {}
        """Layer -> how its Gram matrices were computed."""

    def gram(self, layer: str, time_bins: Sequence[TimeBin], *, features: bool = False) -> Gram:
        """Return the Gram matrix of a layer in one bin, or in several stacked along the rows.

        With `features`, the returned object gives uncentred features (`Gram.features`) only.
        """
        if features:
            blocks = tuple(self._blocks(layer, time_bins))
            name = self._name(layer, time_bins)
            return Gram(blocks=blocks, mean=np.zeros(blocks[0].shape[1]), name=name)
        paths = self._paths(layer, time_bins[0]) if len(time_bins) == 1 else ()
        if cached := next(filter(None, map(_load, paths)), None):
            for note in cached.notes:
                warnings.warn(note, NeurofitWarning, stacklevel=2)
            return self._planned(layer, cached)
        gram = self._build(layer, time_bins)
        if paths and gram.blocks is None:
            self._store(gram, layer, time_bins[0], paths[-1])
        return gram

    def _store(self, gram: Gram, layer: str, time_bin: TimeBin, path: Path) -> None:
        """Cache a Gram matrix, or else store it once for all bins that share it."""
        if not self.keep and (source := self._source(layer, time_bin)) in self._shared:
            if source in self._stored:
                return
            self._stored.add(source)
        try:
            _save(gram, path)
        except NeurofitError as error:
            if self.keep:
                message = f"Gram matrices are not cached: {error}"
                warnings.warn(message, NeurofitWarning, stacklevel=2)

    def _build(self, layer: str, time_bins: Sequence[TimeBin]) -> Gram:
        source = self._source(layer, time_bins[0])
        if len(time_bins) > 1 or self._count_uses(layer)[source] < 2:
            return self._compute(layer, time_bins)
        with self._lock:  # a shared matrix is computed once, while other threads wait for it
            if source not in self._shared:
                self._shared[source] = self._compute(layer, time_bins)
            return self._shared[source]

    def _compute(self, layer: str, time_bins: Sequence[TimeBin]) -> Gram:
        gram = gram_of(
            self._blocks(layer, time_bins),
            name=self._name(layer, time_bins),
            precision=self.precision,
            device=self.device,
        )
        return self._planned(layer, gram)

    def _blocks(self, layer: str, time_bins: Sequence[TimeBin]) -> list[np.ndarray]:
        features = (self.activations.features(layer, time_bin) for time_bin in time_bins)
        return [self.reduction.features(each) for each in features]

    def _name(self, layer: str, time_bins: Sequence[TimeBin]) -> str:
        return f"{self.activations.model}, {layer} at {time_bins[0][0]}-{time_bins[-1][1]} ms"

    def _planned(self, layer: str, gram: Gram) -> Gram:
        if gram.plan is not None:
            self.plans[layer] = gram.plan
        return gram

    def _count_uses(self, layer: str) -> Counter[tuple[object, ...]]:
        """Return the number of bins of each source, among those that the layer can predict."""
        with self._lock:
            if layer not in self._uses:
                covered = self.activations.covered(layer, self.time_bins)
                self._uses[layer] = Counter(
                    self._source(layer, time_bin)
                    for time_bin, inside in zip(self.time_bins, covered, strict=True)
                    if inside
                )
            return self._uses[layer]

    def _source(self, layer: str, time_bin: TimeBin) -> tuple[object, ...]:
        """Return what identifies the features of a bin: the ids of their arrays, with weights.

        Ids identify arrays only if blocks hold them; a mapping over files may return a new array
        each time, or another one at the same address.
        """
        if not self.activations.holds_blocks:
            return (layer, time_bin)
        weights: dict[int, float] = {}
        for step, weight in self.activations.timesteps(time_bin):
            array = id(self.activations.blocks[layer, step])
            weights[array] = round(weights.get(array, 0.0) + weight, 9)
        return (layer, *sorted(weights.items()))

    def _paths(self, layer: str, time_bin: TimeBin) -> tuple[Path, ...]:
        """Return where the Gram matrix of a bin may be; it is written to the last place."""
        activations = self.activations
        if not activations.fingerprint or (activations.folder is None and not self.keep):
            return ()
        rule = self.reduction.rule
        what = {
            "activations": self.activations.identity(layer, time_bin),
            "precision": self.precision,
            "reduction": [rule, 0 if rule == "none" else self.reduction.seed],
        }
        digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        folder = f"{_file_name(self.activations.model)}-{self.activations.fingerprint[:24]}"
        file = f"{_file_name(layer)}-{time_bin[0]}-{time_bin[1]}-{digest[:24]}.safetensors"
        if self.keep:
            return places("grams", folder, file)
        assert activations.folder is not None
        return (activations.folder / "grams" / folder / file,)


def _file_name(name: str) -> str:
    """Return the start of a name without characters that may have a meaning in a path."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:100]


def _identity_in(path: Path) -> str:
    """Return the part of a Gram matrix's path that identifies it: fingerprint and hash."""
    return f"{path.parent.name[-24:]} {path.stem[-24:]}"


def _save(gram: Gram, path: Path) -> None:
    name, values = ("factor", gram.factor) if gram.dense is None else ("dense", gram.dense)
    values = np.ascontiguousarray(values)
    metadata = {
        "precision": gram.precision,
        "name": gram.name,
        "n_constant": str(gram.n_constant),
        "notes": json.dumps(gram.notes),
        "plan": json.dumps(asdict(gram.plan) if gram.plan else None),
        "sha256": hashlib.sha256(values.data).hexdigest(),
        "made_for": _identity_in(path),
    }
    with atomic_file(path) as temporary:
        save_file({name: values}, temporary, metadata=metadata)


def _load(path: Path) -> Gram | None:
    """Return a cached Gram matrix, or None if its file is missing or damaged."""
    try:
        return _read(path) if path.is_file() else None
    except (SafetensorError, KeyError, TypeError, ValueError, OSError):
        return None


def _read(path: Path) -> Gram:
    with safe_open(path, "np") as file:
        about, (name,) = file.metadata(), file.keys()
        values, plan = file.get_tensor(name), json.loads(about["plan"])
    if hashlib.sha256(values.data).hexdigest() != about["sha256"]:
        raise ValueError("its values do not match the sha256 stored with them")
    if about["made_for"] != _identity_in(path):
        raise ValueError("it was made for another model, layer or time bin, and copied here")
    return Gram(
        **{name: values},
        precision=about["precision"],
        name=about["name"],
        n_constant=int(about["n_constant"]),
        notes=tuple(json.loads(about["notes"])),
        plan=None if plan is None else GramPlan(**plan),
    )


@register_check("grams")
def check_gram(path: Path) -> str:
    """Return what is wrong with a cached Gram matrix; "" if nothing is."""
    try:
        _read(path)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        return f"not a whole Gram matrix ({error})"
    return ""

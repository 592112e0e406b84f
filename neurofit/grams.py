"""Grams of a layer's features, bin by bin: the same features make one Gram, and one that is kept on disk needs no features at all.

A Gram is what every mapping sees of the features, and a tenth of their size; with it another mapping, split or preset is scored by
showing the model no more than a few images. It is found by what it depends on: the weights, the pixels of all stimuli, the
activations of a probe (and so the architecture, the presentation, the machine), the timesteps, the precision and the reduction.
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

from neurofit.errors import NeurofitWarning
from neurofit.extract import Activations
from neurofit.home import atomic_file, home
from neurofit.mapping import Gram, GramPlan, Reduction, gram_of
from neurofit.time_bins import TimeBin


@dataclass
class Grams:
    """Builds, shares and keeps the Grams of one model's activations.

    Parameters
    ----------
    activations
        Of the recording's stimuli.
    time_bins
        All bins that will be asked for.
    precision
        Of the products, see `neurofit.mapping.gram_of`.
    reduction
        Of the features, before their Gram.
    device
        Where products are made: "cpu", "torch-cpu", "cuda".
    keep
        Whether Grams are kept in NEUROFIT_HOME/grams, and looked for there; only of activations with a `fingerprint`.
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
        self._lock = threading.Lock()
        self.plans: dict[str, GramPlan] = {}
        """Layer -> how its Grams were made."""

    def of(self, layer: str, time_bins: Sequence[TimeBin]) -> Gram:
        """Return the Gram of a layer in one bin, or in several stacked along the rows."""
        path = self._path(layer, time_bins) if self.keep and self.activations.fingerprint and len(time_bins) == 1 else None
        if path is not None and (kept := _load(path)) is not None:
            for note in kept.notes:
                warnings.warn(note, NeurofitWarning, stacklevel=2)
            return self._planned(layer, kept)
        gram = self._build(layer, time_bins)
        if path is not None and gram.blocks is None:
            _save(gram, path)
        return gram

    def _build(self, layer: str, time_bins: Sequence[TimeBin]) -> Gram:
        if len(time_bins) > 1 or self._uses_of(layer)[self._source(layer, time_bins[0])] < 2:
            return self._compute(layer, time_bins)
        with self._lock:  # one that several bins share is computed once, while others wait for it
            source = self._source(layer, time_bins[0])
            if source not in self._shared:
                self._shared[source] = self._compute(layer, time_bins)
            return self._shared[source]

    def _compute(self, layer: str, time_bins: Sequence[TimeBin]) -> Gram:
        gram = gram_of(
            [self.reduction.features(self.activations.features(layer, time_bin)) for time_bin in time_bins],
            name=f"{self.activations.model}, {layer} at {time_bins[0][0]}-{time_bins[-1][1]} ms",
            precision=self.precision,
            device=self.device,
        )
        return self._planned(layer, gram)

    def _planned(self, layer: str, gram: Gram) -> Gram:
        if gram.plan is not None:
            self.plans[layer] = gram.plan
        return gram

    def _uses_of(self, layer: str) -> Counter[tuple[object, ...]]:
        """Return how many bins have each source, of those that the layer can predict."""
        with self._lock:
            if layer not in self._uses:
                covered = self.activations.covered(layer, self.time_bins)
                bins = (time_bin for time_bin, inside in zip(self.time_bins, covered, strict=True) if inside)
                self._uses[layer] = Counter(self._source(layer, time_bin) for time_bin in bins)
            return self._uses[layer]

    def _source(self, layer: str, time_bin: TimeBin) -> tuple[object, ...]:
        """Return what tells the features of a bin from those of others: the arrays that they are taken from, with their weights.

        Blocks that do not hold their arrays (a mapping over files) may give another one each time, or another one at the same place.
        """
        if not self.activations.holds_blocks:
            return (layer, time_bin)
        weights: dict[int, float] = {}
        for step, weight in self.activations.timesteps(time_bin):
            array = id(self.activations.blocks[layer, step])
            weights[array] = round(weights.get(array, 0.0) + weight, 9)
        return (layer, *sorted(weights.items()))

    def _path(self, layer: str, time_bins: Sequence[TimeBin]) -> Path:
        what = {
            "layer": layer,
            "timesteps": [self.activations.timesteps(time_bin) for time_bin in time_bins],
            "precision": self.precision,
            "reduction": [self.reduction.rule, self.reduction.seed],
        }
        name = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        folder = f"{re.sub(r'[^A-Za-z0-9_-]', '_', self.activations.model)}-{self.activations.fingerprint[:24]}"
        return home() / "grams" / folder / f"{layer}-{time_bins[0][0]}-{time_bins[-1][1]}-{name[:24]}.safetensors"


def _save(gram: Gram, path: Path) -> None:
    ((face, values),) = ((name, each) for name, each in (("dense", gram.dense), ("factor", gram.factor)) if each is not None)
    values = np.ascontiguousarray(values)
    metadata = {
        "precision": gram.precision,
        "name": gram.name,
        "n_constant": str(gram.n_constant),
        "notes": json.dumps(gram.notes),
        "plan": json.dumps(asdict(gram.plan) if gram.plan else None),
        "sha256": hashlib.sha256(values.data).hexdigest(),
    }
    with atomic_file(path) as temporary:
        save_file({face: values}, temporary, metadata=metadata)


def _load(path: Path) -> Gram | None:
    """Return a kept Gram; None if there is none, or the file is damaged and has to be made anew."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            about, (face,) = file.metadata(), file.keys()
            values, plan = file.get_tensor(face), json.loads(about["plan"])
            if hashlib.sha256(values.data).hexdigest() != about["sha256"]:
                return None
            return Gram(
                **{face: values},
                precision=about["precision"],
                name=about["name"],
                n_constant=int(about["n_constant"]),
                notes=tuple(json.loads(about["notes"])),
                plan=None if plan is None else GramPlan(**plan),
            )
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None

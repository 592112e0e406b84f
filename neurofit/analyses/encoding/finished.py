"""Time bins that a killed process has fitted, so that their maps are not fitted again.

Every number that fits make is in the column of its time bin in some array. The columns of a bin
are stored once all of its maps are fitted, in a folder of unfinished work that is found by the hash
of what the maps depend on; the responses are known by their trial means.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from zipfile import BadZipFile

import numpy as np

from neurofit.config.code import code_sha256
from neurofit.errors import NeurofitError
from neurofit.mapping.gram import GramPlan
from neurofit.results.provenance import to_json
from neurofit.storage.home import atomic_file
from neurofit.storage.unfinished import Unfinished

if TYPE_CHECKING:
    from neurofit.analyses.encoding.fitting import Fitting

LEAST_SECONDS = 0.5
"""Bins that took less time are not stored."""


@runtime_checkable
class Columnar(Protocol):
    """An accumulator all of whose numbers are columns of time bins."""

    def columns(self) -> list[np.ndarray]:
        """Return the arrays that fits fill, whose last axis is the time bin."""
        ...

    def given(self) -> list[np.ndarray]:
        """Return the arrays that these numbers depend on, beside trials and predictions."""
        ...


class FinishedBins:
    """Time bins that are fitted, of this process and of one that was killed at the same work.

    Nothing is stored where a map is shared by all bins, an accumulator is not `Columnar`, it is not
    known what the activations depend on, or another process is at the same work.

    Parameters
    ----------
    fitting
        The fits.
    accumulators
        Accumulators that the fits fill.
    """

    def __init__(self, fitting: Fitting, accumulators: Sequence[Any]) -> None:
        self._fitting = fitting
        self._folder: Unfinished | None = None
        columnar = [each for each in accumulators if isinstance(each, Columnar)]
        known = fitting.activations.fingerprint and fitting.config.time_mode != "fixed"
        if not known or len(columnar) < len(accumulators):
            return
        own = [fitting.held_out, *arrays_of(fitting.left_out), fitting.findings.ranks]
        self._arrays = {
            "hold_out": [fitting.held_out],
            "fit": [*own, *(array for each in columnar for array in each.columns())],
        }
        with suppress(NeurofitError):  # a score needs no place for unfinished work
            self._folder = Unfinished(_key(fitting, columnar))

    def left(self, name: str, groups: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the groups of bins that are left, and fill in the columns of the others.

        The name of the work is "hold_out" or "fit".
        """
        return [bins for bins in groups if not self._restore(name, bins)]

    def _restore(self, name: str, bins: np.ndarray) -> bool:
        if self._folder is None or not any(self._folder.path.glob(f"{name}-{bins[0]}-*.npz")):
            return False
        chunks = self._fitting.chunks if name == "fit" else [range(0)]
        self._fitting.means(bins, chunks)
        try:
            with open(self._path(name, bins), "rb") as file, np.load(file) as stored:
                columns = [stored[f"arr_{i}"] for i in range(len(self._arrays[name]))]
                plans = json.loads(str(stored["plans"]))
            for array, column in zip(self._arrays[name], columns, strict=True):
                if column.shape != array[..., bins].shape or column.dtype != array.dtype:
                    return False
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # missing, or damaged
            return False
        for array, column in zip(self._arrays[name], columns, strict=True):
            array[..., bins] = column
        for layer, plan in plans.items():
            self._fitting.grams.plans.setdefault(layer, GramPlan(**plan))
        return True

    def storing(self, name: str, fit: Callable[[np.ndarray], None]) -> Callable[[np.ndarray], None]:
        """Return a function that fits bins and stores their columns."""

        def work(bins: np.ndarray) -> None:
            begun = time.perf_counter()
            fit(bins)
            if time.perf_counter() - begun >= LEAST_SECONDS:
                self._store(name, bins)

        return work

    def cleanup(self) -> None:
        """Remove what is stored."""
        if self._folder is not None:
            self._folder.cleanup()

    def _store(self, name: str, bins: np.ndarray) -> None:
        if self._folder is None or not self._folder.continuable:
            return
        columns = [array[..., bins] for array in self._arrays[name]]
        plans = {layer: asdict(plan) for layer, plan in self._fitting.grams.plans.items()}
        with suppress(NeurofitError), atomic_file(self._path(name, bins)) as temporary:
            np.savez(temporary, *columns, plans=np.array(json.dumps(plans)))

    def _path(self, name: str, bins: np.ndarray) -> Path:
        assert self._folder is not None
        trials = self._fitting.trials_sha256[int(bins[0])]
        return self._folder.path / f"{name}-{bins[0]}-{trials[:24]}.npz"


def arrays_of(values: Any) -> Iterator[np.ndarray]:
    """Yield the arrays in dataclasses and lists of them, in order."""
    if isinstance(values, np.ndarray):
        yield values
    elif is_dataclass(values):
        for each in fields(values):
            yield from arrays_of(getattr(values, each.name))
    elif isinstance(values, list):
        for each in values:
            yield from arrays_of(each)


def _key(fitting: Fitting, accumulators: Sequence[Columnar]) -> str:
    """Return the hash of what the fits depend on, but for the responses."""
    activations, recording = fitting.activations, fitting.recording
    what = {
        "code": code_sha256(),
        "features": [
            activations.identity(layer, time_bin)
            for layer, inside in zip(fitting.layers, fitting.covered, strict=True)
            for time_bin, known in zip(recording.time_bins, inside, strict=True)
            if known
        ],
        "layers": fitting.layers,
        "time_bins": recording.time_bins,
        "config": fitting.config.as_attrs(),
        "device": fitting.grams.device,
        "more": [fitting.smoothers, fitting.learning_curve, fitting.jackknife],
        "stimuli": recording.stimuli.ids,
        "neuroids": recording.responses.neuroid_id.values,
    }
    digest = hashlib.sha256(to_json(what).encode())
    arrays = [fitting.train, fitting.parts, fitting.tests, fitting.splits.places]
    for array in (*arrays, *(array for each in accumulators for array in each.given())):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:24]

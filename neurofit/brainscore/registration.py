"""Make Brain-Score find our models, metric and benchmarks in this process, and lend it ours by files.

`brainscore_vision.load_model` and its like do not look into their registries for a name: they search the source of installed plugins
for a registration. `register` puts a step before that search, which knows our names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import brainscore_vision

from neurofit.brainscore.benchmark import TemporalPredictivityBenchmark
from neurofit.brainscore.brain_model import NeurofitBrainModel
from neurofit.brainscore.metric import NoiseCorrectedTemporal
from neurofit.data_loaders import describe_recording, list_recordings, load_recording
from neurofit.models import create_model, list_models, model_info
from neurofit.selection import parse_bins, rebin

METRIC = "neurofit-noise_corrected_temporal"

TEMPORAL = {"hvm-sim": "70:260:10", "majajhong2015": "70:250:20"}
"""Recordings in time that become benchmarks -> their time bins, in ms; of majajhong2015 every second, for they overlap by half."""

_search: Callable[..., Any] | None = None


def model(name: str) -> NeurofitBrainModel:
    """Return a registered neurofit model as a BrainModel: with its weights, if they are on this machine."""
    return NeurofitBrainModel(create_model(name, pretrained=model_info(name).has_weights))


def benchmark(recording: str, region: str) -> TemporalPredictivityBenchmark:
    """Return the temporal benchmark of a registered recording; it is loaded now."""
    return TemporalPredictivityBenchmark(rebin(load_recording(recording, region=region), parse_bins(TEMPORAL[recording])), region=region)


def ours() -> dict[str, dict[str, Callable[..., Any]]]:
    """Return what is registered: registry of `brainscore_vision` -> name -> what makes it."""
    known = set(list_recordings())
    return {
        "model_registry": {f"neurofit-{name}": partial(model, name) for name in list_models()},
        "metric_registry": {METRIC: NoiseCorrectedTemporal},
        "benchmark_registry": {
            f"neurofit-{recording}.{region}": partial(benchmark, recording, region)
            for recording in TEMPORAL
            if recording in known
            for region in describe_recording(recording).regions
        },
    }


def register() -> None:
    """Register all models as neurofit-NAME, the metric, and the benchmarks neurofit-RECORDING.REGION; twice is as once."""
    global _search
    entries = ours()
    for registry, named in entries.items():
        getattr(brainscore_vision, registry).update(named)
    if _search is None:
        _search = search = brainscore_vision.import_plugin
        names = {(registry.removesuffix("_registry") + "s", name) for registry, named in entries.items() for name in named}

        def find(library_root: str, plugin_type: str, identifier: str, registry_prefix: str | None = None) -> None:
            if (plugin_type, identifier) not in names:
                search(library_root, plugin_type, identifier, *([registry_prefix] if registry_prefix else []))

        brainscore_vision.import_plugin = find


def unregister() -> None:
    """Undo `register`."""
    global _search
    for registry, named in ours().items():
        for name in named:
            getattr(brainscore_vision, registry).pop(name, None)
    if _search is not None:
        brainscore_vision.import_plugin, _search = _search, None

"""Registration of our models, metric and benchmarks with Brain-Score, within this process.

`brainscore_vision.load_model` and the other loaders search the source of installed plugins for a
registration before they use their registries. `register` makes them skip this search for our names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import brainscore_vision

from neurofit.brainscore.benchmark import (
    RecordingBenchmark,
    SolutionTimesBenchmark,
    TemporalPredictivityBenchmark,
)
from neurofit.brainscore.brain_model import NeurofitBrainModel
from neurofit.brainscore.metric import NoiseCorrectedTemporal
from neurofit.brainscore.solution_times import RecordedSolutionTimes, SolutionTimes, kar2019
from neurofit.data_loaders import describe_recording, list_recordings, load_recording
from neurofit.models import create_model, list_models
from neurofit.recordings.rebinning import rebin
from neurofit.recordings.time_bins import parse_bins

METRIC = "neurofit-noise_corrected_temporal"
SOLUTION_TIMES = "neurofit-solution_times"
OST = "neurofit-ost"

TEMPORAL = {"hvm-sim": "70:260:10", "majajhong2015": "70:250:20"}
"""Recordings that become benchmarks -> their time bins in ms.

For majajhong2015 these are every second of its bins, which overlap by half.
"""

_search: Callable[..., Any] | None = None
"""Brain-Score's `import_plugin`, while `register` has replaced it."""


def model(name: str) -> NeurofitBrainModel:
    """Return a registered neurofit model as a BrainModel, with its trained weights.

    Raises
    ------
    NeurofitError
        If it has none on this machine.
    """
    return NeurofitBrainModel(create_model(name))


def benchmark(
    recording: str,
    region: str,
    kind: Callable[..., RecordingBenchmark] = TemporalPredictivityBenchmark,
) -> RecordingBenchmark:
    """Load a registered recording and return its temporal benchmark, or one of another kind."""
    loaded = load_recording(recording, region=region)
    return kind(rebin(loaded, parse_bins(TEMPORAL[recording])), region=region)


def registry_entries() -> dict[str, dict[str, Callable[..., Any]]]:
    """Return our entries: registry of `brainscore_vision` -> identifier -> constructor."""
    known = set(list_recordings())
    kinds = {"": TemporalPredictivityBenchmark, "-ost": SolutionTimesBenchmark}
    return {
        "model_registry": {f"neurofit-{name}": partial(model, name) for name in list_models()},
        "metric_registry": {
            METRIC: NoiseCorrectedTemporal,
            SOLUTION_TIMES: RecordedSolutionTimes,
            OST: SolutionTimes,
        },
        "benchmark_registry": {
            "neurofit-Kar2019-ost": kar2019,
            **{
                f"neurofit-{recording}.{region}{ending}": partial(
                    benchmark, recording, region, kind
                )
                for recording in TEMPORAL
                if recording in known
                for region in describe_recording(recording).regions
                for ending, kind in kinds.items()
            },
        },
    }


def register() -> None:
    """Register all models as neurofit-NAME, the metrics and the benchmarks with Brain-Score.

    `brainscore_vision.load_model`, `load_metric` and `load_benchmark` then find them in this
    process. Repeated calls have no further effect. docs/brainscore.md lists the names.
    """
    global _search
    entries = registry_entries()
    for registry, named in entries.items():
        getattr(brainscore_vision, registry).update(named)
    if _search is None:
        _search = search = brainscore_vision.import_plugin
        names = {
            (registry.removesuffix("_registry") + "s", name)
            for registry, named in entries.items()
            for name in named
        }

        def import_plugin(
            library_root: str, plugin_type: str, identifier: str, registry_prefix: str | None = None
        ) -> None:
            if (plugin_type, identifier) not in names:
                prefix = [registry_prefix] if registry_prefix else []
                search(library_root, plugin_type, identifier, *prefix)

        brainscore_vision.import_plugin = import_plugin


def unregister() -> None:
    """Undo `register`: Brain-Score no longer finds neurofit's models, metrics and benchmarks.

    Without a registration it has no effect.
    """
    global _search
    for registry, named in registry_entries().items():
        for name in named:
            getattr(brainscore_vision, registry).pop(name, None)
    if _search is not None:
        brainscore_vision.import_plugin, _search = _search, None

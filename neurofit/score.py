"""Activations + recording + mapping + reliability -> a noise-corrected predictivity curve.

trials -> means of all trials and of trial halves -> r_yy
features -> Gram -> maps fitted on those means -> predictions of test stimuli -> r_xy, r_xx
r_xy / sqrt(r_xx r_yy) per neuroid and time bin -> median over reliable neuroids -> curve
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as Table
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurofit.assemblies import Recording, validate_structure
from neurofit.errors import NeurofitError, check_option
from neurofit.extract import Activations
from neurofit.fitting import Fitting, bytes_per_half
from neurofit.grams import Grams
from neurofit.mapping import MAPPINGS, Mapping, Reduction, fold_splits, plan_gram, train_splits
from neurofit.metrics import TrialSets, split_halves
from neurofit.presets import MAPPING_OPTIONS, ScoreConfig
from neurofit.result import make_result
from neurofit.statistics import KEPT_HALVES
from neurofit.targets import parts_of, recording_sessions

Progress = Callable[[int, int], None]

SHARE_OF_PEAK = 0.25
"""Of the speed of large products that fits of a few hundred stimuli and neuroids reach."""


def score(
    activations: Activations,
    recording: Recording,
    config: ScoreConfig,
    *,
    n_jobs: int | None = None,
    device: str = "cpu",
    keep_grams: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Score how well activations predict one area of a recording in time.

    Parameters
    ----------
    activations
        Of the recording's stimuli, in their order.
    recording
        Responses to repeated stimuli. NaN: a trial that is missing for a neuroid; a half of which a stimulus has none left is left
        out for this neuroid. Neuroids without any trial of some stimuli are fitted with those that lack the same: on the stimuli
        that they share, in the splits that are drawn over all. A PLS is joint over these neuroids.
    config
        Area, mapping, time mode, splits, noise correction: see `ScoreConfig`.
    n_jobs
        Time bins worked on at once; default the available cores. It does not change the numbers.
    device
        Where maps are fitted: "cpu" (numpy), "torch-cpu", "cuda".
    keep_grams
        Keep the features' Grams in NEUROFIT_HOME/grams, and use those that are there: see `neurofit.grams`.
    progress
        Called with (steps done, steps in all); a step is a time bin, or all of them in the fixed time mode.

    Returns
    -------
    Dataset with `curve`, `curve_low`, `curve_high`, `ceiling` and `n_neuroids` per layer and time bin; the other
    formulas' curves; r_xy, r_xx, r_yy per split, half, neuroid and bin; attributes that let it be repeated.

    Raises
    ------
    NeurofitError
        Faults of the recording; unknown region, layer or mapping; stimuli that do not match; too few stimuli or repetitions; no bin
        that can be predicted.
    """
    return score_many(activations, recording, [config], n_jobs=n_jobs, device=device, keep_grams=keep_grams, progress=progress)[0]


def score_many(
    activations: Activations,
    recording: Recording,
    configs: Sequence[ScoreConfig],
    *,
    n_jobs: int | None = None,
    device: str = "cpu",
    keep_grams: bool = False,
    progress: Progress | None = None,
) -> list[xr.Dataset]:
    """Score several mappings at once: trial means, r_yy and the features' Grams are computed once for all.

    Parameters
    ----------
    activations, recording, n_jobs, device, keep_grams, progress
        As for `score`.
    configs
        One per mapping; they differ in nothing else.

    Returns
    -------
    One Dataset per configuration, equal to that of `score`; to 1e-6 where mappings that want Grams of different precision share them.

    Raises
    ------
    NeurofitError
        As `score`; or if the configurations differ in more than the mapping.
    """
    config = _common(configs)
    if n_jobs is not None and n_jobs < 1:
        raise NeurofitError(f"n_jobs is at least 1; got {n_jobs}.")
    validate_structure(recording)
    recording = recording.select(region=config.region, window=config.window)
    if not np.array_equal(activations.stimulus_ids, recording.stimuli.ids):
        raise NeurofitError(f"The activations of {activations.model} are not of the stimuli of {recording.name}, in their order.")
    mappings = [make_mapping(c, device=device) for c in configs]
    fitting = Fitting(
        activations,
        recording,
        mappings=mappings,
        grams=Grams(
            activations,
            recording.time_bins,
            precision=_precision(config, mappings),
            reduction=Reduction(config.reduce, config.seed),
            device=device,
            keep=keep_grams,
        ),
        layers=layers_to_fit(activations.model, activations.layers, activations.region_layers, config),
        train=_train_splits(recording, config),
        trials=TrialSets(recording.stimulus_rows, _halves(recording, config)),
        config=config,
    )
    fitting.check_time()
    bins = np.arange(len(recording.time_bins))
    groups = list(bins[:, None]) if config.time_mode == "per-bin" else [bins]
    passes = [fitting.hold_out, fitting.fit] if fitting.layer_per_split else [fitting.fit]
    for i, step in enumerate(passes):
        for done, _ in enumerate(_in_parallel(step, groups, n_jobs=n_jobs), start=1):
            if progress:
                progress(i * len(groups) + done, len(passes) * len(groups))
    return [
        make_result(
            fitting.reliability,
            predictivity,
            layers=fitting.layers,
            covered=fitting.covered,
            train=fitting.train,
            halves=fitting.trials.halves,
            activations=activations,
            recording=recording,
            config=c,
            how=fitting.say_how(mapping),
        )
        for c, mapping, predictivity in zip(configs, mappings, fitting.predictivities, strict=True)
    ]


def estimate(
    layer_units: Table[str, int],
    recording: Recording,
    configs: Sequence[ScoreConfig],
    *,
    n_timesteps: int,
    n_jobs: int | None = None,
) -> Estimate:
    """Return about how much work `score_many` will be.

    Parameters
    ----------
    layer_units
        Layer -> units, of the layers to fit.
    recording, configs, n_jobs
        As for `score_many`; the recording of one area.
    n_timesteps
        Timesteps whose activations are kept.
    """
    config, n_layers = configs[0], len(layer_units)
    n_stimuli, n_neuroids, n_bins = len(recording.stimuli), recording.responses.sizes["neuroid"], len(recording.time_bins)
    times, groups = (1, n_bins) if config.time_mode == "per-bin" else (n_bins, 1)
    gram = 8 * max(n_stimuli * times * min(n_stimuli * times, units) for units in layer_units.values())
    per_half = bytes_per_half(recording, config)
    at_once = len(parts_of(config.n_halves, bytes_per_half=per_half)[0])
    remembered = config.n_splits * gram if at_once < config.n_halves and any(c.mapping == "ridge" for c in configs) else 0
    trials = 4 * recording.responses.sizes["presentation"] * n_neuroids
    jobs = min(n_jobs or _available_cores(), groups)
    kept = n_layers * len(configs) * n_neuroids * n_bins * config.n_splits * min(config.n_halves, KEPT_HALVES)
    mappings = [make_mapping(c) for c in configs]
    sizes = {"n_sets": config.n_sets, "n_splits": config.n_splits, "n_neuroids": n_neuroids}
    flops = 0.0
    for units in layer_units.values():
        plan = plan_gram(n_stimuli * times, units, precision=_precision(config, mappings))
        flops += groups * (plan.flops + sum(mapping.plan(plan, **sizes).flops for mapping in mappings))
    drawn = 0 if config.bootstrap_over == "neuroids" else 6 * 8 * config.n_bootstraps * n_neuroids * n_bins
    influences = 0 if config.bootstrap_over == "neuroids" else n_layers * len(configs) * n_neuroids * n_bins * n_stimuli
    return Estimate(
        n_fits=n_layers * len(configs) * groups * config.n_splits * config.n_sets,
        n_bytes=jobs * ((1 + at_once) * per_half + 2 * gram + remembered + 3 * trials) + 2 * 8 * kept + 4 * 2 * influences + drawn,
        disk_bytes=4 * n_stimuli * n_timesteps * sum(layer_units.values()),
        flops=flops,
        n_jobs=jobs,
    )


@dataclass(frozen=True)
class Estimate:
    """Size of a piece of work: maps to fit, memory, activations on disk, floating point operations and how many work on them."""

    n_fits: int
    n_bytes: int
    disk_bytes: int
    flops: float
    n_jobs: int

    @property
    def seconds(self) -> float:
        """About how long the fits take here, on cores that are free, from a product of two matrices: within a factor of two or so."""
        a, best = np.ones((512, 512)), 1.0
        with threadpool_limits(1):
            for _ in range(5):
                begun = time.process_time()
                a @ a
                best = min(best, time.process_time() - begun)
        return self.flops / (SHARE_OF_PEAK * 2 * len(a) ** 3 / best * self.n_jobs)


def make_mapping(config: ScoreConfig, *, device: str = "cpu") -> Mapping:
    """Return the mapping a configuration names, with its options (`MAPPING_OPTIONS`)."""
    options: dict[str, dict[str, Any]] = {
        "pls": {
            "n_components": config.n_components,
            "choose_components": config.choose_components,
            "convergence": config.convergence,
        },
        "ridge": {"select": config.penalty, "alphas": config.alphas},
    }
    mapping = MAPPINGS[config.mapping](**options.get(config.mapping, {}), device=device)
    return Reduction(config.reduce, config.seed).mapping(mapping)


def _precision(config: ScoreConfig, mappings: Sequence[Mapping]) -> str:
    """Return the precision of the Grams that all mappings share: what they want, float64 where they want different ones."""
    wanted = {mapping.precision for mapping in mappings}
    if config.gram_precision != "auto":
        return config.gram_precision
    return wanted.pop() if len(wanted) == 1 else "float64"


def layers_to_fit(model: str, layers: Sequence[str], region_layers: Table[str, tuple[str, ...]], config: ScoreConfig) -> tuple[str, ...]:
    """Return the layers asked for; for "auto" all of the model's that stand for the area, for "all" all that there are."""
    if config.layers == "all":
        return tuple(layers)
    if config.layers != "auto":
        return tuple(check_option(f"layer of {model}", layer, layers) for layer in config.layers)
    candidates = region_layers[check_option(f"region of {model}", config.region, region_layers)]
    if config.splits == "folds" and len(candidates) > 1:
        raise NeurofitError(
            f"The predictions of all folds are scored together, so one layer must make them: name it ({', '.join(candidates)}) or "
            'ask for "all".'
        )
    return candidates


def _common(configs: Sequence[ScoreConfig]) -> ScoreConfig:
    """Return the first of configurations that differ in the mapping only."""
    if not configs:
        raise NeurofitError("There is nothing to score: give at least one configuration.")
    first = configs[0]
    for other in configs[1:]:
        differing = [name for name, value in vars(other).items() if value != getattr(first, name) and name not in MAPPING_OPTIONS]
        if differing:
            raise NeurofitError(
                f"Configurations scored together differ in the mapping only ({', '.join(MAPPING_OPTIONS)}); "
                f"these differ in {', '.join(differing)}."
            )
    return first


def _train_splits(recording: Recording, config: ScoreConfig) -> np.ndarray:
    table = recording.stimuli.table
    column = config.stratify_by(map(str, table))
    strata = table[column].to_numpy() if column else None
    if config.splits == "folds":
        return fold_splits(len(table), n_folds=config.n_splits, seed=config.seed, strata=strata)
    return train_splits(len(table), n_splits=config.n_splits, train_size=config.train_size, seed=config.seed, strata=strata)


def _halves(recording: Recording, config: ScoreConfig) -> np.ndarray:
    return split_halves(
        recording.stimulus_rows,
        n_halves=config.n_halves,
        seed=config.seed,
        by=config.halves_by,
        repetition=recording.responses.repetition.values,
        session=recording_sessions(recording),
    )


def _in_parallel(work: Callable[[np.ndarray], None], groups: list[np.ndarray], *, n_jobs: int | None) -> Iterator[None]:
    """Run the groups side by side with one BLAS thread each: two spinning BLAS threads took 15 times as long on a busy machine."""
    with threadpool_limits(1), ThreadPoolExecutor(n_jobs or _available_cores()) as pool:
        yield from pool.map(work, groups)


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

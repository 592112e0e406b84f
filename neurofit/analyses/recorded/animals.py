"""Animals as models: how well the same area of one animal predicts that of another, over time.

In each time bin, maps lead from each animal to each other one, and from all others pooled. They are
corrected for trial noise on both sides (`neurofit.analyses.recorded.fits`): s would be 1 if the
signal of one animal were a linear function of that of the other which the stimuli suffice to find.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import ENDS, banded_variables, register_analysis
from neurofit.analyses.encoding.mappings import find_mappings, mapping_device
from neurofit.analyses.encoding.predictions import in_parallel
from neurofit.analyses.encoding.splits import Splits, draw_splits
from neurofit.analyses.recorded.config import RecordedConfig
from neurofit.analyses.recorded.contrasts import Tested, combine
from neurofit.analyses.recorded.fits import Scores, Target, score_bins
from neurofit.analyses.recorded.mouse import mouse_variables
from neurofit.analyses.recorded.populations import Population
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.mapping.contract import GramMapping
from neurofit.metrics.two_way import describe_band, describe_interval
from neurofit.recordings.selection import where
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.recordings.recording import Recording


@dataclass(frozen=True, kw_only=True)
class AnimalsConfig(RecordedConfig):
    """Options of maps between animals; for the fits see `RecordedConfig`.

    Parameters
    ----------
    preset
        "crossed": maps between different trial halves, pooled over neuroids. "mouse": the estimator
        of Nayebi et al. (2023), in `neurofit.analyses.recorded.mouse`, which has no intervals.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.AnimalsConfig(n_splits=3)
    AnimalsConfig(n_splits=3)
    """

    preset: str = option(
        "crossed",
        choices=("crossed", "mouse"),
        help="Preset: crossed trial halves, or mouse, the estimator of Nayebi et al. (2023).",
    )

    @classmethod
    def from_options(cls, *, preset: str = "crossed", **changes: Any) -> AnimalsConfig:
        """Return a preset's configuration with changes, for the command line."""
        own: dict[str, Any] = {}
        if preset == "mouse":
            own = {
                "mapping": "pls",
                "splits": "random",
                "n_splits": 10,
                "train_size": 0.5,
                "stratified": False,
                "n_halves": 100,
            }
        return cls(preset=preset, **{**own, **changes})


def read_animals(recording: Recording, config: RecordedConfig) -> list[Population]:
    """Return the neuroids of each animal, by name.

    Raises
    ------
    NeurofitError
        If neuroids do not state their animal, all are of one, or one has too few.
    """
    names = find_animals(recording)
    return [Population.read(where(recording, subject=name), config, name=name) for name in names]


def find_animals(recording: Recording) -> list[str]:
    """Return the names of the animals of one area.

    Raises
    ------
    NeurofitError
        If neuroids do not state their animal, or all are of one.
    """
    if len(recording.regions) != 1:
        raise NeurofitError(
            f"Maps between animals are about one area; {recording.name} has "
            f"{', '.join(recording.regions)}. Select one: recording.select(region=...)."
        )
    coords = recording.responses.coords
    known = "subject" in coords and coords["subject"].dims == ("neuroid",)
    names = sorted(set(map(str, coords["subject"].values))) if known else []
    if len(names) < 2:
        raise NeurofitError(
            "Maps between animals need neuroids of two animals or more (coordinate subject); "
            + (
                f"all of {recording.name} are of {names[0]!r}."
                if names
                else f"{recording.name} does not name any."
            )
        )
    return names


Pair = tuple[int, int]
"""Positions of a source and of a target."""


def score_pairs(
    sources: list[Population],
    targets: list[Target],
    pairs: list[Pair],
    mapping: GramMapping,
    config: RecordedConfig,
    *,
    compute: Compute,
    progress: Progress | None,
) -> dict[Pair, Scores]:
    """Return the scores over time of some pairs of a source and a target."""
    made: dict[Pair, Scores] = {}

    def fit(at: np.ndarray) -> None:
        source, target = pairs[int(at[0])]
        made[source, target] = score_bins(
            sources[source], targets[target], mapping, min_z=config.min_z
        )

    report = progress or (lambda *_: None)
    report("pairs", 0, len(pairs))
    todo = list(np.arange(len(pairs))[:, None])
    for n, _ in enumerate(in_parallel(fit, todo, n_jobs=compute.jobs), 1):
        report("pairs", n, len(pairs))
    return made


@register_analysis(AnimalsConfig, models=0)
def animals(
    recording: Recording,
    config: AnimalsConfig = AnimalsConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Animals as models: maps between animals in each time bin, pairwise and pooled.

    Parameters
    ----------
    recording
        Repeated trials of one area in two animals or more, which the coordinate `subject` of the
        neuroids names. A neuroid without 2 valid trials of every stimulus in a bin has no part in
        that bin.
    config
        Mapping, splits and halves.
    compute
        Cores and device; these do not change the numbers.
    progress
        Called with ("pairs", pairs done, pairs in total).

    Returns
    -------
    Dataset
        `curve` (time_bin), the mean over ordered pairs; `inter_animal` (animals time_bin);
        `pooled` (subject time_bin), from all others to an animal; each with interval and band.

    Raises
    ------
    NeurofitError
        If there are fewer than two animals, or one has too few neuroids.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(100, 110))
    >>> named = ["A", "B"] * 44  # the simulation has no animals
    >>> named = recording.responses.assign_coords(subject=("neuroid", named))
    >>> config = neurofit.AnimalsConfig(n_splits=2, n_halves=1)
    >>> neurofit.animals(replace(recording, responses=named), config)["inter_animal"].dims
    ('animals', 'time_bin')
    """
    populations = read_animals(recording, config)
    splits = draw_splits(recording, config)
    (mapping,) = find_mappings(config, device=mapping_device(compute.device))
    n = len(populations)
    sources: list[Population] = [*populations]
    ordered = list(permutations(range(n), 2))
    pooled: list[Pair] = []
    for number, each in enumerate(populations):
        others = [other for other in populations if other is not each]
        sources.append(Population.join(others, name=f"all but {each.name}"))
        pooled.append((n + number, number))
    bins = np.array(recording.time_bins)
    names = [each.name for each in populations]
    coords = {
        "subject": names,
        "animals": [f"{names[a]} to {names[b]}" for a, b in ordered],
        **time_coords(*bins.T),
    }
    attrs = {
        "method": f"{mapping.name} between trial halves of {n} animals",
        "notes": json.dumps(notes_of(populations, splits)),
    }
    if config.preset == "mouse":
        made = mouse_variables(sources, ordered, pooled, mapping, splits, compute, progress)
        return xr.Dataset(made, coords=coords, attrs=attrs)
    targets = [Target.of(each, splits) for each in populations]
    found = score_pairs(
        sources,
        targets,
        ordered + pooled,
        mapping,
        config,
        compute=compute,
        progress=progress,
    )
    return xr.Dataset(
        {
            **curve_of(
                "curve",
                mean_of(found, ordered, config),
                config,
                long_name="noise-corrected r between animals",
                formula="mean over pairs of sum_j X_j / sum_j sqrt(P_j Y_j)",
                column="r",
            ),
            **curves_of(
                "pooled",
                "subject",
                [mean_of(found, [pair], config) for pair in pooled],
                config,
                long_name="noise-corrected r from all other animals",
                formula="sum_j X_j / sum_j sqrt(P_j Y_j)",
                column="pooled",
            ),
            **curves_of(
                "inter_animal",
                "animals",
                [mean_of(found, [pair], config) for pair in ordered],
                config,
                long_name="noise-corrected r from animal to animal",
                formula="sum_j X_j / sum_j sqrt(P_j Y_j)",
                column="r",
            ),
        },
        coords=coords,
        attrs=attrs,
    )


def notes_of(populations: list[Population], splits: Splits) -> list[str]:
    """Return sentences on the splits, on neuroids without trials, and on the number of animals."""
    notes = [*splits.notes, *(note for each in populations for note in each.note())]
    notes.append(
        f"{', '.join(f'{each.name} ({len(each.usable)} neuroids)' for each in populations)}: "
        "intervals are for these animals, not for others of their kind."
    )
    return notes


def mean_of(found: dict[Pair, Scores], pairs: list[Pair], config: RecordedConfig) -> Tested:
    """Return the mean over pairs in each time bin, where all of them have a score."""
    targets = sorted({target for _, target in pairs})
    parts, weights = [], []
    for target in targets:
        own = [pair for pair in pairs if pair[1] == target]
        parts.append(Scores.join([found[pair] for pair in own]))
        n_bins = len(found[own[0]].score)
        weights.append(np.tile(np.eye(n_bins), (len(own), 1)) / len(pairs))
    return combine(parts, weights, config)


def curve_of(name: str, found: Tested, config: RecordedConfig, **attrs: Any) -> dict[str, Any]:
    """Return a curve with its interval and band."""
    return banded_variables(
        name,
        ("time_bin",),
        found.values,
        {end: getattr(found.tests, end) for end in ENDS},
        interval=describe_interval(config.interval, config.interval_over, config.groups),
        band=describe_band(config.interval),
        **attrs,
    )


def curves_of(
    name: str, dim: str, found: list[Tested], config: RecordedConfig, **attrs: Any
) -> dict[str, Any]:
    """Return curves along a dimension with their intervals and bands."""
    return banded_variables(
        name,
        (dim, "time_bin"),
        np.stack([each.values for each in found]),
        {end: np.stack([getattr(each.tests, end) for each in found]) for end in ENDS},
        interval=describe_interval(config.interval, config.interval_over, config.groups),
        band=describe_band(config.interval),
        **attrs,
    )

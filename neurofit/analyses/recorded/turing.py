"""The dynamics Turing test: a model among animals, in each window of time.

A layer of the model takes the place of an animal: as many of its units as animals have neuroids, on
average, with trial noise like that of the animals' neuroids. In each time bin and with the same
mapping, splits and halves, it predicts each animal, and each animal predicts it, as animals predict
each other. In a window, the model's mean score as a source, and as a target, is compared with the
interval in which that of one more animal lies (`neurofit.metrics.exchange`):

    below, above      outside of the interval; one more animal is, with the probability 1 - level
    within            inside, and a model with a score of 0 would be outside
    cannot_be_told    otherwise, and always with fewer than three animals

The idea of maps in both directions by the maps that lead from animal to animal is that of Thobani
et al. (2025), arXiv:2510.02523.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurofit.activations.activations import check_inputs
from neurofit.analyses.analysis import register_analysis, score_variable
from neurofit.analyses.encoding.config import parse_layers
from neurofit.analyses.encoding.mappings import find_mappings, mapping_device
from neurofit.analyses.encoding.splits import draw_splits
from neurofit.analyses.recorded.animals import (
    curve_of,
    find_animals,
    mean_of,
    notes_of,
    read_animals,
    score_pairs,
)
from neurofit.analyses.recorded.config import RecordedConfig
from neurofit.analyses.recorded.fits import Target
from neurofit.analyses.recorded.units import sample_units
from neurofit.analyses.recorded.verdicts import (
    ROLES,
    VERDICTS,
    Square,
    describe_differences,
    describe_places,
)
from neurofit.analyses.windows import check_windows, find_windows, in_window, parse_windows
from neurofit.config.compute import Compute, Progress
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.metrics.exchange import LEAST_MEMBERS
from neurofit.metrics.two_way import percent
from neurofit.results.schema import time_coords

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording


@dataclass(frozen=True, kw_only=True)
class TuringConfig(RecordedConfig):
    """Options of a dynamics Turing test; for the fits see `RecordedConfig`.

    Parameters
    ----------
    layers
        Layers of the model, each put among the animals on its own: names and patterns, "all", or
        "auto" for those that stand for the area.
    windows
        Windows (start, end) in ms. None takes 70-130 and 130-260 ms, as far as the recording has
        time bins in them.
    n_units
        Number of units that stand for neuroids; None for as many as animals have on average.
    trial_noise
        Whether units have trial noise. Without it the model is better known than animals are, so
        that maps from it are better.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.TuringConfig(layers=("conv3",), trial_noise=False)
    TuringConfig(layers=('conv3',), trial_noise=False)
    """

    layers: Any = option(
        "auto",
        parse=parse_layers,
        metavar="NAME,...",
        panel="Mapping",
        help="Layers, each on its own: auto (those of the area), all, or names and patterns.",
    )
    windows: Any = option(
        None,
        parse=parse_windows,
        metavar="START:END,...",
        default_text="early,late",
        help="Windows (ms) of the verdicts; early is 70:130, late 130:260.",
    )
    n_units: int | None = option(
        None,
        least=3,
        help="Number of units of a layer that stand for neuroids.",
        default_text="as animals have on average",
    )
    trial_noise: bool = option(
        True, help="Give units trial noise like that of the animals' neuroids."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "windows", check_windows(self.windows))

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if there are no two animals, or `windows` hold no time bin."""
        find_animals(recording)
        super().check_recording(recording)
        if not find_windows(np.array(recording.time_bins), self.windows):
            start, end = recording.time_bins[0][0], recording.time_bins[-1][1]
            raise NeurofitError(
                "A verdict is one of a window that holds a time bin: early (70:130) and late "
                f"(130:260) hold none of {recording.name}, {start}-{end} ms. Name others with "
                "windows.",
                option="windows",
            )


@register_analysis(TuringConfig)
def turing(
    activations: Activations,
    recording: Recording,
    config: TuringConfig = TuringConfig(),
    *,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> xr.Dataset:
    """Dynamics Turing test: a model among animals that predict each other, in each window.

    Parameters
    ----------
    activations
        Activations of the recording's stimuli, in their order.
    recording
        Repeated trials of one area in two animals or more (coordinate `subject` of the neuroids).
    config
        Layers, windows, mapping, splits and halves.
    compute
        Cores and device; these do not change the numbers.
    progress
        Called with ("pairs", pairs done, pairs in total).

    Returns
    -------
    Dataset
        `as_source` and `as_target` (layer windows): the model's mean score, with the interval of
        one more animal as `low` and `high`, and `verdict_as_source`, `verdict_as_target`;
        `model_to_animal` and `animal_to_model` (layer subject time_bin); `inter_animal`
        (animals time_bin) and its mean, `curve` (time_bin); `source_difference` and
        `target_difference` (layer subject windows), for these animals.

    Raises
    ------
    NeurofitError
        As `neurofit.animals`, and if stimuli do not match or a layer or window does not exist.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(100, 120))
    >>> named = ["A", "B", "C", "D"] * 22  # the simulation has no animals
    >>> named = recording.responses.assign_coords(subject=("neuroid", named))
    >>> recording = replace(recording, responses=named)
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> config = neurofit.TuringConfig(layers=("conv3",), n_splits=2, n_halves=1)
    >>> neurofit.turing(activations, recording, config)["model_to_animal"].dims
    ('layer', 'subject', 'time_bin')
    """
    check_inputs(activations, recording)
    config.check_recording(recording)
    bins = np.array(recording.time_bins)
    windows = find_windows(bins, config.windows)
    populations = read_animals(recording, config)
    splits = draw_splits(recording, config)
    layers = config.layers_for(activations, recording.regions[0])
    (mapping,) = find_mappings(config, device=mapping_device(compute.device))
    n, names = len(populations), [each.name for each in populations]
    n_units = config.n_units or round(float(np.mean([len(each.usable) for each in populations])))
    members = [
        *populations,
        *(
            sample_units(
                activations,
                layer,
                recording.time_bins,
                populations,
                n_units=n_units,
                n_halves=config.n_halves,
                trial_noise=config.trial_noise,
                seed=config.seed,
            )
            for layer in layers
        ),
    ]
    targets = [Target.of(each, splits) for each in members]
    ordered = list(permutations(range(n), 2))
    models = range(n, len(members))
    pairs = [
        *ordered,
        *((model, animal) for model in models for animal in range(n)),
        *((animal, model) for model in models for animal in range(n)),
    ]
    found = score_pairs(
        members, targets, pairs, mapping, config, compute=compute, progress=progress
    )
    square = Square(found, n, [in_window(bins, window) for window in windows])
    placed = describe_places(square, list(models), config)
    noted = notes_of(populations, splits) + _notes(square, names, n_units, config)
    result = xr.Dataset(
        {
            **placed,
            **describe_differences(square, list(models), config),
            **curve_of(
                "curve",
                mean_of(found, ordered, config),
                config,
                long_name="noise-corrected r between animals",
                formula="mean over pairs of sum_j X_j / sum_j sqrt(P_j Y_j)",
                column="animals",
            ),
            **_curves(square, list(models), config),
            "inter_animal": score_variable(
                ("animals", "time_bin"),
                np.stack([found[pair].score for pair in ordered]),
                long_name="noise-corrected r from animal to animal",
                formula="sum_j X_j / sum_j sqrt(P_j Y_j)",
            ),
        },
        coords={
            "layer": list(layers),
            "subject": names,
            "animals": [f"{names[a]} to {names[b]}" for a, b in ordered],
            "windows": [f"{start}-{end} ms" for start, end in windows],
            **time_coords(*bins.T),
        },
        attrs={
            "method": f"{mapping.name} between trial halves of {n} animals and {n_units} units",
            "notes": json.dumps(noted),
        },
    )
    result.attrs["conclusion"] = json.dumps(list(_conclude(result)))
    return result


def _curves(square: Square, models: list[int], config: TuringConfig) -> dict[str, Any]:
    """Return the scores over time between each layer and each animal."""
    made: dict[str, Any] = {}
    for role, name, way in (
        ("source", "model_to_animal", "model to animal"),
        ("target", "animal_to_model", "animal to model"),
    ):
        values = [
            [
                square.found[square.pair(model, animal, role)].score
                for animal in range(square.n_animals)
            ]
            for model in models
        ]
        made[name] = score_variable(
            ("layer", "subject", "time_bin"),
            np.array(values),
            long_name=f"noise-corrected r, {way}",
            formula="sum_j X_j / sum_j sqrt(P_j Y_j)",
        )
    return made


def _notes(square: Square, names: Sequence[str], n_units: int, config: TuringConfig) -> list[str]:
    """Return sentences on what the verdicts mean, and what so few animals can show."""
    noise = "with trial noise like that of neuroids" if config.trial_noise else "without noise"
    notes = [f"{n_units} random units of each layer stand for neuroids, {noise}."]
    error = percent(1 - config.interval)
    if square.n_animals < LEAST_MEMBERS:
        return [
            *notes,
            f"{square.n_animals} animals have no spread that a model could lie within: nothing is "
            "said about other animals. The differences (source_difference, target_difference) hold "
            f"for {' and '.join(names)} alone; one that has the same sign in both, with p below "
            f"{error} in each, is found in at most {error} if it is absent from either.",
        ]
    return [
        *notes,
        f"below, above: outside of the interval of one more animal, which happens to one more "
        f"animal in at most {error} of cases, in each window and direction on its own. within: "
        "inside, where a score of 0 would be below.",
    ]


def _conclude(result: xr.Dataset) -> Iterator[str]:
    """Yield the verdicts on each layer in each window, in sentences that a paper can use."""
    for layer in result.layer.values:
        for window in result.windows.values:
            at = {"layer": layer, "windows": window}
            said = []
            for role in ROLES:
                value, low, high = (
                    float(result[f"as_{role}{end}"].sel(at)) for end in ("", "_low", "_high")
                )
                verdict = VERDICTS[int(result[f"verdict_as_{role}"].sel(at))].replace("_", " ")
                place = (
                    verdict
                    if verdict == VERDICTS[0].replace("_", " ")
                    else (f"{verdict} the interval of one more animal")
                )
                numbers = "no score" if np.isnan(value) else f"r = {value:.2f}"
                if np.isfinite(low):
                    numbers += f", one more animal {low:.2f} to {high:.2f}"
                said.append(f"{place} as a {role} ({numbers})")
            yield f"{layer} in {window}: {' and '.join(said)}."

"""Run an analysis from names: what the command line does, without printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import xarray as xr

from neurofit.analyses.analysis import ANALYSES, analysis_of
from neurofit.analyses.checks import check_model, check_recording
from neurofit.analyses.compared import find_against, find_baselines, need_one_region
from neurofit.analyses.inputs import Plan, find_activations, find_recording
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.source import find_source
from neurofit.config.compute import Compute, Progress
from neurofit.config.notebook import Configuration
from neurofit.config.options import (
    check_fields,
    one_or_several,
    option,
    options_of,
    parse_names,
)
from neurofit.errors import NeurofitError
from neurofit.recordings.selection import Selection, ids_in
from neurofit.recordings.time_bins import parse_time_bin
from neurofit.results.provenance import RUN, to_json


@dataclass(frozen=True, kw_only=True)
class RunConfig(Configuration):
    """Everything that decides a result: model, recording, selection and analysis.

    Parameters
    ----------
    model
        Registered model (`list_models`), a name of a source (`neurofit.models.sources`), such as
        "timm:resnet18", or several for `run_each`; not used by an analysis of a recording alone.
    recording
        Registered recording (`list_recordings`), path of a file or folder, or "brainscore:ID".
    selection
        Part of the recording.
    analysis
        Configuration of a registered analysis, a `ScoreConfig` for example.
    weights
        "auto" (bundled or downloaded), "random", or the path of a .safetensors file.
    model_seed
        Random seed for random weights and for `shuffle_stimuli`.
    presentation
        Presentation of the images: "neural", "default" or "constant".
    ms_per_timestep
        Duration of a timestep in ms of a model of a source, like the option of that name in its
        name; None for what it states or the default.
    precision
        Precision of the model's convolutions: "float32" or "bfloat16".
    shuffle_stimuli
        Whether to pair responses with the wrong images, as a control.
    baselines
        Whether `run_each` also analyses what the model would be without its dynamics
        (`neurofit.activations.baselines`): a result for each, whose `control` names it.
    images, time_bin
        For a recording given by path: its images, if they are not beside it, and (start, end) in
        ms of its only bin, if the file does not state it.
    visual_degrees
        Width of the images in degrees of visual angle, for a recording given by path that does not
        state it; without it such a recording is not scored.
    trial_start
        Whether the start of a trial is confirmed to be stimulus onset, for a recording that states
        no other; without it such a recording is not scored.
    compute
        Device, cores, batch size and cache; these do not change a result.

    Raises
    ------
    NeurofitError
        If an option is unknown or out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.RunConfig(model="rgc_tiny", selection=neurofit.Selection(region="V4"))
    RunConfig(model='rgc_tiny', selection=Selection(region='V4'))
    """

    model: str | Sequence[str] = option(
        "",
        parse=parse_names,
        metavar="NAME,...",
        help="Model or models: registered (neurofit list models), timm:NAME, torchvision:NAME, "
        "hf:OWNER/NAME, brainscore:NAME, or FILE.py:FUNCTION of your own, which is run.",
    )
    recording: str | Path = option(
        "hvm-sim",
        panel="Recording",
        parse=str,
        help="Registered recording (neurofit list recordings), a path, or brainscore:BENCHMARK.",
    )
    selection: Selection = field(default_factory=Selection)
    analysis: Any = field(default_factory=ScoreConfig)
    weights: str | Path = option(
        "auto",
        parse=str,
        help="Weights: auto (bundled or downloaded), random, or a file.",
    )
    model_seed: int = option(
        0, least=0, help="Random seed for untrained weights and for --shuffle-stimuli."
    )
    presentation: str = option("neural", help="Presentation of the images to the model.")
    ms_per_timestep: int | None = option(
        None,
        least=1,
        help="Duration of a timestep (ms) of a network that is not a registered model; for "
        "one that takes frames, the duration of a frame.",
        default_text="10, or 20 for video models",
    )
    precision: str = option(
        "float32",
        choices=("float32", "bfloat16"),
        help="Precision of the model's convolutions: float32 or bfloat16.",
    )
    shuffle_stimuli: bool = option(
        False, panel="Recording", help="Control: pair the responses with the wrong images."
    )
    baselines: bool = option(
        False,
        help="Analyse also what the model would be without its dynamics: its last step, its mean "
        "over time, its layers over time, and shuffled stimuli.",
    )
    images: str | Path | None = option(
        None,
        panel="Recording",
        parse=str,
        help="Images of a recording given by path: a table, zip or folder.",
        default_text="beside it",
    )
    time_bin: tuple[int, int] | None = option(
        None,
        panel="Recording",
        parse=parse_time_bin,
        metavar="START:END",
        help="Time window (ms) of a file with a single bin that does not state it.",
    )
    visual_degrees: float | None = option(
        None,
        above=0,
        panel="Recording",
        help="Width of the images (degrees of visual angle), if the recording does not state it.",
    )
    trial_start: bool = option(
        False,
        panel="Recording",
        help="Confirm that stimulus onset is the start of a trial, if the file states no other.",
    )
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        check_fields(self)
        analysis_of(self.analysis)
        if self.baselines and self.shuffle_stimuli:
            raise NeurofitError(
                "shuffle_stimuli is a control itself: it has no baselines.",
                option="shuffle_stimuli",
            )

    def as_attrs(self) -> dict[str, Any]:
        """Return all options but those of the analysis and of `compute`, for the attribute `run`.

        Stimuli that a file lists are stored themselves. The paths of a recording, of its images and
        of weights are stored as given; what the files contain is known by its sha256.
        """
        chosen = {each.name: getattr(self.selection, each.name) for each in fields(self.selection)}
        asked = chosen["stimuli"]
        if isinstance(asked, str | Path) and str(asked) and "=" not in str(asked):
            chosen["stimuli"] = ids_in(Path(asked))
        own = {each.name: getattr(self, each.name) for each in options_of(self)}
        if self.ms_per_timestep is None:
            own.pop("ms_per_timestep")
        return {**own, "selection": chosen}

    def each(self) -> list[RunConfig]:
        """Return one configuration for each combination of a model, an area and an animal."""
        return [
            replace(self, model=model, selection=selection)
            for model in one_or_several(self.model) or ("",)
            for selection in self.selection.each()
        ]


def run(
    config: RunConfig,
    *,
    on_plan: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run an analysis and return its result, as the command line does.

    Parameters
    ----------
    config
        One model, region and subject at most; see `run_each` for several.
    on_plan
        Called with the plan before the work begins.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Dataset
        Result by the contract of results (docs/results.md): a variable with the role "score",
        coordinates of time bins in ms, and attributes from which `neurofit.verify` repeats it.

    Raises
    ------
    NeurofitError
        If a name is unknown, the recording is not valid, or the analysis refuses it.
    MachineError
        If a download fails or the disk is full.

    Examples
    --------
    >>> import neurofit
    >>> part = neurofit.Selection(region="V4", window=(90, 110))
    >>> fits = neurofit.ScoreConfig(layers=("conv3",), n_splits=2, n_halves=2)
    >>> config = neurofit.RunConfig(model="rgc_tiny", selection=part, analysis=fits)
    >>> neurofit.run(config)["curve"].dims
    ('layer', 'time_bin')
    """
    configs = config.each()
    if len(configs) > 1 or config.baselines:
        raise NeurofitError(
            f"run returns one result; this configuration asks for {len(configs)}"
            f"{' and for baselines' * config.baselines}. Use run_each."
        )
    return next(_results(configs[0], on_plan=on_plan, progress=progress))


def run_each(
    config: RunConfig,
    *,
    on_plan: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> Iterator[xr.Dataset]:
    """Yield the result of each combination of a model, an area and an animal.

    Parameters
    ----------
    config
        Several models, regions and subjects, or one of each.
    on_plan, progress
        As of `run`, for each combination.

    Yields
    ------
    Dataset
        Result as of `run`, whose errors it raises; with `baselines`, those of its baselines follow.

    Examples
    --------
    >>> import neurofit
    >>> areas = neurofit.Selection(region=["V4", "IT"], window=(90, 110))
    >>> halves = neurofit.CeilingConfig(n_halves=2, n_bootstraps=20)
    >>> config = neurofit.RunConfig(selection=areas, analysis=halves)
    >>> [result.attrs["region"] for result in neurofit.run_each(config)]
    ['V4', 'IT']
    """
    for each in config.each():
        yield from _results(each, on_plan=on_plan, progress=progress)


def run_again(
    config: RunConfig, *, control: str = "", progress: Progress | None = None
) -> xr.Dataset:
    """Return one result of a configuration: the model's, or the baseline that `control` names.

    Raises
    ------
    NeurofitError
        As `run`, and if there is no such baseline.
    """
    (each,) = config.each()
    found = next(_results(each, on_plan=None, progress=progress, control=control), None)
    if found is None:
        raise NeurofitError(f"There is no baseline {control!r} of {config.model}.")
    return found


def _results(
    config: RunConfig,
    *,
    on_plan: Callable[[Plan], None] | None,
    progress: Progress | None,
    control: str | None = None,
) -> Iterator[xr.Dataset]:
    """Yield the result of one model, area and animal, and then those of its baselines.

    `control` chooses one of them: "" for the model.
    """
    analysis = analysis_of(config.analysis)
    if analysis.models and not config.model:
        raise NeurofitError(f"{analysis.name} needs a model: name one (neurofit list models).")
    if analysis.models:
        check_model(config)
    whole = find_recording(config, progress=progress)
    if analysis.models:
        whole = check_recording(config, whole)
    recording = config.selection.apply(whole)
    need_one_region(analysis.models, recording)
    if hasattr(config.analysis, "check_recording"):
        config.analysis.check_recording(recording)
    inputs: dict[str, Any] = {"": find_source(config, whole, progress=progress)}
    against: Any = None
    if not analysis.models and on_plan:
        on_plan(Plan(recording=recording))
    if analysis.models:
        from neurofit.recordings.validation import validate_recording

        validate_recording(recording)
        activations = find_activations(config, recording, on_plan=on_plan, progress=progress)
        inputs = {"": activations}
        if config.baselines and control != "":
            inputs |= find_baselines(config, activations, recording)
        if analysis.models > 1:
            against = find_against(config, activations, recording, progress=progress)
    for name, given in inputs.items():
        if control in (None, name):
            settings: dict[str, Any] = {"compute": config.compute, "progress": progress}
            result = analysis.run(given, recording, config.analysis, against=against, **settings)
            yield result.assign_attrs({RUN: to_json(config.as_attrs())})


def list_analyses() -> list[str]:
    """Return the names of the registered analyses.

    Returns
    -------
    list of str
        Names in alphabetical order, as in `neurofit analyse NAME`.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.list_analyses()
    [..., 'score', ...]
    """
    return list(ANALYSES)

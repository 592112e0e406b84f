"""A study: which models, recordings and options are scored with each other."""

from __future__ import annotations

import fnmatch
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from neurofit.analyses.encoding.config import parse_layers
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.run import RunConfig
from neurofit.analyses.sweeps.suites import read_suite
from neurofit.config.options import check_fields, option, parse_names
from neurofit.errors import NeurofitError, check_option, unknown_name
from neurofit.models import find_name, list_models
from neurofit.recordings.selection import Selection
from neurofit.recordings.time_bins import parse_window

MAX_CELLS = 100_000
"""Largest number of cells of a study."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How cells are computed; nothing here changes a result.

    Parameters
    ----------
    workers
        Processes at once on this machine, which divide its cores.
    device
        Device of the models: "auto", "cpu" or "cuda".
    batch_size
        Images that go through a model at once; None for what fits into memory.
    retries
        How often a cell is computed again after its process was killed, ran out of time or lost
        its machine. A cell that failed by an error of its own is not.
    cells_per_task
        Largest number of cells that one process computes; None for all that share an extraction.
    """

    workers: int = option(1, least=1, help="Processes at once, which divide the cores.")
    device: str = option("auto", help="Device of the models: auto, cpu or cuda.")
    batch_size: int | None = option(None, least=1, help="Images per batch.")
    retries: int = option(2, least=0, help="Further attempts after a process was killed.")
    cells_per_task: int | None = option(None, least=1, help="Cells that one process computes.")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """Resources of a job on a SLURM cluster.

    Parameters
    ----------
    partition, time, mem
        Partition; time limit in minutes; memory, "8GB" for example.
    cpus
        Cores of a job.
    gpus
        GPUs of a job that shows images to a model; jobs that fit maps have none.
    array_parallelism
        Jobs of an array that run at once.
    options
        Further options of sbatch, {"account": "lab"} for example.
    """

    partition: str = option("", help="Partition.")
    time: int = option(240, least=1, help="Time limit of a job, in minutes.")
    mem: str = option("8GB", help="Memory of a job.")
    cpus: int = option(2, least=1, help="Cores of a job.")
    gpus: int = option(0, least=0, help="GPUs of a job that shows images to a model.")
    array_parallelism: int = option(64, least=1, help="Jobs of an array that run at once.")
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Models, recordings and options, each scored with each.

    Parameters
    ----------
    name
        Name of the study and of its folder, by default that of its file: letters, digits, dots,
        hyphens and underscores.
    models
        Names of models; ``"*_tiny"`` stands for all registered ones that match.
    recordings, regions, subjects
        Recordings by name or path, areas, and animals; without animals, all of them together.
    layers
        "auto", "all", or names joined by commas.
    mappings, time_modes, presets
        Names of mappings, time modes and presets of a score.
    windows
        Time windows in ms, "70:260" for example; without one, all time bins.
    seeds, model_seeds
        Random seeds of splits, and of random weights.
    weights
        "auto", "random" or the path of a file.
    visual_degrees, trial_start
        For recordings that do not state it: the width of the images in degrees of visual angle,
        and whether stimulus onset is the start of a trial, as of a `RunConfig`.
    suite
        Name of a suite, which gives recordings, regions, windows, mappings and options.
    include, exclude
        Tables of choices, ``{model = "lstm_*", region = "V4"}``: only cells that match one of
        `include`, and none that match one of `exclude`. A choice may be a pattern.
    options, selection
        Further options of a score and of the selection from the recording.
    machine, slurm
        How cells are computed.

    Raises
    ------
    NeurofitError
        If a name is unknown, or the study has no cells or more than 100,000.

    Examples
    --------
    >>> import neurofit
    >>> study = neurofit.Study(models=["rgc_tiny", "gru_tiny"], regions=["V4", "IT"])
    >>> [(choices["model"], choices["region"]) for choices, config in study.grid()]
    [('rgc_tiny', 'V4'), ('rgc_tiny', 'IT'), ('gru_tiny', 'V4'), ('gru_tiny', 'IT')]
    """

    name: str = "study"
    models: Sequence[str] = ()
    recordings: Sequence[str] = ("hvm-sim",)
    regions: Sequence[str] = ()
    subjects: Sequence[str] = ()
    layers: Sequence[str] = ("auto",)
    mappings: Sequence[str] = ("ridge",)
    time_modes: Sequence[str] = ("per-bin",)
    presets: Sequence[str] = ("pooled",)
    windows: Sequence[str] = ()
    seeds: Sequence[int] = (0,)
    model_seeds: Sequence[int] = (0,)
    weights: str = "auto"
    visual_degrees: float | None = None
    trial_start: bool = False
    suite: str = ""
    include: Sequence[Mapping[str, str]] = ()
    exclude: Sequence[Mapping[str, str]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)
    machine: Machine = field(default_factory=Machine)
    slurm: Slurm = field(default_factory=Slurm)

    def __post_init__(self) -> None:
        check_study_name(self.name)
        lists = [each.name for each in fields(self) if each.type == "Sequence[str]"]
        for name in (*lists, "seeds", "model_seeds", "include", "exclude"):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise NeurofitError(f"{name} of a study must be a list; got {given!r}.")
        for table in (*self.include, *self.exclude):
            for choice in table:
                if choice not in CHOICES:
                    raise unknown_name("choice", choice, CHOICES)
        for kind, given in ((ScoreConfig, self.options), (Selection, self.selection)):
            for choice in given:
                check_option(f"option of a {kind.__name__}", choice, _names(kind))
        if self.suite:
            self._take_suite()
        if not self.models:
            raise NeurofitError('A study needs models: models = ["*_tiny"], for example.')
        if not self.regions:
            raise NeurofitError('A study needs areas: regions = ["V4", "IT"], for example.')

    def _take_suite(self) -> None:
        given = read_suite(self.suite)
        for name, value in given.items():
            own = getattr(self, name)
            usual = {} if name == "options" else Study.__dataclass_fields__[name].default
            if name == "models":
                value = [*self.models, *value]
            elif own != usual and list(own) != list(value):
                raise NeurofitError(
                    f"The suite {self.suite} states {name}: leave it out of the study, or leave "
                    "out the suite."
                )
            object.__setattr__(self, name, value)

    def grid(self) -> list[tuple[dict[str, str], RunConfig]]:
        """Return the cells: the choices of each by name, and its configuration.

        Raises
        ------
        NeurofitError
            If a choice is unknown, or there are no cells or too many.
        """
        every = [
            self._models(),
            self.recordings,
            self.regions,
            self.subjects or ("",),
            self.layers,
            self.mappings,
            self.time_modes,
            self.presets,
            self.windows or ("",),
            [str(seed) for seed in self.seeds],
            [str(seed) for seed in self.model_seeds],
        ]
        n_cells = 1
        for values in every:
            n_cells *= len(values)
        if n_cells > MAX_CELLS:
            raise NeurofitError(f"The study has {n_cells:,} cells; at most {MAX_CELLS:,} are run.")
        made = [
            (choices, self._config(choices))
            for values in itertools.product(*every)
            if self._wanted(choices := dict(zip(CHOICES, map(str, values), strict=True)))
        ]
        if not made:
            raise NeurofitError(f"The study {self.name} has no cells: nothing is left to score.")
        return made

    def _models(self) -> list[str]:
        registered, found = list_models(), []
        for name in self.models:
            if find_name(name) is None and any(mark in name for mark in "*?["):
                matching = fnmatch.filter(registered, name)
                if not matching:
                    raise NeurofitError(f"No registered model matches {name!r}.")
                found += matching
            else:
                found.append(name)
        return list(dict.fromkeys(found))

    def _wanted(self, choices: Mapping[str, str]) -> bool:
        def matches(table: Mapping[str, str]) -> bool:
            return all(
                fnmatch.fnmatchcase(choices[name], str(pattern)) for name, pattern in table.items()
            )

        if self.include and not any(map(matches, self.include)):
            return False
        return not any(map(matches, self.exclude))

    def _config(self, choices: Mapping[str, str]) -> RunConfig:
        options = dict(self.options)
        mapping = parse_names(choices["mapping"])
        return RunConfig(
            model=choices["model"],
            recording=choices["recording"],
            selection=Selection(
                **{
                    "region": choices["region"],
                    "subject": choices["subject"] or None,
                    "window": parse_window(choices["window"]) if choices["window"] else None,
                    **self.selection,
                }
            ),
            analysis=make_config(
                choices["preset"],
                **{
                    "mapping": mapping[0] if len(mapping) == 1 else mapping,
                    "layers": parse_layers(choices["layers"]),
                    "time_mode": choices["time_mode"],
                    "seed": int(choices["seed"]),
                    **options,
                },
            ),
            weights=self.weights,
            visual_degrees=self.visual_degrees,
            trial_start=self.trial_start,
            model_seed=int(choices["model_seed"]),
        )


CHOICES = (
    "model",
    "recording",
    "region",
    "subject",
    "layers",
    "mapping",
    "time_mode",
    "preset",
    "window",
    "seed",
    "model_seed",
)
"""Names of the choices of a cell, as in `include` and `exclude`."""


def read_study(path: str | Path) -> Study:
    """Return the study of a TOML file.

    Raises
    ------
    NeurofitError
        If the file is missing or not TOML, or a field is unknown or has the wrong type.
    """
    study: Study = read_tables(path, Study, {"machine": Machine, "slurm": Slurm})
    return study


def read_tables(path: str | Path, kind: Any, tables: Mapping[str, Any]) -> Any:
    """Return what a TOML file says, as a dataclass; its name is that of the file by default.

    Parameters
    ----------
    path
        TOML file.
    kind
        Dataclass of the file.
    tables
        Field -> dataclass of the table of this name.

    Raises
    ------
    NeurofitError
        If the file is missing or not TOML, or a field is unknown or has the wrong type.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise NeurofitError(f"There is no study at {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NeurofitError(f"{path} is not valid TOML: {error}.") from error
    for name, table in tables.items():
        if name in given:
            given[name] = made(table, given[name], f"[{name}] of {path}")
    given.setdefault("name", path.stem)
    return made(kind, given, str(path))


def made(kind: Any, given: Any, source: str) -> Any:
    """Return a table of a file as a dataclass.

    Raises
    ------
    NeurofitError
        If it is no table, or a field is unknown or has the wrong type.
    """
    if not isinstance(given, dict):
        raise NeurofitError(f"{source} must be a table; got {given!r}.")
    known = [each.name for each in fields(kind)]
    for name in given:
        if name not in known:
            raise unknown_name(f"field of {source}", name, known)
    try:
        return kind(**given)
    except TypeError as error:
        raise NeurofitError(f"{source}: {error}.") from error
    except NeurofitError as error:
        raise NeurofitError(f"{source}: {error}" if error.options else str(error)) from error


def check_study_name(name: str) -> None:
    """Check that the name of a study can be that of a folder.

    Raises
    ------
    NeurofitError
        If it has other characters than letters, digits, dots, hyphens and underscores.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise NeurofitError(
            f"The name of a study has letters, digits, '.', '-' and '_'; got {name!r}."
        )


def with_machine(study: Study, **changes: Any) -> Study:
    """Return a study with other settings of the machine or of SLURM; None leaves them."""
    changed = {name: value for name, value in changes.items() if value is not None}
    machine = {name: changed.pop(name) for name in list(changed) if name in _names(Machine)}
    return replace(
        study,
        machine=replace(study.machine, **machine),
        slurm=replace(study.slurm, **changed),
    )


def _names(kind: Any) -> Iterator[str]:
    return (each.name for each in fields(kind))

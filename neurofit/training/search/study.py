"""A search: what is varied, on which images nets are trained, and what is maximised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from neurofit.analyses.sweeps.study import Slurm, check_study_name, read_tables
from neurofit.config.options import check_fields, option
from neurofit.errors import NeurofitError, check_option, unknown_name
from neurofit.training.config import TrainConfig
from neurofit.training.recipes import make_recipe
from neurofit.training.search.dimensions import TRAINING
from neurofit.training.search.space import Space, read_space

OBJECTIVES: Mapping[str, str] = {
    "accuracy": "maximize",
    "parameters": "minimize",
    "multiply_adds": "minimize",
}
"""Objectives, and their direction."""

NEURAL = ("predictivity", "neural", "score", "noise_corrected_r", "explained_variance")
"""Words for an objective that is refused with its reason."""

SAMPLERS = ("tpe", "random")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How trials are computed; nothing here changes what is searched.

    Parameters
    ----------
    workers
        Workers at once, which on this machine divide its cores; on a cluster, jobs of the array.
    device
        Device of the training: "auto", "cpu" or "cuda".
    threads
        Threads of a worker on this machine; None divides the cores among the workers. A trial is
        continued to the same bits with the same number of threads.
    retries
        How often a trial is tried again after a fault of the machine (its worker was killed or
        lost, or out of memory) before it has a new checkpoint. An error of its own is not retried.
    """

    workers: int = option(1, least=1, help="Workers at once.")
    device: str = option("auto", help="Device of the training: auto, cpu or cuda.")
    threads: int | None = option(None, least=1, help="Threads of a worker.")
    retries: int = option(2, least=0, help="Further attempts after a fault of the machine.")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Asynchronous successive halving: which nets train on after an epoch.

    Parameters
    ----------
    first
        Epochs after which a net is first compared with the others.
    factor
        One of so many nets trains on; the next comparison is after `factor` times the epochs.

    Notes
    -----
    Source: Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning, MLSys.
    """

    first: int = option(1, least=1, help="Epochs before the first comparison.")
    factor: int = option(3, least=2, help="Of so many nets one trains on.")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for architectures and hyperparameters.

    Parameters
    ----------
    name
        Name of the study and of its folder.
    data
        Labelled images: cifar10, folder:PATH ...
    validation
        Number of the last training images, on which accuracy is measured and no net is trained.
    images
        Number of the first training images that are used; None for all others.
    input_size
        Height and width of the images in pixels.
    trials
        Number of nets that are drawn, with those that are stopped early.
    objectives
        Names from `OBJECTIVES`; several make a search for the best compromises.
    sampler, startup, seed
        "tpe" (tree-structured Parzen estimator) or "random"; number of random nets before it
        begins to learn; random seed.
    prune
        Whether nets are stopped early. None does so with one objective.
    storage
        Empty for a journal file in the study's folder, or postgresql://USER@HOST/DATABASE. Its
        password is better in ~/.pgpass or PGPASSWORD; it is stored in no file.
    recipe, training
        Recipe of a training, and fields of its configuration that are changed.
    space, pruning, machine, slurm
        Tables of the study file.

    Raises
    ------
    NeurofitError
        Naming the field that is wrong.
    """

    name: str
    data: str = option("cifar10", help="Labelled images.")
    validation: int = option(5000, least=1, help="Last training images, to measure accuracy.")
    images: int | None = option(None, least=1, help="First training images that are used.")
    input_size: int = option(32, least=8, help="Height and width of the images in pixels.")
    trials: int = option(100, least=1, help="Nets that are drawn.")
    objectives: Sequence[str] = ("accuracy",)
    sampler: str = option("tpe", choices=SAMPLERS, help="tpe or random.")
    startup: int = option(10, least=1, help="Random nets before the sampler learns.")
    seed: int = option(0, least=0, below=2**31, help="Random seed.")
    prune: bool | None = option(None, help="Whether nets are stopped early.")
    storage: str = option("", help="postgresql://USER@HOST/DATABASE, or empty for a journal.")
    recipe: str = option("cifar10-5layer", help="Recipe of a training.")
    training: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    pruning: Pruning = field(default_factory=Pruning)
    machine: Workers = field(default_factory=Workers)
    slurm: Slurm = field(default_factory=Slurm)

    def __post_init__(self) -> None:
        check_study_name(self.name)
        check_fields(self)
        _check_objectives(self)
        _check_storage(self.storage)
        known = {each.name for each in fields(TrainConfig)} - {"recipe", "seed"}
        for name in self.training:
            if name in TRAINING:
                raise NeurofitError(
                    f"training.{name} is a dimension of the space: set space.{name}."
                )
            check_option("field of [training]", name, known)
        self.config(0)
        self.searched()

    @property
    def prunes(self) -> bool:
        """Whether nets are stopped early."""
        return len(self.objectives) == 1 if self.prune is None else self.prune

    def searched(self) -> Space:
        """Return the space."""
        return read_space(self.space)

    def config(self, number: int, **changes: Any) -> TrainConfig:
        """Return the configuration of a trial's training."""
        own = {**self.training, **changes}
        for name in ("milestones", "durations"):
            if isinstance(own.get(name), list):
                own[name] = tuple(own[name])
        return make_recipe(self.recipe, **{"evaluate_epochs": 1, **own, "seed": self.seed + number})

    def definition(self) -> dict[str, Any]:
        """Return what trials depend on, in types of JSON.

        A study goes on with another number of trials, or on another machine, only.
        """
        free = ("trials", "storage", "machine", "slurm")
        own = {name: value for name, value in asdict(self).items() if name not in free}
        return {**json.loads(json.dumps(own)), "space": _described(self.searched())}

    def sha256(self) -> str:
        """Return the hash of the definition."""
        return hashlib.sha256(json.dumps(self.definition(), sort_keys=True).encode()).hexdigest()


def read_search(path: str | Path) -> Search:
    """Return the search of a TOML file.

    Raises
    ------
    NeurofitError
        If the file is missing or not TOML, or a field is unknown, wrong or impossible.
    """
    tables = {"machine": Workers, "slurm": Slurm, "pruning": Pruning}
    search: Search = read_tables(path, Search, tables)
    return search


def with_workers(search: Search, **changes: Any) -> Search:
    """Return a search with another storage or settings of machine or SLURM; None leaves them."""
    changed = {name: value for name, value in changes.items() if value is not None}
    storage = changed.pop("storage", search.storage)
    own = {each.name for each in fields(Workers)}
    machine = {name: changed.pop(name) for name in list(changed) if name in own}
    return replace(
        search,
        storage=storage,
        machine=replace(search.machine, **machine),
        slurm=replace(search.slurm, **changed),
    )


def _check_objectives(search: Search) -> None:
    given = search.objectives
    if isinstance(given, str) or not given:
        raise NeurofitError(
            f'objectives must be a list, such as ["accuracy", "parameters"]; got {given!r}.'
        )
    for name in given:
        if name in NEURAL:
            raise NeurofitError(
                f"objectives: {name} is refused. Nets that are chosen by a neural score cannot be "
                "tested by it afterwards; score the searched nets with neurofit score. "
                f"Existing: {', '.join(OBJECTIVES)}."
            )
        if name not in OBJECTIVES:
            raise unknown_name("objective", name, OBJECTIVES)
    if given[0] != "accuracy" or len(set(given)) < len(given):
        raise NeurofitError(
            f"objectives begin with accuracy, and each is named once; got {', '.join(given)}."
        )
    if search.prune and len(given) > 1:
        raise NeurofitError(
            "prune = true needs one objective: successive halving compares accuracies only, and "
            f"would stop nets that are the best of their cost; got {', '.join(given)}."
        )


def _check_storage(storage: str) -> None:
    kind = storage.partition(":")[0].partition("+")[0]
    if kind == "sqlite":
        raise NeurofitError(
            "storage: SQLite is refused. Its locks do not hold on the shared disks of a cluster, "
            "where two workers would damage the file; leave storage out for a journal file, which "
            "needs no such locks, or give postgresql://USER@HOST/DATABASE."
        )
    if storage and kind not in ("postgresql", "postgres"):
        raise NeurofitError(
            "storage must be empty for a journal file in the study's folder, or "
            f"postgresql://USER@HOST/DATABASE; got one of the kind {kind!r}."
        )


def _described(space: Space) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(json.dumps(asdict(space)))
    return described

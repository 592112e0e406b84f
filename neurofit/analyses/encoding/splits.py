"""The train/test splits and the trial halves that a configuration draws for a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.errors import NeurofitError, some_of
from neurofit.mapping.splits import (
    fold_splits,
    inner_split,
    join_groups,
    nested_subsets,
    pool_single,
    train_splits,
)
from neurofit.recordings.duplicates import compare_images
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import TrialSets, deal_trials

PARTS = (0.25, 0.5, 0.75)
"""Shares of the training stimuli that a learning curve has besides all of them."""

MIN_PART = 10
"""Smallest number of training stimuli of a learning curve."""


JACKKNIFE_STREAM = 1949
"""Second seed of the groups of a jackknife, so that they have nothing to do with the splits."""


@dataclass(frozen=True)
class Splits:
    """Training stimuli, and what they were drawn by.

    Parameters
    ----------
    train
        Training stimuli of each split or fold.
    groups
        Group of each stimulus, on one side of each split; None if every stimulus is its own.
    notes
        Sentences on groups, identical and nearly identical images, and small categories.
    """

    train: Bool[np.ndarray, "split stimulus"]
    groups: Int[np.ndarray, " stimulus"] | None
    notes: tuple[str, ...]

    @property
    def places(self) -> Int[np.ndarray, " stimulus"]:
        """Place of the first stimulus of each stimulus's group."""
        if self.groups is None:
            return np.arange(self.train.shape[1])
        _, first, number = np.unique(self.groups, return_index=True, return_inverse=True)
        return np.asarray(first[number])

    def inner(self, seed: int) -> Bool[np.ndarray, "split stimulus"]:
        """Return the training stimuli of each split that are not held out to choose its layer."""
        return np.stack(
            [
                inner_split(train, seed=seed + split, groups=self.groups)
                for split, train in enumerate(self.train)
            ]
        )

    def train_parts(self, seed: int) -> Bool[np.ndarray, "part split stimulus"]:
        """Return the shares `PARTS` of each split's training stimuli, each within the next.

        Raises
        ------
        NeurofitError
            If the smallest has fewer than `MIN_PART` stimuli in some split.
        """
        drawn = [
            nested_subsets(train, PARTS, seed=seed + split, groups=self.groups)
            for split, train in enumerate(self.train)
        ]
        least = min(int(each[0].sum()) for each in drawn)
        if least < MIN_PART:
            raise NeurofitError(
                f"A learning curve needs at least {MIN_PART} stimuli in a quarter of the training "
                f"stimuli; there are {least}.",
                option="learning_curve",
            )
        return np.stack(drawn, axis=1)

    def deal_groups(self, n_groups: int, seed: int) -> Bool[np.ndarray, "group stimulus"]:
        """Return random groups of stimuli of equal size, in the order of their first stimuli.

        Groups that splits keep together stay whole. Everything follows from the seed, the
        number of stimuli and what is kept together.

        Raises
        ------
        NeurofitError
            If there are fewer stimuli (or groups that are kept together) than groups to deal.
        """
        units, number = np.unique(self.places, return_inverse=True)
        if n_groups > len(units):
            kind = "stimuli" if self.groups is None else "groups of stimuli"
            raise NeurofitError(
                f"jackknife must be at most the number of {kind}, {len(units):,}; got {n_groups}.",
                option="jackknife",
            )
        if n_groups == 0:
            return np.zeros((0, len(number)), dtype=bool)
        order = np.random.default_rng((seed, JACKKNIFE_STREAM)).permutation(len(number))
        dealt = (order[units].argsort().argsort() % n_groups)[number]
        members = dealt == np.arange(n_groups)[:, None]
        return np.asarray(members[members.argmax(axis=1).argsort()])

    def groups_of(self, rows: Bool[np.ndarray, " row"]) -> Int[np.ndarray, " chosen"] | None:
        """Return the groups of some (time_bin, stimulus) pairs, stacked bin after bin."""
        if self.groups is None:
            return None
        return np.asarray(np.tile(self.groups, len(rows) // len(self.groups))[rows])


def draw_splits(recording: Recording, config: EncodingConfig) -> Splits:
    """Draw the splits of a recording's stimuli.

    Stimuli with the same value of `config.groups` and stimuli with identical images are on one side
    of each split. If all images are identical (placeholders), nothing follows from it. A category
    with a single stimulus or group is pooled with others; see `pool_single`.

    Raises
    ------
    NeurofitError
        If there is no such column, a stimulus has no group, or there are too few stimuli or groups.
    """
    table, notes = recording.stimuli.table, []
    config.check_columns(map(str, table))
    groups = None if config.groups is None else _named_groups(table, config.groups)
    try:
        images = compare_images(recording.stimuli)
    except NeurofitError as error:
        images = None
        notes.append(f"The images were not compared, because one cannot be read. {error}")
    if images is not None and images.all_identical:
        images = None
        notes.append("All images are identical; they are taken as placeholders, not as duplicates.")
    if images is not None and images.identical:
        groups = images.copies if groups is None else join_groups(groups, images.copies)
        notes.append(f"{images.describe_identical()} They are on one side of each split.")
    if images is not None and (alike := images.describe_near(groups)):
        notes.append(alike)
    column, drawn = config.stratify_by(map(str, table)), "stimulus" if groups is None else "group"
    folds = config.splits != "random"
    strata = None
    if column:
        strata, without = _categories(table[column])
        if without:
            notes.append(
                f"{column} is missing for {without:,} of {len(table):,} stimuli, which are drawn "
                "as a category of their own."
            )
        strata, single = pool_single(strata, groups, least=config.n_splits if folds else 2)
        if single:
            named = some_of([each or "''" for each in single])
            notes.append(
                f"{column} {named}: a category with a single {drawn} cannot be on both "
                "sides of a split and is pooled with "
                + ("the smallest other one." if len(single) == 1 else "the others of its kind.")
            )
    n, seed = len(table), config.seed
    if folds:
        train = fold_splits(n, n_folds=config.n_splits, seed=seed, strata=strata, groups=groups)
    else:
        train = train_splits(
            n,
            n_splits=config.n_splits,
            train_size=config.train_size,
            seed=seed,
            strata=strata,
            groups=groups,
        )
    if config.groups is not None and groups is not None:
        notes.insert(0, _describe_groups(config.groups, groups, train))
    return Splits(train, groups, tuple(notes))


def _categories(column: pd.Series[Any]) -> tuple[np.ndarray, int]:
    """Return the category of each stimulus, and how many have none; these share an empty one."""
    without = column.isna().to_numpy() | (column.astype(str).str.strip() == "").to_numpy()
    if not without.any():
        return column.to_numpy(), 0
    return np.where(without, "", column.astype(str).to_numpy()), int(without.sum())


def _named_groups(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return the number of each stimulus's value in a column."""
    numbers = pd.factorize(table[column])[0]
    if len(without := np.flatnonzero(numbers < 0)):
        raise NeurofitError(
            f"Every stimulus needs a group; {len(without):,} of {len(table):,} have no {column}, "
            f"the first {str(table.stimulus_id.iloc[without[0]])!r}."
        )
    return np.asarray(numbers)


def _describe_groups(column: str, groups: np.ndarray, train: np.ndarray) -> str:
    """Return the number and sizes of groups, and the shares of the stimuli that train."""
    sizes, shares = np.bincount(groups), train.mean(axis=1)
    unit = "stimulus" if sizes.max() == 1 else "stimuli"
    return (
        f"Stimuli with the same {column} are on one side of each split: {len(sizes):,} groups of "
        f"{_range(sizes, 'd')} {unit}; {_range(shares, '.0%')} of the stimuli train."
    )


def _range(values: np.ndarray, form: str) -> str:
    ends = (f"{end:{form}}" for end in (values.min(), values.max()))
    return " to ".join(dict.fromkeys(ends))


def draw_trials(recording: Recording, config: EncodingConfig) -> TrialSets:
    """Return the trials of each half; halves of repetitions count as equal, as in Brain-Score."""
    places = deal_trials(
        recording.stimulus_rows,
        n_halves=config.n_halves,
        seed=config.seed,
        by=config.halves_by,
        repetition=recording.responses.repetition.values,
    )
    equal = config.halves_by == "repetition"
    return TrialSets(recording.stimulus_rows, places, equal_halves=equal)

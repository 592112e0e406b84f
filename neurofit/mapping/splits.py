"""Training and test stimuli, drawn from the stimuli and a seed alone.

Every model, layer and time bin is therefore scored on the same splits.

Groups of stimuli are drawn as wholes: a split of the groups, in which each counts once whatever its
size, is a split of their stimuli. Without strata, random splits are scikit-learn's
`GroupShuffleSplit`. With strata, a group belongs to the stratum of most of its stimuli (the first
in sorting order, if several tie). Folds hold equal numbers of groups: scikit-learn's
`StratifiedGroupKFold` balances the numbers of stimuli, but its folds do not depend on the seed
where groups differ in size.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

from neurofit.errors import NeurofitError


def train_splits(
    n_stimuli: int,
    *,
    n_splits: int,
    train_size: float,
    seed: int,
    strata: np.ndarray | None = None,
    groups: Int[np.ndarray, " stimulus"] | None = None,
) -> Bool[np.ndarray, "split stimulus"]:
    """Return random splits; True marks a training stimulus.

    Parameters
    ----------
    n_stimuli
        Number of stimuli.
    n_splits, train_size
        Number of splits, and the share of the stimuli (or groups) that trains.
    seed
        Random seed for scikit-learn's shuffles: seed 1 with 0.9 gives Brain-Score's splits.
    strata
        Category of each stimulus, to be represented equally in each split; None does not stratify.
    groups
        Group of each stimulus, numbered from 0, to be on one side of each split; None if every
        stimulus is its own.

    Raises
    ------
    NeurofitError
        If there are too few stimuli or groups for the split.
    """
    if groups is not None:
        strata = None if strata is None else strata_of_groups(strata, groups)
    n_drawn, drawn = _drawn(n_stimuli, groups)
    splitter = (ShuffleSplit if strata is None else StratifiedShuffleSplit)(
        n_splits, train_size=train_size, random_state=seed
    )
    train = np.zeros((n_splits, n_drawn), dtype=bool)
    try:
        for split, (rows, _) in enumerate(splitter.split(np.zeros(n_drawn), strata)):
            train[split, rows] = True
    except ValueError as error:
        among = "" if strata is None else f" of {len(np.unique(strata))} categories"
        raise NeurofitError(
            f"Cannot split {n_drawn} {drawn}{among} into {train_size:.0%} training and "
            f"{1 - train_size:.0%} test {drawn}: {error}"
        ) from error
    return train if groups is None else train[:, groups]


def fold_splits(
    n_stimuli: int,
    *,
    n_folds: int,
    seed: int,
    strata: np.ndarray | None = None,
    groups: Int[np.ndarray, " stimulus"] | None = None,
) -> Bool[np.ndarray, "fold stimulus"]:
    """Return shuffled folds, which test each stimulus once; True marks a training stimulus.

    Strata and groups are as in `train_splits`.

    Raises
    ------
    NeurofitError
        If there are fewer than 2 folds, or more folds than stimuli or groups (of some category).
    """
    if groups is not None:
        strata = None if strata is None else strata_of_groups(strata, groups)
    n_drawn, drawn = _drawn(n_stimuli, groups)
    train = np.ones((n_folds, n_drawn), dtype=bool)
    most = n_drawn if strata is None else int(np.unique(strata, return_counts=True)[1].min())
    if not 2 <= n_folds <= most:
        kind = drawn if strata is None else f"{drawn} of a category"
        raise NeurofitError(
            f"The number of folds must lie between 2 and the number of {kind} ({most}); "
            f"got {n_folds}."
        )
    splitter = (KFold if strata is None else StratifiedKFold)(
        n_folds, shuffle=True, random_state=seed
    )
    for fold, (_, rows) in enumerate(splitter.split(np.zeros(n_drawn), strata)):
        train[fold, rows] = False
    return train if groups is None else train[:, groups]


def inner_split(
    train: Bool[np.ndarray, " stimulus"],
    *,
    train_size: float = 0.8,
    seed: int | None = None,
    groups: Int[np.ndarray, " stimulus"] | None = None,
) -> Bool[np.ndarray, " stimulus"]:
    """Return a random share `train_size` of the training stimuli; the others are held out.

    Layers and numbers of components are chosen on the held-out ones. By default the seed is a hash
    of the training stimuli, so that a split does not depend on the other splits. A share of the
    groups is drawn, unless all training stimuli are of one group.
    """
    if seed is None:
        seed = zlib.crc32(np.packbits(train).tobytes())
    rng = np.random.default_rng(seed)
    inside = np.unique(groups[train]) if groups is not None else np.empty(0)
    if groups is not None and len(inside) > 1:
        n_chosen = min(round(train_size * len(inside)), len(inside) - 1)
        return np.asarray(train & np.isin(groups, rng.permutation(inside)[:n_chosen]))
    rows = np.flatnonzero(train)
    inner = np.zeros_like(train)
    inner[rng.permutation(rows)[: round(train_size * len(rows))]] = True
    return inner


def nested_subsets(
    train: Bool[np.ndarray, " stimulus"],
    shares: Sequence[float],
    *,
    seed: int,
    groups: Int[np.ndarray, " stimulus"] | None = None,
) -> Bool[np.ndarray, "share stimulus"]:
    """Return random shares of the training stimuli (or of their groups), each within the next.

    Parameters
    ----------
    train
        Training stimuli.
    shares
        Shares, in increasing order.
    seed
        Random seed.
    groups
        Group of each stimulus, taken as a whole; None if every stimulus is its own.
    """
    units = np.arange(len(train)) if groups is None else groups
    drawn = np.random.default_rng(seed).permutation(np.unique(units[train]))
    chosen = (drawn[: round(share * len(drawn))] for share in shares)
    return np.stack([train & np.isin(units, each) for each in chosen])


def join_groups(
    one: Int[np.ndarray, " stimulus"], other: Int[np.ndarray, " stimulus"]
) -> Int[np.ndarray, " stimulus"]:
    """Return the smallest groups, numbered from 0, that keep the groups of both together."""
    n = len(one)
    _, first = np.unique(one, return_inverse=True)
    _, second = np.unique(other, return_inverse=True)
    edges = coo_matrix((np.ones(n), (first, n + second)), shape=(2 * n, 2 * n))
    labels = connected_components(edges, directed=False)[1][first]
    return np.asarray(np.unique(labels, return_inverse=True)[1])


def strata_of_groups(
    strata: np.ndarray, groups: Int[np.ndarray, " stimulus"]
) -> Int[np.ndarray, " group"]:
    """Return the number of the most frequent category of each group; the first of those that tie.

    Categories are numbered in sorting order.
    """
    names, codes = np.unique(strata, return_inverse=True)
    counts = np.zeros((groups.max() + 1, len(names)), dtype=np.int64)
    np.add.at(counts, (groups, codes), 1)
    return np.asarray(counts.argmax(axis=1))


def pool_single(
    strata: np.ndarray, groups: Int[np.ndarray, " stimulus"] | None = None, *, least: int
) -> tuple[np.ndarray, list[str]]:
    """Pool categories with a single stimulus (or group), which cannot be on both sides of a split.

    They are one stratum; if it has fewer than `least` members, it joins the smallest of the other
    categories.

    Returns
    -------
    Stratum of each stimulus, unchanged without such categories, and the names of the latter.
    """
    names, codes = np.unique(strata, return_inverse=True)
    members = codes
    if groups is not None:
        members = strata_of_groups(strata, groups)
        codes = members[groups]
    counts = np.bincount(members, minlength=len(names))
    single = counts == 1
    if not single.any():
        return strata, []
    pooled = single.copy()
    if single.sum() < least and (counts > 1).any():
        pooled[np.where(counts > 1, counts, len(strata) + 1).argmin()] = True
    strata = np.where(pooled, len(names), np.arange(len(names)))[codes]
    return strata, [str(name) for name in names[single]]


def _drawn(n_stimuli: int, groups: np.ndarray | None) -> tuple[int, str]:
    """Return how many stimuli or groups are drawn, and their name in messages."""
    if groups is None:
        return n_stimuli, "stimuli"
    return int(groups.max()) + 1, "groups of stimuli"

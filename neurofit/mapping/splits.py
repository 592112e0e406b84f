"""Training and test stimuli, drawn from the stimuli and a seed alone.

Every model, layer and time bin is therefore scored on the same splits.
"""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import Bool
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

from neurofit.errors import NeurofitError


def train_splits(
    n_stimuli: int, *, n_splits: int, train_size: float, seed: int, strata: np.ndarray | None = None
) -> Bool[np.ndarray, "split stimulus"]:
    """Return random splits; True marks a training stimulus.

    Parameters
    ----------
    n_stimuli
        Number of stimuli.
    n_splits, train_size
        Number of splits, and the share of the stimuli that trains.
    seed
        Random seed for scikit-learn's shuffles: seed 1 with 0.9 gives Brain-Score's splits.
    strata
        Category of each stimulus, to be represented equally in each split; None does not stratify.

    Raises
    ------
    NeurofitError
        If there are too few stimuli for the split.
    """
    splitter = (ShuffleSplit if strata is None else StratifiedShuffleSplit)(
        n_splits, train_size=train_size, random_state=seed
    )
    train = np.zeros((n_splits, n_stimuli), dtype=bool)
    try:
        for split, (rows, _) in enumerate(splitter.split(np.zeros(n_stimuli), strata)):
            train[split, rows] = True
    except ValueError as error:
        among = "" if strata is None else f" of {len(np.unique(strata))} categories"
        raise NeurofitError(
            f"Cannot split {n_stimuli} stimuli{among} into {train_size:.0%} training and "
            f"{1 - train_size:.0%} test stimuli: {error}"
        ) from error
    return train


def fold_splits(
    n_stimuli: int, *, n_folds: int, seed: int, strata: np.ndarray | None = None
) -> Bool[np.ndarray, "fold stimulus"]:
    """Return shuffled folds, which test each stimulus once; True marks a training stimulus.

    Raises
    ------
    NeurofitError
        If there are fewer than 2 folds, or more folds than stimuli (of some category).
    """
    train = np.ones((n_folds, n_stimuli), dtype=bool)
    most = n_stimuli if strata is None else int(np.unique(strata, return_counts=True)[1].min())
    if not 2 <= n_folds <= most:
        kind = "stimuli" if strata is None else "stimuli of a category"
        raise NeurofitError(
            f"The number of folds must lie between 2 and the number of {kind} ({most}); "
            f"got {n_folds}."
        )
    splitter = (KFold if strata is None else StratifiedKFold)(
        n_folds, shuffle=True, random_state=seed
    )
    for fold, (_, rows) in enumerate(splitter.split(np.zeros(n_stimuli), strata)):
        train[fold, rows] = False
    return train


def inner_split(
    train: Bool[np.ndarray, " stimulus"], *, train_size: float = 0.8, seed: int | None = None
) -> Bool[np.ndarray, " stimulus"]:
    """Return a random share `train_size` of the training stimuli; the others are held out.

    Layers and numbers of components are chosen on the held-out ones. By default the seed is a hash
    of the training stimuli, so that a split does not depend on the other splits.
    """
    if seed is None:
        seed = zlib.crc32(np.packbits(train).tobytes())
    rows = np.flatnonzero(train)
    chosen = np.random.default_rng(seed).permutation(rows)[: round(train_size * len(rows))]
    inner = np.zeros_like(train)
    inner[chosen] = True
    return inner

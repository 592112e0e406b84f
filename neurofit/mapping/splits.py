"""Train and test stimuli: the same splits for every model, layer and bin, because they depend on the stimuli and a seed only."""

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
        How many splits, and the share of the stimuli that trains.
    seed
        Of scikit-learn's shuffles: seed 1 with 0.9 gives Brain-Score's splits.
    strata
        A category per stimulus: each split keeps their shares. None: unstratified.

    Raises
    ------
    NeurofitError
        If there are too few stimuli for the split.
    """
    splitter = (ShuffleSplit if strata is None else StratifiedShuffleSplit)(n_splits, train_size=train_size, random_state=seed)
    train = np.zeros((n_splits, n_stimuli), dtype=bool)
    try:
        for split, (rows, _) in enumerate(splitter.split(np.zeros(n_stimuli), strata)):
            train[split, rows] = True
    except ValueError as error:
        among = "" if strata is None else f" of {len(np.unique(strata))} categories"
        raise NeurofitError(f"Cannot split {n_stimuli} stimuli{among} into {train_size:.0%} training and the rest: {error}") from error
    return train


def fold_splits(n_stimuli: int, *, n_folds: int, seed: int, strata: np.ndarray | None = None) -> Bool[np.ndarray, "fold stimulus"]:
    """Return folds, shuffled with a seed: each stimulus is tested once; True marks a training stimulus.

    Raises
    ------
    NeurofitError
        If there are fewer stimuli, or stimuli of some stratum, than folds.
    """
    train = np.ones((n_folds, n_stimuli), dtype=bool)
    fewest = n_stimuli if strata is None else int(np.unique(strata, return_counts=True)[1].min())
    if not 2 <= n_folds <= fewest:
        of_what = "stimuli" if strata is None else "stimuli of a category"
        raise NeurofitError(f"It takes at least 2 folds, and as many {of_what}; got {n_folds} folds, there are {fewest}.")
    splitter = (KFold if strata is None else StratifiedKFold)(n_folds, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(splitter.split(np.zeros(n_stimuli), strata)):
        train[fold, rows] = False
    return train


def inner_split(train: Bool[np.ndarray, " stimulus"], *, train_size: float = 0.8, seed: int | None = None) -> Bool[np.ndarray, " stimulus"]:
    """Return a random `train_size` of the training stimuli; what remains of them is held out to choose with.

    Without a seed it follows from the training stimuli themselves: the same, whichever other splits there are.
    """
    if seed is None:
        seed = zlib.crc32(np.packbits(train).tobytes())
    rows = np.flatnonzero(train)
    chosen = np.random.default_rng(seed).permutation(rows)[: round(train_size * len(rows))]
    inner = np.zeros_like(train)
    inner[chosen] = True
    return inner

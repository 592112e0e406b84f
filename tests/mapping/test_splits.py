"""Splits depend on the stimuli and a seed only, and keep the categories' shares."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from neurofit.errors import NeurofitError
from neurofit.mapping.splits import fold_splits, inner_split, train_splits


def test_each_category_keeps_its_share() -> None:
    strata = np.repeat(np.arange(8), 20)
    train = train_splits(160, n_splits=5, train_size=0.75, seed=0, strata=strata)
    assert train.shape == (5, 160)
    for rows in train:
        assert np.bincount(strata[rows]).tolist() == [15] * 8


def test_the_same_seed_gives_the_same_splits_and_another_seed_others() -> None:
    first, again, other = (train_splits(40, n_splits=3, train_size=0.5, seed=s) for s in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_seed_1_gives_the_splits_of_brain_score() -> None:
    strata = np.repeat(["a", "b", "c"], 30)
    expected = next(
        iter(StratifiedShuffleSplit(10, train_size=0.9, random_state=1).split(np.zeros(90), strata))
    )[0]
    train = train_splits(90, n_splits=10, train_size=0.9, seed=1, strata=strata)
    assert set(np.flatnonzero(train[0])) == set(expected)


def test_too_few_stimuli_for_the_categories_are_refused() -> None:
    with pytest.raises(NeurofitError, match="Cannot split 10 stimuli of 10 categories"):
        train_splits(10, n_splits=1, train_size=0.75, seed=0, strata=np.arange(10))


def test_the_inner_split_never_touches_test_stimuli() -> None:
    train = train_splits(100, n_splits=1, train_size=0.75, seed=0)[0]
    inner = inner_split(train, seed=0)
    assert inner.sum() == 60
    assert not (inner & ~train).any()


@pytest.mark.parametrize("strata", [None, np.repeat(np.arange(5), 8)])
def test_folds_test_each_stimulus_once_and_keep_the_categories_shares(
    strata: np.ndarray | None,
) -> None:
    train = fold_splits(40, n_folds=4, seed=0, strata=strata)
    assert ((~train).sum(axis=0) == 1).all()
    assert (train != fold_splits(40, n_folds=4, seed=1, strata=strata)).any()
    if strata is not None:
        assert all(np.bincount(strata[~rows]).tolist() == [2] * 5 for rows in train)


def test_folds_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(NeurofitError, match=r"between 2 and the number of stimuli \(40\); got 41"):
        fold_splits(40, n_folds=41, seed=0)
    with pytest.raises(NeurofitError, match=r"the number of stimuli of a category \(8\); got 9"):
        fold_splits(40, n_folds=9, seed=0, strata=np.repeat(np.arange(5), 8))

"""Splits depend on the stimuli and a seed only, keep the categories' shares and groups whole."""

from functools import partial

import numpy as np
import pytest
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from neurofit.errors import NeurofitError
from neurofit.mapping.splits import (
    fold_splits,
    inner_split,
    join_groups,
    pool_single,
    train_splits,
)

GROUPS = np.random.default_rng(0).permutation(np.repeat(np.arange(24), np.arange(1, 25)))
"""Groups of 1 to 24 stimuli in mixed order."""


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


def whole(train: np.ndarray, groups: np.ndarray) -> bool:
    """Return whether every group is on one side of each split."""
    return all(
        len(set(rows[groups == group])) == 1 for rows in train for group in np.unique(groups)
    )


def test_random_splits_of_groups_are_those_of_scikit_learn() -> None:
    train = train_splits(len(GROUPS), n_splits=5, train_size=0.75, seed=3, groups=GROUPS)
    splitter = GroupShuffleSplit(5, train_size=0.75, random_state=3)
    for rows, (expected, _) in zip(train, splitter.split(GROUPS, groups=GROUPS), strict=True):
        np.testing.assert_array_equal(np.flatnonzero(rows), expected)
    assert whole(train, GROUPS)


def test_groups_of_one_stimulus_change_nothing() -> None:
    strata = np.repeat(np.arange(4), 10)
    for draw in (
        partial(train_splits, 40, n_splits=3, train_size=0.75, seed=2),
        partial(fold_splits, 40, n_folds=5, seed=2),
    ):
        for given in (None, strata):
            alone = draw(strata=given, groups=np.arange(40))
            np.testing.assert_array_equal(alone, draw(strata=given))


@pytest.mark.parametrize("folds", [False, True])
def test_each_category_keeps_its_share_of_the_groups(folds: bool) -> None:
    category = np.arange(24) % 3
    strata = category[GROUPS]
    strata[np.flatnonzero(GROUPS == 23)[:5]] = 0  # a minority of the group's 24 stimuli

    def draw(seed: int) -> np.ndarray:
        if folds:
            return fold_splits(len(GROUPS), n_folds=4, seed=seed, strata=strata, groups=GROUPS)
        return train_splits(
            len(GROUPS), n_splits=4, train_size=0.75, seed=seed, strata=strata, groups=GROUPS
        )

    train = draw(0)
    assert whole(train, GROUPS)
    for rows in train:
        tested = np.unique(GROUPS[~rows])
        assert np.bincount(category[tested]).tolist() == [2, 2, 2]
    assert not folds or ((~train).sum(axis=0) == 1).all()
    assert (draw(1) != train).any()


def test_more_folds_than_groups_are_refused() -> None:
    rule = r"between 2 and the number of groups of stimuli \(24\); got 25"
    with pytest.raises(NeurofitError, match=rule):
        fold_splits(len(GROUPS), n_folds=25, seed=0, groups=GROUPS)
    rule = r"the number of groups of stimuli of a category \(12\); got 13"
    with pytest.raises(NeurofitError, match=rule):
        fold_splits(len(GROUPS), n_folds=13, seed=0, strata=GROUPS % 2, groups=GROUPS)
    with pytest.raises(NeurofitError, match="Cannot split 1 groups of stimuli into 75% training"):
        train_splits(9, n_splits=1, train_size=0.75, seed=0, groups=np.zeros(9, dtype=int))


def test_the_inner_split_keeps_groups_whole_and_holds_one_out() -> None:
    train = train_splits(len(GROUPS), n_splits=1, train_size=0.75, seed=0, groups=GROUPS)[0]
    inner = inner_split(train, seed=0, groups=GROUPS)
    assert not (inner & ~train).any()
    assert not set(GROUPS[inner]) & set(GROUPS[train & ~inner])
    assert len(set(GROUPS[inner])) == round(0.8 * 18)
    two = np.isin(GROUPS, [4, 20])
    assert len(set(GROUPS[inner_split(two, seed=0, groups=GROUPS)])) == 1
    one = GROUPS == 20
    np.testing.assert_array_equal(
        inner_split(one, seed=0, groups=GROUPS), inner_split(one, seed=0), "stimuli are held out"
    )


def test_groups_of_two_kinds_are_joined() -> None:
    joined = join_groups(np.array([0, 0, 1, 1, 2, 3, 4]), np.array([9, 7, 7, 5, 3, 2, 2]))
    assert joined.tolist() == [0, 0, 0, 0, 1, 2, 2]


def test_categories_with_one_stimulus_are_pooled() -> None:
    strata = np.array(["a"] * 6 + ["b"] * 4 + ["c", "d", "e"])
    same, none = pool_single(strata[:10], least=2)
    np.testing.assert_array_equal(same, strata[:10])
    assert not none
    pooled, single = pool_single(strata, least=3)
    assert single == ["c", "d", "e"]
    assert pooled.tolist() == [0] * 6 + [1] * 4 + [5] * 3
    pooled, _ = pool_single(strata, least=4)
    assert pooled.tolist() == [0] * 6 + [5] * 7, "too few: they join the smallest other category"
    assert len(set(pool_single(np.arange(5), least=2)[0])) == 1
    groups = np.array([0] * 3 + [1] * 3 + [2] * 4 + [3, 4, 4])
    pooled, single = pool_single(strata, groups, least=2)
    assert single == ["b", "c", "d"], "categories of one group"
    assert pooled.tolist() == [0] * 6 + [5] * 7

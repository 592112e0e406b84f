"""Banded ridge of two sources: plain loops, with scikit-learn's kernel ridge."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from neurofit.mapping.banded import BandedRidge, signal_columns
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import fold_splits

ALPHAS = (0.01, 0.1, 1.0, 10.0)
SHARES = (0.1, 0.5, 0.9)

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def make(n_units: tuple[int, int], *, n: int = 40, n_neuroids: int = 6) -> Data:
    """Return two sources, and means of all trials and of two pairs of halves (set row neuroid)."""
    rng = np.random.default_rng(sum(n_units))
    latents = rng.standard_normal((3, n, 3))
    a, b = (
        np.concatenate([latents[each], latents[2]], axis=1) @ rng.standard_normal((6, units))
        for each, units in enumerate(n_units)
    )
    signal = np.concatenate(latents[:2], axis=1) @ rng.standard_normal((6, n_neuroids))
    signal *= np.linspace(0.5, 3, n_neuroids)
    halves = signal + 2 * rng.standard_normal((2, 2, n, n_neuroids))
    sets = np.concatenate([halves[:, 0], halves[:, 1]])
    return a, b, np.concatenate([sets.mean(axis=0)[None], sets])


def scaled(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return features whose training rows have a kernel with a mean eigenvalue of 1."""
    centred = features - features[train].mean(axis=0)
    return np.asarray(centred / np.sqrt((centred[train] ** 2).sum() / train.sum()))


def mixture(a: np.ndarray, b: np.ndarray, share: float, train: np.ndarray) -> np.ndarray:
    """Return both sources side by side."""
    return np.concatenate(
        [np.sqrt(share) * scaled(a, train), np.sqrt(1 - share) * scaled(b, train)], axis=1
    )


def predict(x: np.ndarray, y: np.ndarray, train: np.ndarray, alpha: float) -> np.ndarray:
    """Return predictions of all rows by scikit-learn, with an intercept."""
    mean = x[train].mean(axis=0)
    ridge = KernelRidge(alpha=alpha).fit(x[train] - mean, y[train] - y[train].mean(axis=0))
    return np.asarray(ridge.predict(x - mean) + y[train].mean(axis=0))


def left_out_residuals(
    x: np.ndarray, y: np.ndarray, train: np.ndarray, alpha: float, groups: np.ndarray
) -> np.ndarray:
    """Return the residuals of training rows whose group is left out (row neuroid)."""
    residuals = np.empty((int(train.sum()), y.shape[1]))
    for group in np.unique(groups[train]):
        out = train & (groups == group)
        residuals[out[train]] = (y - predict(x, y, train & ~out, alpha))[out]
    return residuals


def grams(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray | None = None
) -> tuple[list[Gram], list[Gram]]:
    one, other = (
        [gram_of([each], precision="float64").with_stimulus_groups(groups)]
        for each in (first, second)
    )
    return one, other


@pytest.mark.parametrize("n_units", [(8, 12), (60, 9), (70, 80)])
def test_a_choice_for_each_neuroid_equals_a_loop_of_kernel_ridges(
    n_units: tuple[int, int],
) -> None:
    """Leave-one-out over the whole grid, by refits without each stimulus."""
    a, b, sets = make(n_units)
    train = fold_splits(len(a), n_folds=3, seed=0, strata=None, groups=None)[:1]
    banded = BandedRidge(ridge=RidgeMapping(alphas=ALPHAS), choice="neuroid", shares=SHARES)
    (made,) = banded.cross_fit(*grams(a, b), sets, train)
    own = train[0]
    for source, shares in (("first", (1.0,)), ("second", (0.0,)), ("both", SHARES)):
        grid = list(product(shares, ALPHAS))
        errors = [
            (
                left_out_residuals(mixture(a, b, s, own), sets[0], own, alpha, np.arange(40)) ** 2
            ).sum(axis=0)
            for s, alpha in grid
        ]
        chosen = [grid[i] for i in np.argmin(errors, axis=0)]
        fit = made[source]
        assert list(zip(fit.shares, fit.alphas, strict=True)) == chosen
        for number, targets in enumerate(sets):
            for n, (share, alpha) in enumerate(chosen):
                expected = predict(mixture(a, b, share, own), targets[:, n : n + 1], own, alpha)
                assert fit.predicted[number, :, n] == pytest.approx(expected[~own, 0], abs=1e-8)
    assert len(set(made["both"].shares)) > 1, "neuroids must choose different shares"


def test_a_choice_for_the_area_equals_a_loop_with_products_of_halves() -> None:
    """Generalised cross-validation from explicit hat matrices, summed over halves and neuroids."""
    a, b, sets = make((10, 60))
    train = fold_splits(len(a), n_folds=3, seed=0, strata=None, groups=None)
    banded = BandedRidge(ridge=RidgeMapping(alphas=ALPHAS), shares=SHARES)
    for own, made in zip(train, banded.cross_fit(*grams(a, b), sets, train), strict=True):
        scale = sets[0, own].std(axis=0)
        first, second = (part[:, own] / scale for part in np.split(sets[1:], 2))
        for source, shares in (("first", (1.0,)), ("second", (0.0,)), ("both", SHARES)):
            errors = {}
            for share, alpha in product(shares, ALPHAS):
                x = mixture(a, b, share, own)[own]
                n = len(x)
                hat = 1 / n + x @ np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T)
                residuals = np.eye(n) - hat
                products = sum(
                    ((residuals @ one) * (residuals @ other)).sum()
                    for one, other in zip(first, second, strict=True)
                )
                errors[share, alpha] = products / (1 - np.trace(hat) / n) ** 2
            best = min(errors, key=errors.__getitem__)
            fit = made[source]
            assert {*zip(fit.shares, fit.alphas, strict=True)} == {best}


def test_groups_of_stimuli_are_left_out_together() -> None:
    a, b, sets = make((10, 60))
    groups = np.arange(40) // 4
    train = fold_splits(len(a), n_folds=3, seed=0, strata=None, groups=groups)
    banded = BandedRidge(ridge=RidgeMapping(alphas=ALPHAS), shares=SHARES)
    made = banded.cross_fit(*grams(a, b, groups=groups), sets, train)
    chosen = []
    for own, fits in zip(train, made, strict=True):
        scale = sets[0, own].std(axis=0)
        errors = {}
        for share, alpha in product(SHARES, ALPHAS):
            x = mixture(a, b, share, own)
            one, other = (
                [left_out_residuals(x, each / scale, own, alpha, groups) for each in part]
                for part in np.split(sets[1:], 2)
            )
            errors[share, alpha] = sum((p * q).sum() for p, q in zip(one, other, strict=True))
        best = min(errors, key=errors.__getitem__)
        assert (fits["both"].shares[0], fits["both"].alphas[0]) == best
        chosen.append(best)
    assert len(set(chosen)) > 1


def test_signed_columns_hold_the_products_of_halves() -> None:
    _, _, sets = make((5, 5))
    columns, signs = signal_columns(sets[1:])
    first, second = np.split((sets[1:] - sets[1:].mean(axis=1, keepdims=True)), 2)
    variance = sets[0].var(axis=0)
    expected = sum((p / variance) @ q.T for p, q in zip(first, second, strict=True))
    assert (columns * signs) @ columns.T == pytest.approx((expected + expected.T) / 2, abs=1e-9)
    assert (signs < 0).any()


def test_several_layers_of_a_source_count_alike_whatever_their_size() -> None:
    a, b, sets = make((7, 9))
    train = fold_splits(len(a), n_folds=3, seed=0, strata=None, groups=None)[:1]
    banded = BandedRidge(ridge=RidgeMapping(alphas=ALPHAS), shares=SHARES)
    own = train[0]
    (parts,), (whole,), (rescaled,) = (
        list(banded.cross_fit(*sources, sets, train))
        for sources in (
            ([gram_of([a]), gram_of([b])], [gram_of([a])]),
            ([gram_of([mixture(a, b, 0.5, own)])], [gram_of([a])]),
            ([gram_of([100 * a]), gram_of([b])], [gram_of([0.01 * a])]),
        )
    )
    for source in parts:
        assert parts[source].predicted == pytest.approx(whole[source].predicted, abs=1e-6)
        assert parts[source].predicted == pytest.approx(rescaled[source].predicted, abs=1e-6)


def test_a_source_that_does_not_vary_predicts_the_mean() -> None:
    a, _, sets = make((7, 9))
    train = fold_splits(len(a), n_folds=3, seed=0, strata=None, groups=None)[:1]
    still = Gram(factor=np.zeros((40, 3)))
    (made,) = BandedRidge().cross_fit([gram_of([a])], [still], sets, train)
    n_test = int((~train[0]).sum())
    mean = np.repeat(sets[:, train[0]].mean(axis=1, keepdims=True), n_test, axis=1)
    assert made["second"].predicted == pytest.approx(mean, abs=1e-9)
    one, both = (made[source].predicted.ravel() for source in ("first", "both"))
    assert np.corrcoef(one, both)[0, 1] > 0.999


def test_a_smoother_states_its_predictions() -> None:
    a, b, sets = make((10, 60))
    train = fold_splits(len(a), n_folds=3, seed=0, strata=None, groups=None)[:1]
    (made,) = BandedRidge(choice="neuroid").cross_fit(*grams(a, b), sets, train)
    centred = sets[:, train[0]] - sets[:, train[0]].mean(axis=1, keepdims=True)
    for fit in made.values():
        covered = np.concatenate([neuroids for neuroids, _ in fit.smoother.matrices])
        assert sorted(covered) == list(range(6))
        for neuroids, matrix in fit.smoother.matrices:
            expected = matrix @ centred[..., neuroids]
            shown = fit.predicted[..., neuroids] - sets[:, train[0]].mean(axis=1)[:, None, neuroids]
            assert shown == pytest.approx(expected, abs=1e-4)

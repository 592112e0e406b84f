"""PLS from the n x n Gram matrix, for many target sets and many splits at once: n up to a few thousand rows, any number of units.

With orthonormal scores t_b, P = I - sum_b t_b t_b', and Y the train-centred targets, component a of scikit-learn's
`PLSRegression(scale=False)` is (mode A, regression deflation)

    q_a = dominant direction of M_a = Y_a' K Y_a,      t_a ~ P K P Y q_a,      c_a = Y' t_a,
    M_{a+1} = M_a - c h' - h c' + eta c c',            h = Y_a' K t_a,  eta = t_a' K t_a,
    yhat_i = mean_train(y) + sum_a T_ia c_a'           for training and test rows alike.

Source: Wold's PLS2 as in scikit-learn; the dual form as in de Jong & ter Braak (1994), J. Chemometrics 8:169.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neurofit.mapping.direction import Direction, next_direction
from neurofit.mapping.fits import ITERATIONS, TEST_SHARE, Fit, MappingPlan
from neurofit.mapping.gram import Gram
from neurofit.mapping.linalg import Device, times_sets


def plan_dual(
    n_rows: int, n_neuroids: int, *, n_splits: int, n_sets: int, n_components: int, turn_bytes: int, sets_together: int
) -> MappingPlan:
    """Estimate the cost of `fit_dual`, a quarter of the rows being test rows."""
    n, s = n_rows, min(n_neuroids, n_rows)
    test = TEST_SHARE * n
    flops = n_sets * (2 * n**2 * s + 2 * n * s**2)  # K Y, Y'K Y
    per_fit = 2 * test**2 * s + 2 * test * s**2 + n_components * (4 * n**2 + 6 * n * s + 4 * n * n_components + (4 + 2 * ITERATIONS) * s**2)
    together = min(n_sets, sets_together)
    held = min(turn_bytes, n_splits * _bytes_per_split(together, n, s, n_components)) + 8 * together * 2 * n * s
    kept = 8 * n_splits * n_sets * n_components * (test + s)  # what predictions are read from
    return MappingPlan("dual", flops + n_splits * n_sets * per_fit, int(held + kept))


def _bytes_per_split(n_sets: int, n_rows: int, n_neuroids: int, n_components: int) -> int:
    return 8 * n_sets * (n_rows * n_components + n_neuroids**2)


def fit_dual(
    gram: Gram,
    targets: Any,
    train: np.ndarray,
    start: Any,
    *,
    n_components: int,
    rule: Direction,
    exhausted: float,
    turn_bytes: int,
    device: Device,
) -> Iterator[Fit]:
    """Fit every target set on every split, in turns of splits.

    Parameters
    ----------
    gram
        With K.
    targets
        Target sets without their means (set row neuroid).
    train
        Training masks (split row).
    start
        Where scikit-learn's iteration begins (set split neuroid).
    n_components, rule
        Of the PLS.
    exhausted
        A component is dropped, with all later ones, if its score is this small a share of the largest.
    turn_bytes
        Bytes for what the splits of a turn hold.
    device
        Where the arrays live.

    Yields
    ------
    One `Fit` per split.
    """
    kernel = device.array(gram.dense)
    n_sets, n_rows, n_neuroids = targets.shape
    products = times_sets(kernel, targets)
    per_turn = max(1, turn_bytes // _bytes_per_split(n_sets, n_rows, n_neuroids, n_components))
    for begin in range(0, len(train), per_turn):
        turn = slice(begin, begin + per_turn)
        yield from _fit_turn(
            kernel, targets, products, train[turn], start[:, turn], n_components=n_components, rule=rule, exhausted=exhausted, device=device
        )


def _fit_turn(
    gram: Any,
    targets: Any,
    products: Any,
    train: np.ndarray,
    start: Any,
    *,
    n_components: int,
    rule: Direction,
    exhausted: float,
    device: Device,
) -> Iterator[Fit]:
    xp = device.xp
    n_sets, n_rows, n_neuroids = targets.shape
    n_splits = len(train)
    mask = device.array(train)
    n_train = mask.sum(-1)  # (split)
    means = mask @ targets / n_train[:, None]  # (set split neuroid)
    inner = _first_inner(gram, targets, products, train, mask, means, device)
    scores = device.zeros(n_sets, n_splits, n_components, n_rows)
    loadings = device.zeros(n_sets, n_splits, n_components, n_neuroids)
    largest = device.zeros(n_sets, n_splits)
    alive = largest == 0
    used = device.zeros(n_sets, n_splits)
    update = None

    for a in range(n_components):
        q = next_direction(inner, update, start, device, rule=rule)
        u = q @ targets.swapaxes(1, 2)  # Y q: (set split row)
        u -= xp.einsum("fks,fks->fk", means, q)[..., None]
        if a:
            u -= ((loadings[:, :, :a] @ q[..., None]).swapaxes(2, 3) @ scores[:, :, :a])[:, :, 0]
        u *= mask
        v = _centred_product(gram, u, mask, n_train, xp)
        _orthogonalise(v, scores[:, :, :a], mask)
        v_train = v * mask
        norm, scale = _lengths(xp, v_train), _lengths(xp, u)
        strength = xp.where(scale > 0, norm / xp.where(scale > 0, scale, 1.0), 0.0)
        largest = xp.maximum(largest, strength)
        alive &= strength > exhausted * largest
        if not alive.any():
            break
        used += alive
        shrink = xp.where(alive, 1.0 / xp.where(alive, norm, 1.0), 0.0)[..., None]
        v *= shrink
        v_train *= shrink
        s = _centred_product(gram, v_train, mask, n_train, xp) * mask
        both = xp.concatenate([v_train, s], 1) @ targets  # Y' [t s]: (set 2split neuroid)
        c, h = both[:, :n_splits], both[:, n_splits:]
        if a:
            h = h - ((scores[:, :, :a] @ s[..., None]).swapaxes(2, 3) @ loadings[:, :, :a])[:, :, 0]
        eta = xp.einsum("fkr,fkr->fk", v_train, s)
        scores[:, :, a], loadings[:, :, a] = v, c
        update = (c, h - eta[..., None] * c / 2)
        if not alive.all():  # what is exhausted is rounding, on which power iterations would run to their end
            inner *= alive[..., None, None]
    for split, rows in enumerate(train):
        yield Fit(
            scores=device.numpy(scores[:, split])[:, :, ~rows],
            loadings=device.numpy(loadings[:, split]),
            means=device.numpy(means[:, split]),
            used=device.numpy(used[:, split]).astype(int),
        )


def _centred_product(gram: Any, vectors: Any, mask: Any, n_train: Any, xp: Any) -> Any:
    """K v for v (set split row), centred on the training rows."""
    out = (vectors.reshape(-1, len(gram)) @ gram).reshape(vectors.shape)
    out -= (xp.einsum("fkr,kr->fk", out, mask) / n_train)[..., None]
    return out


def _orthogonalise(v: Any, earlier: Any, mask: Any) -> None:
    """Make v (set split row) orthogonal to the earlier scores over the training rows, in place; all rows follow."""
    if not earlier.shape[2]:
        return
    for i in range(len(v)):  # set by set, while its scores are in the cache
        overlap = earlier[i] @ (v[i] * mask)[..., None]
        v[i] -= (overlap.swapaxes(1, 2) @ earlier[i])[:, 0]


def _first_inner(gram: Any, targets: Any, products: Any, train: np.ndarray, mask: Any, means: Any, device: Device) -> Any:
    """M_1 = Yc' K Yc on each split's training rows, by removing the (fewer) test rows from Y' K Y."""
    n_sets, _, n_neuroids = targets.shape
    whole = targets.swapaxes(1, 2) @ products
    row_sums = (mask @ gram) * mask  # K m on training rows: (split row)
    shift = row_sums @ targets - row_sums.sum(-1)[:, None] * means / 2  # (set split neuroid)
    inner = device.zeros(n_sets, len(train), n_neuroids, n_neuroids)
    for split, rows in enumerate(train):
        test = device.array(np.flatnonzero(~rows), "int64")
        held = targets[:, test]
        removed = held.swapaxes(1, 2) @ (products[:, test] - (gram[test][:, test] @ held) / 2)
        removed += means[:, split, :, None] * shift[:, split, None]
        inner[:, split] = whole - removed - removed.swapaxes(1, 2)
    return inner


def _lengths(xp: Any, vectors: Any) -> Any:
    return xp.sqrt(xp.einsum("fkr,fkr->fk", vectors, vectors))

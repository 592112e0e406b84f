"""PLS from the n x n Gram matrix, for many target sets and splits at once.

It suits up to a few thousand rows and any number of units. With orthonormal scores t_b,
P = I - sum_b t_b t_b', and train-centred targets Y, component a of scikit-learn's
`PLSRegression(scale=False)` (mode A, regression deflation) is

    q_a = dominant direction of M_a = Y_a' K Y_a,    t_a ~ P K P Y q_a,    c_a = Y' t_a,
    M_{a+1} = M_a - c h' - h c' + eta c c',    h = Y_a' K t_a,  eta = t_a' K t_a,
    yhat_i = mean_train(y) + sum_a T_ia c_a'    for training and test rows alike.

Sources: Wold's PLS2 as in scikit-learn; its dual form as in de Jong & ter Braak (1994),
J. Chemometrics 8:169.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neurofit.mapping.centring import Centring
from neurofit.mapping.direction import Direction, next_direction
from neurofit.mapping.fits import POWER_ITERATIONS, TEST_SHARE, Fit, MappingPlan
from neurofit.mapping.gram import Gram
from neurofit.mapping.linalg import Backend, times_sets


def plan_dual(
    n_rows: int,
    n_neuroids: int,
    *,
    n_splits: int,
    n_sets: int,
    n_components: int,
    batch_bytes: int,
    sets_together: int,
) -> MappingPlan:
    """Estimate the cost of `fit_dual`, assuming that a quarter of the rows are test rows."""
    n, s = n_rows, min(n_neuroids, n_rows)
    test = TEST_SHARE * n
    flops = n_sets * (2 * n**2 * s + 2 * n * s**2)  # K Y, Y'K Y
    per_component = 4 * n**2 + 6 * n * s + 4 * n * n_components + (4 + 2 * POWER_ITERATIONS) * s**2
    per_fit = 2 * test**2 * s + 2 * test * s**2 + n_components * per_component
    together = min(n_sets, sets_together)
    working = min(batch_bytes, n_splits * _bytes_per_split(together, n, s, n_components))
    working += 8 * together * 2 * n * s
    fitted = 8 * n_splits * n_sets * n_components * (test + s)  # test scores and loadings
    return MappingPlan("dual", flops + n_splits * n_sets * per_fit, int(working + fitted))


def _bytes_per_split(n_sets: int, n_rows: int, n_neuroids: int, n_components: int) -> int:
    return 8 * n_sets * (n_rows * n_components + n_neuroids**2)


def fit_dual(
    gram: Gram,
    targets: Any,
    train: np.ndarray,
    start: Any,
    ranks: np.ndarray,
    *,
    n_components: int,
    rule: Direction,
    tolerance: float,
    batch_bytes: int,
    backend: Backend,
) -> Iterator[Fit]:
    """Fit every target set on every split, in batches of splits.

    Parameters
    ----------
    gram
        Gram in the dense representation.
    targets
        Target sets without their means (set row neuroid).
    train
        Training masks (split row).
    start
        Starts of the directions' iteration (set split neuroid).
    ranks
        Rank of the training features in each split: later components are dropped.
    n_components, rule
        Number of components, and rule for their directions.
    tolerance
        Score norm, relative to the largest, at which the features explain nothing more of the
        targets: this component and all later ones are dropped.
    batch_bytes
        Memory for a batch of splits.
    backend
        Backend of the arrays.

    Yields
    ------
    One `Fit` per split.
    """
    kernel = backend.array(gram.dense)
    n_sets, n_rows, n_neuroids = targets.shape
    products = times_sets(kernel, targets)
    step = max(1, batch_bytes // _bytes_per_split(n_sets, n_rows, n_neuroids, n_components))
    for begin in range(0, len(train), step):
        batch = slice(begin, begin + step)
        yield from _fit_batch(
            kernel,
            targets,
            products,
            train[batch],
            start[:, batch],
            ranks[batch],
            n_components=n_components,
            groups=gram.groups,
            rule=rule,
            tolerance=tolerance,
            backend=backend,
        )


def _fit_batch(
    kernel: Any,
    targets: Any,
    products: Any,
    train: np.ndarray,
    start: Any,
    ranks: np.ndarray,
    *,
    n_components: int,
    groups: int,
    rule: Direction,
    tolerance: float,
    backend: Backend,
) -> Iterator[Fit]:
    xp = backend.xp
    n_sets, n_rows, n_neuroids = targets.shape
    n_splits = len(train)
    centring = Centring.of(train, groups, backend)
    mask = centring.mask
    means = centring.sums(targets) / centring.n_train[:, None, None]  # (set split group neuroid)
    inner = _first_inner(kernel, targets, products, train, centring, means, backend)
    scores = backend.zeros(n_sets, n_splits, n_components, n_rows)
    loadings = backend.zeros(n_sets, n_splits, n_components, n_neuroids)
    largest = backend.zeros(n_sets, n_splits)
    alive = largest == 0
    used = backend.zeros(n_sets, n_splits)
    update = None

    for a in range(n_components):
        q = next_direction(inner, update, start, backend, rule=rule)
        u = q @ targets.swapaxes(1, 2)  # Y q: (set split row)
        centring.subtract(u, xp.einsum("fkgs,fks->fkg", means, q))
        if a:
            u -= ((loadings[:, :, :a] @ q[..., None]).swapaxes(2, 3) @ scores[:, :, :a])[:, :, 0]
        u *= mask
        v = _centred_product(kernel, u, centring, backend)
        _orthogonalise(v, scores[:, :, :a], mask)
        v_train = v * mask
        norm, scale = _lengths(xp, v_train), _lengths(xp, u)
        strength = xp.where(scale > 0, norm / xp.where(scale > 0, scale, 1.0), 0.0)
        largest = xp.maximum(largest, strength)
        alive &= (strength > tolerance * largest) & backend.array(a < ranks, "bool")
        if not alive.any():
            break
        used += alive
        shrink = xp.where(alive, 1.0 / xp.where(alive, norm, 1.0), 0.0)[..., None]
        v *= shrink
        v_train *= shrink
        s = _centred_product(kernel, v_train, centring, backend) * mask
        both = xp.concatenate([v_train, s], 1) @ targets  # Y' [t s]: (set 2split neuroid)
        c, h = both[:, :n_splits], both[:, n_splits:]
        if a:
            h = h - ((scores[:, :, :a] @ s[..., None]).swapaxes(2, 3) @ loadings[:, :, :a])[:, :, 0]
        eta = xp.einsum("fkr,fkr->fk", v_train, s)
        scores[:, :, a], loadings[:, :, a] = v, c
        update = (c, h - eta[..., None] * c / 2)
        if not alive.all():  # on rounding errors power iterations would not converge
            inner *= alive[..., None, None]
    for split, rows in enumerate(train):
        yield Fit(
            scores=backend.numpy(scores[:, split])[:, :, ~rows],
            loadings=backend.numpy(loadings[:, split]),
            means=backend.numpy(means[:, split]),
            used=backend.numpy(used[:, split]).astype(int),
        )


def _centred_product(kernel: Any, vectors: Any, centring: Centring, backend: Backend) -> Any:
    """Return K v for v (set split row), centred on the training rows."""
    out = (vectors.reshape(-1, len(kernel)) @ kernel).reshape(vectors.shape)
    centring.centre(out, backend)
    return out


def _orthogonalise(v: Any, earlier: Any, mask: Any) -> None:
    """Make v (set split row) orthogonal to the earlier scores over the training rows, in place."""
    if not earlier.shape[2]:
        return
    for i in range(len(v)):  # set by set, while its scores are in the CPU's cache
        overlap = earlier[i] @ (v[i] * mask)[..., None]
        v[i] -= (overlap.swapaxes(1, 2) @ earlier[i])[:, 0]


def _first_inner(
    kernel: Any,
    targets: Any,
    products: Any,
    train: np.ndarray,
    centring: Centring,
    means: Any,
    backend: Backend,
) -> Any:
    """Return M_1 = Yc' K Yc of each split, with Yc centred on its training rows.

    The (fewer) test rows are removed from Y' K Y. With test rows Y_e and their block K_ee,

        B = Y_e' (K Y)_e - Y_e' K_ee Y_e / 2,    D = Y' (m * K G) - Ybar' (G' K G) / 2,
        M_1 = Y' K Y - B - B' - Ybar' D' - D Ybar

    for the training mask m, its groups G (row group) and their means Ybar (group neuroid).
    """
    n_sets, _, n_neuroids = targets.shape
    whole = targets.swapaxes(1, 2) @ products
    row_sums = centring.sums(kernel) * centring.mask[:, None]  # K G on training rows
    n_splits, groups, n_rows = row_sums.shape
    shift = (row_sums.reshape(-1, n_rows) @ targets).reshape(means.shape)
    shift = shift - row_sums.reshape(n_splits, groups, groups, -1).sum(-1) @ means / 2
    inner = backend.zeros(n_sets, len(train), n_neuroids, n_neuroids)
    for split, rows in enumerate(train):
        test = backend.array(np.flatnonzero(~rows), "int64")
        tested = targets[:, test]
        removed = tested.swapaxes(1, 2) @ (products[:, test] - (kernel[test][:, test] @ tested) / 2)
        removed += means[:, split].swapaxes(1, 2) @ shift[:, split]
        inner[:, split] = whole - removed - removed.swapaxes(1, 2)
    return inner


def _lengths(xp: Any, vectors: Any) -> Any:
    return xp.sqrt(xp.einsum("fkr,fkr->fk", vectors, vectors))

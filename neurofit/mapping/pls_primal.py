"""PLS from the features, where units are fewer than rows or both are too many for a Gram matrix.

With train-centred Z = X'Y, w the direction in the space of the units, r the direction after
deflation (t = X r) and p = X't:

    q_a = dominant direction of M_a = Z_a'Z_a,
    w_a = Z q_a - sum_b p_b (c_b'q_a),    r_a = w_a - sum_b r_b (p_b'w_a),
    r, p <- r, p / |X r|,    p_a = X'X r_a,    c_a = Z'r_a,
    M_{a+1} = M_a - c h' - h c' + eta c c',    h = Z'p - sum_b c_b (p_b'p_a),  eta = p'p,
    yhat_i = mean_train(y) + (x_i - mean_train(x))'[r_1 ... r_A] C'.

X'X r comes from the cross-product X'X of the split or, if that is too large or there are few fits,
from one pass over the features per component for all fits. Source: Dayal & MacGregor (1997),
J. Chemometrics 11:85, algorithms 2 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from neurofit.mapping.centring import Centring
from neurofit.mapping.direction import Direction, next_direction
from neurofit.mapping.fits import POWER_ITERATIONS, TEST_SHARE, Fit, MappingPlan
from neurofit.mapping.gram import Gram
from neurofit.mapping.linalg import Backend, times_sets

MIN_COLUMNS = 16
"""Number of columns below which a product takes no less time: it is bound by memory access."""

Chunks = Callable[[], Iterator[tuple[slice, Any]]]


def plan_primal(
    n_rows: int,
    n_units: int,
    n_neuroids: int,
    *,
    n_splits: int,
    n_sets: int,
    n_components: int,
    batch_bytes: int,
) -> MappingPlan:
    """Choose cross-products or passes over the features, and estimate the cost.

    The estimate assumes that a quarter of the rows are test rows.
    """
    n, p, s = n_rows, n_units, n_neuroids
    fits = n_splits * n_sets
    share = 1 + n_splits * TEST_SHARE  # all rows once, the test rows of every split
    by_cross = n * p**2 * share + 2 * p**2 * n_components * n_splits * max(n_sets, MIN_COLUMNS)
    by_passes = 4 * n * p * n_components * max(fits, MIN_COLUMNS)
    crossed = 16 * p**2 <= batch_bytes and by_cross < by_passes
    flops = 2 * n * p * s * n_sets * share + (by_cross if crossed else by_passes)
    per_component = 6 * p * s + 4 * p * n_components + (4 + 2 * POWER_ITERATIONS) * s**2
    flops += fits * (2 * p * s**2 + n_components * (per_component + 2 * TEST_SHARE * n * p))
    per_split = _bytes_per_split(n_sets, p, s, n_components, crossed)
    n_bytes = max(min(batch_bytes, n_splits * per_split), per_split) + 8 * p * s * n_sets
    return MappingPlan("cross products" if crossed else "passes over the features", flops, n_bytes)


def _bytes_per_split(
    n_sets: int, n_units: int, n_neuroids: int, n_components: int, crossed: bool
) -> int:
    per_set = n_units * (n_neuroids + 2 * n_components) + n_neuroids**2
    return 8 * (n_sets * per_set + crossed * n_units**2)


def fit_primal(
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
        Gram in the factor or blocks representation.
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
        Norm of w, relative to the largest, at which the features explain nothing more of the
        targets: this component and all later ones are dropped.
    batch_bytes
        Memory for a batch of splits.
    backend
        Backend of the arrays.

    Yields
    ------
    One `Fit` per split.
    """
    n_sets, n_rows, n_neuroids = targets.shape
    n_units, n_splits = gram.n_units, len(train)
    chunks = _chunk_reader(gram, backend)
    products = backend.zeros(n_sets, n_units, n_neuroids)
    for rows, chunk in chunks():
        products += times_sets(chunk.T, targets[:, rows])
    plan = plan_primal(
        n_rows,
        n_units,
        n_neuroids,
        n_splits=n_splits,
        n_sets=n_sets,
        n_components=n_components,
        batch_bytes=batch_bytes,
    )
    crossed = plan.method == "cross products"
    per_split = _bytes_per_split(n_sets, n_units, n_neuroids, n_components, crossed)
    step = max(1, batch_bytes // per_split)
    for begin in range(0, n_splits, step):
        batch = slice(begin, begin + step)
        yield from _Batch(gram, chunks, targets, products, train[batch], crossed, backend).fit(
            start[:, batch],
            ranks[batch],
            n_components=n_components,
            rule=rule,
            tolerance=tolerance,
        )


def _chunk_reader(gram: Gram, backend: Backend) -> Chunks:
    """Return a function that yields the features in chunks; those in memory are moved once."""
    if gram.factor is not None:
        moved = [(rows, backend.array(chunk)) for rows, chunk in gram.chunks()]
        return lambda: iter(moved)
    return lambda: ((rows, backend.array(chunk)) for rows, chunk in gram.chunks())


class _Batch:
    """Splits that are fitted together."""

    def __init__(
        self,
        gram: Gram,
        chunks: Chunks,
        targets: Any,
        products: Any,
        train: np.ndarray,
        crossed: bool,
        backend: Backend,
    ) -> None:
        self.chunks, self.train, self.backend = chunks, train, backend
        self.centring = Centring.of(train, gram.groups, backend)
        self.mask, n_train = self.centring.mask, self.centring.n_train[:, None, None]
        self.means = self.centring.sums(targets) / n_train  # (set split group neuroid)
        n_sets, n_units, n_neuroids = products.shape
        total = backend.zeros(len(train), gram.groups, n_units)
        self.z = backend.zeros(n_sets, len(train), n_units, n_neuroids) + products[:, None]
        for rows, chunk in chunks():
            for group, own in self.centring.parts(rows):
                total[:, group] += self.mask[:, rows][:, own] @ chunk[own]
            for split, inside in enumerate(train[:, rows]):
                test = backend.array(np.flatnonzero(~inside), "int64")
                self.z[:, split] -= times_sets(chunk[test].T, targets[:, rows][:, test])
        self.z -= total.swapaxes(1, 2) @ self.means
        self.center = total / n_train  # (split group unit)
        self.cross = (
            backend.array(np.stack([gram.train_cross_product(rows)[0] for rows in train]))
            if crossed
            else None
        )

    def fit(
        self,
        start: Any,
        ranks: np.ndarray,
        *,
        n_components: int,
        rule: Direction,
        tolerance: float,
    ) -> Iterator[Fit]:
        backend, z = self.backend, self.z
        xp = backend.xp
        n_sets, n_splits, n_units, n_neuroids = z.shape
        inner = z.swapaxes(2, 3) @ z
        r_all, p_all = (backend.zeros(n_sets, n_splits, n_components, n_units) for _ in range(2))
        loadings = backend.zeros(n_sets, n_splits, n_components, n_neuroids)
        largest = backend.zeros(n_sets, n_splits)
        alive, used = largest == 0, backend.zeros(n_sets, n_splits)
        update = None
        for a in range(n_components):
            q = next_direction(inner, update, start, backend, rule=rule)
            w = (z @ q[..., None])[..., 0]
            if a:
                w -= _deflation(loadings[:, :, :a], q, p_all[:, :, :a])
            strength = xp.sqrt(xp.einsum("fku,fku->fk", w, w))
            largest = xp.maximum(largest, strength)
            alive &= (strength > tolerance * largest) & backend.array(a < ranks, "bool")
            if not alive.any():
                break
            used += alive
            r = w - _deflation(p_all[:, :, :a], w, r_all[:, :, :a]) if a else w
            p, energy = self._covariance_times(r)
            shrink = xp.where(alive, 1.0 / xp.sqrt(xp.where(alive, energy, 1.0)), 0.0)[..., None]
            r, p = r * shrink, p * shrink
            both = xp.stack([r, p], 2) @ z  # Z'[r p]: (set split 2 neuroid)
            c, h = both[:, :, 0], both[:, :, 1]
            if a:
                h = h - _deflation(p_all[:, :, :a], p, loadings[:, :, :a])
            eta = xp.einsum("fku,fku->fk", p, p)
            r_all[:, :, a], p_all[:, :, a], loadings[:, :, a] = r, p, c
            update = (c, h - eta[..., None] * c / 2)
            if not alive.all():
                inner *= alive[..., None, None]
        for split, scores in enumerate(self._test_scores(r_all)):
            yield Fit(
                scores=backend.numpy(scores),
                loadings=backend.numpy(loadings[:, split]),
                means=backend.numpy(self.means[:, split]),
                used=backend.numpy(used[:, split]).astype(int),
            )

    def _covariance_times(self, r: Any) -> tuple[Any, Any]:
        """Return p = X'X r and r'X'X r, with X centred on the training rows."""
        xp = self.backend.xp
        if self.cross is not None:
            p = (r.swapaxes(0, 1) @ self.cross).swapaxes(0, 1)
            return p, xp.einsum("fku,fku->fk", r, p)
        flat = r.reshape(-1, r.shape[-1])  # all fits in one product
        p, energy = self.backend.zeros(*flat.shape), self.backend.zeros(*r.shape[:2])
        shift = xp.einsum("fku,kgu->fkg", r, self.center)
        for rows, chunk in self.chunks():
            t = (flat @ chunk.T).reshape(*shift.shape[:2], -1)
            for group, own in self.centring.parts(rows):
                t[..., own] -= shift[..., group, None]
            t *= self.mask[:, rows]
            energy += xp.einsum("fkr,fkr->fk", t, t)
            p += t.reshape(len(flat), -1) @ chunk
        return p.reshape(r.shape), energy

    def _test_scores(self, directions: Any) -> list[Any]:
        """Return t = (x - mean)'r of each split's test rows (set component test), in one pass."""
        n_sets, n_splits, n_components, n_units = directions.shape
        flat = [directions[:, split].reshape(-1, n_units) for split in range(n_splits)]
        scores: list[list[Any]] = [[] for _ in flat]
        for rows, chunk in self.chunks():
            for group, own in self.centring.parts(rows):
                for split, inside in enumerate(self.train[:, rows][:, own]):
                    test = self.backend.array(np.flatnonzero(~inside), "int64")
                    tested = chunk[own][test] - self.center[split, group]
                    scores[split].append(flat[split] @ tested.T)
        return [
            self.backend.xp.concatenate(parts, -1).reshape(n_sets, n_components, -1)
            for parts in scores
        ]


def _deflation(rows: Any, vector: Any, columns: Any) -> Any:
    """Return sum_b columns_b (rows_b'vector) for stacks (set split component size)."""
    return ((rows @ vector[..., None]).swapaxes(2, 3) @ columns)[:, :, 0]

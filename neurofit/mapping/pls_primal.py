"""PLS from the features themselves, where the units are fewer than the rows or both are too many for a Gram matrix.

With Z = X'Y train-centred, w the direction in the space of the units, r the direction after deflation (t = X r) and p = X't:

    q_a = dominant direction of M_a = Z_a'Z_a,      w_a = Z q_a - sum_b p_b (c_b'q_a),      r_a = w_a - sum_b r_b (p_b'w_a),
    r, p <- r, p / |X r|,      p_a = X'X r_a,      c_a = Z'r_a,
    M_{a+1} = M_a - c h' - h c' + eta c c',         h = Z'p - sum_b c_b (p_b'p_a),  eta = p'p,
    yhat_i = mean_train(y) + (x_i - mean_train(x))'[r_1 ... r_A] C'.

X'X r comes from the cross-product X'X of the split, or, where that is too large or there are few fits, from one pass over the
features per component for all fits. Source: Dayal & MacGregor (1997), J. Chemometrics 11:85, whose algorithms 1 and 2 they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from neurofit.mapping.direction import Direction, next_direction
from neurofit.mapping.fits import ITERATIONS, TEST_SHARE, Fit, MappingPlan
from neurofit.mapping.gram import Gram
from neurofit.mapping.linalg import Device, times_sets

NARROW = 16
"""A product with fewer columns takes as long as one with so many: it waits for memory."""

Pieces = Callable[[], Iterator[tuple[slice, Any]]]


def plan_primal(
    n_rows: int, n_units: int, n_neuroids: int, *, n_splits: int, n_sets: int, n_components: int, turn_bytes: int
) -> MappingPlan:
    """Choose between cross-products and passes over the features, and estimate the cost; a quarter of the rows are test rows."""
    n, p, s = n_rows, n_units, n_neuroids
    fits = n_splits * n_sets
    share = 1 + n_splits * TEST_SHARE  # all rows once, the test rows of every split
    by_cross = n * p**2 * share + 2 * p**2 * n_components * n_splits * max(n_sets, NARROW)
    by_passes = 4 * n * p * n_components * max(fits, NARROW)
    crossed = 16 * p**2 <= turn_bytes and by_cross < by_passes
    flops = 2 * n * p * s * n_sets * share + (by_cross if crossed else by_passes)
    flops += fits * (
        2 * p * s**2 + n_components * (6 * p * s + 4 * p * n_components + (4 + 2 * ITERATIONS) * s**2 + 2 * TEST_SHARE * n * p)
    )
    held = min(turn_bytes, n_splits * _bytes_per_split(n_sets, p, s, n_components, crossed))
    held = max(held, _bytes_per_split(n_sets, p, s, n_components, crossed)) + 8 * p * s * n_sets
    return MappingPlan("cross products" if crossed else "passes over the features", flops, held)


def _bytes_per_split(n_sets: int, n_units: int, n_neuroids: int, n_components: int, crossed: bool) -> int:
    return 8 * (n_sets * (n_units * (n_neuroids + 2 * n_components) + n_neuroids**2) + crossed * n_units**2)


def fit_primal(
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
        With the features.
    targets
        Target sets without their means (set row neuroid).
    train
        Training masks (split row).
    start
        Where scikit-learn's iteration begins (set split neuroid).
    n_components, rule
        Of the PLS.
    exhausted
        A component is dropped, with all later ones, if |w| is this small a share of the largest.
    turn_bytes
        Bytes for what the splits of a turn hold.
    device
        Where the arrays live.

    Yields
    ------
    One `Fit` per split.
    """
    n_sets, n_rows, n_neuroids = targets.shape
    n_units, n_splits = gram.n_units, len(train)
    pieces = _reader(gram, device)
    products = device.zeros(n_sets, n_units, n_neuroids)
    for rows, piece in pieces():
        products += times_sets(piece.T, targets[:, rows])
    plan = plan_primal(n_rows, n_units, n_neuroids, n_splits=n_splits, n_sets=n_sets, n_components=n_components, turn_bytes=turn_bytes)
    crossed = plan.way == "cross products"
    per_turn = max(1, turn_bytes // _bytes_per_split(n_sets, n_units, n_neuroids, n_components, crossed))
    for begin in range(0, n_splits, per_turn):
        turn = slice(begin, begin + per_turn)
        yield from _Turn(gram, pieces, targets, products, train[turn], crossed, device).fit(
            start[:, turn], n_components=n_components, rule=rule, exhausted=exhausted
        )


def _reader(gram: Gram, device: Device) -> Pieces:
    """Return what yields the pieces of the features on the device; what is in memory is moved once."""
    if gram.factor is not None:
        held = [(rows, device.array(piece)) for rows, piece in gram.pieces()]
        return lambda: iter(held)
    return lambda: ((rows, device.array(piece)) for rows, piece in gram.pieces())


class _Turn:
    """Splits that are fitted together."""

    def __init__(self, gram: Gram, pieces: Pieces, targets: Any, products: Any, train: np.ndarray, crossed: bool, device: Device) -> None:
        self.pieces, self.train, self.device = pieces, train, device
        self.mask = device.array(train)
        n_train = self.mask.sum(-1)
        self.means = self.mask @ targets / n_train[:, None]  # (set split neuroid)
        n_sets, n_units, n_neuroids = products.shape
        total = device.zeros(len(train), n_units)
        self.z = device.zeros(n_sets, len(train), n_units, n_neuroids) + products[:, None]
        for rows, piece in pieces():
            total += self.mask[:, rows] @ piece
            for split, inside in enumerate(train[:, rows]):
                test = device.array(np.flatnonzero(~inside), "int64")
                self.z[:, split] -= times_sets(piece[test].T, targets[:, rows][:, test])
        self.z -= total[:, :, None] * self.means[:, :, None]
        self.center = total / n_train[:, None]  # (split unit)
        self.cross = device.array(np.stack([gram.train_cross_product(rows)[0] for rows in train])) if crossed else None

    def fit(self, start: Any, *, n_components: int, rule: Direction, exhausted: float) -> Iterator[Fit]:
        xp, device, z = self.device.xp, self.device, self.z
        n_sets, n_splits, n_units, n_neuroids = z.shape
        inner = z.swapaxes(2, 3) @ z
        directions, features = (device.zeros(n_sets, n_splits, n_components, n_units) for _ in range(2))  # r and p
        loadings = device.zeros(n_sets, n_splits, n_components, n_neuroids)
        largest = device.zeros(n_sets, n_splits)
        alive, used = largest == 0, device.zeros(n_sets, n_splits)
        update = None
        for a in range(n_components):
            q = next_direction(inner, update, start, device, rule=rule)
            w = (z @ q[..., None])[..., 0]
            if a:
                w -= ((loadings[:, :, :a] @ q[..., None]).swapaxes(2, 3) @ features[:, :, :a])[:, :, 0]
            strength = xp.sqrt(xp.einsum("fku,fku->fk", w, w))
            largest = xp.maximum(largest, strength)
            alive &= strength > exhausted * largest
            if not alive.any():
                break
            used += alive
            r = w
            if a:
                r = w - ((features[:, :, :a] @ w[..., None]).swapaxes(2, 3) @ directions[:, :, :a])[:, :, 0]
            p, energy = self._covariance_times(r)
            shrink = xp.where(alive, 1.0 / xp.sqrt(xp.where(alive, energy, 1.0)), 0.0)[..., None]
            r, p = r * shrink, p * shrink
            both = xp.stack([r, p], 2) @ z  # Z'[r p]: (set split 2 neuroid)
            c, h = both[:, :, 0], both[:, :, 1]
            if a:
                h = h - ((features[:, :, :a] @ p[..., None]).swapaxes(2, 3) @ loadings[:, :, :a])[:, :, 0]
            eta = xp.einsum("fku,fku->fk", p, p)
            directions[:, :, a], features[:, :, a], loadings[:, :, a] = r, p, c
            update = (c, h - eta[..., None] * c / 2)
            if not alive.all():
                inner *= alive[..., None, None]
        for split, scores in enumerate(self._test_scores(directions)):
            yield Fit(
                scores=device.numpy(scores),
                loadings=device.numpy(loadings[:, split]),
                means=device.numpy(self.means[:, split]),
                used=device.numpy(used[:, split]).astype(int),
            )

    def _covariance_times(self, r: Any) -> tuple[Any, Any]:
        """Return p = X'X r and r'X'X r over the training rows, centred on them."""
        xp = self.device.xp
        if self.cross is not None:
            p = (r.swapaxes(0, 1) @ self.cross).swapaxes(0, 1)
            return p, xp.einsum("fku,fku->fk", r, p)
        flat = r.reshape(-1, r.shape[-1])  # all fits in one product
        p, energy = self.device.zeros(*flat.shape), self.device.zeros(*r.shape[:2])
        shift = xp.einsum("fku,ku->fk", r, self.center)[..., None]
        for rows, piece in self.pieces():
            t = ((flat @ piece.T).reshape(*shift.shape[:2], -1) - shift) * self.mask[:, rows]
            energy += xp.einsum("fkr,fkr->fk", t, t)
            p += t.reshape(len(flat), -1) @ piece
        return p.reshape(r.shape), energy

    def _test_scores(self, directions: Any) -> list[Any]:
        """Return every split's t = (x - mean)'r of its test rows (set component test), from one pass over the features."""
        n_sets, n_splits, n_components, n_units = directions.shape
        flat = [directions[:, split].reshape(-1, n_units) for split in range(n_splits)]
        scores: list[list[Any]] = [[] for _ in flat]
        for rows, piece in self.pieces():
            for split, inside in enumerate(self.train[:, rows]):
                test = self.device.array(np.flatnonzero(~inside), "int64")
                scores[split].append(flat[split] @ (piece[test] - self.center[split]).T)
        return [self.device.xp.concatenate(parts, -1).reshape(n_sets, n_components, -1) for parts in scores]

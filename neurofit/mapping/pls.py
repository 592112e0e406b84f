"""Joint PLS regression of all neuroids from the Gram matrix: many target sets and many splits share one K.

With orthonormal scores t_b, P = I - sum_b t_b t_b', and Y the train-centred targets, component a of scikit-learn's
`PLSRegression(scale=False)` is (mode A, regression deflation)

    q_a = dominant direction of M_a = Y_a' K Y_a,      t_a ~ P K P Y q_a,      c_a = Y' t_a,
    M_{a+1} = M_a - c h' - h c' + eta c c',            h = Y_a' K t_a,  eta = t_a' K t_a,
    yhat_i = mean_train(y) + sum_a T_ia c_a'           for training and test rows alike.

scikit-learn finds q_a by power iteration and stops at |w_i - w_{i-1}|^2 < 1e-6 for w = X' Y q / |X' Y q|. The same iterates
and the same stop are followed here in the space of the neuroids, where a step costs S^2 instead of 2 n p. Source: Wold's PLS2
as in scikit-learn; the dual form as in de Jong & ter Braak (1994), J. Chemometrics 8:169.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from neurofit.mapping.gram import Gram

POWER_TOLERANCE = 1e-6
MAX_ITERATIONS = 500
"""scikit-learn's defaults."""

EXHAUSTED = 1e-11
"""A component whose score is this small a share of the largest is rounding: the rank of the features is exhausted."""

FITS_IN_CACHE = 24
"""Fits whose M (S x S) are iterated together: 24 matrices of 168 sites are 5 MB."""

SCORES_BYTES = 2**29
"""Scores held at once; more splits than fit into it are worked on in turns."""


@dataclass(frozen=True, kw_only=True)
class PLSMapping:
    """PLS with one fit for all neuroids, unscaled.

    Parameters
    ----------
    n_components
        Number of components; fewer are used where the training features have a smaller rank.
    """

    linear: ClassVar[bool] = False

    n_components: int = 25
    name: str = "pls"

    def cross_predict(
        self, gram: Gram, targets: Float[np.ndarray, "set row neuroid"], train: Bool[np.ndarray, "split row"], *, times: int = 1
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Fit every target set on every split's training rows and predict its test rows.

        Parameters
        ----------
        gram
            Of the features of all rows.
        targets
            Target sets (mean over trials, half means), finite.
        train
            True for training rows.
        times
            The rows are so many time bins of the same stimuli, bin after bin; it makes no difference to PLS.

        Returns
        -------
        One array per split: predictions of the rows that are not in training.
        """
        n_sets, n_rows, _ = targets.shape
        per_turn = max(1, SCORES_BYTES // (8 * n_sets * n_rows * self.n_components))
        offset = targets.mean(axis=1, keepdims=True)
        demeaned = targets - offset
        products = _dot_sets(gram, demeaned)
        predictions: list[np.ndarray] = []
        for start in range(0, len(train), per_turn):
            turn = train[start : start + per_turn]
            fits = _fit(gram, demeaned, products, turn, n_components=self.n_components)
            predictions += [fits.predict(split, ~turn[split]) + offset for split in range(len(turn))]
        return predictions


@dataclass(frozen=True)
class _Fits:
    """Scores of all rows, loadings and training means of (split, set) fits."""

    scores: Float[np.ndarray, "split set component row"]
    loadings: Float[np.ndarray, "split set component neuroid"]
    means: Float[np.ndarray, "split set neuroid"]

    def predict(self, split: int, rows: np.ndarray) -> np.ndarray:
        scores = self.scores[split][:, :, rows]
        return np.asarray(self.means[split][:, None] + scores.transpose(0, 2, 1) @ self.loadings[split])


def _dot_sets(gram: Gram, targets: np.ndarray) -> np.ndarray:
    """K Y for every set in one product: (set row neuroid)."""
    n_sets, n_rows, n_neuroids = targets.shape
    flat = gram.dot(targets.transpose(1, 0, 2).reshape(n_rows, n_sets * n_neuroids))
    return flat.reshape(n_rows, n_sets, n_neuroids).transpose(1, 0, 2)


def _fit(gram: Gram, targets: np.ndarray, products: np.ndarray, train: np.ndarray, *, n_components: int) -> _Fits:
    n_splits, n_rows = train.shape
    n_sets, _, n_neuroids = targets.shape
    mask = train.astype(np.float64)[:, None]  # (split, 1, row)
    n_train = mask.sum(axis=-1)  # (split, 1)
    means = np.einsum("kr,frs->kfs", mask[:, 0], targets) / n_train[..., None]
    inner = _first_inner(gram, targets, products, train, means)  # M of (split, set): (split, set, neuroid, neuroid)
    start = _first_varying(targets, train)

    scores = np.zeros((n_splits, n_sets, n_components, n_rows))
    loadings = np.zeros((n_splits, n_sets, n_components, n_neuroids))
    largest = np.zeros((n_splits, n_sets))
    alive = np.ones((n_splits, n_sets), dtype=bool)

    def times_gram(vectors: np.ndarray) -> np.ndarray:
        """K v for v (split set row), centred on the training rows."""
        out = gram.dot(vectors.reshape(-1, n_rows).T).T.reshape(vectors.shape)
        return np.asarray(out - ((out * mask).sum(axis=-1) / n_train)[..., None])

    for a in range(n_components):
        earlier, earlier_loadings = scores[:, :, :a], loadings[:, :, :a]
        q = _dominant(inner, start)
        projected = (targets @ q.transpose(1, 2, 0)).transpose(2, 0, 1)  # Y q: (split, set, row)
        u = projected - np.einsum("kfs,kfs->kf", means, q)[..., None]
        u -= np.einsum("kfas,kfs,kfar->kfr", earlier_loadings, q, earlier, optimize=True) if a else 0.0
        u *= mask
        v = times_gram(u)
        if a:
            overlap = earlier @ (v * mask)[..., None]  # (split, set, component, 1)
            v -= (overlap.transpose(0, 1, 3, 2) @ earlier)[:, :, 0]
        norm, scale = np.linalg.norm(v * mask, axis=-1), np.linalg.norm(u, axis=-1)
        strength = np.divide(norm, scale, out=np.zeros_like(norm), where=scale > 0)
        largest = np.maximum(largest, strength)
        alive &= strength > EXHAUSTED * largest
        if not alive.any():
            break
        t = v * np.divide(1.0, norm, out=np.zeros_like(norm), where=alive)[..., None]
        s = times_gram(t * mask) * mask
        c = _targets_dot(targets, t * mask)
        h = _targets_dot(targets, s)
        if a:
            h -= np.einsum("kfas,kfar,kfr->kfs", earlier_loadings, earlier, s, optimize=True)
        eta = np.einsum("kfr,kfr->kf", t * mask, s)
        scores[:, :, a], loadings[:, :, a] = t, c
        _deflate(inner, c, h - eta[..., None] * c / 2)
    return _Fits(scores, loadings, means)


def _first_inner(gram: Gram, targets: np.ndarray, products: np.ndarray, train: np.ndarray, means: np.ndarray) -> np.ndarray:
    """M_1 = Yc' K Yc on each split's training rows, by removing the (fewer) test rows from Y' K Y."""
    n_splits = len(train)
    n_sets, _, n_neuroids = targets.shape
    whole = targets.transpose(0, 2, 1) @ products
    inner = np.empty((n_splits, n_sets, n_neuroids, n_neuroids))
    for split, rows in enumerate(train):
        test = ~rows
        held = targets[:, test]
        block = gram.dot_block(test, held.transpose(1, 0, 2).reshape(test.sum(), -1))
        block = block.reshape(-1, n_sets, n_neuroids).transpose(1, 0, 2)
        removed = held.transpose(0, 2, 1) @ (products[:, test] - block / 2)
        row_sums = gram.dot(rows.astype(np.float64)[:, None])[:, 0] * rows
        mean = means[split]
        shift = np.einsum("frs,r->fs", targets, row_sums) - row_sums.sum() * mean / 2
        centring = mean[:, :, None] * shift[:, None]
        inner[split] = whole - removed - removed.transpose(0, 2, 1) - centring - centring.transpose(0, 2, 1)
    return inner


def _targets_dot(targets: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Y' v for v (split set row): (split set neuroid)."""
    return np.asarray((vectors.transpose(1, 0, 2) @ targets).transpose(1, 0, 2))


def _first_varying(targets: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Position of the first neuroid that varies over the training rows (scikit-learn starts from it): (split set)."""
    first = np.empty((len(train), len(targets)), dtype=int)
    for split, rows in enumerate(train):
        held = targets[:, rows]
        first[split] = (np.abs(held - held.mean(axis=1, keepdims=True)).max(axis=1) > 10 * np.finfo(float).eps).argmax(axis=1)
    return first


def _deflate(inner: np.ndarray, c: np.ndarray, g: np.ndarray) -> None:
    """M <- M - c g' - g c', in place, set by set so that the temporaries stay small."""
    for m, c_fit, g_fit in zip(inner.reshape(-1, *inner.shape[2:]), _flat(c), _flat(g), strict=True):
        outer = np.outer(c_fit, g_fit)
        m -= outer
        m -= outer.T


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])


def _dominant(inner: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Follow scikit-learn's power iteration for every fit at once: q (split set neuroid)."""
    matrices, first = inner.reshape(-1, *inner.shape[2:]), start.reshape(-1)
    out = np.empty(matrices.shape[:2])
    for begin in range(0, len(matrices), FITS_IN_CACHE):
        part = slice(begin, begin + FITS_IN_CACHE)
        out[part] = _power_iteration(matrices[part], first[part])
    return out.reshape(inner.shape[:3])


def _power_iteration(matrices: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Iterate q <- M q / |M q| from a unit vector until the angle of w = X' Y q between two steps is small.

    2 - 2 cos(w_i, w_{i-1}) = 2 - 2 q_i' M q_{i-1} / sqrt(q_i' M q_i  q_{i-1}' M q_{i-1}) < 1e-6, and M q_{i-1} is at hand.
    Fits that have stopped leave the batch once they are a third of it.
    """
    n_fits, n_neuroids = matrices.shape[:2]
    result = np.zeros((n_fits, n_neuroids))
    result[np.arange(n_fits), first] = 1.0
    if n_neuroids == 1:
        return result
    running = np.arange(n_fits)
    done = np.zeros(n_fits, dtype=bool)
    q = result.copy()
    z = (matrices @ q[..., None])[..., 0]
    energy = np.einsum("fs,fs->f", q, z)
    for _ in range(MAX_ITERATIONS - 1):
        length = np.sqrt(np.einsum("fs,fs->f", z, z))
        q = z / np.where(length > 0, length, 1.0)[:, None]
        z = (matrices @ q[..., None])[..., 0]
        next_energy = np.einsum("fs,fs->f", q, z)
        both = np.sqrt(np.maximum(energy * next_energy, 0.0))
        step = 2.0 - 2.0 * np.divide(length, both, out=np.ones_like(length), where=both > 0)
        energy = next_energy
        stopped = (step < POWER_TOLERANCE) & ~done
        result[running[stopped]] = q[stopped]
        done |= stopped
        if done.all():
            return result
        if done.mean() > 1 / 3:
            keep = ~done
            matrices, q, z, energy, running, done = matrices[keep], q[keep], z[keep], energy[keep], running[keep], done[keep]
    result[running[~done]] = q[~done]
    return result

"""The direction of the next PLS component: the dominant eigenvector q of M = Y' K Y, for many fits at once, by one of two rules.

"sklearn" follows scikit-learn's power iterations to their stop, |w_i - w_{i-1}|^2 < 1e-6 for w = X' Y q / |X' Y q|, in the space of
the neuroids, where a step costs S^2 instead of 2 n p: the same iterates, the same number of them. "exact" goes to the eigenvector:
Lanczos with two orthogonalisations per step (one is not enough), a check of the residual, and LAPACK for what fails it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurofit.mapping.linalg import Device

POWER_TOLERANCE = 1e-6
MAX_ITERATIONS = 500
"""scikit-learn's defaults."""

SMALL = 24
"""Neuroids up to which LAPACK is as fast as Lanczos."""

TINY = float(np.finfo(np.float64).tiny)
"""Added under a root, so that a fit whose M is zero stops at once with q = 0."""

LANCZOS_STEPS = 40
RESIDUAL = 1e-12
"""Largest residual of an accepted vector, in units of the gap to the second eigenvalue: the error of its angle."""

Direction = Callable[[Any, Any, Any, Device], Any]


def next_direction(inner: Any, update: tuple[Any, Any] | None, start: Any, device: Device, *, rule: Direction) -> Any:
    """Deflate M <- M - c g' - g c' and return the dominant direction of every fit.

    Parameters
    ----------
    inner
        M (*fits neuroid neuroid), changed in place.
    update
        (c, g), each (*fits neuroid); None for the first component.
    start
        Where scikit-learn's iteration begins (*fits neuroid).
    device
        Of the arrays.
    rule
        `power_iteration` or `eigenvector`.

    Returns
    -------
    q (*fits neuroid), of length 1.
    """
    shape = start.shape
    flat, first = inner.reshape(-1, *inner.shape[-2:]), start.reshape(-1, shape[-1])
    pair = None
    if update is not None:
        c, g = (x.reshape(first.shape) for x in update)
        pair = (device.xp.stack([c, g], -1), device.xp.stack([g, c], -2))
    out = device.zeros(*first.shape)
    for part in device.batches(len(flat)):
        if pair is not None:
            flat[part] -= pair[0][part] @ pair[1][part]
        out[part] = rule(flat[part], first[part], device.xp, device) if shape[-1] > 1 else 1.0
    return out.reshape(shape)


def power_iteration(matrices: Any, start: Any, xp: Any, device: Device) -> Any:
    """Iterate q <- M q / |M q| until the angle of w = X' Y q between two steps is small.

    2 - 2 cos(w_i, w_{i-1}) = 2 - 2 q_i' M q_{i-1} / sqrt(q_i' M q_i  q_{i-1}' M q_{i-1}) < 1e-6, and M q_{i-1} is at hand.
    Fits that have stopped leave the batch once they are a third of it.
    """
    n_fits = len(matrices)
    result = start + 0.0
    running = xp.arange(n_fits, device=start.device) if not device.is_numpy else np.arange(n_fits)
    done = running < 0
    q = result
    z = (matrices @ q[..., None])[..., 0]
    energy = _dots(xp, q, z)
    for _ in range(MAX_ITERATIONS - 1):
        length = xp.sqrt(_dots(xp, z, z) + TINY)
        q = z / length[:, None]
        z = (matrices @ q[..., None])[..., 0]
        energy, before = _dots(xp, q, z), energy
        step = 2.0 - 2.0 * length / xp.sqrt(abs(energy * before) + TINY)
        stopped = (step < POWER_TOLERANCE) & ~done
        if stopped.any():
            result[running[stopped]] = q[stopped]
            done |= stopped
            n_done = int(done.sum())
            if n_done == len(done):
                return result
            if 3 * n_done > len(done):
                keep = ~done
                matrices, q, z, energy, running, done = matrices[keep], q[keep], z[keep], energy[keep], running[keep], done[keep]
    result[running[~done]] = q[~done]
    return result


def eigenvector(matrices: Any, start: Any, xp: Any, device: Device) -> Any:
    """Return the dominant eigenvectors; where the largest eigenvalue is not alone, one of its eigenvectors."""
    if matrices.shape[-1] <= SMALL:
        return xp.linalg.eigh(matrices)[1][..., -1]
    # A fixed random start: one with a meaning, such as the sum of all neuroids, can be orthogonal to the direction that is sought.
    q = matrices @ device.array(np.random.default_rng(0).standard_normal(matrices.shape[-1]))
    q = q / _lengths(xp, q)[:, None]
    good = xp.zeros_like(q[:, 0]) > 0
    for _ in range(2):  # a second round starts from what the first found
        todo = ~good
        if todo.any():
            q[todo], good[todo] = _lanczos(matrices[todo], q[todo], xp, device)
    if not good.all():
        q[~good] = xp.linalg.eigh(matrices[~good])[1][..., -1]
    return q


def _lanczos(matrices: Any, start: Any, xp: Any, device: Device) -> tuple[Any, Any]:
    """Return the top Ritz vectors of a Krylov space and whether their residuals are small."""
    n_fits, size = start.shape
    basis = device.zeros(n_fits, LANCZOS_STEPS, size)
    tridiagonal = device.zeros(n_fits, LANCZOS_STEPS, LANCZOS_STEPS)
    v = start
    for j in range(LANCZOS_STEPS):
        basis[:, j] = v
        z = (matrices @ v[..., None])[..., 0]
        tridiagonal[:, j, j] = _dots(xp, v, z)
        so_far = basis[:, : j + 1]
        for _ in range(2):
            z = z - (so_far.swapaxes(1, 2) @ (so_far @ z[..., None]))[..., 0]
        beta = xp.sqrt(_dots(xp, z, z))
        if j % 4 == 3:
            values, vectors = xp.linalg.eigh(tridiagonal[:, : j + 1, : j + 1])
            good = beta * abs(vectors[:, -1, -1]) <= RESIDUAL * (values[:, -1] - values[:, -2])
            if good.all():
                break
        if j + 1 < LANCZOS_STEPS:
            tridiagonal[:, j, j + 1] = tridiagonal[:, j + 1, j] = beta
            v = z / xp.where(beta > 0, beta, 1.0)[:, None]
    q = (vectors[:, None, :, -1] @ so_far)[:, 0]
    q = q / _lengths(xp, q)[:, None]
    residual = _lengths(xp, (matrices @ q[..., None])[..., 0] - values[:, -1:] * q)
    return q, good & (residual <= 1e-10 * values[:, -1])


def _dots(xp: Any, a: Any, b: Any) -> Any:
    return xp.einsum("fs,fs->f", a, b)


def _lengths(xp: Any, vectors: Any) -> Any:
    length = xp.sqrt(_dots(xp, vectors, vectors))
    return xp.where(length > 0, length, 1.0)


RULES: dict[str, Direction] = {"sklearn": power_iteration, "exact": eigenvector}
"""How the direction of a component is found, by name."""

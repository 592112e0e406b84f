"""Directions of PLS components: dominant eigenvectors q of M = Y'K Y, for many fits at once.

Two rules:

- "sklearn" repeats the power iterations of scikit-learn's NIPALS up to its stopping rule,
  |w_i - w_{i-1}|^2 < 1e-6 for w = X'Y q / |X'Y q|, but in the space of the neuroids: a step costs
  S^2 operations for S neuroids instead of 2 n p. Iterates and their number are the same.
- "exact" converges to the eigenvector by Lanczos with two orthogonalisations per step ("twice is
  enough": Parlett, The Symmetric Eigenvalue Problem, SIAM 1998), checks the residual, and takes
  LAPACK for the fits that fail the check. The order of the neuroids makes no difference. Of tied
  directions LAPACK takes the one nearest to the start; Lanczos, for more than 24 neuroids, does not
  see exact ties, which noise rules out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurofit.mapping.linalg import Backend

POWER_TOLERANCE = 1e-6
MAX_ITERATIONS = 500
"""scikit-learn's defaults."""

MAX_LAPACK_SIZE = 24
"""Number of neuroids up to which LAPACK is as fast as Lanczos."""

TINY = float(np.finfo(np.float64).tiny)
"""Added under square roots, so that a fit with M = 0 stops at once with q = 0."""

LANCZOS_STEPS = 40
TIE_TOLERANCE = 1e-10
"""Relative distance of eigenvalues below which rounding decides on their eigenvectors."""

RESIDUAL_TOLERANCE = 1e-12
"""Largest accepted residual relative to the gap to the second eigenvalue, a bound of the angle."""

Direction = Callable[[Any, Any, Backend], Any]
"""Function of matrices M (fit neuroid neuroid), starts (fit neuroid) and their backend."""


def next_direction(
    inner: Any, update: tuple[Any, Any] | None, start: Any, backend: Backend, *, rule: Direction
) -> Any:
    """Deflate M <- M - c g' - g c' and return the dominant direction of every fit.

    Parameters
    ----------
    inner
        M (*fits neuroid neuroid), changed in place.
    update
        (c, g), each (*fits neuroid); None for the first component.
    start
        Start of scikit-learn's iteration, or what decides between ties (*fits neuroid).
    backend
        Backend of the arrays.
    rule
        `power_iteration` or `eigenvector`.

    Returns
    -------
    q (*fits neuroid), of length 1.
    """
    shape = start.shape
    flat, starts = inner.reshape(-1, *inner.shape[-2:]), start.reshape(-1, shape[-1])
    factors = None
    if update is not None:
        c, g = (x.reshape(starts.shape) for x in update)
        factors = (backend.xp.stack([c, g], -1), backend.xp.stack([g, c], -2))
    out = backend.zeros(*starts.shape)
    for batch in backend.batches(len(flat)):
        if factors is not None:
            flat[batch] -= factors[0][batch] @ factors[1][batch]
        out[batch] = rule(flat[batch], starts[batch], backend) if shape[-1] > 1 else 1.0
    return out.reshape(shape)


def power_iteration(matrices: Any, start: Any, backend: Backend) -> Any:
    """Iterate q <- M q / |M q| until the angle of w = X'Y q between two steps is small.

    With M q_{i-1} already computed, the stopping rule needs no product with the features:

        |w_i - w_{i-1}|^2 = 2 - 2 q_i'M q_{i-1} / sqrt(q_i'M q_i  q_{i-1}'M q_{i-1}) < 1e-6.

    Converged fits leave the batch once they are a third of it.
    """
    xp = backend.xp
    result = start + 0.0
    running = backend.array(np.arange(len(matrices)), "int64")
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
        converged = (step < POWER_TOLERANCE) & ~done
        if converged.any():
            result[running[converged]] = q[converged]
            done |= converged
            n_done = int(done.sum())
            if n_done == len(done):
                return result
            if 3 * n_done > len(done):
                rest = ~done
                matrices, q, z = matrices[rest], q[rest], z[rest]
                energy, running, done = energy[rest], running[rest], done[rest]
    result[running[~done]] = q[~done]
    return result


def eigenvector(matrices: Any, start: Any, backend: Backend) -> Any:
    """Return dominant eigenvectors; where several tie, one of them (see the module)."""
    xp = backend.xp
    if matrices.shape[-1] <= MAX_LAPACK_SIZE:
        return _by_lapack(matrices, start, backend)
    # A fixed random start, because a meaningful one, such as the sum over neuroids, can be
    # orthogonal to the eigenvector.
    q = matrices @ backend.array(np.random.default_rng(0).standard_normal(matrices.shape[-1]))
    q = q / _lengths(xp, q)[:, None]
    good = xp.zeros_like(q[:, 0]) > 0
    for _ in range(2):  # the second round starts from the vectors of the first
        todo = ~good
        if todo.any():
            q[todo], good[todo] = _lanczos(matrices[todo], q[todo], backend)
    if not good.all():
        q[~good] = _by_lapack(matrices[~good], start[~good], backend)
    return q


def _by_lapack(matrices: Any, start: Any, backend: Backend) -> Any:
    """Return dominant eigenvectors; where several tie, the normalised projection of the start."""
    xp = backend.xp
    values, vectors = xp.linalg.eigh(matrices)
    tied = values >= (1 - TIE_TOLERANCE) * values[:, -1:]
    along = (start[:, None] @ vectors)[:, 0] * tied
    projected = (vectors @ along[..., None])[..., 0]
    length = _lengths(xp, along)[:, None]
    several = (tied.sum(-1) > 1)[:, None] & (length > TIE_TOLERANCE * _lengths(xp, start)[:, None])
    return xp.where(several, projected / length, vectors[..., -1])


def _lanczos(matrices: Any, start: Any, backend: Backend) -> tuple[Any, Any]:
    """Return the top Ritz vectors of a Krylov space and whether their residuals are small."""
    xp = backend.xp
    n_fits, size = start.shape
    basis = backend.zeros(n_fits, LANCZOS_STEPS, size)
    tridiagonal = backend.zeros(n_fits, LANCZOS_STEPS, LANCZOS_STEPS)
    v = start
    for j in range(LANCZOS_STEPS):
        basis[:, j] = v
        z = (matrices @ v[..., None])[..., 0]
        tridiagonal[:, j, j] = _dots(xp, v, z)
        vectors_so_far = basis[:, : j + 1]
        for _ in range(2):
            z = z - (vectors_so_far.swapaxes(1, 2) @ (vectors_so_far @ z[..., None]))[..., 0]
        beta = xp.sqrt(_dots(xp, z, z))
        if j % 4 == 3:
            values, vectors = xp.linalg.eigh(tridiagonal[:, : j + 1, : j + 1])
            gap = values[:, -1] - values[:, -2]
            good = beta * abs(vectors[:, -1, -1]) <= RESIDUAL_TOLERANCE * gap
            if good.all():
                break
        if j + 1 < LANCZOS_STEPS:
            tridiagonal[:, j, j + 1] = tridiagonal[:, j + 1, j] = beta
            v = z / xp.where(beta > 0, beta, 1.0)[:, None]
    q = (vectors[:, None, :, -1] @ vectors_so_far)[:, 0]
    q = q / _lengths(xp, q)[:, None]
    residual = _lengths(xp, (matrices @ q[..., None])[..., 0] - values[:, -1:] * q)
    return q, good & (residual <= 1e-10 * values[:, -1])


def _dots(xp: Any, a: Any, b: Any) -> Any:
    return xp.einsum("fs,fs->f", a, b)


def _lengths(xp: Any, vectors: Any) -> Any:
    length = xp.sqrt(_dots(xp, vectors, vectors))
    return xp.where(length > 0, length, 1.0)


RULES: dict[str, Direction] = {"sklearn": power_iteration, "exact": eigenvector}
"""Rules for the direction of a component, by name."""

"""Cross-validation errors of the penalties of a ridge, on training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from neurofit.mapping.linalg import Backend

BATCH_VALUES = 2**22
"""Number of values (rows x penalties x neuroids, or rows x rank) processed together."""


def penalty_errors(
    scores: Any,
    eigenvalues: Any,
    targets: Any,
    alphas: np.ndarray,
    *,
    times: int,
    select: str,
    backend: Backend,
    stimulus_groups: Int[np.ndarray, " row"] | None = None,
    groups: int = 1,
) -> np.ndarray:
    """Return the sum of squared cross-validation errors of each penalty and neuroid.

    With several `times`, a stimulus is left out with all its rows g, because its other time bins,
    which look alike, would leak the target: residual_g = (1 - H_gg)^-1 (y - yhat)_g. Generalised
    cross-validation uses the mean of H_gg over stimuli.

    Parameters
    ----------
    scores, eigenvalues
        Principal scores of the training rows (row rank) and their eigenvalues (rank).
    targets
        Train-centred targets (row neuroid).
    alphas
        Penalties (alpha).
    times
        Number of time bins of the same stimuli that are stacked along the rows, bin after bin.
    select
        "loo" or "gcv".
    backend
        Backend of the arrays.
    stimulus_groups
        Group of each row, left out together under "loo" if there are several; None for stimuli.
    groups
        1, or `times` where each time bin is centred on its own.

    Returns
    -------
    Errors (alpha neuroid).
    """
    xp = backend.xp
    n_rows, n_neuroids = targets.shape
    if not len(eigenvalues):  # whatever the penalty, the prediction is the mean
        alone = backend.numpy((targets**2).sum(0)) / (1 - times / n_rows) ** 2
        return np.tile(alone, (len(alphas), 1))
    if select != "loo" or (stimulus_groups is not None and len(np.unique(stimulus_groups)) < 2):
        stimulus_groups = None
    shrinkage = 1 / (eigenvalues[:, None] + backend.array(alphas))  # (rank alpha)
    correlations = scores.swapaxes(0, 1) @ targets
    if select == "gcv" and times == 1:
        explained = correlations**2 / eigenvalues[:, None]
        outside = (targets**2).sum(0) - explained.sum(0)  # unexplained at any penalty
        share = 1 - eigenvalues[:, None] * shrinkage  # alpha / (L + alpha)
        squares = (share**2).swapaxes(0, 1) @ explained + outside
        remainder = 1 - (1 + (eigenvalues[:, None] * shrinkage).sum(0)) / n_rows  # 1 - mean of h
        return backend.numpy(squares / remainder[:, None] ** 2)
    errors = backend.zeros(len(alphas), n_neuroids)
    if times == 1 and stimulus_groups is None:
        remainder = 1 - 1 / n_rows - scores**2 @ shrinkage  # 1 - h_ii: (row alpha)
        step = max(1, BATCH_VALUES // (n_rows * n_neuroids))
        for batch in (slice(begin, begin + step) for begin in range(0, len(alphas), step)):
            shrunk = shrinkage[:, batch, None] * correlations[:, None]  # (rank alpha neuroid)
            residual = (scores @ shrunk.reshape(len(shrunk), -1)).reshape(n_rows, -1, n_neuroids)
            residual -= targets[:, None]
            residual /= remainder[:, batch, None]
            errors[batch] = xp.einsum("ras,ras->as", residual, residual)
        return backend.numpy(errors)
    n_stimuli, rank = n_rows // times, len(eigenvalues)
    # left out together: (group row rank) and (group row neuroid), groups of one size at a time,
    # with the rows of a group in the order of their bins
    parts = [
        (
            scores.reshape(times, n_stimuli, rank).swapaxes(0, 1),
            targets.reshape(times, n_stimuli, n_neuroids).swapaxes(0, 1),
        )
    ]
    if stimulus_groups is not None:
        members = [backend.array(rows, "int64") for rows in _by_size(stimulus_groups)]
        parts = [(scores[rows], targets[rows]) for rows in members]
    for a in range(len(alphas)):
        shrink = shrinkage[:, a]
        shrunk = shrink[:, None] * correlations
        for part, truth in parts:
            n_groups, size, _ = part.shape
            means = backend.array(_mean_columns(size, times=times, groups=groups, n_rows=n_rows))
            step = max(1, BATCH_VALUES // (size * max(rank, n_neuroids)))
            batches = [slice(begin, begin + step) for begin in range(0, n_groups, step)]
            mean_hat = None
            if select == "gcv":
                sums = (_hat_blocks(part[batch], shrink, means).sum(0) for batch in batches)
                mean_hat = (sum(sums) / n_groups)[None]
            for batch in batches:
                some = part[batch]
                predicted = (some.reshape(-1, rank) @ shrunk).reshape(*some.shape[:2], n_neuroids)
                residual = truth[batch] - predicted
                if stimulus_groups is not None and size > rank + means.shape[1]:
                    left_out = _left_out(some, residual, shrink, means, backend)
                else:
                    hat = _hat_blocks(some, shrink, means) if mean_hat is None else mean_hat
                    identity = backend.array(np.eye(size))
                    left_out = xp.linalg.solve(identity - hat, residual)
                errors[a] += xp.einsum("gts,gts->s", left_out, left_out)
    return backend.numpy(errors)


def _by_size(groups: np.ndarray) -> list[Int[np.ndarray, "group row"]]:
    """Return the rows of each group: an array for each size of a group."""
    counts = np.unique(groups, return_counts=True)[1]
    rows = np.split(np.argsort(groups, kind="stable"), np.cumsum(counts)[:-1])
    return [np.stack([each for each in rows if len(each) == size]) for size in np.unique(counts)]


def _mean_columns(size: int, *, times: int, groups: int, n_rows: int) -> np.ndarray:
    """Return B (row column) of a group of rows, whose B B' is the part of the intercepts in H_gg.

    Each bin has a mean of its own, or there is one of all rows.
    """
    if groups == 1:
        return np.full((size, 1), n_rows**-0.5)
    own = np.kron(np.eye(times), np.ones((size // times, 1)))
    return np.asarray(own * (n_rows / times) ** -0.5)


def _hat_blocks(scores: Any, shrink: Any, means: Any) -> Any:
    """Return H_gg = B B' + Z_g diag(1/(L + alpha)) Z_g' of groups g: (group row row)."""
    return means @ means.T + (scores * shrink) @ scores.swapaxes(1, 2)


def _left_out(scores: Any, residual: Any, shrink: Any, means: Any, backend: Backend) -> Any:
    """Return (1 - H_gg)^-1 residual of groups with more rows than the rank.

    With H_gg = F F', it is residual + F (1 - F'F)^-1 F' residual.
    """
    xp = backend.xp
    shared = backend.zeros(len(scores), *means.shape) + means
    factor = xp.concatenate([shared, scores * shrink**0.5], 2)
    back = factor.swapaxes(1, 2)
    inner = backend.array(np.eye(factor.shape[2])) - back @ factor
    return residual + factor @ xp.linalg.solve(inner, back @ residual)

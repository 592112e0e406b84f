"""The two rules for a component's direction: scikit-learn's iteration, LAPACK's eigenvector."""

from typing import Any

import numpy as np
import pytest

from neurofit.mapping.direction import (
    MAX_ITERATIONS,
    POWER_TOLERANCE,
    RULES,
    eigenvector,
    next_direction,
    power_iteration,
)
from neurofit.mapping.linalg import CPU, array_backend


def matrices(n: int, size: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, size, size)) * np.geomspace(1, 1e-3, size)
    return np.asarray(a.swapaxes(1, 2) @ a)


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
@pytest.mark.parametrize("size", [2, 20, 25, 100])
def test_eigenvectors_are_those_of_lapack(size: int, device: str) -> None:
    backend, m = array_backend(device), matrices(7, size)
    q = backend.numpy(eigenvector(backend.array(m), backend.zeros(7, size), backend))
    expected = np.linalg.eigh(m)[1][..., -1]
    np.testing.assert_allclose(np.abs((q * expected).sum(axis=-1)), 1.0, atol=1e-13)
    np.testing.assert_allclose(
        q * np.sign(q[:, :1]), expected * np.sign(expected[:, :1]), atol=1e-9
    )


def test_nearly_equal_eigenvalues_are_told_apart() -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((80, 80)))
    m = (rotation * np.concatenate([[1.0, 1.0 - 1e-7], np.linspace(0.9, 0, 78)])) @ rotation.T
    backend = array_backend("cpu")
    q = eigenvector(m[None], np.zeros((1, 80)), backend)
    assert abs(q[0] @ rotation[:, 0]) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_power_iterations_stop_where_scikit_learns_do(device: str) -> None:
    backend, rng = array_backend(device), np.random.default_rng(0)
    y = rng.standard_normal((40, 50, 6))  # in place of X'Y: M = y'y, w = y q
    start = np.eye(6)[rng.integers(6, size=40)]
    q = backend.numpy(
        power_iteration(backend.array(y.swapaxes(1, 2) @ y), backend.array(start), backend)
    )
    for y_fit, start_fit, q_fit in zip(y, start, q, strict=True):
        score, before = y_fit @ start_fit, np.full(50, 100.0)
        for _ in range(MAX_ITERATIONS):
            w = score / np.linalg.norm(score)
            if ((w - before) ** 2).sum() < POWER_TOLERANCE:
                break
            score, before = y_fit @ (y_fit.T @ w), w
        found = y_fit @ q_fit
        np.testing.assert_allclose(found / np.linalg.norm(found), w, atol=1e-12)


@pytest.mark.parametrize("rule", [power_iteration, eigenvector])
def test_a_fit_with_nothing_left_gets_a_finite_direction_and_disturbs_no_other(
    rule: Any,
) -> None:
    backend, m = array_backend("cpu"), matrices(3, 30)
    start = np.tile(np.eye(30)[0], (3, 1))
    alone = next_direction(m[:1].copy(), None, start[:1], backend, rule=rule)
    m[1] = 0.0
    q = next_direction(m, None, start, backend, rule=rule)
    assert np.isfinite(q).all()
    np.testing.assert_allclose(q[0], alone[0], atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_a_direction_that_is_orthogonal_to_the_sum_of_all_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mirrored = rng.standard_normal((80, 14))
    other = rng.standard_normal((80, 30))
    targets = np.concatenate([mirrored, -mirrored, other], axis=1)
    inner = targets.T @ targets
    values = np.linalg.eigvalsh(inner)
    found = RULES["exact"](inner[None], np.eye(len(inner))[:1], CPU)[0]
    assert found @ inner @ found >= values[-1] * (1 - 1e-10)


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
def test_of_tied_directions_the_one_nearest_to_the_start_is_taken(device: str) -> None:
    rng, size = np.random.default_rng(0), 20
    rotation, _ = np.linalg.qr(rng.standard_normal((size, size)))
    m = (rotation * np.concatenate([[1.0, 1.0, 1.0], np.linspace(0.9, 0, size - 3)])) @ rotation.T
    start = np.ones(size)
    expected = rotation[:, :3] @ (rotation[:, :3].T @ start)
    backend = array_backend(device)
    (q,) = backend.numpy(eigenvector(backend.array(m[None]), backend.array(start[None]), backend))
    np.testing.assert_allclose(q, expected / np.linalg.norm(expected), atol=1e-9)

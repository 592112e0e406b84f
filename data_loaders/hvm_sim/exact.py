"""Arithmetic of `hvm-sim` that gives the same bits on every machine.

IEEE 754 fixes the result of one addition, multiplication, division or square root. It does not fix
the order of a sum (BLAS kernels, SIMD, threads), the fusion of a multiplication and an addition,
or the last bits of exp and sin. Hence two rules:

- Numbers that are multiplied and summed are multiples of a power of two, coarse enough that every
  partial sum fits into the mantissa. Such a sum is exact in any order, fused or not.
- A number whose last bits depend on the machine is rounded at once (`round_off`), to a grid that is
  coarser than the differences between machines by many orders of magnitude.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)


def on_grid(values: Array, grid: float) -> Array:
    """Round numbers that are the same on every machine to multiples of a power of two."""
    scaled = values * (1 / grid)
    if isinstance(scaled, Tensor):
        return scaled.round_().mul_(grid)
    return scaled.round() * grid


def round_off(values: Array, grid: float) -> Array:
    """Round float64 numbers whose last bits depend on the machine to multiples of a power of two.

    A number depends on the machine afterwards only if it lies within its error of the middle
    between two multiples, which has a probability of 2 error / grid: 3e-11 for an error of 2e-16
    and a grid of 2^-16.
    """
    return on_grid(values, grid)


def weighted_sum(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return weights @ rows for three weights, summed in order: array (3, ...) -> (...)."""
    return np.asarray(weights[0] * rows[0] + weights[1] * rows[1] + weights[2] * rows[2])


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of a 3 x 3 matrix by cross products of its columns."""
    a, b, c = matrix.T.tolist()
    rows = np.array([_cross(b, c), _cross(c, a), _cross(a, b)])
    return np.asarray(rows / weighted_sum(np.array(a), rows[0]))


def _cross(a: list[float], b: list[float]) -> list[float]:
    """Return the cross product of two vectors; np.cross takes 40 times as long for one pair."""
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]

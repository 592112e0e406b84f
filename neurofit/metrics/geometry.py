"""Representational geometry without the biases of trial noise and of few stimuli.

Kernels, K = X X', are centred so that their inner products are unbiased whatever the number n of
stimuli (Szekely & Rizzo 2014; Song et al. 2012): with K~ the kernel with 0 on its diagonal,

    U_st = K~_st - sum_t K~_st / (n - 2) - sum_s K~_st / (n - 2) + sum_st K~_st / ((n-1)(n-2))

for s != t, and <U_K, U_L> / (n (n - 3)) estimates |C_xy|^2. The debiased CKA is their cosine
(Kornblith et al. 2019; Murphy, Zylberberg & Fyshe 2024). Noise of trials is on the diagonal alone,
which has no part in it. Crossnobis distances of two halves of trials,

    d_st = (a_s - a_t) . (b_s - b_t) = M_ss + M_tt - M_st - M_ts,    M = A B'

are those of the signal, 0 for equal responses (Walther et al. 2016, NeuroImage 137:188).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Kernel = Float[np.ndarray, "stimulus stimulus"]


def u_centred(kernel: Kernel) -> Kernel:
    """Return a symmetric kernel centred without bias, 0 on its diagonal; needs four stimuli."""
    n = len(kernel)
    off = np.array(kernel, dtype=np.float64)
    np.fill_diagonal(off, 0.0)
    rows = off.sum(axis=1) / (n - 2)
    off += rows.sum() / (n - 1) - rows[:, None] - rows
    np.fill_diagonal(off, 0.0)
    return off


def inner(one: Kernel, other: Kernel) -> float:
    """Return the unbiased inner product of two centred kernels."""
    n = len(one)
    return float((one * other).sum() / (n * (n - 3)))


def debiased_cka(one: Kernel, other: Kernel) -> float:
    """Return the debiased linear CKA of two kernels without noise."""
    k, m = u_centred(one), u_centred(other)
    size = inner(k, k) * inner(m, m)
    return inner(k, m) / float(np.sqrt(size)) if size > 0 else float("nan")


def squared_distances(products: Kernel) -> Float[np.ndarray, " pair"]:
    """Return the distances of all pairs of stimuli from M = A B', crossnobis if A is not B."""
    diagonal = np.diagonal(products)
    every = diagonal[:, None] + diagonal - products - products.T
    return np.asarray(every[np.triu_indices(len(products), 1)])

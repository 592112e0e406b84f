"""Representational similarity of two sets of patterns over the same stimuli, from Gram matrices.

RSA: Spearman correlation of the upper triangles of two dissimilarity matrices
     D_st = K_ss + K_tt - 2 K_st (squared Euclidean distances)       Kriegeskorte et al. (2008)
CKA: <HKH, HLH> / (|HKH| |HLH|), H = I - 1/n                         Kornblith et al. (2019)
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

GramMatrix = Float[np.ndarray, "stimulus stimulus"]


def distances(gram: GramMatrix) -> Float[np.ndarray, " pair"]:
    """Return the squared Euclidean distances of all pairs of stimuli, from inner products."""
    squares = np.diagonal(gram)
    pairs = np.triu_indices(len(gram), 1)
    return np.asarray((squares[:, None] + squares - 2 * gram)[pairs])


def rsa(a: GramMatrix, b: GramMatrix) -> float:
    """Return the Spearman correlation of the dissimilarities behind two Gram matrices."""
    one, other = distances(a), distances(b)
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other)[0])


def cka(a: GramMatrix, b: GramMatrix) -> float:
    """Return the linear centred kernel alignment of two Gram matrices."""
    one, other = _centred(a), _centred(b)
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return float((one * other).sum() / size) if size > 0 else float("nan")


def _centred(gram: np.ndarray) -> np.ndarray:
    return np.asarray(gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean())

"""Numerical rank of training features, from products of the Gram with a few random vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from neurofit.mapping.centring import Centring
from neurofit.mapping.gram import RANK_TOLERANCE, Gram
from neurofit.mapping.linalg import Backend

OVERSAMPLING = 10
"""Random vectors beyond the largest rank asked for."""


def training_ranks(
    gram: Gram, train: Bool[np.ndarray, "split row"], backend: Backend, *, most: int
) -> Int[np.ndarray, " split"]:
    """Return the numerical ranks of the features over the training rows of each split.

    A rank is the number of eigenvalues of the train-centred Gram above `RANK_TOLERANCE` of the
    largest. They are Ritz values in the range of the Gram of `most` + 10 random vectors, which is
    the whole range where the rank is smaller: Halko, Martinsson & Tropp (2011), SIAM Review 53:217.

    Parameters
    ----------
    gram
        Gram matrix of the features of all rows.
    train
        Training rows of each split (split row).
    backend
        Backend that computes the products.
    most
        Largest rank that is told apart; larger ones are returned as this number.
    """
    xp, n_splits = backend.xp, len(train)
    width = min(most + OVERSAMPLING, train.shape[1])
    drawn = np.random.default_rng(0).standard_normal((train.shape[1], width))
    centring = Centring.of(train, gram.groups, backend)
    vectors = _centre(backend.array(np.repeat(drawn[None], n_splits, axis=0)), centring, backend)
    if gram.dense is not None:
        kernel = backend.array(gram.dense)
        basis = xp.linalg.qr(_centre(kernel @ vectors, centring, backend))[0]
        basis = _centre(basis, centring, backend)  # beyond the rank it is arbitrary
        inner = basis.swapaxes(1, 2) @ (kernel @ basis)
    else:
        image = backend.zeros(n_splits, gram.n_units, width)
        for rows, chunk in gram.chunks():
            image += backend.array(chunk).swapaxes(0, 1) @ vectors[:, rows]
        basis = xp.linalg.qr(image)[0]
        scores = backend.zeros(n_splits, train.shape[1], basis.shape[2])
        for rows, chunk in gram.chunks():
            scores[:, rows] = backend.array(chunk) @ basis
        scores = _centre(scores, centring, backend)
        inner = scores.swapaxes(1, 2) @ scores
    eigenvalues = backend.numpy(xp.linalg.eigvalsh(inner))
    largest = np.maximum(eigenvalues[:, -1:], np.finfo(float).tiny)
    ranks = (eigenvalues > RANK_TOLERANCE[gram.precision] * largest).sum(axis=1)
    return np.asarray(np.minimum(ranks, most))


def _centre(vectors: Any, centring: Centring, backend: Backend) -> Any:
    """Centre vectors (split row column) on the training rows, and set all others to 0."""
    centring.centre(backend.xp.moveaxis(vectors, 2, 0), backend)
    return vectors * centring.mask[..., None]

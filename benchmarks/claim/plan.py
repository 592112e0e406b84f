"""What is trained: the models of the claim, their order, and how hyperparameters are chosen."""

from __future__ import annotations

from dataclasses import dataclass

RECIPE = "cifar10-5layer"
SEEDS = (0, 1, 2)
EPOCHS = 4
VALIDATION = 5_000
"""Number of training images on which learning rate and clip are chosen."""

RATES = (0.03, 0.1, 0.3)
CLIPS = (None,)
"""Tried in turn, with one epoch each: the rates with the recipe's clip, then the other clip with
the best rate. All models have this budget."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Parameters
    ----------
    key
        Name of the row and of its folders.
    model
        Registered name of the model.
    label
        What the table says.
    epochs
        Epochs of each final run.
    """

    key: str
    model: str
    label: str
    epochs: int = EPOCHS


def _row(stem: str, label: str, key: str = "", epochs: int = EPOCHS) -> Row:
    return Row(key or stem, f"{stem}_5layer_32", label, epochs)


ROWS = (
    _row("feedforward", "base"),
    _row("timedecay", "base + time decay"),
    _row("feedforward_deep", "base, deeper"),
    _row("simplernn", "base + vanilla"),
    _row("feedforward_wide", "base, wider"),
    _row("rnn_bypass", "base + vanilla with bypassing"),
    _row("ugrnn", "base + UGRNN"),
    _row("rnn_gating", "base + vanilla with gating"),
    _row("rnn_bypass_gating", "base + vanilla with both"),
    _row("rgc", "base + RGC"),
    _row("gru", "base + GRU"),
    _row("rgc_feedback", "base + RGC with feedback"),
    _row("lstm", "base + LSTM"),
    _row("feedforward", "base, trained longer", key="feedforward_longer", epochs=8 * EPOCHS),
)
"""Cheapest first; the last row takes about as long as RGC."""

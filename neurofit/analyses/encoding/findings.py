"""What maps report besides predictions: ranks of features, correlations of mean time courses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from neurofit.analyses.encoding.targets import Targets
from neurofit.mapping.fits import Smoother
from neurofit.mapping.gram import Gram
from neurofit.metrics.averages import nanmean
from neurofit.metrics.correlation import pearson

MIN_BINS = 3
"""Number of time bins from which time courses are correlated: of two bins, r is 1 or -1."""

FitOfSplit = tuple[Any, np.ndarray, tuple[np.ndarray, Smoother | None]]
"""Split, training stimuli, predictions (set time_bin test_stimulus neuroid) and smoother."""


@dataclass(frozen=True)
class Findings:
    """What maps report, filled while they are fitted.

    Parameters
    ----------
    ranks
        Smallest rank of training features at which a mapping stopped; NaN where it used all that
        it asked for: (mapping layer time_bin).
    psth_r
        Correlation over time bins of the predicted and the recorded mean time course (PSTH) of the
        test stimuli, where bins share a map; NaN elsewhere: (mapping row split neuroid).
    """

    ranks: Float[np.ndarray, "mapping layer time_bin"]
    psth_r: Float[np.ndarray, "mapping row split neuroid"]

    @classmethod
    def empty(
        cls, n_mappings: int, n_layers: int, *, n_rows: int, n_splits: int, shape: tuple[int, int]
    ) -> Findings:
        """Return findings of maps that are not fitted yet, for a shape (neuroid time_bin)."""
        n_neuroids, n_bins = shape
        return cls(
            ranks=np.full((n_mappings, n_layers, n_bins), np.nan),
            psth_r=np.full((n_mappings, n_rows, n_splits, n_neuroids), np.nan),
        )

    def take_ranks(self, mapping: int, layer: int, bins: np.ndarray, gram: Gram) -> None:
        """Take the ranks at which a mapping stopped in a group of bins from their Gram."""
        if gram.exhausted:
            place = self.ranks[mapping, layer]
            place[bins] = np.fmin(place[bins], min(gram.exhausted))
            gram.exhausted.clear()  # the next mapping fits the same Gram

    def take_psth(
        self, mapping: int, row: int, gram: Gram, targets: Targets, fits: Iterator[FitOfSplit]
    ) -> Iterator[FitOfSplit]:
        """Yield the fits of all splits, and correlate their predicted and recorded PSTHs.

        The map of the features' mean over the test stimuli is its mean prediction, less the
        intercept of the bin. Where bins have intercepts of their own, these are known from a blank
        stimulus, whose features are the same in all bins (`Gram.with_blank`): its prediction is the
        intercept of the bin and a constant. It is the last test stimulus, and is not yielded.

        Parameters
        ----------
        mapping, row
            Positions of the mapping and of the row of a result.
        gram
            What was fitted; with intercepts per bin and no blank row, nothing is correlated.
        targets
            What it was fitted to.
        fits
            Fit of each split.
        """
        n_bins = targets.sets.shape[1]
        blank = has_blank(gram, targets)
        known = targets.first and n_bins >= MIN_BINS and (blank or gram.groups == 1)
        for split, train, (predicted, smoother) in fits:
            shown = predicted[:, :, :-1] if blank else predicted
            if known:
                course = shown[0].mean(axis=1) - (predicted[0, :, -1] if blank else 0.0)
                recorded = targets.sets[0][:, ~train].mean(axis=1)  # (time_bin neuroid)
                self.psth_r[mapping, row, split, targets.neuroids] = pearson(course, recorded)
            yield split, train, (shown, smoother)

    def mean_psth_r(self, mapping: int) -> Float[np.ndarray, "row neuroid"]:
        """Return the correlation of PSTHs, averaged over splits."""
        return nanmean(self.psth_r[mapping], axis=1)

    def notes(self, mappings: tuple[str, ...], layers: tuple[str, ...]) -> list[str]:
        """Return a sentence for each mapping and layer whose components were cut."""
        notes = []
        for name, of_layers in zip(mappings, self.ranks, strict=True):
            for layer, per_bin in zip(layers, of_layers, strict=True):
                cut = per_bin[~np.isnan(per_bin)].astype(int)
                if len(cut):
                    least, most = cut.min(), cut.max()
                    rank = f"{least}" if least == most else f"{least} to {most}"
                    notes.append(
                        f"{name}: the training features of {layer} have rank {rank} in {len(cut)} "
                        f"of {len(per_bin)} time bins; further components are left out."
                    )
        return notes


def has_blank(gram: Gram, targets: Targets) -> bool:
    """Return whether a blank row ends each bin of a Gram (`Gram.with_blank`)."""
    _, n_bins, n_stimuli, _ = targets.sets.shape
    return bool(gram.n_rows > n_bins * n_stimuli)


def without_blank(
    gram: Gram, targets: Targets, predictions: Iterator[tuple[np.ndarray, Smoother | None]]
) -> Iterator[tuple[np.ndarray, Smoother | None]]:
    """Yield predictions and smoothers without those of a blank row."""
    for predicted, smoother in predictions:
        yield predicted[:, :, :-1] if has_blank(gram, targets) else predicted, smoother

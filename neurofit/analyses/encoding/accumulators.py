"""What an analysis brings to the fits: accumulators of trial means and predictions."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from neurofit.analyses.encoding.targets import Targets, TrialMeans
from neurofit.mapping.fits import Smoother


@runtime_checkable
class GroupAccumulator(Protocol):
    """What an analysis makes of the predictions in a group of time bins."""

    def add(
        self,
        mapping: int,
        row: int,
        test: int,
        at: np.ndarray,
        targets: Targets,
        predicted: np.ndarray,
        tested: np.ndarray,
        smoother: Smoother | None,
    ) -> None:
        """Add the predictions of one test.

        Parameters
        ----------
        mapping, row, test
            Positions of the mapping, of the layer (0 where each split chooses its own) and of the
            test set.
        at
            Positions of the time bins in the group.
        targets
            What was fitted, with the neuroids and the stimuli.
        predicted
            Predictions (set time_bin test_stimulus neuroid).
        tested
            Which of the targets' stimuli are test stimuli: boolean (stimulus).
        smoother
            Smoother of the map, if smoothers were asked for and the mapping states them.
        """
        ...

    def add_part(
        self,
        part: int,
        mapping: int,
        row: int,
        test: int,
        at: np.ndarray,
        targets: Targets,
        predicted: np.ndarray,
        tested: np.ndarray,
    ) -> None:
        """Add the predictions of one test by maps that are fitted to fewer training stimuli.

        Called for learning curves and jackknives only; `part` is the position of the part among
        `Fitting.parts`.
        """
        ...

    def finish(self) -> None:
        """Take note that all maps of the group are fitted."""
        ...


@runtime_checkable
class Accumulator(Protocol):
    """What an analysis makes of trial means and predictions."""

    def start(self, bins: np.ndarray, means: TrialMeans) -> GroupAccumulator | None:
        """Add the trial means of a group of bins, before any fit; return None if none is needed.

        Groups are fitted side by side; what is returned writes to its own bins only.
        """
        ...

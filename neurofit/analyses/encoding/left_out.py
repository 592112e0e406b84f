"""Stimuli that are left out for lack of trials, counted and put into words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from neurofit.analyses.encoding.targets import TrialMeans
from neurofit.errors import NeurofitError
from neurofit.recordings.trials import MIN_TEST


@dataclass(frozen=True)
class LeftOut:
    """Stimuli that are left out because fewer than 2 of their trials are valid.

    Parameters
    ----------
    n_stimuli
        Number of stimuli of the recording.
    stimuli
        Number of stimuli that are left out for a neuroid.
    fitted
        Whether the other stimuli are enough for maps.
    sessions
        Number of groups of neuroids that are fitted on the same stimuli.
    """

    n_stimuli: int
    stimuli: Int[np.ndarray, "neuroid time_bin"]
    fitted: Bool[np.ndarray, "neuroid time_bin"]
    sessions: Int[np.ndarray, " time_bin"]

    @classmethod
    def empty(cls, shape: tuple[int, int], *, n_stimuli: int) -> LeftOut:
        """Return counts of (neuroid time_bin) to be filled by `add`."""
        stimuli, fitted = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        return cls(n_stimuli, stimuli, fitted, np.zeros(shape[1], dtype=np.int64))

    def add(self, bins: Int[np.ndarray, " time_bin"], means: TrialMeans) -> None:
        """Add the trial means of a group of bins."""
        self.stimuli[:, bins] = (~means.usable).sum(axis=0)[:, None]
        self.sessions[bins] = len(means.sessions)
        for session in means.sessions:
            self.fitted[np.ix_(session.neuroids, bins)] = True

    def check(self, name: str) -> None:
        """Check that some neuroid has trials enough in some time bin.

        Raises
        ------
        NeurofitError
            If there is none.
        """
        if not self.fitted.any():
            most = self.n_stimuli - self.stimuli.min()
            raise NeurofitError(
                f"Each split needs at least {MIN_TEST} test stimuli with 2 valid trials, which no "
                f"neuroid of {name} has: at most {most} of {self.n_stimuli} stimuli have them."
            )

    def notes(self) -> list[str]:
        """Return sentences on the stimuli and the neuroids that are left out, if any."""
        notes = []
        some, lost = self.fitted & (self.stimuli > 0), ~self.fitted
        if some.any():
            few, many = self.stimuli[some].min(), self.stimuli[some].max()
            notes.append(
                "Stimuli with fewer than 2 valid trials are left out: "
                f"{few if few == many else f'{few} to {many}'} of {self.n_stimuli} for "
                f"{_neuroids(some)}. Neuroids with the same stimuli are fitted together (in a PLS, "
                f"jointly), in up to {self.sessions.max()} groups."
            )
        if lost.any():
            notes.append(
                f"Trials are missing for {_neuroids(lost)}, which are not scored in some time "
                f"bins: each split needs at least {MIN_TEST} test stimuli with 2 valid trials."
            )
        return notes


def _neuroids(chosen: np.ndarray) -> str:
    return f"{chosen.any(axis=1).sum()} of {len(chosen)} neuroids"

"""Populations that predict each other: recorded neuroids in trial halves, or units of a layer.

Each half of the trials has responses of its own on both sides of a map. Units of a model have no
trials: their halves are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from neurofit.analyses.encoding.splits import draw_trials
from neurofit.errors import NeurofitError
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.recordings.trials import count_trials

if TYPE_CHECKING:
    from neurofit.analyses.recorded.config import RecordedConfig
    from neurofit.recordings.recording import Recording

LEAST_NEUROIDS = 3
"""Smallest number of neuroids of a population."""


@dataclass(frozen=True)
class Population:
    """Responses of neuroids in trial halves.

    Parameters
    ----------
    name
        Name in results, such as "V4" or the name of an animal.
    whole
        Means over all trials.
    halves
        Means over the trials of each half of each halving.
    usable
        Whether a neuroid has 2 valid trials of every stimulus in a bin.
    """

    name: str
    whole: Float[np.ndarray, "time_bin stimulus neuroid"]
    halves: Float[np.ndarray, "half 2 time_bin stimulus neuroid"]
    usable: Bool[np.ndarray, "neuroid time_bin"]

    @classmethod
    def read(cls, recording: Recording, config: RecordedConfig, *, name: str) -> Population:
        """Average the trials of a recording in halves, in float32.

        Presentations of the same recording are split alike, whatever its neuroids.

        Raises
        ------
        NeurofitError
            If a stimulus has fewer than 2 trials, or there are fewer than `LEAST_NEUROIDS`
            neuroids with 2 valid trials of every stimulus in some bin.
        """
        trials, n = draw_trials(recording, config), config.n_halves
        sizes, n_bins = recording.responses.sizes, len(recording.time_bins)
        shape = (n, 2, n_bins, len(recording.stimuli), sizes["neuroid"])
        whole, halves = np.empty(shape[2:], dtype=np.float32), np.empty(shape, dtype=np.float32)
        usable = np.empty((sizes["neuroid"], n_bins), dtype=bool)
        for b in range(n_bins):
            block = recording.block(b)
            sets = trials.means(block)
            whole[b], halves[:, 0, b], halves[:, 1, b] = sets[0], sets[1 : n + 1], sets[n + 1 :]
            usable[:, b] = (count_trials(recording.stimulus_rows, block) > 1).all(axis=0)
        if usable.any(axis=1).sum() < LEAST_NEUROIDS:
            raise NeurofitError(
                f"Maps between populations need {LEAST_NEUROIDS} neuroids with 2 valid trials of "
                f"every stimulus; {name} has {usable.any(axis=1).sum()} of {len(usable)}."
            )
        return cls(name, whole, halves, usable)

    @classmethod
    def join(cls, populations: Sequence[Population], *, name: str) -> Population:
        """Return the neuroids of several populations as one."""
        return cls(
            name,
            np.concatenate([each.whole for each in populations], axis=-1),
            np.concatenate([each.halves for each in populations], axis=-1),
            np.concatenate([each.usable for each in populations]),
        )

    def note(self) -> list[str]:
        """Return a sentence on neuroids that are left out for lack of trials, if there are any."""
        lacking = ~self.usable
        if not lacking.any():
            return []
        return [
            f"{lacking.any(axis=1).sum()} of {len(self.usable)} neuroids of {self.name} lack 2 "
            "valid trials of some stimulus and have no part in these time bins."
        ]

    def covers(self, time_bin: int) -> bool:
        """Return whether there are features in a bin."""
        return bool(self.usable[:, time_bin].sum() >= LEAST_NEUROIDS)

    def grams(self, time_bins: Sequence[int], half: int) -> tuple[Gram, Gram]:
        """Return the features of both halves: neuroids in one bin, or in several side by side."""
        first, second = (
            gram_of(
                [
                    np.concatenate(
                        [self.halves[half, side, b][:, self.usable[:, b]] for b in time_bins],
                        axis=1,
                    )
                ],
                name=self.name,
                precision="float64",
            )
            for side in range(2)
        )
        return first, second


def aligned(source: Recording, recording: Recording) -> Recording:
    """Return a source with the stimuli and in the order of a recording.

    Raises
    ------
    NeurofitError
        If the source lacks stimuli, has other time bins, or either has several regions.
    """
    for each in (source, recording):
        if len(each.regions) != 1:
            raise NeurofitError(
                f"A map between areas is from one to one; {each.name} has "
                f"{', '.join(each.regions)}. Select one: recording.select(region=...)."
            )
    if source.time_bins != recording.time_bins:
        raise NeurofitError(
            f"The source needs the time bins of the recording: {source.name} has "
            f"{len(source.time_bins)} in {source.time_bins[0][0]}-{source.time_bins[-1][1]} ms, "
            f"{recording.name} {len(recording.time_bins)} in {recording.time_bins[0][0]}-"
            f"{recording.time_bins[-1][1]} ms. Make them with bins (START:END:WIDTH)."
        )
    own, wanted = source.stimuli.ids, recording.stimuli.ids
    if np.array_equal(own, wanted):
        return source
    if len(lacking := np.setdiff1d(wanted, own)):
        raise NeurofitError(
            f"The source {source.name} lacks {len(lacking):,} of {len(wanted):,} stimuli of "
            f"{recording.name}, the first {str(lacking[0])!r}. Select those of both (stimuli)."
        )
    from neurofit.recordings.selection import keep_stimuli

    kept = keep_stimuli(source, list(map(str, wanted)))
    rows = {str(each): row for row, each in enumerate(kept.stimuli.ids)}
    order = [rows[str(each)] for each in wanted]
    return replace(kept, stimuli=kept.stimuli.only(order))

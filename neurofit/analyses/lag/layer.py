"""A layer's lag and pace, and the scores of its maps on test stimuli."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.analyses.lag.candidates import Candidates
from neurofit.analyses.lag.config import LagConfig
from neurofit.analyses.lag.estimate import Estimate
from neurofit.analyses.lag.held_out import HeldOut
from neurofit.analyses.lag.profile import Profile


@dataclass(frozen=True)
class Layer:
    """What is known of a layer.

    Parameters
    ----------
    name
        Name of the layer.
    candidates, profile
        Affine maps, and correlations at each model time and recorded bin.
    best
        Best candidate on all stimuli.
    chosen
        Candidate that the training stimuli of each split choose.
    scores
        Scores of the chosen and the one-to-one maps on test stimuli.
    """

    name: str
    candidates: Candidates
    profile: Profile
    best: Estimate
    chosen: Int[np.ndarray, " split"]
    scores: HeldOut

    def clear(self, config: LagConfig) -> Bool[np.ndarray, " time_bin"]:
        """Return the bins in which both curves have a score."""
        least = -np.inf if config.min_z is None else config.min_z
        z = np.minimum(self.scores.z_maps.min(axis=0), self.scores.z_recording)
        known = np.isfinite(self.scores.score).all(axis=0)
        return np.asarray(known & (np.nan_to_num(z, nan=-np.inf) >= least))

    def defined(self, config: LagConfig) -> dict[str, bool]:
        """Return whether the interval of each parameter lies within the candidates."""
        made = {}
        for name, given in (("lag", self.candidates.lags), ("pace", self.candidates.paces)):
            low, high = self.best.low[name], self.best.high[name]
            alone = given.min() == given.max()
            made[name] = alone or bool(given.min() < low and high < given.max())
        return {**made, "intercept": made["lag"] and made["pace"]}

    def model_time(self, config: LagConfig) -> Float[np.ndarray, " time_bin"]:
        """Return the model time of each compared bin; NaN where no lag is defined."""
        shown = self.candidates.compared & self.defined(config)["lag"]
        return np.where(shown, self.candidates.model_time[self.best.best], np.nan)

"""Recordings with a planted truth, and features that carry a known share of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import neurofit
from neurofit.activations.activations import Activations
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet

SIGNAL = 20
"""Number of latents that the features carry, and that they lack."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """A planted population.

    Parameters
    ----------
    truth
        Correlation of the features' part with the rates of a neuroid, or its range over neuroids.
    reliabilities
        Reliability of the mean of all trials, one for each time bin.
    n_stimuli, n_neuroids
        Sizes.
    repetitions
        Number of trials of each stimulus, or its range if it differs between stimuli.
    spread
        Standard deviation over neuroids of the logarithm of the signal-to-noise ratio.
    noise
        "gaussian", or "poisson" with a mean count of `rate`.
    rate
        Mean count of a trial.
    latents
        "gaussian" or "lognormal" (heavy tails over stimuli).
    common
        Share of what the features lack that all neuroids have in common.
    common_noise
        Share of the trial noise that all neuroids have in common.
    level_of_second
        Truth of the second half of the neuroids, which are those of a second animal; None for one.
    """

    truth: float | tuple[float, float] = 0.7
    reliabilities: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)
    n_stimuli: int = 300
    n_neuroids: int = 40
    repetitions: int | tuple[int, int] = 10
    spread: float = 0.0
    noise: str = "gaussian"
    rate: float = 0.5
    latents: str = "gaussian"
    common: float = 0.0
    common_noise: float = 0.0
    level_of_second: float | None = None

    def draw(
        self, *, neuroids: int, stimuli: int, trials: int
    ) -> tuple[Activations, Recording, Recording]:
        """Return features, a recording, and the recording without noise (two trials).

        Neuroids, stimuli and trials have a seed each.
        """
        of_neuroids, of_stimuli, of_trials = (
            np.random.default_rng((kind, seed))
            for kind, seed in enumerate((neuroids, stimuli, trials))
        )
        n_bins, shape = len(self.reliabilities), (self.n_stimuli, self.n_neuroids)
        weights = of_neuroids.standard_normal((2, SIGNAL, self.n_neuroids))
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        low, high = self.truth if isinstance(self.truth, tuple) else (self.truth, self.truth)
        truth = of_neuroids.uniform(low, high, self.n_neuroids)
        if self.level_of_second is not None:
            truth[self.n_neuroids // 2 :] = self.level_of_second
        gain = np.exp(self.spread * of_neuroids.standard_normal(self.n_neuroids))
        if isinstance(self.repetitions, tuple):
            n = of_stimuli.integers(self.repetitions[0], self.repetitions[1] + 1, self.n_stimuli)
        else:
            n = np.full(self.n_stimuli, self.repetitions)
        rows = np.repeat(np.arange(self.n_stimuli), n)
        repetition = np.concatenate([np.arange(each) for each in n])
        features, rates, counts = [], [], []
        for reliability in self.reliabilities:
            latents = of_stimuli.standard_normal((2, self.n_stimuli, SIGNAL))
            if self.latents == "lognormal":
                latents = np.exp(latents) - np.exp(0.5)
                latents /= np.sqrt((np.e - 1) * np.e)
            shared = of_stimuli.standard_normal((self.n_stimuli, 1))
            carried = latents[0] @ weights[0]
            lacking = latents[1] @ weights[1]
            lacking = np.sqrt(self.common) * shared + np.sqrt(1 - self.common) * lacking
            rate = truth * carried + np.sqrt(1 - truth**2) * lacking
            ratio = reliability / (1 - reliability) * gain * (1 / n).mean()  # of one trial
            noise = of_trials.standard_normal((len(rows), self.n_neuroids))
            if self.common_noise:
                both = of_trials.standard_normal((len(rows), 1))
                noise = np.sqrt(1 - self.common_noise) * noise + np.sqrt(self.common_noise) * both
            if self.noise == "poisson":
                # a signal of standard deviation d around m has the ratio d^2 / m
                deviation = np.minimum(np.sqrt(ratio * self.rate), self.rate / 3)
                mean = np.maximum(self.rate + deviation * rate, 0.0)
                trial = of_trials.poisson(mean[rows]).astype(np.float32)
                rates.append(mean)
            else:
                trial = (rate[rows] + noise / np.sqrt(ratio)).astype(np.float32)
                rates.append(rate)
            features.append(latents[0].astype(np.float32))
            counts.append(trial)
        assert rates[0].shape == shape
        noisy = self._record(np.stack(counts, axis=-1), rows, repetition)
        clean = np.tile(np.stack(rates, axis=-1).astype(np.float32), (2, 1, 1))
        order = np.tile(np.arange(self.n_stimuli), 2), np.repeat([0, 1], self.n_stimuli)
        activations = Activations(
            model="planted",
            stimulus_ids=noisy.stimuli.ids,
            blocks={("layer", step): block for step, block in enumerate(features)},
            first_timestep={"layer": 0},
            ms_per_timestep=10,
            n_timesteps=n_bins,
            region_layers={"IT": ("layer",)},
        )
        return activations, noisy, self._record(clean, *order)

    def _record(self, trials: np.ndarray, rows: np.ndarray, repetition: np.ndarray) -> Recording:
        ids = np.array([f"s{i:04d}" for i in range(self.n_stimuli)])
        n_bins = trials.shape[2]
        coords: dict[str, Any] = {
            "stimulus_id": ("presentation", ids[rows]),
            "repetition": ("presentation", repetition),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(self.n_neuroids)]),
            "region": ("neuroid", ["IT"] * self.n_neuroids),
            "time_bin_start": ("time_bin", 10 * np.arange(n_bins)),
            "time_bin_end": ("time_bin", 10 * np.arange(n_bins) + 10),
        }
        if self.level_of_second is not None:
            half = np.arange(self.n_neuroids) >= self.n_neuroids // 2
            coords["subject"] = ("neuroid", np.where(half, "second", "first"))
        stimuli = StimulusSet(
            name="planted",
            table=pd.DataFrame({"stimulus_id": ids}),
            images=np.zeros((self.n_stimuli, 2, 2, 3), np.uint8),
            visual_degrees=8.0,
            duration_ms=100.0,
        )
        responses = xr.DataArray(
            trials, dims=("presentation", "neuroid", "time_bin"), coords=coords
        )
        return Recording(name="planted", responses=responses, stimuli=stimuli, simulated=True)


def score(
    activations: Activations, recording: Recording, preset: str = "pooled", **changes: Any
) -> xr.Dataset:
    """Score on one core, warnings about planted trials aside."""
    config = neurofit.make_config(preset, **changes)
    return neurofit.score(activations, recording, config, compute=neurofit.Compute(n_jobs=1))


def reachable(activations: Activations, clean: Recording, **changes: Any) -> np.ndarray:
    """Return what noise-free trials score with as many images: array (time_bin).

    It lies below the planted truth, because a map is trained on a limited number of images.
    """
    options = {"n_halves": 1, "min_z": None, **changes}
    return np.asarray(score(activations, clean, **options).curve.values[0])

"""Maps between recordings with a planted truth: delays of areas, and a model among animals.

    python benchmarks/validity/sources.py [--sets 40] [--only areas ...]

Each finished condition is kept in docs/validity_sources.json, from where an interrupted run goes
on. docs/time.md has the figures.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import pandas as pd
import xarray as xr
from run import Condition, carry_out

import neurofit
from neurofit.recordings.stimuli import NoImages

N_LATENTS = 8
"""Number of latents that neuroids are combinations of."""


def latents(
    n_bins: int, n_stimuli: int, n_latents: int, persistence: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a process (time_bin stimulus latent) with this correlation of neighbouring bins."""
    made = np.empty((n_bins, n_stimuli, n_latents))
    made[0] = rng.standard_normal(made[0].shape)
    for t in range(1, n_bins):
        new = np.sqrt(1 - persistence**2) * rng.standard_normal(made[0].shape)
        made[t] = persistence * made[t - 1] + new
    return made


def ways(n_latents: int, n_neuroids: int, rng: np.random.Generator) -> np.ndarray:
    """Return weights (latent neuroid) of unit length."""
    drawn = rng.standard_normal((n_latents, n_neuroids))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0))


def record(
    signal: np.ndarray, noise: np.ndarray, *, region: str = "IT", subjects: Any = None
) -> neurofit.Recording:
    """Return a recording of a signal (time_bin stimulus neuroid) with noise that is added.

    The noise has the dimensions (repetition time_bin stimulus neuroid).
    """
    trials = (signal + noise).transpose(2, 0, 3, 1)  # (stimulus repetition neuroid time_bin)
    n_stimuli, n_trials, n_neuroids, n_bins = trials.shape
    ids = np.array([f"s{number}" for number in range(n_stimuli)])
    starts = 70 + 10 * np.arange(n_bins)
    coords: dict[str, Any] = {
        "stimulus_id": ("presentation", np.repeat(ids, n_trials)),
        "repetition": ("presentation", np.tile(np.arange(n_trials), n_stimuli)),
        "neuroid_id": ("neuroid", [f"{region}{number}" for number in range(n_neuroids)]),
        "region": ("neuroid", [region] * n_neuroids),
        "time_bin_start": ("time_bin", starts),
        "time_bin_end": ("time_bin", starts + 10),
    }
    if subjects is not None:
        coords["subject"] = ("neuroid", subjects)
    responses = xr.DataArray(
        trials.reshape(-1, n_neuroids, n_bins).astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords=coords,
    )
    stimuli = neurofit.StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=NoImages(n_stimuli, "planted"),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    return neurofit.Recording(name="planted", responses=responses, stimuli=stimuli, simulated=True)


def hold(
    layers: dict[str, Sequence[np.ndarray]], *, n_timesteps: int | None = None
) -> neurofit.Activations:
    """Return activations of layers for IT, a block (stimulus unit) for each of the last timesteps.

    The first timestep is that of the first time bin, unless their number is given.
    """
    blocks = next(iter(layers.values()))
    end = n_timesteps or 7 + len(blocks)
    first = {name: end - len(own) for name, own in layers.items()}
    return neurofit.Activations(
        model="planted",
        stimulus_ids=np.array([f"s{number}" for number in range(len(blocks[0]))]),
        blocks={
            (name, first[name] + step): np.asarray(block, np.float32)
            for name, own in layers.items()
            for step, block in enumerate(own)
        },
        first_timestep=first,
        ms_per_timestep=10,
        n_timesteps=end,
        region_layers={"IT": tuple(layers)},
    )


@dataclass(frozen=True, kw_only=True)
class Areas:
    """Two areas that follow the same latents, the target after a delay.

    Parameters
    ----------
    delay
        Delay of the target in bins of 10 ms; negative if the source is behind.
    persistence
        Correlation of a latent in neighbouring bins.
    source_noise, target_noise
        Trial noise relative to the signal, in each bin.
    shared_noise
        Noise of a trial that all neuroids of both areas have in common, relative to the signal.
    related
        Whether the target follows the latents of the source at all.
    """

    delay: int = 1
    persistence: float = 0.7
    source_noise: tuple[float, ...] = (1.0,) * 7
    target_noise: tuple[float, ...] = (1.0,) * 7
    shared_noise: float = 0.0
    related: bool = True
    n_stimuli: int = 150
    n_source: int = 30
    n_target: int = 24
    n_trials: int = 6

    def draw(self, number: int) -> tuple[neurofit.Recording, neurofit.Recording]:
        """Return the source and the target; both have the same presentations."""
        rng = np.random.default_rng(number)
        n_bins, ahead, behind = len(self.source_noise), max(self.delay, 0), max(-self.delay, 0)
        drawn = latents(n_bins + ahead + behind, self.n_stimuli, N_LATENTS, self.persistence, rng)
        source = drawn[ahead : ahead + n_bins] @ ways(N_LATENTS, self.n_source, rng)
        if not self.related:
            drawn = latents(len(drawn), self.n_stimuli, N_LATENTS, self.persistence, rng)
        target = drawn[behind : behind + n_bins] @ ways(N_LATENTS, self.n_target, rng)
        common = self.shared_noise * rng.standard_normal((self.n_trials, n_bins, self.n_stimuli, 1))
        made = []
        for signal, sizes, region in (
            (source, self.source_noise, "V4"),
            (target, self.target_noise, "IT"),
        ):
            own = rng.standard_normal((self.n_trials, *signal.shape))
            noise = np.array(sizes)[:, None, None] * own + common
            made.append(record(signal, noise, region=region))
        return made[0], made[1]


FALLING = (3.0, 2.2, 1.6, 1.2, 0.9, 0.7, 0.5)

AREAS = {
    "no delay": Areas(delay=0),
    "10 ms": Areas(),
    "10 ms, slow": Areas(persistence=0.9),
    "no delay, slow": Areas(delay=0, persistence=0.9),
    "no delay, opposite noise": Areas(delay=0, source_noise=FALLING, target_noise=FALLING[::-1]),
    "10 ms, opposite noise": Areas(source_noise=FALLING, target_noise=FALLING[::-1]),
    "no delay, noise shared by a trial": Areas(delay=0, shared_noise=1.0),
}
"""Pairs of areas that differ from "10 ms" in one or two respects."""


def one_pair_of_areas(plan: Areas, number: int) -> dict[str, Any]:
    """Return the lag with its interval, the choice of the splits, and the direction."""
    made = neurofit.areas(
        *plan.draw(number), neurofit.AreasConfig(max_lag=30), compute=neurofit.Compute(n_jobs=1)
    )
    names = ("best_lag", "best_lag_low", "best_lag_high", "direction_mean", "direction_mean_p")
    return {
        **{name: made[name].item() for name in names},
        "direction_low": made.direction_mean_low.item(),
        "direction_high": made.direction_mean_high.item(),
        "any distance": float(made.direction_p.min()),
        "chosen_lag": made.chosen_lag.values.tolist(),
        "held_out_score": made.held_out_score.item(),
        "profile": made.profile.values.tolist(),
    }


def summarise_areas(plan: Areas, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return bias and coverage of the lag, right choices, and rejections of no direction."""
    values = {name: np.array([each[name] for each in found], dtype=float) for name in found[0]}
    truth = 10.0 * plan.delay
    low, high = values["best_lag_low"], values["best_lag_high"]
    mean, known = values["direction_mean"].mean(), np.isfinite(values["best_lag"])
    return {
        "sets": len(found),
        "with a profile": float(known.mean()),
        "lag": float(values["best_lag"][known].mean()),
        "sd of lag": float(values["best_lag"][known].std(ddof=1)),
        "coverage of lag": float(((low <= truth) & (truth <= high))[known].mean()),
        "right choices": float((values["chosen_lag"] == truth)[known].mean()),
        "held-out score": float(values["held_out_score"][known].mean()),
        "direction": float(mean),
        "direction rejected": float((values["direction_mean_p"] <= 0.05).mean()),
        "some distance rejected": float((values["any distance"] <= 0.05).mean()),
        "coverage of direction": float(
            ((values["direction_low"] <= mean) & (mean <= values["direction_high"])).mean()
        ),
        "profile": values["profile"][known].mean(axis=0).tolist(),
    }


@dataclass(frozen=True, kw_only=True)
class Animals:
    """Animals that share latents and have latents of their own, and a model beside them.

    Parameters
    ----------
    n_animals
        Number of animals.
    private
        Smallest and largest share of the signal's variance that is an animal's own; the share of
        each animal is drawn between them.
    model
        Smallest and largest share of the model's own, in each time bin.
    """

    n_animals: int = 4
    private: tuple[float, float] = (0.1, 0.6)
    model: tuple[tuple[float, float], ...] = ((0.1, 0.6), (0.1, 0.6))
    n_stimuli: int = 120
    n_neuroids: int = 20
    n_trials: int = 8
    noise: float = 1.0

    def draw(self, number: int) -> tuple[neurofit.Activations, neurofit.Recording]:
        """Return the model and the recording of all animals."""
        rng = np.random.default_rng(number)
        n_bins, shape = len(self.model), (self.n_stimuli, N_LATENTS)
        shared = latents(n_bins, *shape, 0.7, rng)

        def member(shares: np.ndarray) -> np.ndarray:
            own = latents(n_bins, *shape, 0.7, rng) @ ways(N_LATENTS, self.n_neuroids, rng)
            common = shared @ ways(N_LATENTS, self.n_neuroids, rng)
            return np.asarray(np.sqrt(1 - shares) * common + np.sqrt(shares) * own)

        drawn = rng.uniform(*self.private, self.n_animals)
        signal = np.concatenate([member(np.full((n_bins, 1, 1), share)) for share in drawn], -1)
        low, high = np.array(self.model).T[..., None, None]
        units = member(low + (high - low) * rng.uniform())
        names = np.repeat([f"animal {k + 1}" for k in range(self.n_animals)], self.n_neuroids)
        noise = self.noise * rng.standard_normal((self.n_trials, *signal.shape))
        return hold({"a": list(units)}), record(signal, noise, subjects=names)


ALIKE, OTHER = (0.1, 0.6), (0.97, 1.0)

ANIMALS = {
    "one more of 3": (Animals(n_animals=3), ("within", "within")),
    "one more of 4": (Animals(), ("within", "within")),
    "one more of 5": (Animals(n_animals=5), ("within", "within")),
    "alike early, unrelated late, among 4": (
        Animals(private=(0.2, 0.4), model=((0.2, 0.4), OTHER)),
        ("within", "below"),
    ),
    "alike early, unrelated late, among 5": (
        Animals(n_animals=5, private=(0.2, 0.4), model=((0.2, 0.4), OTHER)),
        ("within", "below"),
    ),
}
"""Animals with a model, and the right verdict in the early and in the late window."""


def one_turing_test(plan: Animals, number: int) -> dict[str, Any]:
    """Return the verdicts of both windows in both directions."""
    config = neurofit.TuringConfig(
        windows=((70, 80), (80, 90)), n_splits=3, n_halves=1, min_z=None, seed=number
    )
    made = neurofit.turing(*plan.draw(number), config, compute=neurofit.Compute(n_jobs=1))
    found: dict[str, Any] = {"animals": made.animals_as_source.values[0].tolist()}
    for role in ("source", "target"):
        flags = made[f"verdict_as_{role}"]
        words = np.array(flags.attrs["flag_meanings"].split())
        found[f"verdict as {role}"] = words[flags.values[0]].tolist()
        found[f"as {role}"] = made[f"as_{role}"].values[0].tolist()
        p = made[f"{role}_difference_p"].values[0]  # (subject window)
        found[f"each animal, {role}"] = (p <= 0.05).mean(axis=0).tolist()
    return found


def summarise_turing(right: tuple[str, ...], found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often each verdict is given in each window, and how often it is right."""
    made: dict[str, Any] = {"sets": len(found)}
    for role in ("source", "target"):
        verdicts = np.array([each[f"verdict as {role}"] for each in found])
        made[role] = {
            "right": (verdicts == right).mean(axis=0).tolist(),
            **{
                word: (verdicts == word).mean(axis=0).tolist()
                for word in ("below", "within", "above", "cannot_be_told")
            },
            "score": np.mean([each[f"as {role}"] for each in found], axis=0).tolist(),
        }
    made["animals"] = np.mean([each["animals"] for each in found], axis=0).tolist()
    return made


def conditions(n_sets: int) -> dict[str, Condition]:
    """Return the conditions by their names."""
    made: dict[str, Condition] = {}
    for name, plan in AREAS.items():
        work, summary = partial(one_pair_of_areas, plan), partial(summarise_areas, plan)
        made[f"areas/{name}"] = work, summary, n_sets
    for name, (animals, right) in ANIMALS.items():
        tests = partial(one_turing_test, animals), partial(summarise_turing, right)
        made[f"animals/{name}"] = *tests, 3 * n_sets
    return made


if __name__ == "__main__":
    carry_out(__doc__, conditions, Path("docs/validity_sources.json"), n_sets=40)

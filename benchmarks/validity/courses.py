"""Bias and coverage of generalisation, geometry, dimensionality and latency, from planted courses.

    python benchmarks/validity/courses.py [--sets 100] [--only latency ...]

Codes that stay or turn, geometries that a layer shares in part, latents of a known number, and
responses that begin at known times. Each finished condition is kept in docs/validity_courses.json,
and a rerun goes on from there. docs/time.md has the figures.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import xarray as xr
from run import Condition, carry_out
from sources import hold, record, ways

import neurofit
from neurofit.metrics.latency import onset, peak

Inputs = tuple[neurofit.Activations, neurofit.Recording]

ENDS = ("low", "high", "band_low", "band_high")


class Course(Protocol):
    """Planted responses over time, and a model."""

    def draw(self, seed: int) -> Inputs:
        """Return the model's activations and a recording."""
        ...


def with_trials(signal: np.ndarray, noise: float, n: int, rng: Any) -> neurofit.Recording:
    """Return a recording of a signal (time_bin stimulus neuroid) with noise of this size."""
    return record(signal, noise * rng.standard_normal((n, *signal.shape)))


@dataclass(frozen=True, kw_only=True)
class Code:
    """A code that turns by an angle in each time bin, and a model that holds its features.

    Each neuroid's signal in bin t is cos(angle) a + sin(angle) b, with a and b uncorrelated
    combinations of the features.

    Parameters
    ----------
    angles
        Angle in each time bin, in radians.
    signal
        Size of the signal in each time bin, in units of the noise of a trial; None for 1 in all.
    n_stimuli, n_neuroids, n_features, n_trials
        Sizes.
    """

    angles: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    signal: tuple[float, ...] | None = None
    n_stimuli: int = 200
    n_neuroids: int = 24
    n_features: int = 10
    n_trials: int = 6

    def draw(self, seed: int) -> Inputs:
        """Return the model and the recording."""
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((self.n_stimuli, self.n_features)).astype(np.float32)
        one, other = (ways(self.n_features, self.n_neuroids, rng) for _ in range(2))
        other -= (one * other).sum(axis=0) * one
        other /= np.linalg.norm(other, axis=0)
        sizes = self.signal or (1.0,) * len(self.angles)
        turned = [
            size * features @ (np.cos(angle) * one + np.sin(angle) * other)
            for angle, size in zip(self.angles, sizes, strict=True)
        ]
        blocks = [features] * len(self.angles)
        return hold({"a": blocks}), with_trials(np.stack(turned), 1.0, self.n_trials, rng)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Responses with a share of a layer's latents in each time bin, the rest latents of their own.

    The layer "b" holds none of them.

    Parameters
    ----------
    noise
        Standard deviation of the noise of a trial, in units of the signal.
    shares
        Share of the layer's latents in each time bin.
    n_stimuli, n_neuroids, n_units, n_trials
        Sizes.
    """

    noise: float = 1.0
    shares: tuple[float, ...] = (1.0, 0.5, 0.0)
    n_stimuli: int = 80
    n_neuroids: int = 30
    n_units: int = 200
    n_trials: int = 8

    def draw(self, seed: int) -> Inputs:
        """Return the model and the recording."""
        rng, (to_units, to_sites) = np.random.default_rng(seed), self._weights(seed)
        latents, other = (rng.standard_normal((self.n_stimuli, size)) for size in (8, self.n_units))
        signal = []
        for weights in to_sites:
            own = rng.standard_normal(latents.shape)
            signal.append(np.concatenate([latents, own], axis=1) @ weights)
        features = {"a": latents @ to_units, "b": other}
        held = hold({name: [each] * len(self.shares) for name, each in features.items()})
        return held, with_trials(np.stack(signal), self.noise, self.n_trials, rng)

    def truth(self, seed: int) -> np.ndarray:
        """Return the similarity of layer "a" with these sites over all images (time_bin).

        Correlations of squared distances are equal to it, because the patterns are Gaussian.
        """
        to_units, to_sites = self._weights(seed)
        cross = np.array([((to_units.T @ weights[:8]) ** 2).sum() for weights in to_sites])
        own = np.array([((weights.T @ weights) ** 2).sum() for weights in to_sites])
        return cross / np.sqrt(((to_units.T @ to_units) ** 2).sum() * own)

    def _weights(self, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
        rng = np.random.default_rng((1, seed))
        made = []
        for share in self.shares:
            sizes = np.sqrt(np.repeat([share, 1 - share], 8)[:, None] / 8)
            made.append(sizes * rng.standard_normal((16, self.n_neuroids)))
        return rng.standard_normal((8, self.n_units)), made


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """Responses of a number of latents of equal variance in each time bin, and a layer of them.

    The number is the participation ratio of the population that the sites are drawn from.

    Parameters
    ----------
    noise
        Standard deviation of the noise of a trial, in units of the signal.
    n_latents
        Latents in each time bin.
    n_stimuli, n_neuroids, n_units, n_trials
        Sizes.
    """

    noise: float = 1.0
    n_latents: tuple[int, ...] = (4, 12)
    n_stimuli: int = 120
    n_neuroids: int = 60
    n_units: int = 90
    n_trials: int = 6

    def draw(self, seed: int) -> Inputs:
        """Return the model and the recording."""
        rng = np.random.default_rng(seed)
        latents = [rng.standard_normal((self.n_stimuli, size)) for size in self.n_latents]
        signal = [each @ way for each, way in zip(latents, self._weights(seed), strict=True)]
        blocks = [each @ rng.standard_normal((each.shape[1], self.n_units)) for each in latents]
        return hold({"a": blocks}), with_trials(np.stack(signal), self.noise, self.n_trials, rng)

    def of_these_sites(self, seed: int) -> np.ndarray:
        """Return what pairs of these sites say of the population, over all images (time_bin)."""
        made = []
        for weights in self._weights(seed):
            covariance = weights.T @ weights
            apart = ~np.eye(self.n_neuroids, dtype=bool)
            variances = np.diagonal(covariance)
            made.append(
                np.outer(variances, variances)[apart].sum() / (covariance[apart] ** 2).sum()
            )
        return np.array(made)

    def _weights(self, seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng((1, seed))
        return [rng.standard_normal((n, self.n_neuroids)) / np.sqrt(n) for n in self.n_latents]


RISE, FALL = 30.0, 80.0
"""Duration of the rise to the peak and of the fall after it, in ms."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Sites whose responses begin 0 to 10 ms after a time, and a layer that begins then.

    Parameters
    ----------
    noise
        Standard deviation of the noise of a trial, in units of the signal's peak.
    start
        Time in ms.
    n_bins
        Time bins of 10 ms, from 70 ms.
    n_stimuli, n_neuroids, n_units, n_trials
        Sizes.
    """

    noise: float = 1.0
    start: float = 90.0
    n_bins: int = 16
    n_stimuli: int = 80
    n_neuroids: int = 20
    n_units: int = 40
    n_trials: int = 6

    def draw(self, seed: int) -> Inputs:
        """Return the model and the recording."""
        rng = np.random.default_rng(seed)
        signal = rng.standard_normal((self.n_stimuli, self.n_neuroids))
        signal = self.amplitude(self.starts(seed)).T[:, None] * signal
        features = rng.standard_normal((self.n_stimuli, self.n_units))
        begun = int(self.start / 10) - 7
        blocks = [features * size for size in self.amplitude(np.array([self.start]))[0, begun:]]
        held = hold({"a": blocks}, n_timesteps=7 + self.n_bins)
        return held, with_trials(signal, self.noise, self.n_trials, rng)

    def starts(self, seed: int) -> np.ndarray:
        """Return when the responses of each site begin, in ms."""
        return self.start + np.random.default_rng((1, seed)).uniform(0, 10, self.n_neuroids)

    def amplitude(self, starts: np.ndarray) -> np.ndarray:
        """Return the mean amplitude in each bin (start time_bin) of rises that begin then.

        The signal's variance is its square: half of its peak is at sqrt(1/2) of the amplitude's.
        """
        after = np.arange(70, 70 + 10 * self.n_bins, 0.5) + 0.25 - starts[:, None]
        shape = np.where(after < RISE, after / RISE, np.maximum(1 - (after - RISE) / FALL, 0.3))
        binned = np.where(after > 0, shape, 0).reshape(len(starts), self.n_bins, 20)
        return np.asarray(binned.mean(axis=2))

    def truth(self) -> dict[str, float]:
        """Return onset and peak of the course of very many sites without noise, in these bins."""
        course = self.amplitude(self.start + np.linspace(0, 10, 501)) ** 2
        course = (course / course.max(axis=1, keepdims=True)).mean(axis=0)
        middles = 75.0 + 10 * np.arange(self.n_bins)
        return {
            "onset": float(onset(course, middles, share=0.5)),
            "peak": float(peak(course, middles)),
        }


Found = dict[str, dict[str, Any]]
"""Estimates by their names, each with value, truth, ends of intervals and bands, and p values."""


def estimate(made: xr.Dataset, name: str, truth: Any, at: Any = ()) -> dict[str, Any]:
    """Return a variable of a result at these places, with its truth and its interval."""
    ends = {end: made[f"{name}_{end}"].values[at] for end in ENDS if f"{name}_{end}" in made}
    value = made[name].values[at]
    found = {"value": value, "truth": np.broadcast_to(truth, value.shape), **ends}
    return {key: each.ravel().tolist() for key, each in found.items()}


def one_generalisation(plan: Code, seed: int) -> Found:
    """Return s and D of all pairs of time bins, and D between the early and the late bins."""
    middle = 70 + 10 * (len(plan.angles) // 2)
    windows = ((70, middle), (middle, 70 + 10 * len(plan.angles)))
    config = neurofit.GeneralisationConfig(windows=windows, seed=seed)
    made = neurofit.generalisation(*plan.draw(seed), config, compute=neurofit.Compute(n_jobs=1))
    truth = np.cos(np.subtract.outer(plan.angles, plan.angles))
    fits, tests = np.triu_indices(len(truth), 1)
    early = np.arange(len(truth)) < len(truth) // 2
    differences = estimate(made, "difference", (truth - 1)[fits, tests], (0, fits, tests))
    between = estimate(made, "window_difference", (truth - 1)[np.ix_(early, ~early)].mean())
    p, adjusted = (made[name].values[0, fits, tests].tolist() for name in ("p", "p_adjusted"))
    return {
        "s": estimate(made, "generalisation", truth, 0),
        "D": {**differences, "p": p, "p_adjusted": adjusted},
        "D between windows": {**between, "p": made.window_p.values.ravel().tolist()},
    }


def one_geometry(plan: Geometry, measure: str, seed: int) -> Found:
    """Return the similarity of the layer that shares latents, and whether it would be given."""
    config = neurofit.GeometryConfig(measure=measure, layers=("a",), min_z=None, seed=seed)
    made = neurofit.geometry(*plan.draw(seed), config)
    given = (made.z_recording >= neurofit.GeometryConfig().min_z).values.tolist()
    return {"similarity": {**estimate(made, "curve", plan.truth(seed), 0), "given": given}}


def one_dimensionality(plan: Dimensions, seed: int) -> Found:
    """Return the dimensions of the population, in each time bin, with two truths."""
    made = neurofit.dimensionality(*plan.draw(seed), neurofit.DimensionalityConfig(seed=seed))
    return {
        name: estimate(made, "dimensionality", truth, 0)
        for name, truth in (
            ("dimensions of the population", plan.n_latents),
            ("dimensions that these sites have over all images", plan.of_these_sites(seed)),
        )
    }


def one_latency(plan: Latency, seed: int) -> Found:
    """Return the onset and the peak of the area, and the onset of the layer."""
    made = neurofit.latency(*plan.draw(seed), neurofit.LatencyConfig(seed=seed))
    unbinned = plan.start + RISE * np.sqrt(0.5)
    return {
        **{name: estimate(made, name, truth, [0]) for name, truth in plan.truth().items()},
        "onset of the layer, whose truth is that of a course without bins": estimate(
            made, "onset", unbinned, [1]
        ),
    }


def summarise(found: list[Found]) -> dict[str, Any]:
    """Return bias, coverage and rejections at 5 % of each estimate, in each place."""
    made: dict[str, Any] = {"sets": len(found)}
    for name in found[0]:
        own = {key: np.array([each[name][key] for each in found]) for key in found[0][name]}
        value, truth, n = own["value"], own["truth"], np.isfinite(own["value"]).sum(axis=0)
        inside = (own["low"] <= truth) & (truth <= own["high"])
        summary: dict[str, Any] = {
            "defined": np.isfinite(value).mean(axis=0).tolist(),
            "truth": truth.mean(axis=0).tolist(),
            "bias": np.nanmean(value - truth, axis=0).tolist(),
            "se": (np.nanstd(value - truth, axis=0, ddof=1) / np.sqrt(n)).tolist(),
            "sd": np.nanstd(value, axis=0, ddof=1).tolist(),
            "largest error": np.nanmax(np.abs(value - truth), axis=0).tolist(),
            "half_width": np.nanmean((own["high"] - own["low"]) / 2, axis=0).tolist(),
            "coverage": (inside.sum(axis=0) / n).tolist(),
        }
        if "band_low" in own:
            band = (own["band_low"] <= truth) & (truth <= own["band_high"])
            summary["band"] = float((band | np.isnan(value)).all(axis=1).mean())
        if "given" in own:
            summary["given"] = own["given"].mean(axis=0).tolist()
        if "p" in own:
            summary["rejected"] = (own["p"] <= 0.05).mean(axis=0).tolist()
        if "p_adjusted" in own:
            summary["some rejected"] = float((own["p_adjusted"] <= 0.05).any(axis=1).mean())
        made[name] = summary
    return made


STAYS = Code(signal=(0.25, 0.5, 1.0, 0.5), n_stimuli=120, n_neuroids=32)

WORK: dict[str, Callable[[int], Found]] = {
    "generalisation/stays, signals differ": partial(one_generalisation, STAYS),
    "generalisation/stays": partial(one_generalisation, Code()),
    "generalisation/turns": partial(one_generalisation, Code(angles=(0.0, 0.4, 0.8, 1.2))),
    "generalisation/switches": partial(
        one_generalisation, Code(angles=(0.0, 0.0, np.pi / 2, np.pi / 2))
    ),
    **{
        f"geometry/{measure}, noise {noise:g}": partial(
            one_geometry, Geometry(noise=noise), measure
        )
        for measure in ("cka", "rdm")
        for noise in (0.01, 0.5, 1.5)
    },
    **{
        f"dimensionality/noise {noise:g}": partial(one_dimensionality, Dimensions(noise=noise))
        for noise in (0.3, 1.0, 3.0)
    },
    **{
        f"latency/noise {noise:g}": partial(one_latency, Latency(noise=noise))
        for noise in (0.3, 1.0, 2.0)
    },
}
"""Name -> estimates of one data set."""


def conditions(n_sets: int) -> dict[str, Condition]:
    """Return name -> (function of a number, summary, how many)."""
    twice = "generalisation/stays, signals differ"  # whose type I errors are counted
    return {name: (work, summarise, n_sets * (1 + (name == twice))) for name, work in WORK.items()}


if __name__ == "__main__":
    carry_out(__doc__, conditions, Path("docs/validity_courses.json"), n_sets=100)

"""Scores of all pairs of bins of two areas: their map, its profile over lags, and the direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from neurofit.analyses.analysis import ENDS, banded_variables, variable
from neurofit.analyses.recorded.config import RecordedConfig
from neurofit.analyses.recorded.contrasts import Tested, combine
from neurofit.analyses.recorded.fits import Scores, Target
from neurofit.metrics.latency import peak
from neurofit.metrics.two_way import (
    Influences,
    describe_interval,
    describe_samples,
    percent,
    sum_of_squares,
)

N_DRAWS = 2000
"""Number of samples that the interval of a lag is drawn from."""

DIMS = ("time_bin_source", "time_bin")


@dataclass(frozen=True)
class Lags:
    """Scores of all pairs of bins, and which of them make the profile.

    Parameters
    ----------
    scores
        Scores of pairs.
    sources, targets
        Bins of each pair.
    held, tested
        Scores of each split on its training and on its test stimuli.
    lag
        Lag of each pair in ms.
    lags, distances
        Different lags, and different positive ones.
    common
        Target bins of which every lag has a score.
    n_bins
        Number of time bins.
    """

    scores: Scores
    sources: Int[np.ndarray, " pair"]
    targets: Int[np.ndarray, " pair"]
    held: Float[np.ndarray, "split pair"]
    tested: Float[np.ndarray, "split pair"]
    lag: Float[np.ndarray, " pair"]
    lags: Float[np.ndarray, " lag"]
    distances: Float[np.ndarray, " distance"]
    common: Int[np.ndarray, " time_bin"]
    n_bins: int

    @classmethod
    def of(cls, done: dict[int, Any], near: np.ndarray, middles: np.ndarray) -> Lags:
        """Join the scores of all source bins."""
        order = sorted(done)
        scores = Scores.join([done[a][0] for a in order])
        sources = np.concatenate([np.full(near[a].sum(), a) for a in order])
        targets = np.concatenate([np.flatnonzero(near[a]) for a in order])
        held, tested = (np.concatenate([done[a][part] for a in order], axis=1) for part in (1, 2))
        lag = middles[targets] - middles[sources]
        lags = np.unique(lag)
        shown = np.isfinite(scores.score)
        full = [
            b
            for b in range(len(middles))
            if set(lag[shown & (targets == b)].tolist()) == set(lags.tolist())
        ]
        return cls(
            scores,
            sources,
            targets,
            held,
            tested,
            lag,
            lags,
            lags[lags > 0],
            np.array(full, dtype=np.int64),
            len(middles),
        )

    @property
    def weights(self) -> Float[np.ndarray, "pair lag"]:
        """Weights of the profile."""
        inside = np.isin(self.targets, self.common)[:, None] & (self.lag[:, None] == self.lags)
        return np.asarray(inside / max(len(self.common), 1))

    def square(self, values: Float[np.ndarray, " pair"]) -> np.ndarray:
        """Return values of pairs as a matrix (time_bin_source time_bin)."""
        matrix = np.full((self.n_bins, self.n_bins), np.nan)
        matrix[self.sources, self.targets] = values
        return matrix

    def notes(self, bins: np.ndarray) -> list[str]:
        """Return a sentence on the target bins of the profile."""
        if not len(self.common):
            return [
                "No target bin has a score at every lag, so there is no profile of lags; a smaller "
                "max_lag asks for less."
            ]
        first, last = bins[self.common].min(), bins[self.common].max()
        return [
            f"The profile is the mean over the {len(self.common)} target bins in {first}-{last} ms "
            "that have a score at every lag."
        ]


def banded(
    name: str, dims: tuple[str, ...], found: Tested, config: RecordedConfig, **attrs: Any
) -> dict[str, Any]:
    """Return a tested quantity with its interval and band."""
    each = "distance" if "distance" in dims else "lag"
    return banded_variables(
        name,
        dims,
        found.values if dims else found.values[0],
        {end: getattr(found.tests, end) if dims else getattr(found.tests, end)[0] for end in ENDS},
        interval=describe_interval(config.interval, config.interval_over, config.groups, each=each),
        band=f"{percent(config.interval)} band, for all {each}s at once",
        **attrs,
    )


def describe_map(lags: Lags, config: RecordedConfig, target: Target) -> dict[str, Any]:
    """Return the matrix of pairs of bins."""
    found = combine([lags.scores], [np.eye(len(lags.lag))], config)
    return {
        **banded_variables(
            "lag_map",
            DIMS,
            lags.square(found.values),
            {end: lags.square(getattr(found.tests, end)) for end in ENDS},
            interval=describe_interval(
                config.interval, config.interval_over, config.groups, each="pair of time bins"
            ),
            band=f"{percent(config.interval)} band, for all pairs of time bins at once",
            long_name="noise-corrected r between areas",
            formula="sum_j X_j / sum_j sqrt(P_j Y_j), maps between different trial halves",
            column="r",
            count="n_neuroids",
            panel="profile",
        ),
        "n_neuroids": variable(
            DIMS,
            np.nan_to_num(lags.square(lags.scores.n_neuroids * 1.0)).astype(np.int64),
            "count",
            "number of neuroids that are pooled",
        ),
        "z_maps": variable(
            DIMS,
            lags.square(lags.scores.z_maps),
            "detail",
            "pooled consistency of maps in standard errors over stimuli",
        ),
        "z_recording": variable(
            ("time_bin",),
            target.z,
            "detail",
            "pooled reliability in standard errors over stimuli",
        ),
    }


def describe_profile(lags: Lags, config: RecordedConfig, places: np.ndarray) -> dict[str, Any]:
    """Return the profile over lags, its largest value, and the choice of training stimuli."""
    found = combine([lags.scores], [lags.weights], config)
    best = _find_peak(found.values[None], lags.lags)[0]
    drawn = _find_peak(_resampled(found, config, places), lags.lags)
    tails = [(1 - config.interval) / 2, (1 + config.interval) / 2]
    low, high = np.quantile(drawn, tails) if np.isfinite(best) else (np.nan, np.nan)
    words = (
        f"{percent(config.interval)} interval over "
        f"{describe_samples(config.interval_over, config.groups)} (samples of influences)"
    )
    used = np.isin(lags.targets, lags.common)
    known = used.any() and np.isfinite(lags.held[:, used]).all()
    held, tested = (np.where(used, each, 0.0) @ lags.weights for each in (lags.held, lags.tested))
    choice = held.argmax(axis=1) if known else np.zeros(len(held), dtype=np.int64)
    tested = np.take_along_axis(tested, choice[:, None], axis=1)
    shares = np.bincount(choice, minlength=len(lags.lags)) / len(choice)
    reported = combine(
        [lags.scores],
        [(lags.weights @ shares)[:, None]],
        config,
        values=tested.mean(axis=0) if known else np.full(1, np.nan),
    )
    scalar = {"role": "interval", "units": "ms"}
    return {
        **banded(
            "profile",
            ("lag",),
            found,
            config,
            long_name="noise-corrected r by lag",
            formula="mean of s(t - lag, t) over target bins t",
            column="r",
        ),
        "best_lag": (
            (),
            best,
            {
                "role": "score",
                "long_name": "lag that explains best",
                "units": "ms",
                "formula": "vertex of a parabola through the largest value of the profile",
                "best": np.nan,
                "low": "best_lag_low",
                "high": "best_lag_high",
                "interval": words,
                "column": "lag (ms)",
            },
        ),
        "best_lag_low": ((), low, {**scalar, "long_name": f"low end of the {words}"}),
        "best_lag_high": ((), high, {**scalar, "long_name": f"high end of the {words}"}),
        **banded(
            "held_out_score",
            (),
            reported,
            config,
            long_name="noise-corrected r at the lag that training stimuli choose",
            formula="mean over splits of the profile on test stimuli, at the split's lag",
            column="held-out",
        ),
        "chosen_lag": variable(
            ("split",),
            lags.lags[choice] if known else np.full(len(choice), np.nan),
            "detail",
            "lag that the training stimuli of a split choose",
            units="ms",
        ),
    }


def _find_peak(profiles: Float[np.ndarray, "draw lag"], lags: np.ndarray) -> np.ndarray:
    """Return the lag of the largest value, an end of the range where that is largest."""
    defined = np.isfinite(profiles).all(axis=1)
    filled = np.where(defined[:, None], profiles, 0.0)
    ends = lags[filled.argmax(axis=1)]
    inside = peak(filled - filled.min(axis=1, keepdims=True) + 1, lags)
    return np.where(defined, np.where(np.isfinite(inside), inside, ends), np.nan)


def _resampled(found: Tested, config: RecordedConfig, places: np.ndarray) -> np.ndarray:
    """Return samples of a profile from its influences (draw lag)."""
    rng = np.random.default_rng(config.seed)
    influences: Influences = found.influences
    stimuli = influences.stimuli[np.unique(places)]
    neuroids = influences.neuroids[(influences.neuroids != 0).any(axis=1)]
    total = np.maximum(sum_of_squares(stimuli).sum(), 1e-300)
    once = np.sqrt(max(0.0, 1 - influences.cells.sum() / total))
    drawn = np.tile(found.values, (N_DRAWS, 1))
    if config.interval_over != "neuroids":
        scale = 1.0 if config.interval_over == "stimuli" else once
        drawn += scale * rng.standard_normal((N_DRAWS, len(stimuli))) @ stimuli
    if config.interval_over != "stimuli":
        drawn += rng.standard_normal((N_DRAWS, len(neuroids))) @ neuroids
    return drawn


def describe_direction(lags: Lags, config: RecordedConfig) -> dict[str, Any]:
    """Return the difference between both directions at each distance, and its mean."""
    shown = np.isfinite(lags.scores.score)
    place = {pair: n for n, pair in enumerate(zip(lags.sources, lags.targets, strict=True))}
    weights = np.zeros((len(lags.lag), len(lags.distances) + 1))
    for n in np.flatnonzero(lags.lag > 0):
        back = place.get((lags.targets[n], lags.sources[n]))
        if back is not None and shown[n] and shown[back]:
            at = int(np.searchsorted(lags.distances, lags.lag[n]))
            weights[n, at], weights[back, at] = 1, -1
    weights[:, :-1] /= np.maximum((weights[:, :-1] > 0).sum(axis=0), 1)
    defined = (weights[:, :-1] != 0).any(axis=0)
    weights[:, -1] = weights[:, :-1].sum(axis=1) / max(int(defined.sum()), 1)
    made: dict[str, Any] = {}
    for name, dims, part, words, column in (
        ("direction", ("distance",), weights[:, :-1], "", "difference"),
        ("direction_mean", (), weights[:, -1:], ", mean over lags", "forward"),
    ):
        found = combine([lags.scores], [part], config)
        made |= banded(
            name,
            dims,
            found,
            config,
            long_name=f"r with the source ahead less r with the source behind{words}",
            formula="mean of s(t - lag, t) - s(t, t - lag)",
            best=np.nan,
            column=column,
        )
        made[f"{name}_p"] = variable(
            dims,
            found.tests.p_adjusted if dims else found.tests.p[0],
            "p_value",
            "p value adjusted over all distances" if dims else "p value of the mean",
            column="p",
        )
    return made

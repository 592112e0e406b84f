"""Intervals of a ceiling hold a planted reliability as often as they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from neurofit.analyses.ceiling import CeilingConfig, ceiling
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import deal_trials

Planted = Callable[..., Recording]


def with_common_stimuli(
    planted: Planted, seed: int, *, n_stimuli: int = 100, n_neuroids: int = 60
) -> Recording:
    """Return neuroids of reliabilities around 0.6 that share four signals.

    These are strong in some of the stimuli.
    """
    rng = np.random.default_rng((9, seed))
    reliability = rng.uniform(0.5, 0.7, n_neuroids)
    strength = np.exp(0.4 * rng.standard_normal((n_stimuli, 1)) - 0.4**2)  # of mean square 1
    weights = rng.standard_normal((4, n_neuroids))
    seen = (
        strength * rng.standard_normal((n_stimuli, 4)) @ (weights / np.linalg.norm(weights, axis=0))
    )
    signal = np.sqrt(0.9) * seen + np.sqrt(0.1) * rng.standard_normal((n_stimuli, n_neuroids))
    made = planted(n_stimuli=n_stimuli, n_repetitions=6, reliability=(0.0,))
    noise = rng.standard_normal((len(made.stimulus_rows), n_neuroids)) * np.sqrt(
        6 * (1 - reliability)
    )
    trials = (np.sqrt(reliability) * signal)[made.stimulus_rows] + noise
    coords = {
        name: coord for name, coord in made.responses.coords.items() if coord.dims != ("neuroid",)
    }
    coords |= {
        "neuroid_id": ("neuroid", np.arange(n_neuroids).astype(str)),
        "region": ("neuroid", ["IT"] * n_neuroids),
    }
    return replace(
        made,
        responses=xr.DataArray(
            trials[..., None].astype(np.float32), dims=made.responses.dims, coords=coords
        ),
    )


def holds(found: xr.Dataset, truth: float) -> bool:
    return bool(found.curve_low[0] <= truth <= found.curve_high[0])


BOTH = CeilingConfig(n_bootstraps=300)
ALONE = CeilingConfig(n_bootstraps=300, interval_over="neuroids")
N_SIMULATED = 60
LEAST = stats.binom.ppf(0.001, N_SIMULATED, 0.95)
"""Intervals of 95 % that hold the truth, at least, in all but one series in a thousand."""


@pytest.mark.simulation
def test_the_interval_holds_the_truth_as_often_as_it_says_where_neuroids_see_the_same(
    planted: Planted,
) -> None:
    both, alone = [], []
    for seed in range(N_SIMULATED):
        made = with_common_stimuli(planted, seed)
        both.append(holds(ceiling(made, BOTH), 0.6))
        alone.append(holds(ceiling(made, ALONE), 0.6))
    assert sum(both) >= LEAST
    assert sum(alone) < stats.binom.ppf(1e-6, N_SIMULATED, 0.95), (
        "neuroids alone do not know what other stimuli would do"
    )


@pytest.mark.simulation
def test_the_interval_holds_the_truth_as_often_as_it_says_where_neuroids_are_unrelated(
    planted: Planted,
) -> None:
    held, wider = [], []
    for seed in range(N_SIMULATED):
        made = planted(n_stimuli=120, n_repetitions=6, reliability=(0.6,), seed=seed)
        both, alone = ceiling(made, BOTH), ceiling(made, ALONE)
        held.append(holds(both, 0.6))
        wider.append(
            float((both.curve_high - both.curve_low)[0] / (alone.curve_high - alone.curve_low)[0])
        )
    assert sum(held) >= LEAST
    # What each neuroid owes to the stimuli is in the spread of the neuroids, and counts once.
    assert np.median(wider) < 1.15


def test_the_interval_of_a_neuroid_holds_its_reliability_on_other_stimuli(planted: Planted) -> None:
    held = []
    for seed in range(5):
        made = planted(n_stimuli=200, n_repetitions=6, reliability=(0.3, 0.8), seed=seed)
        found = ceiling(made, BOTH)
        held.append((found.reliability_low <= [0.3, 0.8]) & (found.reliability_high >= [0.3, 0.8]))
    # A percentile interval is a little narrow.
    tolerance = 4 * np.sqrt(0.95 * 0.05 / np.size(held)) + 0.01
    assert np.mean(held) == pytest.approx(0.95, abs=tolerance)


def test_the_interval_is_that_of_a_plain_loop(planted: Planted) -> None:
    made = planted(n_stimuli=25, n_repetitions=5, reliability=(0.5, 0.8))
    found = ceiling(made, CeilingConfig(n_halves=4, n_bootstraps=60, seed=3))
    rows, r = made.stimulus_rows, found.r_halves.values.mean(axis=0)
    halves = deal_trials(rows, n_halves=4, seed=3) % 2 == 0
    sides = [
        np.stack(
            [
                [
                    made.responses.values[(rows == i) & h].astype(float).mean(axis=0)
                    for i in range(25)
                ]
                for h in s
            ]
        )
        for s in (halves, ~halves)
    ]
    rng, rng_stimuli = np.random.default_rng(3), np.random.default_rng((3, 1))
    drawn = [(rng.integers(40, size=40), rng_stimuli.integers(25, size=25)) for _ in range(60)]

    one, two = (  # noise shares of halves of 2 and 3 trials
        np.mean([1 / np.bincount(rows[h]) for h in s]) for s in (halves, ~halves)
    )

    def correct(each: float) -> float:
        root = np.sqrt(each**2 * (one - two) ** 2 + 4 * one * two)
        signal = each * (each * (one + two) + root) / (2 * (1 - each**2))
        return float(signal / (signal + 1 / 5))

    def pooled(stimuli: np.ndarray, neuroid: int, position: int) -> float:
        a, b = (
            side[:, :, neuroid, position]
            - np.mean([each[..., neuroid, position] for each in sides])
            for side in sides
        )
        mean, totals = ((a + b) / 2).mean(axis=0), []
        for values in ((a * b).mean(axis=0), ((a**2 + b**2) / 2).mean(axis=0)):
            again = sum((stimuli == i).sum() ** 2 * (values[i] - mean[i] ** 2) for i in range(25))
            totals.append(
                sum(values[i] for i in stimuli) - (sum(mean[i] for i in stimuli) ** 2 + again) / 25
            )
        return float(totals[0] / totals[1])

    for position in range(2):
        base = np.array([pooled(np.arange(25), neuroid, position) for neuroid in range(40)])
        samples = (
            np.array(
                [
                    [pooled(stimuli, neuroid, position) for neuroid in range(40)]
                    for _, stimuli in drawn
                ]
            )
            - base
            + r[:, position]
        )
        medians = [np.median(each) for each in samples]
        common = [np.mean(each - r[:, position]) for each in samples]
        own = [
            np.var([samples[k, neuroid] - r[neuroid, position] - common[k] for k in range(60)])
            for neuroid in range(40)
        ]
        share = np.sqrt(max(0.0, np.var(common) - np.mean(own) / 39) / np.var(common))
        curves = []
        for (neuroids, _), median in zip(drawn, medians, strict=True):
            values = [
                min(1.0, r[neuroid, position] + share * (median - np.mean(medians)))
                for neuroid in neuroids
            ]
            curves.append(np.median([correct(each) for each in values]))
        bounds = [float(found[name][position]) for name in ("curve_low", "curve_high")]
        np.testing.assert_allclose(bounds, np.quantile(curves, [0.025, 0.975]), rtol=0, atol=1e-10)
        low, high = (
            [correct(each) for each in side]
            for side in np.quantile(samples, [0.025, 0.975], axis=0)
        )
        np.testing.assert_allclose(
            found.reliability_low.values[:, position], low, rtol=0, atol=1e-10
        )
        np.testing.assert_allclose(
            found.reliability_high.values[:, position], high, rtol=0, atol=1e-10
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_halves": 0}, "n_halves must be at least 1; got 0"),
        ({"n_bootstraps": 0}, "n_bootstraps must be at least 1; got 0"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"interval": 95.0}, "interval must lie between 0 and 1; got 95.0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(NeurofitError, match=said):
        CeilingConfig(**options)


def test_what_the_interval_runs_over_is_kept(planted: Planted) -> None:
    made = planted(n_stimuli=40, n_repetitions=4, reliability=(0.5,))
    said = {"neuroids": "neuroids", "stimuli": "stimuli", "both": "neuroids and stimuli"}
    for over, words in said.items():
        found = ceiling(made, CeilingConfig(n_bootstraps=50, interval_over=over))
        assert found.curve.attrs["interval"] == f"95%, 50 bootstraps over {words}"
        assert ("reliability_low" in found) == (over != "neuroids")
        assert float(found.curve_low[0]) < float(found.curve[0]) < float(found.curve_high[0])
    with pytest.raises(
        NeurofitError, match=r"Unknown interval_over 'neuroid'\. Did you mean 'neuroids'"
    ):
        CeilingConfig(interval_over="neuroid")

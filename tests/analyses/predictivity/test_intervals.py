"""Intervals over neuroids, stimuli and both cover a planted truth as often as they say."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.encoding import reliability
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.targets import Targets
from neurofit.analyses.predictivity import score as score_module
from neurofit.analyses.predictivity import terms
from neurofit.analyses.predictivity.presets import PRESETS, make_config
from neurofit.analyses.predictivity.score import score
from neurofit.analyses.predictivity.terms import Predictivity
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.correlation import pearson
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.results.io import save_result

N_LATENTS = 3


def inputs(latents: np.ndarray, trials: np.ndarray) -> tuple[Activations, Recording]:
    """Wrap features (stimulus unit) and responses (repetition stimulus neuroid) of one time bin."""
    n_trials, n_stimuli, n_neuroids = trials.shape
    ids = np.array([f"s{i}" for i in range(n_stimuli)])
    responses = xr.DataArray(
        trials.reshape(-1, n_neuroids, 1).astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", np.tile(ids, n_trials)),
            "repetition": ("presentation", np.repeat(np.arange(n_trials), n_stimuli)),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(n_neuroids)]),
            "region": ("neuroid", ["IT"] * n_neuroids),
            "time_bin_start": ("time_bin", [0]),
            "time_bin_end": ("time_bin", [10]),
        },
    )
    images = np.zeros((n_stimuli, 2, 2, 3), np.uint8)
    stimuli = StimulusSet(
        name="s",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=images,
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    activations = Activations(
        model="m",
        stimulus_ids=ids,
        blocks={("layer", 0): latents.astype(np.float32)},
        first_timestep={"layer": 0},
        ms_per_timestep=10,
        n_timesteps=1,
        region_layers={"IT": ("layer",)},
    )
    return activations, Recording(name="r", responses=responses, stimuli=stimuli)


def run(
    *,
    data: int,
    share: np.ndarray,
    common: float = 0.0,
    n_stimuli: int = 300,
    n_trials: int = 8,
    preset: str = "nayebi2022",
    **changes: Any,
) -> xr.Dataset:
    """Score features that carry a share of each neuroid's variance.

    Of the rest, `common` is the same for all neuroids.
    """
    rng = np.random.default_rng(data)
    latents = rng.standard_normal((n_stimuli, N_LATENTS))
    weights = rng.standard_normal((N_LATENTS, len(share)))
    signal = latents @ (weights / np.linalg.norm(weights, axis=0))
    rest = np.sqrt(common) * rng.standard_normal((n_stimuli, 1)) + np.sqrt(
        1 - common
    ) * rng.standard_normal(signal.shape)
    rates = np.sqrt(share) * signal + np.sqrt(1 - share) * rest
    trials = rates + rng.standard_normal((n_trials, *rates.shape))
    options = {
        "mapping": "ridge",
        "n_splits": 6,
        "n_halves": 3,
        "n_bootstraps": 200,
        "interval": 0.9,
        **changes,
    }
    return score(*inputs(latents, trials), make_config(preset, **options))


def covers(result: xr.Dataset, truth: float) -> bool:
    return bool(result.curve_low.values[0, 0] <= truth <= result.curve_high.values[0, 0])


SHARES = np.random.default_rng(1).uniform(0.3, 0.9, 30)


@pytest.mark.simulation
def test_the_interval_over_stimuli_covers_the_score_of_these_neuroids_on_other_stimuli() -> None:
    truth = float(np.median(np.sqrt(SHARES)))
    covered = [
        covers(run(data=data, share=SHARES, common=0.7, interval_over="stimuli"), truth)
        for data in range(100)
    ]
    assert 0.83 <= np.mean(covered) <= 0.97  # 0.90 with a standard error of 0.03


@pytest.mark.simulation
def test_the_interval_over_both_covers_where_that_over_neuroids_alone_is_too_narrow() -> None:
    both, alone = [], []
    for data in range(100):
        share = np.random.default_rng(3000 + data).uniform(
            0.45, 0.75, 30
        )  # neuroids that differ little and miss the same thing
        truth = float(np.sqrt(0.6))
        both.append(covers(run(data=data, share=share, common=0.9, interval_over="both"), truth))
        alone.append(
            covers(run(data=data, share=share, common=0.9, interval_over="neuroids"), truth)
        )
    assert 0.83 <= np.mean(both) <= 0.98
    assert np.mean(alone) < 0.75


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_presets_interval_holds_its_curve_and_is_widest_over_both(preset: str) -> None:
    width = {}
    for over in ("neuroids", "stimuli", "both"):
        result = run(data=0, share=SHARES, n_stimuli=120, preset=preset, interval_over=over)
        low, curve, high = (
            float(result[name][0, 0]) for name in ("curve_low", "curve", "curve_high")
        )
        assert low < curve < high
        width[over] = high - low
    assert width["both"] > max(width["neuroids"], width["stimuli"])


INFLUENCES = {"influence_on_r_xy", "influence_on_r_xx", "influence_on_r_yy"}


def test_what_is_resampled_is_stated_and_influences_are_stored() -> None:
    default = run(data=0, share=SHARES, n_stimuli=60)
    neuroids = run(data=0, share=SHARES, n_stimuli=60, interval_over="neuroids")
    stimuli = run(data=0, share=SHARES, n_stimuli=60, interval_over="stimuli")
    said = {"neuroids and stimuli": default, "neuroids": neuroids, "stimuli": stimuli}
    for words, result in said.items():
        assert result.curve.attrs["interval"] == f"90%, 200 bootstraps over {words}"
        assert {n for n in map(str, result.data_vars) if n.startswith("influence")} == INFLUENCES
        np.testing.assert_array_equal(result.curve.values, default.curve.values)
    for name in INFLUENCES:
        np.testing.assert_array_equal(neuroids[name].values, default[name].values)
    assert "influences" not in default.attrs


def test_influences_above_the_limit_are_not_stored_and_the_numbers_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for over in ("neuroids", "both"):
        stored = run(data=0, share=SHARES, n_stimuli=60, n_splits=2, interval_over=over)
        with monkeypatch.context() as patch:
            patch.setattr(score_module, "MAX_INFLUENCE_BYTES", 4 * 3 * 60 * len(SHARES) - 1)
            left_out = run(data=0, share=SHARES, n_stimuli=60, n_splits=2, interval_over=over)
        assert set(stored.data_vars) - set(left_out.data_vars) == INFLUENCES
        assert left_out.attrs["influences"] == "not stored: they would take 0 MB"
        xr.testing.assert_equal(stored.drop_vars(INFLUENCES), left_out)


@pytest.mark.parametrize("average", ["terms", "correlations", "ratios"])
def test_an_influence_is_the_derivative_of_the_mean_to_the_weight_of_a_stimulus(
    average: str,
) -> None:
    n, n_halves, n_neuroids, often = 12, 3, 2, 400
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((1, 1, n, n_neuroids))
    sets, predicted = (
        signal + 0.7 * rng.standard_normal((2, 1 + 2 * n_halves, 1, n, n_neuroids))
    ).astype(float)

    features, trials = (
        np.random.default_rng(1).standard_normal((*s, n_neuroids)) for s in ((40,), (4, 40))
    )
    options = {"n_splits": 1, "n_halves": n_halves, "average": average}
    fitting = Fitting(*inputs(features, trials), make_config("nayebi2022", **options))
    assert (fitting.n_rows, len(fitting.tests), fitting.shape) == (1, 1, (n_neuroids, 1))

    def resample(rows: np.ndarray) -> Predictivity:
        """Return the statistics of a sample of the stimuli."""
        made = Predictivity.empty(fitting, n_stimuli=len(rows), average=average)
        shown, all_rows = sets[:, :, rows], np.ones(len(rows), dtype=bool)
        targets = Targets(
            neuroids=np.arange(n_neuroids),
            stimuli=np.arange(len(rows)),
            halves=np.arange(n_halves),
            first=True,
            sets=shown,
            r_yy=pearson(*np.split(shown[1:], 2)).swapaxes(1, 2)[None],
            shares=np.broadcast_to(
                np.array([1 / 2, 1 / 2, 1 / 4])[:, None, None, None], (3, n_halves, n_neuroids, 1)
            ),
            ceiling_tests=all_rows[None],
            mirrored=False,
        )
        made.add(0, 0, np.array([0]), targets, predicted[:, :, rows], all_rows)
        return made

    def means(made: Predictivity) -> dict[str, Any]:
        of_average = {"terms": made.corrected, "correlations": made.raw, "ratios": made.ratios}
        return {"r_xy": made.mean_xy, average: of_average[average]}

    once, every = resample(np.arange(n)), np.repeat(np.arange(n), often)
    for stimulus in (0, 5):
        more = means(resample(np.append(every, stimulus)))  # its weight is 1 + 1 / often
        for name, mean in means(once).items():
            change = (more[name].value - mean.value) * often
            np.testing.assert_allclose(
                mean.mean_influence()[0, stimulus], change[0], rtol=0.02, atol=1e-4
            )


def test_more_halves_than_are_kept_count_in_the_means(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    every = run(data=0, share=SHARES, n_stimuli=60, n_halves=8)
    for module in (terms, reliability):
        monkeypatch.setattr(module, "MAX_STORED_HALVES", 3)
    some = run(data=0, share=SHARES, n_stimuli=60, n_halves=8)
    assert (every.sizes["half"], some.sizes["half"]) == (8, 3)
    np.testing.assert_array_equal(some.r_xx.values, every.r_xx.values[:, :, :3])
    np.testing.assert_array_equal(some.curve.values, every.curve.values)
    means = (
        spearman_brown(every.r_xx.values.mean(axis=(1, 2))),
        spearman_brown(every.r_yy.values.mean(axis=(0, 1))),
    )
    np.testing.assert_allclose(
        some.noise_corrected_r.values,
        every.r_xy.mean("split").values / np.sqrt(means[0] * means[1]),
        rtol=1e-12,
    )
    save_result(some, tmp_path / "result.nc")


def test_models_are_scored_on_the_same_halves_and_splits_and_it_can_be_seen() -> None:
    first, other, seeded = (
        run(data=data, share=SHARES, n_stimuli=60, seed=seed).attrs
        for data, seed in ((0, 0), (1, 0), (0, 1))
    )
    for name in ("splits_sha256", "halves_sha256"):
        assert first[name] == other[name] != seeded[name]

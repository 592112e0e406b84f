"""Maps between animals, and a model among them: planted shares of signal, and verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.cross_decomposition import PLSRegression

import neurofit
from neurofit.analyses.encoding.splits import draw_splits, draw_trials
from neurofit.analyses.recorded.animals import AnimalsConfig, animals, read_animals
from neurofit.analyses.recorded.areas import AreasConfig, areas
from neurofit.analyses.recorded.turing import TuringConfig, turing
from neurofit.analyses.recorded.units import noise_ratios, sample_units
from neurofit.errors import NeurofitError
from neurofit.mapping import PLSMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.selection import where

FEW: dict[str, Any] = {"n_splits": 3, "n_halves": 2}
TWO = ((70, 80), (80, 90))


def verdicts(result: xr.Dataset, role: str) -> list[str]:
    flags = result[f"verdict_as_{role}"]
    return [str(flags.attrs["flag_meanings"]).split()[flag] for flag in flags.values[0]]


def test_the_share_of_signal_that_animals_share_is_recovered(planting: Any) -> None:
    plan = planting.Animals(n_animals=3, private=(0.3, 0.3), n_stimuli=400, noise=0.5)
    result = animals(plan.draw(0)[1], AnimalsConfig(**FEW))
    truth = np.sqrt(0.7)
    assert result.curve.values == pytest.approx(truth, abs=0.04)
    assert result.inter_animal.values == pytest.approx(truth, abs=0.07)
    assert result.pooled.values == pytest.approx(truth, abs=0.06)
    assert result.curve_high.values - result.curve_low.values == pytest.approx(0.04, abs=0.03)
    assert result.animals.values.tolist()[:2] == ["animal 1 to animal 2", "animal 1 to animal 3"]
    pairs = result.inter_animal.values.reshape(3, 2, -1)
    assert result.curve.values == pytest.approx(pairs.mean(axis=(0, 1)))


def test_noise_of_either_animal_is_taken_out(planting: Any) -> None:
    plan = planting.Animals(n_animals=2, private=(0.3, 0.3), n_stimuli=400)
    scores = [
        animals(replace(plan, noise=noise).draw(0)[1], AnimalsConfig(**FEW)).curve.values
        for noise in (0.1, 0.8)
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.04)


def test_a_pair_of_animals_is_a_pair_of_areas_at_lag_0(planting: Any) -> None:
    recording = planting.Animals(n_animals=3).draw(0)[1]
    result = animals(recording, AnimalsConfig(**FEW))
    first, second = (where(recording, subject=f"animal {n}") for n in (1, 2))
    between = areas(first, second, AreasConfig(max_lag=0, **FEW))
    own = result.inter_animal.sel(animals="animal 1 to animal 2")
    np.testing.assert_allclose(own, np.diag(between.lag_map), atol=1e-12)
    for end in ("low", "high"):
        named = result[f"inter_animal_{end}"].sel(animals="animal 1 to animal 2")
        np.testing.assert_allclose(named, np.diag(between[f"lag_map_{end}"]), atol=1e-12)
    others = replace(
        recording,
        responses=recording.responses.isel(
            neuroid=recording.responses.subject.values != "animal 2"
        ),
    )
    joined = areas(others, second, AreasConfig(max_lag=0, **FEW))
    pooled = result.pooled.sel(subject="animal 2")
    np.testing.assert_allclose(pooled, np.diag(joined.lag_map), atol=1e-9)


def test_a_model_that_turns_unrelated_is_below_the_animals_from_then_on(planting: Any) -> None:
    plan = planting.ANIMALS["alike early, unrelated late, among 5"][0]
    activations, recording = plan.draw(1)
    result = turing(activations, recording, TuringConfig(windows=TWO, **FEW))
    for role in ("source", "target"):
        assert verdicts(result, role) == ["within", "below"]
        score = result[f"as_{role}"].values[0]
        assert score[1] == pytest.approx(0, abs=0.1)
        assert score[0] > 0.5
        assert (result[f"{role}_difference"].values[0][:, 1] < -0.3).all()
        assert (result[f"{role}_difference_p"].values[0][:, 1] < 0.001).all()
    early, late = json.loads(result.attrs["conclusion"])
    assert early.startswith(
        "a in 70-80 ms: within the interval of one more animal as a source (r ="
    )
    assert "below the interval of one more animal as a target" in late


def test_the_animals_of_a_turing_test_are_those_of_animals(planting: Any) -> None:
    activations, recording = planting.Animals(n_animals=3).draw(0)
    own = turing(activations, recording, TuringConfig(windows=TWO, **FEW))
    alone = animals(recording, AnimalsConfig(**FEW))
    np.testing.assert_array_equal(own.inter_animal, alone.inter_animal)
    np.testing.assert_array_equal(own.curve, alone.curve)
    np.testing.assert_allclose(own.animals_as_source.values[0], alone.curve)
    np.testing.assert_allclose(own.as_source.values[0], own.model_to_animal.values[0].mean(axis=0))
    np.testing.assert_allclose(own.as_target.values[0], own.animal_to_model.values[0].mean(axis=0))
    less = own.model_to_animal.values[0][0] - own.inter_animal.values[[2, 4]].mean(axis=0)
    np.testing.assert_allclose(own.source_difference.values[0][0], less)
    less = own.animal_to_model.values[0][0] - own.inter_animal.values[:2].mean(axis=0)
    np.testing.assert_allclose(own.target_difference.values[0][0], less)


def test_two_animals_show_no_spread_and_it_is_said(planting: Any) -> None:
    activations, recording = planting.Animals(n_animals=2, model=((1.0, 1.0),) * 2).draw(0)
    result = turing(activations, recording, TuringConfig(windows=TWO, **FEW))
    assert verdicts(result, "source") == verdicts(result, "target") == ["cannot_be_told"] * 2
    assert np.isnan(result.as_source_low.values).all()
    assert "2 animals have no spread that a model could lie within" in result.attrs["notes"]
    assert "a in 70-80 ms: cannot be told as a source" in json.loads(result.attrs["conclusion"])[0]
    assert (result.source_difference_p.values < 0.01).all(), "each animal still shows its own"


def test_units_are_as_noisy_as_the_neuroids(planting: Any) -> None:
    activations, recording = planting.Animals(n_animals=2, n_stimuli=400).draw(0)
    config = TuringConfig(n_halves=3)
    members = read_animals(recording, config)
    made = sample_units(
        activations,
        "a",
        recording.time_bins,
        members,
        n_units=20,
        n_halves=3,
        trial_noise=True,
        seed=0,
    )
    recorded = np.concatenate([noise_ratios(each) for each in members])
    assert np.median(noise_ratios(made)) == pytest.approx(np.median(recorded), rel=0.15)
    assert np.median(recorded) == pytest.approx(2 / 8, rel=0.2), "two halves of 8 trials"
    first, second = made.halves[:2, 0, 0], made.halves[:2, 1, 0]
    np.testing.assert_allclose(first[0] + second[0], first[1] + second[1], rtol=1e-4, atol=1e-4)
    assert np.abs(first[0] - first[1]).max() > 0.1, "each halving deals the trials anew"
    few = sample_units(
        activations,
        "a",
        recording.time_bins,
        members,
        n_units=5,
        n_halves=3,
        trial_noise=False,
        seed=0,
    )
    assert few.halves.shape[-1] == 5
    assert (few.halves[0, 0] == few.halves[2, 1]).all()
    values = activations.blocks["a", 7]
    assert all((few.halves[0, 0, 0][:, [n]] == values).all(axis=0).any() for n in range(5))


def test_a_model_without_noise_can_be_predicted(planting: Any) -> None:
    activations, recording = planting.Animals(n_animals=3, model=((0.0, 0.0),) * 2).draw(0)
    config = TuringConfig(windows=TWO, trial_noise=False, n_units=12, **FEW)
    result = turing(activations, recording, config)
    assert (result.animal_to_model.values > 0.8).all()
    assert "12 random units of each layer" in result.attrs["notes"]


def test_recordings_without_animals_are_refused(planting: Any) -> None:
    recording = planting.Animals(n_animals=2).draw(0)[1]
    plain = replace(recording, responses=recording.responses.drop_vars("subject"))
    with pytest.raises(NeurofitError, match="planted does not name any"):
        animals(plain)
    with pytest.raises(NeurofitError, match="all of planted are of 'animal 1'"):
        animals(where(recording, subject="animal 1"))
    two = recording.responses.assign_coords(region=("neuroid", ["V4", "IT"] * 20))
    with pytest.raises(NeurofitError, match="are about one area; planted has IT, V4"):
        animals(replace(recording, responses=two))


def test_animals_that_saw_stimuli_in_other_trials_are_mapped(planting: Any) -> None:
    """Presentations of one animal lack the neuroids of the other, as in joined recordings."""
    recording = planting.Animals(n_animals=2).draw(0)[1]
    parts = []
    for n in (1, 2):
        responses = recording.responses.copy(deep=True)
        responses.values[:, recording.responses.subject.values == f"animal {n}"] = np.nan
        parts.append(responses)
    joined = replace(recording, responses=xr.concat(parts, dim="presentation"))
    apart, together = (animals(each, AnimalsConfig(**FEW)) for each in (joined, recording))
    assert apart.curve.values == pytest.approx(together.curve.values, abs=0.05)


def test_the_numbers_do_not_depend_on_the_number_of_cores(planting: Any) -> None:
    activations, recording = planting.Animals(n_animals=2).draw(0)
    one, two = (
        turing(
            activations,
            recording,
            TuringConfig(windows=TWO, **FEW),
            compute=neurofit.Compute(n_jobs=jobs),
        )
        for jobs in (1, 2)
    )
    xr.testing.assert_identical(one, two)


def test_the_commands_write_tables_pictures_and_reports(
    neurofit: Any, with_objects: Recording, tmp_path: Path
) -> None:
    few = ["--n-halves", "1", "--n-splits", "2", "--n-jobs", "1", "--min-z", "0"]
    base = ["--recording", "small", "--region", "V4", *few]
    for name, more in (
        ("animals", []),
        ("turing", ["--model", "timedecay_tiny", "--windows", "70:90"]),
    ):
        code, out, err = neurofit("analyse", name, *base, *more, "--out", str(tmp_path / name))
        assert code == 0, err
        assert "A (3 neuroids), B (3 neuroids): intervals are for these animals" in out
        assert (tmp_path / name / "plot.png").is_file()
        code, out, err = neurofit("report", str(tmp_path / name), "--out", str(tmp_path / "page"))
        assert code == 0, err


def test_the_preset_mouse_equals_its_authors_formula(planting: Any) -> None:
    """Full maps, and the halves' own, with scikit-learn's PLS, as get_linregress_consistency."""
    plan = planting.Animals(n_animals=2, model=((0.1, 0.6),), n_neuroids=6, noise=0.3)
    recording = plan.draw(0)[1]
    options: dict[str, Any] = {"mapping": PLSMapping(n_components=3), "n_splits": 2, "n_halves": 2}
    config = AnimalsConfig.from_options(preset="mouse", **options)
    assert (config.train_size, config.splits, config.stratified) == (0.5, "random", False)
    result = animals(recording, config)
    trials, train = draw_trials(recording, config), draw_splits(recording, config).train
    sets = trials.means(recording.block(0))  # all, first halves, second halves
    first = recording.responses.subject.values == "animal 1"

    def predict(at: int, inside: np.ndarray) -> np.ndarray:
        model = PLSRegression(3, scale=False, tol=1e-20, max_iter=100_000)
        x, y = sets[at][:, first], sets[at][:, ~first]
        return np.asarray(model.fit(x[inside], y[inside]).predict(x[~inside]))

    def correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array(
            [np.corrcoef(one, other)[0, 1] for one, other in zip(a.T, b.T, strict=True)]
        )

    ratios = []
    for inside in train:
        r_xy = correlate(predict(0, inside), sets[0][~inside][:, ~first])
        for half in (1, 2):
            r_xx = correlate(predict(half, inside), predict(2 + half, inside))
            y1, y2 = (sets[at][~inside][:, ~first] for at in (half, 2 + half))
            r_yy = correlate(y1, y2)
            ratios.append(r_xy / np.sqrt(2 * r_xx / (1 + r_xx) * 2 * r_yy / (1 + r_yy)))
    assert np.isfinite(ratios).all()
    expected = np.median(np.mean(ratios, axis=0))
    assert result.inter_animal.sel(animals="animal 1 to animal 2").item() == pytest.approx(
        expected, abs=1e-5
    )
    assert result.pooled.sel(subject="animal 2").item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.simulation
@pytest.mark.parametrize("name", ["one more of 4", "alike early, unrelated late, among 5"])
def test_verdicts_are_right(planting: Any, name: str) -> None:
    plan, right = planting.ANIMALS[name]
    found = planting.summarise_turing(right, [planting.one_turing_test(plan, n) for n in range(12)])
    for role in ("source", "target"):
        assert np.mean(found[role]["right"]) > 0.8  # .95 with a standard error of about .05

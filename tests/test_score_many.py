"""Several mappings and all layers at once: the numbers of one at a time, from one pass over the features and the trials."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.assemblies import Recording
from neurofit.errors import NeurofitError
from neurofit.extract import Activations
from neurofit.mapping import RidgeMapping, gram_of
from neurofit.metrics import TrialSets
from neurofit.presets import ScoreConfig, make_config
from neurofit.result import layer_rows
from neurofit.score import estimate, score, score_many

Make = Callable[..., Recording]
LAYERS = ("a", "b", "c")


@pytest.fixture
def scored(make_recording: Make) -> tuple[Activations, Recording]:
    """Return three layers, of which the second carries the responses."""
    recording = make_recording(n_stimuli=60, n_repetitions=6, n_neuroids=5, n_bins=2, regions=("IT",))
    rng = np.random.default_rng(0)
    blocks = {(layer, step): rng.standard_normal((60, 7)).astype(np.float32) for layer in LAYERS for step in (7, 8)}
    responses = recording.responses.copy(deep=True)
    for b, step in enumerate((7, 8)):
        responses.values[:, :, b] += 3 * (blocks["b", step] @ rng.standard_normal((7, 5)))[recording.stimulus_rows]
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep=dict.fromkeys(LAYERS, 7),
        ms_per_timestep=10,
        n_timesteps=9,
        region_layers={"IT": ("a",)},
    )
    return activations, Recording(name="r", responses=responses, stimuli=recording.stimuli)


def config(**changes: Any) -> ScoreConfig:
    return make_config("nayebi2022", region="IT", **{"n_components": 3, "n_splits": 4, "n_halves": 2, "n_bootstraps": 20, **changes})


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_mappings_scored_together_equal_each_alone_to_the_bit(scored: tuple[Activations, Recording], time_mode: str) -> None:
    configs = [config(mapping=mapping, layers="all", time_mode=time_mode) for mapping in ("ridge", "pls")]
    for result, alone in zip(score_many(*scored, configs), configs, strict=True):
        xr.testing.assert_identical(result, score(*scored, alone))


def test_every_layers_row_equals_the_layer_alone(scored: tuple[Activations, Recording]) -> None:
    together = score(*scored, config(layers="all"))
    assert together.layer.values.tolist() == list(LAYERS)
    for layer in LAYERS:
        alone = score(*scored, config(layers=(layer,)))
        for name in ("curve", "curve_low", "r_xy", "r_xx", "reason"):
            np.testing.assert_array_equal(together[name].sel(layer=layer).values, alone[name].values[0])


def test_the_table_says_which_layer_held_out_stimuli_choose(scored: tuple[Activations, Recording]) -> None:
    result = score(*scored, config(layers="all", mapping="ridge"))
    rows = {row["layer"]: row for row in layer_rows(result)}
    assert {layer: row["chosen"] for layer, row in rows.items()} == {"a": 0, "b": 4, "c": 0}
    b = result.sel(layer="b")
    best = int(np.argmax(b.curve.values))
    assert (rows["b"]["best"], rows["b"]["start"]) == (float(b.curve[best]), 70 + 10 * best)
    assert rows["b"]["score"] == pytest.approx(float(b.curve.mean()))
    assert layer_rows(score(*scored, config(layers=("b",))))[0]["chosen"] is None


def test_grams_and_trial_means_are_computed_once_for_all_mappings(
    scored: tuple[Activations, Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"grams": 0, "means": 0}
    means = TrialSets.means

    def count_gram(*arguments: Any, **options: Any) -> Any:
        made["grams"] += 1
        return gram_of(*arguments, **options)

    def count_means(*arguments: Any, **options: Any) -> Any:
        made["means"] += 1
        return means(*arguments, **options)

    monkeypatch.setattr(import_module("neurofit.grams"), "gram_of", count_gram)
    monkeypatch.setattr(TrialSets, "means", count_means)
    score_many(*scored, [config(mapping=mapping, layers="all") for mapping in ("ridge", "pls")])
    assert made == {"grams": 2 * len(LAYERS), "means": 2}


def test_configurations_that_differ_in_more_than_the_mapping_are_refused(scored: tuple[Activations, Recording]) -> None:
    with pytest.raises(NeurofitError, match=r"differ in the mapping only .* these differ in n_halves, seed"):
        score_many(*scored, [config(), config(mapping="ridge", seed=1, n_halves=3)])


def test_folds_cannot_take_a_layer_each(scored: tuple[Activations, Recording]) -> None:
    activations, recording = scored
    two = Activations(**{**vars(activations), "region_layers": {"IT": ("a", "b")}})
    with pytest.raises(NeurofitError, match=r'one layer must make them: name it \(a, b\) or ask for "all"'):
        score(two, recording, make_config("kar2019", region="IT"))
    result = score(two, recording, make_config("kar2019", region="IT", layers="all", mapping="ridge", n_halves=2, n_splits=5))
    assert {row["layer"]: row["chosen"] for row in layer_rows(result)} == {"a": 0, "b": 5, "c": 0}
    assert result.sizes["split"] == 1


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_ridge_predicts_a_second_half_from_the_first_where_trials_are_even(
    scored: tuple[Activations, Recording], time_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    fit = RidgeMapping.cross_predict

    def count(self: RidgeMapping, gram: Any, targets: np.ndarray, *arguments: Any, **options: Any) -> Any:
        asked.append(len(targets))
        return fit(self, gram, targets, *arguments, **options)

    monkeypatch.setattr(RidgeMapping, "cross_predict", count)
    options = config(mapping="ridge", layers=("b",), time_mode=time_mode, n_halves=5)
    fast = score(*scored, options)
    monkeypatch.setattr(RidgeMapping, "linear", False)
    plain = score(*scored, options)
    assert set(asked[: len(asked) // 2]) == {1 + 5}
    assert set(asked[len(asked) // 2 :]) == {1 + 2 * 5}
    np.testing.assert_allclose(fast.r_xx.values, plain.r_xx.values, atol=1e-10)


def test_an_estimate_grows_with_the_work(scored: tuple[Activations, Recording]) -> None:
    _, recording = scored
    config = make_config("nayebi2022", region="IT")
    one = estimate({"a": 900}, recording, [config], n_timesteps=3)
    two = estimate({"a": 900, "b": 900}, recording, [config], n_timesteps=3)
    both = estimate({"a": 900}, recording, [config, replace(config, mapping="ridge")], n_timesteps=3)
    more = estimate({"a": 900}, recording, [replace(config, n_halves=20)], n_timesteps=3)
    assert two.flops == 2 * one.flops
    assert two.n_fits == both.n_fits == 2 * one.n_fits
    assert both.flops > one.flops
    assert more.flops > 1.5 * one.flops
    assert 0 < one.seconds < 60

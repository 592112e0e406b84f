"""Several mappings and layers at once: the numbers of each alone, from one pass over the data."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.activations import grams
from neurofit.activations.activations import Activations
from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.score import score
from neurofit.config.compute import Compute
from neurofit.errors import NeurofitError
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import TrialSets
from neurofit.results.tables import result_tables

Make = Callable[..., Recording]
LAYERS = ("a", "b", "c")


@pytest.fixture
def scored(make_recording: Make) -> tuple[Activations, Recording]:
    """Return three layers, of which the second carries the responses."""
    recording = make_recording(
        n_stimuli=60, n_repetitions=6, n_neuroids=5, n_bins=2, regions=("IT",)
    )
    rng = np.random.default_rng(0)
    blocks = {
        (layer, step): rng.standard_normal((60, 7)).astype(np.float32)
        for layer in LAYERS
        for step in (7, 8)
    }
    responses = recording.responses.copy(deep=True)
    for b, step in enumerate((7, 8)):
        responses.values[:, :, b] += (
            3 * (blocks["b", step] @ rng.standard_normal((7, 5)))[recording.stimulus_rows]
        )
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


PLS = PLSMapping(n_components=3, convergence="sklearn")


def config(**changes: Any) -> ScoreConfig:
    options = {"mapping": PLS, "n_splits": 4, "n_halves": 2, "n_bootstraps": 20, **changes}
    return make_config("nayebi2022", **options)


def chosen(result: xr.Dataset) -> dict[str, int]:
    """Return how many splits choose each layer."""
    choice = result.layer_choice.values.tolist()
    return {layer: choice.count(layer) for layer in LAYERS}


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_mappings_scored_together_equal_each_alone_to_the_bit(
    scored: tuple[Activations, Recording], time_mode: str
) -> None:
    options = {"layers": "all", "time_mode": time_mode}
    result = score(*scored, config(mapping=("ridge", PLS), **options))
    assert result.mapping.values.tolist() == ["ridge", "pls"]
    for key, mapping in (("ridge", "ridge"), ("pls", PLS)):
        alone = score(*scored, config(mapping=mapping, **options))
        assert list(alone.data_vars) == list(result.data_vars)
        of_mapping = result.sel(mapping=key, drop=True)
        for name in alone.data_vars:
            xr.testing.assert_identical(of_mapping[name], alone[name])


def test_only_what_a_mapping_changes_has_the_dimension_of_mappings(
    scored: tuple[Activations, Recording],
) -> None:
    result = score(*scored, config(mapping=("ridge", PLS), layers="all"))
    for name, variable in result.data_vars.items():
        own = "layer" in variable.dims or name == "layer_choice"
        assert ("mapping" in variable.dims) == own, name
    assert result.curve.dims == ("mapping", "layer", "time_bin")
    assert [each["name"] for each in json.loads(result.attrs["config"])["mapping"]] == [
        "ridge",
        "pls",
    ]
    assert set(json.loads(result.attrs["plan"])) == {"ridge", "pls"}


def test_each_mapping_chooses_its_own_layer(scored: tuple[Activations, Recording]) -> None:
    activations, recording = scored
    several = replace(activations, region_layers={"IT": LAYERS})
    result = score(several, recording, config(mapping=("ridge", PLS)))
    assert result.layer.values.tolist() == ["b"]
    assert (result.layer_choice.values == "b").all()
    assert result.layer_choice.dims == ("mapping", "split")
    assert (
        "Layer that held-out training stimuli choose: ridge: b in all 4 splits; pls: b in all 4 "
        "splits." in json.loads(result.attrs["notes"])
    )


def test_every_layers_row_equals_the_layer_alone(scored: tuple[Activations, Recording]) -> None:
    together = score(*scored, config(layers="all"))
    assert together.layer.values.tolist() == list(LAYERS)
    for layer in LAYERS:
        alone = score(*scored, config(layers=(layer,)))
        for name in ("curve", "curve_low", "r_xy", "r_xx", "reason"):
            np.testing.assert_array_equal(
                together[name].sel(layer=layer).values, alone[name].values[0]
            )


def test_a_result_says_which_layer_held_out_stimuli_choose(
    scored: tuple[Activations, Recording],
) -> None:
    result = score(*scored, config(layers="all", mapping="ridge"))
    assert chosen(result) == {"a": 0, "b": 4, "c": 0}
    notes = json.loads(result.attrs["notes"])
    assert "Layer that held-out training stimuli choose: b in all 4 splits." in notes
    assert "layer_choice" not in score(*scored, config(layers=("b",)))


def test_a_table_of_many_layers_says_which_bin_is_the_best_of_each(
    scored: tuple[Activations, Recording],
) -> None:
    result = score(*scored, config(layers="all", mapping=("ridge", PLS)))
    ((_, table),) = result_tables(result)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    rows = list(zip(cells["mapping"], cells["layer"], strict=True))
    assert rows == [(mapping, layer) for mapping in ("ridge", "pls") for layer in LAYERS]
    for row, (mapping, layer) in enumerate(rows):
        curve = result.curve.sel(mapping=mapping, layer=layer).values
        finite = np.isfinite(curve)
        assert cells["n"][row] == str(finite.sum())
        if finite.any():
            best = int(np.nanargmax(curve))
            assert cells["best"][row] == f"{curve[best]:.2f}"
            assert cells["ms"][row] == f"{70 + 10 * best}-{80 + 10 * best}"
            assert cells["mean\nscore"][row] == f"{np.nanmean(curve):.2f}"
    b = result.curve.sel(layer="b").values
    assert np.isfinite(b).all()


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

    monkeypatch.setattr(grams, "gram_of", count_gram)
    monkeypatch.setattr(TrialSets, "means", count_means)
    score(*scored, config(mapping=("ridge", PLS), layers="all"))
    # Trial means of each bin twice: to rank neuroids on training stimuli in all bins, and to fit.
    assert made == {"grams": 2 * len(LAYERS), "means": 2 * 2}
    made.update(grams=0, means=0)
    options = {"formula": "explained_variance", "fit_halves": False}  # nothing is pooled
    score(*scored, config(mapping=("ridge", PLS), layers="all", **options))
    assert made == {"grams": 2 * len(LAYERS), "means": 2}


def test_folds_take_a_layer_each_unless_they_are_correlated_together(
    scored: tuple[Activations, Recording],
) -> None:
    activations, recording = scored
    two = Activations(**{**vars(activations), "region_layers": {"IT": ("a", "b")}})
    options = {"mapping": "ridge", "n_halves": 2, "n_splits": 5}
    result = score(two, recording, make_config("kar2019", **options))
    assert chosen(result) == {"a": 0, "b": 5, "c": 0}
    assert result.sizes["split"] == 5
    assert result.layer_choice.dims == ("split",)
    assert result.layer.values.tolist() == ["b"]

    options["splits"] = "folds-together"
    with pytest.raises(
        NeurofitError, match=r'one layer must make them: name it \(a, b\) or use "all"'
    ):
        score(two, recording, make_config("kar2019", **options))
    result = score(two, recording, make_config("kar2019", layers="all", **options))
    assert chosen(result) == {"a": 0, "b": 5, "c": 0}
    assert result.sizes["split"] == 1
    assert result.layer_choice.dims == ("fold",)


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_ridge_predicts_a_second_half_from_the_first_where_trials_are_even(
    scored: tuple[Activations, Recording], time_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    fit = RidgeMapping.cross_predict

    def count(
        self: RidgeMapping, gram: Any, targets: np.ndarray, *arguments: Any, **options: Any
    ) -> Any:
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
    options, compute = make_config("nayebi2022"), Compute(n_jobs=1)
    one = estimate_cost(recording, options, {"a": 900}, compute)
    two = estimate_cost(recording, options, {"a": 900, "b": 900}, compute)
    both = estimate_cost(recording, replace(options, mapping=("pls", "ridge")), {"a": 900}, compute)
    more = estimate_cost(recording, replace(options, n_halves=20), {"a": 900}, compute)
    assert one.n_fits == 2 * 10 * (1 + 2 * 10)  # time bins, splits, means of trials
    assert two.n_fits == both.n_fits == 2 * one.n_fits
    assert more.n_fits > 1.5 * one.n_fits
    assert 0 < one.n_bytes < two.n_bytes < 2 * one.n_bytes
    assert one.n_bytes < more.n_bytes < 10**9
    at_once = estimate_cost(recording, options, {"a": 900}, Compute(n_jobs=2))
    assert at_once.n_bytes > one.n_bytes

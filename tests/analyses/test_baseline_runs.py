"""A run with baselines yields the model's result and one for each baseline, each repeatable."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit import (
    RunConfig,
    ScoreConfig,
    Selection,
    SimilarityConfig,
    create_model,
    run,
    run_each,
    verify,
)
from neurofit.activations.baselines import BASELINES
from neurofit.analyses.repeat import command_of, run_config_of
from neurofit.errors import NeurofitError, NeurofitWarning

CONFIG = RunConfig(
    model="timedecay_tiny",
    recording="small",
    selection=Selection(region="IT"),
    analysis=ScoreConfig(n_splits=2, n_halves=2, min_z=0.0),
)


@pytest.fixture
def found(registered: Any) -> dict[str, xr.Dataset]:
    """Score a model with its baselines; control -> result."""
    return {each.attrs["control"]: each for each in run_each(replace(CONFIG, baselines=True))}


def test_each_baseline_is_a_result_of_its_own(found: dict[str, xr.Dataset]) -> None:
    assert list(found) == ["", *BASELINES]
    alone = run(CONFIG)
    xr.testing.assert_equal(found[""], alone)  # more layers pass through the model, none is scored
    for each in found.values():
        assert each.layer.values.tolist() == ["conv5"]
        assert each.attrs["splits_sha256"] == alone.attrs["splits_sha256"]
        assert "influence_of_pairs" in each
        assert command_of(run_config_of(each)) == (
            "neurofit score --model timedecay_tiny --recording small --baselines --region IT "
            "--n-splits 2 --n-halves 2 --min-z 0.0"
        )
    steps = json.loads(found["last-step"].attrs["activations"])["steps"]
    assert list(steps) == ["conv5"]
    spread = json.loads(found["layers-over-time"].attrs["activations"])["layers_ms"]["conv5"]
    assert next(iter(spread)) == "conv1"


def test_shuffled_is_the_control_of_shuffled_stimuli(found: dict[str, xr.Dataset]) -> None:
    control = run(replace(CONFIG, shuffle_stimuli=True))
    for name in ("curve", "r_xy", "r_xx"):
        xr.testing.assert_allclose(found["shuffled"][name], control[name], rtol=1e-9)


@pytest.mark.parametrize("name", ["", "last-step", "layers-over-time"])
def test_a_baseline_is_verified_like_any_result(found: dict[str, xr.Dataset], name: str) -> None:
    assert verify(found[name]).verdict == "equal to the bit"
    posed = found[name].assign_attrs(control="" if name else "shuffled")
    assert verify(posed).verdict == "different"


def test_time_bins_after_the_image_do_not_change_its_last_step(registered: Any) -> None:
    late = replace(CONFIG, baselines=True, selection=Selection(region="IT", window=(100, 110)))
    _, last, _, depth, _ = run_each(late)
    steps = json.loads(last.attrs["activations"])["steps"]
    first = create_model("timedecay_tiny").first_timestep["conv5"]
    assert steps == {"conv5": first + 9}  # 10 steps of image
    # The only bin has conv1, which sees a blank from step 10 on.
    assert list(json.loads(depth.attrs["activations"])["layers_ms"]["conv5"]) == ["conv1"]
    assert np.isfinite(depth.r_xy).any()


def test_a_fixed_map_has_no_layers_over_time_and_says_so(registered: Any) -> None:
    fixed = replace(CONFIG, baselines=True, analysis=replace(CONFIG.analysis, time_mode="fixed"))
    with pytest.warns(NeurofitWarning, match="baseline layers-over-time is left out"):
        controls = [each.attrs["control"] for each in run_each(fixed)]
    assert controls == ["", "last-step", "mean-over-time", "shuffled"]


def test_a_similarity_has_baselines_too(registered: Any) -> None:
    config = replace(CONFIG, baselines=True, analysis=SimilarityConfig(n_groups=5))
    assert [each.attrs["control"] for each in run_each(config)] == ["", *BASELINES]


def test_the_pixels_are_scored_as_any_model(registered: Any) -> None:
    result = run(replace(CONFIG, model="baseline:pixels"))
    assert (result.attrs["model"], result.layer.item()) == ("baseline:pixels", "pixels")
    # The sites see the brightness of a place, of which 45 training images teach a part.
    shuffled = run(replace(CONFIG, model="baseline:pixels", shuffle_stimuli=True))
    assert (result.curve_one_sided > shuffled.curve_one_sided).all()
    assert (result.curve_low > 0).sum() > (shuffled.curve_low > 0).sum() == 0
    assert verify(result).verdict == "equal to the bit"


def test_what_contradicts_baselines_is_refused() -> None:
    with pytest.raises(NeurofitError, match="shuffle_stimuli is a control itself"):
        replace(CONFIG, baselines=True, shuffle_stimuli=True)
    with pytest.raises(NeurofitError, match="this configuration asks for 1 and for baselines"):
        run(replace(CONFIG, baselines=True))

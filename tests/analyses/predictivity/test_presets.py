"""Presets are complete configurations by name; a wrong value is refused where it is given."""

import json
from typing import Any

import pytest

from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.presets import PRESETS, make_config
from neurofit.errors import NeurofitError
from neurofit.mapping import find_mapping
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping


def test_the_default_is_pooled_with_ridge() -> None:
    config = ScoreConfig()
    assert config == make_config() == make_config("pooled")
    assert (config.n_splits, config.train_size, config.n_halves) == (10, 0.75, 10)
    assert find_mapping(config.mapping) == RidgeMapping()
    assert config.interval_over == "both"
    assert (config.formula, config.average, config.min_z) == ("pooled_r", "correlations", 4.0)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"pooled"}))
def test_every_dialect_keeps_its_pls(name: str) -> None:
    mapping = find_mapping(make_config(name).mapping)
    assert isinstance(mapping, PLSMapping)
    assert mapping.n_components == 25


@pytest.mark.parametrize("name", ["nayebi2022", "streams2018", "kar2019"])
def test_a_dialect_averages_correlations_before_it_corrects_them(name: str) -> None:
    assert make_config(name).average == "correlations"


def test_kar2019_correlates_within_folds_unless_told_otherwise() -> None:
    assert make_config("kar2019").splits == "folds"
    paper = make_config("kar2019", splits="folds-together")
    assert (paper.splits, paper.pools) == ("folds-together", False)
    with pytest.raises(NeurofitError, match='needs correlations of each fold: give splits="folds"'):
        make_config("pooled", splits="folds-together")


def test_brainscore_is_ten_stratified_splits_of_nine_tenths_with_seed_1() -> None:
    config = make_config("brainscore")
    assert (config.n_splits, config.train_size, config.strata, config.seed) == (
        10,
        0.9,
        "object_name",
        1,
    )
    assert (config.formula, config.reliability_floor) == ("explained_variance", None)
    assert not config.fit_halves, "it corrects for the noise of the recording only"


def test_strata_are_a_column_that_is_there_and_an_object_may_be_called_category() -> None:
    theirs = make_config("brainscore")
    assert theirs.stratify_by(["stimulus_id", "category", "object_name"]) == "object_name"
    assert theirs.stratify_by(["stimulus_id", "category"]) == "category"
    assert theirs.stratify_by(["stimulus_id"]) == ""
    assert make_config("nayebi2022").stratify_by(["object_name"]) == ""
    assert make_config("mouse").stratify_by(["category"]) == "", "its splits are not stratified"


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_says_its_own_name_and_fits_into_attributes(name: str) -> None:
    config = make_config(name)
    assert config.preset == name
    assert json.loads(json.dumps(config.as_attrs()))["preset"] == name
    assert PRESETS[name].__doc__


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"formula": "explained_varianc"},
            "Unknown formula 'explained_varianc'. Did you mean 'explained_variance'",
        ),
        ({"average": "term"}, "Did you mean 'terms'"),
        ({"halves_by": "stimuli"}, "Did you mean 'stimulus'"),
        (
            {"layers": "conv3"},
            'layers must be "auto", "all" or a tuple of names; got \'conv3\'.',
        ),
        ({"layers": ()}, "layers must name each layer once; got ()"),
        ({"layers": ("a", "a")}, "layers must name each layer once; got ('a', 'a')"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"reliability_floor": 2.0}, "reliability_floor must be below 1; got 2.0"),
        ({"false_discovery_rate": 5.0}, "false_discovery_rate must lie between 0 and 1"),
        ({"reduce": "srp:²"}, "A reduction is"),
        ({"interval": 1.0}, "interval must lie between 0 and 1"),
        ({"n_halves": 0}, "n_halves must be at least 1"),
        ({"interval_over": "neuroid"}, "Did you mean 'neuroids'"),
        ({"mapping": ()}, "mapping must name a mapping: "),
        ({"mapping": ("pls", "pls")}, "Give each mapping once; got pls, pls."),
        ({"mapping": ("ridge", RidgeMapping())}, "Give each mapping once; got ridge, ridge."),
        ({"mapping": object()}, "A mapping is a registered name, or an object with"),
        (
            {"fit_halves": False},
            "fit_halves must be on for noise_corrected_r, which corrects for noise of the maps.",
        ),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NeurofitError) as caught:
        make_config("nayebi2022", **changes)
    assert message in str(caught.value)


def test_brainscore_keeps_the_rule_of_scikit_learn_for_its_pls() -> None:
    theirs = PLSMapping(convergence="sklearn")
    assert make_config("brainscore").mapping == theirs
    assert make_config("brainscore", mapping="pls").mapping == theirs
    assert make_config("brainscore", mapping=("pls", "ridge")).mapping == (theirs, "ridge")
    assert make_config("brainscore", mapping=PLSMapping()).mapping == PLSMapping()
    assert make_config("nayebi2022", mapping="pls").mapping == "pls"

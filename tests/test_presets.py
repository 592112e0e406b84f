"""Presets are complete configurations by name; a wrong value is refused where it is given."""

import json
from typing import Any

import pytest

from neurofit.errors import NeurofitError
from neurofit.presets import PRESETS, ScoreConfig, make_config


def test_the_default_is_nayebi2022() -> None:
    config = ScoreConfig(region="IT")
    assert config == make_config("nayebi2022", region="IT")
    assert (config.n_splits, config.train_size, config.n_halves, config.n_components) == (10, 0.75, 10, 25)
    assert (config.formula, config.average) == ("noise_corrected_r", "terms")


def test_brainscore_is_ten_stratified_splits_of_nine_tenths_with_seed_1() -> None:
    config = make_config("brainscore", region="V4")
    assert (config.n_splits, config.train_size, config.strata, config.seed) == (10, 0.9, "object_name", 1)
    assert (config.formula, config.reliability_floor) == ("explained_variance", None)
    assert not config.fit_halves, "it corrects for the noise of the recording only"


def test_strata_are_a_column_that_is_there_and_an_object_may_be_called_category() -> None:
    theirs = make_config("brainscore", region="V4")
    assert theirs.stratify_by(["stimulus_id", "category", "object_name"]) == "object_name"
    assert theirs.stratify_by(["stimulus_id", "category"]) == "category"
    assert theirs.stratify_by(["stimulus_id"]) == ""
    assert make_config("nayebi2022", region="V4").stratify_by(["object_name"]) == ""
    assert make_config("mouse", region="V4").stratify_by(["category"]) == "", "its splits are not stratified"


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_says_its_own_name_and_fits_into_attributes(name: str) -> None:
    config = make_config(name, region="IT")
    assert config.preset == name
    assert json.loads(json.dumps(config.as_attrs()))["preset"] == name
    assert PRESETS[name].__doc__


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formula": "explained_varianc"}, "Unknown formula 'explained_varianc'. Did you mean 'explained_variance'"),
        ({"average": "term"}, "Did you mean 'terms'"),
        ({"halves_by": "stimuli"}, "Did you mean 'stimulus'"),
        ({"layers": "conv3"}, 'layers is "auto" or a tuple of names'),
        ({"layers": ()}, "layers names some, once each"),
        ({"layers": ("a", "a")}, "once each"),
        ({"seed": -1}, "A seed is a whole number from 0 on; got -1"),
        ({"reliability_floor": 2.0}, "leaves no neuroid"),
        ({"false_discovery_rate": 5.0}, "false_discovery_rate must lie between 0 and 1"),
        ({"reduce": "srp:²"}, "A reduction is"),
        ({"interval": 1.0}, "interval must lie between 0 and 1"),
        ({"n_halves": 0}, "n_halves must be at least 1"),
        (
            {"fit_halves": False},
            "noise_corrected_r corrects for the noise of the maps, so they are fitted on halves: give fit_halves=True.",
        ),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NeurofitError) as caught:
        make_config("nayebi2022", region="IT", **changes)
    assert message in str(caught.value)

"""Comparisons of stored scores: what is exact, what is refused, and what is concluded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurofit
from neurofit.errors import NeurofitError

Scored = Callable[..., list[xr.Dataset]]

ENDS = ("low", "high", "band_low", "band_high")


@pytest.fixture(scope="module")
def two(scored: Scored) -> list[xr.Dataset]:
    """Return two models of which the first is better in the last three of six bins."""
    return scored(advantage=0.3)


def test_the_difference_is_that_of_the_curves(two: list[xr.Dataset]) -> None:
    made = neurofit.compare(two, windows=((0, 30), (30, 60)))
    a, b = (each.curve.values[0] for each in two)
    np.testing.assert_allclose(made.difference.values[0], a - b, rtol=1e-12)
    early, late = (a - b)[:3].mean(), (a - b)[3:].mean()
    assert made.window.values.tolist() == ["0-30 ms", "30-60 ms", "30-60 ms less 0-30 ms"]
    np.testing.assert_allclose(made.window_difference.values[0], [early, late, late - early])
    np.testing.assert_allclose(made.whole_difference.values, [(a - b).mean()])
    np.testing.assert_allclose(made.curve.values, [a, b])


def test_the_model_that_is_better_is_found_where_it_is(two: list[xr.Dataset]) -> None:
    made = neurofit.compare(two, windows=((0, 30), (30, 60)))
    assert (made.difference_band_low.values[0, 3:] > 0).all()
    assert (made.p_adjusted.values[0, 3:] < 0.01).all()
    assert (made.p_adjusted.values[0, :3] > 0.05).all()
    assert made.window_p_adjusted.values[0, 1] < 0.001 < 0.05 < made.window_p_adjusted.values[0, 0]
    assert made.window_p_adjusted.values[0, 2] < 0.001
    sentences = json.loads(made.attrs["conclusion"])
    assert "In 30-60 ms, first predicts IT better than second (difference 0." in sentences[3]
    assert "In 0-30 ms, the data cannot tell first and second apart" in sentences[2]
    assert sentences[1].startswith("first is better in 30-60 ms (95% band")
    assert "about other neuroids of IT of a simulated recording and other images" in sentences[-1]


@pytest.mark.parametrize("over", ["both", "stimuli", "neuroids"])
def test_swapping_models_flips_signs_exactly(two: list[xr.Dataset], over: str) -> None:
    one, other = (neurofit.compare(each, over=over, clusters=True) for each in (two, two[::-1]))
    for name in ("difference", "window_difference", "whole_difference"):
        if name in one:
            np.testing.assert_array_equal(one[name], -other[name].values)
            for low, high in (("low", "high"), ("band_low", "band_high")):
                np.testing.assert_array_equal(one[f"{name}_{low}"], -other[f"{name}_{high}"].values)
    for name in ("p", "p_adjusted", "p_false_discovery", "whole_p_adjusted", "p_cluster"):
        np.testing.assert_array_equal(one[name], other[name].values)


def test_a_model_against_itself_is_0(two: list[xr.Dataset]) -> None:
    made = neurofit.compare([two[0], two[0]])
    for name in ("difference", *(f"difference_{end}" for end in ENDS)):
        np.testing.assert_array_equal(made[name], 0)
    np.testing.assert_array_equal(made.p_adjusted, 1)
    assert made.best_rank.values.tolist() == [1, 1]
    assert made.worst_rank.values.tolist() == [2, 2]


def test_another_model_changes_no_curve_and_no_difference(
    two: list[xr.Dataset], scored: Scored
) -> None:
    third = two[1].copy()
    third.attrs = {**third.attrs, "model": "third"}
    fewer, more = neurofit.compare(two), neurofit.compare([*two, third])
    for name in ("curve", *(f"curve_{end}" for end in ENDS)):
        np.testing.assert_array_equal(fewer[name], more[name].values[:2])
    for name in ("difference", "difference_low", "difference_high", "p"):
        np.testing.assert_array_equal(fewer[name][0], more[name][0].values)
    assert (more.p_adjusted[0] >= fewer.p_adjusted[0].values).all()
    assert more.pair.values.tolist() == ["first - second", "first - third", "second - third"]
    assert more.best_rank.values.tolist() == [1, 2, 2]
    assert more.worst_rank.values.tolist() == [1, 3, 3]
    assert "first (rank 1), second (rank 2 to 3), third (rank 2 to 3)" in more.attrs["conclusion"]


def test_all_are_compared_with_a_reference(two: list[xr.Dataset]) -> None:
    third = two[1].copy()
    third.attrs = {**third.attrs, "model": "third"}
    made = neurofit.compare([*two, third], reference="second")
    assert made.pair.values.tolist() == ["first - second", "third - second"]
    assert "best_rank" not in made, "ranks need all pairs"
    with pytest.raises(NeurofitError, match="Did you mean 'second'"):
        neurofit.compare(two, reference="secnod")


def test_intervals_over_neuroids_and_stimuli_are_narrower_than_over_both(
    two: list[xr.Dataset],
) -> None:
    widths = {}
    for over in ("neuroids", "stimuli", "both"):
        made = neurofit.compare(two, over=over)
        widths[over] = (made.difference_high - made.difference_low).values.mean()
    assert widths["both"] > max(widths["neuroids"], widths["stimuli"])


def test_results_come_from_files_without_the_model(two: list[xr.Dataset], tmp_path: Path) -> None:
    paths = [tmp_path / f"{each.attrs['model']}.nc" for each in two]
    for each, path in zip(two, paths, strict=True):
        neurofit.save_result(each, path)
    from_files, at_once = neurofit.compare(paths), neurofit.compare(two)
    xr.testing.assert_allclose(from_files, at_once)
    neurofit.save_result(at_once, tmp_path / "comparison.nc")
    again = neurofit.load_result(tmp_path / "comparison.nc")
    xr.testing.assert_identical(again.difference, at_once.difference)


def test_each_animal_has_a_difference_and_none_is_over_animals(scored: Scored) -> None:
    made = neurofit.compare(scored(advantage=0.3, subjects=2), windows=((30, 60),))
    assert made.subject.values.tolist() == ["A", "B"]
    assert made.difference_of_subject.dims == ("subject", "pair", "time_bin")
    assert (made.whole_p_adjusted_of_subject.values < 0.05).all()
    text = made.attrs["conclusion"]
    assert "holds in each animal" in text
    assert "nothing follows for animals other than these 2" in text
    assert "other neuroids of IT of these 2 animals" in text
    alone = [
        each.sel(subject="A").curve_of_subject.values[0]
        for each in scored(advantage=0.3, subjects=2)
    ]
    np.testing.assert_allclose(made.difference_of_subject.values[0, 0], alone[0] - alone[1])


def test_clusters_hold_the_bins_that_differ(two: list[xr.Dataset]) -> None:
    made = neurofit.compare(two, clusters=True)
    assert made.cluster.values[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert (made.p_cluster.values[0, 3:] < 0.01).all()
    assert np.isnan(made.p_cluster.values[0, :3]).all()
    assert "no onset" in made.attrs["conclusion"]


def test_a_bin_that_only_one_model_has_is_no_difference(two: list[xr.Dataset]) -> None:
    less = two[1].copy(deep=True)
    less.curve[0, 5] = np.nan
    less.reason[0, :, 5] = 4
    made = neurofit.compare([two[0], less], windows=((30, 60),))
    assert np.isnan(made.difference.values[0, 5])
    assert made.window_bins.values[0].tolist() == [2]
    assert "In 50-60 ms only first has a score (second: " in made.attrs["conclusion"]
    said = json.loads(made.attrs["conclusion"])
    assert said[0].startswith("Where both have a score (5 time bins in 0-50 ms), first predicts")
    assert "In 30-60 ms (scores of both only in 30-50 ms), first predicts" in said[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"splits_sha256": "other"}, "splits"),
        ({"halves_sha256": "other"}, "trial halves"),
        ({"recording_sha256": "other"}, "responses"),
        ({"region": "V4"}, "region"),
        ({"config": {"n_splits": 3}}, "n splits"),
    ],
)
def test_results_that_do_not_fit_are_refused_with_what_differs(
    two: list[xr.Dataset], changes: dict[str, Any], words: str
) -> None:
    other = two[1].copy()
    if "config" in changes:
        merged = json.loads(other.attrs["config"]) | changes["config"]
        changes = {"config": json.dumps(merged)}
    other.attrs = {**other.attrs, **changes}
    with pytest.raises(
        NeurofitError, match=rf"same {words}[^;]*; first has .*, second has"
    ) as error:
        neurofit.compare([two[0], other])
    assert "Score second with the recording and the options of first." in str(error.value)


def test_other_formulas_and_several_layers_are_refused(two: list[xr.Dataset]) -> None:
    dialect = two[1].drop_vars("influence_of_stimuli")
    with pytest.raises(NeurofitError, match="Only pooled scores are compared"):
        neurofit.compare([two[0], dialect])
    layers = xr.concat(
        [two[1], two[1].assign_coords(layer=["conv4"])], "layer", data_vars="minimal"
    )
    with pytest.raises(NeurofitError, match=r"several layers \(conv5, conv4\); name the one"):
        neurofit.compare([two[0], layers])
    np.testing.assert_array_equal(
        neurofit.compare([two[0], layers], layer="conv5").difference,
        neurofit.compare(two).difference,
    )
    with pytest.raises(NeurofitError, match="two results or more; got 1"):
        neurofit.compare(two[:1])
    with pytest.raises(NeurofitError, match="holds none of 6 bins"):
        neurofit.compare(two, windows=((500, 600),))


def test_ranks_are_over_the_bins_that_all_have(two: list[xr.Dataset]) -> None:
    """A model that has scores in the early bins only does not lead for lack of the late ones."""
    third = two[1].copy(deep=True)
    third.attrs = {**third.attrs, "model": "third"}
    third.curve[0, 3:] = np.nan
    third.reason[0, :, 3:] = 4
    made = neurofit.compare([*two, third], windows=())
    early = [each.curve.values[0, :3].mean() for each in (*two, third)]
    np.testing.assert_allclose(made.mean_curve.values, early)
    assert made.best_rank.values.tolist() == [1, 1, 1], "first is better in late bins only"
    assert made.whole_p_adjusted.values[0] < 0.001
    assert json.loads(made.attrs["conclusion"])[0].startswith(
        "Over the part that all have (3 time bins in 0-30 ms), models rank as follows"
    )


def test_windows_have_names_in_python_too(two: list[xr.Dataset]) -> None:
    by_name = neurofit.CompareConfig(windows=("early", "0:30"))
    assert by_name.windows == ((70, 130), (0, 30))
    assert neurofit.compare(two, windows=["0:30"]).window.values.tolist() == ["0-30 ms"]

"""What a comparison concludes from odd results: no sentence says more than the numbers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurofit
from neurofit.analyses.windows import check_windows
from neurofit.cli.analyses import print_advantage
from neurofit.errors import NeurofitError

Scored = Callable[..., list[xr.Dataset]]


@pytest.fixture
def two(scored: Scored) -> list[xr.Dataset]:
    """Return two models of which the first is better in the last three of six bins."""
    return [each.copy(deep=True) for each in scored(advantage=0.3)]


def conclusion(made: xr.Dataset) -> list[str]:
    """Return the sentences of a comparison."""
    return list(json.loads(made.attrs["conclusion"]))


def without_scores(result: xr.Dataset, *, reason: int = 5) -> xr.Dataset:
    """Return a result without a score in any time bin."""
    made = result.copy(deep=True)
    made.curve[:], made.reason[:] = np.nan, reason
    return made


def options(name: str, value: str) -> dict[str, Any]:
    """Return an option of a comparison."""
    return {name: value}


def called(result: xr.Dataset, model: str) -> xr.Dataset:
    """Return a result as that of another model."""
    made = result.copy()
    made.attrs = {**result.attrs, "model": model}
    return made


def test_without_a_common_bin_there_is_no_difference(two: list[xr.Dataset]) -> None:
    made = neurofit.compare([two[0], without_scores(two[1])], windows=((0, 30),), clusters=True)
    for name in ("whole_difference", "window_difference"):
        for end in ("", "_low", "_high", "_band_low", "_band_high"):
            assert np.isnan(made[f"{name}{end}"].values).all(), f"{name}{end}"
    for name in ("whole_p", "whole_p_adjusted", "whole_p_false_discovery", "window_p_adjusted"):
        assert np.isnan(made[name].values).all(), name
    said = conclusion(made)
    assert said[0] == "first and second have no time bin in which both have a score."
    assert said[1] == "In 0-60 ms only first has a score (second: recording not reliable)."
    assert len(said) == 3


def test_a_pair_without_a_common_bin_changes_no_other_p_value(two: list[xr.Dataset]) -> None:
    alone = neurofit.compare(two)
    more = neurofit.compare([*two, without_scores(called(two[1], "third"))])
    for name in ("whole_p_adjusted", "whole_p_false_discovery", "p_false_discovery"):
        np.testing.assert_allclose(more[name].values[0], alone[name].values[0], rtol=1e-10)


def test_an_animal_without_a_score_is_no_tie(scored: Scored) -> None:
    first, second = (each.copy(deep=True) for each in scored(advantage=0.3, subjects=2))
    second.curve_of_subject[1] = np.nan
    made = neurofit.compare([first, second])
    assert np.isnan(made.whole_difference_of_subject.values[1]).all()
    assert np.isnan(made.whole_p_adjusted_of_subject.values[1]).all()
    text = made.attrs["conclusion"]
    assert "B: first and second have no time bin in which both have a score" in text
    assert "is not shown in each animal" in text


def test_animals_of_opposite_signs_are_said_to_be(scored: Scored) -> None:
    first, second = (each.copy(deep=True) for each in scored(advantage=0.3, subjects=2))
    for name in ("curve_of", *(f"influence_of_{of}_on" for of in ("neuroids", "stimuli", "cells"))):
        a, b = first[f"{name}_subject"], second[f"{name}_subject"]
        a[1], b[1] = b.values[1].copy(), a.values[1].copy()
    text = neurofit.compare([first, second]).attrs["conclusion"]
    assert "has opposite signs in the animals (A: first predicts" in text
    assert "B: second predicts" in text


def test_a_single_neuroid_says_nothing_about_others(scored: Scored) -> None:
    one = scored(n_neuroids=1)
    made = neurofit.compare(one)
    xr.testing.assert_equal(made, neurofit.compare(one, over="stimuli"))
    assert conclusion(made)[-1] == (
        "These statements are about this neuroid of a simulated recording and other images."
    )
    assert "interval over stimuli" in made.difference.attrs["interval"]
    assert "There is a single neuroid: intervals are over stimuli" in made.attrs["notes"]
    with pytest.raises(NeurofitError, match="other neuroids needs two neuroids or more"):
        neurofit.compare(one, over="neuroids")


def test_an_animal_with_a_single_neuroid_is_not_tested_for_others(scored: Scored) -> None:
    both = scored(n_neuroids=3, subjects=2)  # A has two, B has one
    made = neurofit.compare(both)
    assert np.isfinite(made.whole_difference_of_subject.values).all()
    assert np.isnan(made.whole_p_adjusted_of_subject.values[1]).all()
    assert np.isfinite(made.whole_p_adjusted_of_subject.values[0]).all()
    assert "which cannot be tested" in made.attrs["conclusion"]
    over_stimuli = neurofit.compare(both, over="stimuli")
    assert np.isfinite(over_stimuli.whole_p_adjusted_of_subject.values).all()


def test_a_difference_without_influences_is_not_called_better(two: list[xr.Dataset]) -> None:
    two[0].influence_of_stimuli[0, :, 2] = np.nan
    made = neurofit.compare(two, windows=((0, 30), (30, 60)))
    said = conclusion(made)
    assert "which cannot be tested" in said[0]
    assert "nan" not in made.attrs["conclusion"]
    assert "The change from 0-30 ms to 30-60 ms cannot be tested." in said
    assert "In 30-60 ms, first predicts IT better than second" in made.attrs["conclusion"]


@pytest.mark.parametrize(("level", "words"), [(0.999, "99.9%"), (0.975, "97.5%"), (0.95, "95%")])
def test_a_level_is_written_with_all_of_its_digits(
    two: list[xr.Dataset], level: float, words: str
) -> None:
    made = neurofit.compare(two, level=level)
    assert f", {words} band" in made.attrs["conclusion"]
    assert f"({words} band for all time bins" in made.attrs["conclusion"]
    assert made.difference.attrs["band"].startswith(f"{words} band")


def test_clusters_are_said_to_differ_only_beyond_chance(scored: Scored) -> None:
    made = neurofit.compare(scored(), clusters=True, level=0.6)
    p = made.p_cluster.values
    assert np.isfinite(p).any()
    assert np.nanmin(p) > 0.4, "no cluster is larger than chance"
    text = made.attrs["conclusion"]
    assert "Clusters that are no larger than chance: " in text
    assert "curves differ" not in text


def test_many_models_are_each_compared_with_the_reference(two: list[xr.Dataset]) -> None:
    others = [called(two[1], f"model{i}") for i in range(4)]
    said = conclusion(neurofit.compare([two[0], *others], reference="first"))
    assert len(said) == 5
    for model, sentence in zip(others, said, strict=False):
        assert f"first predicts IT better than {model.attrs['model']} (" in sentence
    assert said[-1].startswith("These statements are about other neuroids of IT")


def test_the_better_of_two_scores_below_0_is_qualified(two: list[xr.Dataset]) -> None:
    assert "has a mean score above 0" not in neurofit.compare(two).attrs["conclusion"]
    for each in two:
        each.curve[:] = each.curve - 1.2
    text = neurofit.compare(two).attrs["conclusion"]
    assert "Neither first nor second has a mean score above 0." in text


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (((0, 30), (30, 60), (0, 30)), "must differ; got 0:30 twice"),
        ((0, 30), "pairs .START, END. of whole ms; got"),
        ("early", "pairs .START, END. of whole ms; got 'early'"),
        (((0.5, 30.0),), "pairs .START, END. of whole ms"),
        (((30, 30),), "START before END"),
    ],
)
def test_windows_that_are_none_are_refused(windows: object, words: str) -> None:
    with pytest.raises(NeurofitError, match=words):
        check_windows(windows)


@pytest.mark.parametrize("dim", ["layer", "mapping"])
def test_a_layer_or_mapping_that_no_result_has_is_refused(two: list[xr.Dataset], dim: str) -> None:
    with pytest.raises(NeurofitError, match=f"Unknown {dim} 'nonsense'"):
        neurofit.compare(two, **options(dim, "nonsense"))
    existing = {"layer": "conv5", "mapping": "ridge"}[dim]
    made = neurofit.compare(two, **options(dim, existing))
    xr.testing.assert_equal(made, neurofit.compare(two))


def test_intervals_of_windows_are_not_of_time_bins(two: list[xr.Dataset]) -> None:
    made = neurofit.compare(two, windows=((0, 30),))
    assert made.difference.attrs["interval"].endswith("for each time bin on its own")
    assert made.window_difference.attrs["interval"].endswith("for each window on its own")
    assert made.whole_difference.attrs["interval"].endswith("for each pair on its own")


def test_a_change_between_windows_says_which_part_of_them_both_have(
    two: list[xr.Dataset],
) -> None:
    two[1].curve[0, [1, 4, 5]], two[1].reason[0, :, [1, 4, 5]] = np.nan, 4
    said = conclusion(neurofit.compare(two, windows=((0, 30), (30, 60))))
    assert said[0].startswith("Where both have a score (3 time bins in 0-10 ms and 20-40 ms), ")
    assert (
        "From 0-30 ms (scores of both only in 0-10 ms and 20-30 ms) to 30-60 ms (scores of both "
        "only in 30-40 ms) the difference first - second changes by "
    ) in said[4]


def test_sentences_quote_the_band_that_belongs_to_their_p_value(two: list[xr.Dataset]) -> None:
    made = neurofit.compare(two, windows=((0, 30), (30, 60)))
    at = made.isel(pair=0, window=1)
    low, high = at.window_difference_band_low.item(), at.window_difference_band_high.item()
    assert f"95% band {low:.3f} to {high:.3f}, p < .001" in made.attrs["conclusion"]
    assert "% interval" not in made.attrs["conclusion"], "tables give the intervals"


def test_a_baseline_without_a_common_bin_has_no_number(
    two: list[xr.Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    baselines = [called(two[1], "first"), without_scores(called(two[1], "first"))]
    for baseline, name in zip(baselines, ("pixels", "untrained"), strict=True):
        baseline.attrs["control"] = name
    print_advantage(two[0], baselines)
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    made = neurofit.compare(two)
    assert rows["pixels"][0] == f"{made.whole_difference.item():.3f}"
    assert rows["untrained"] == ["no", "bin", "in", "common"]


def test_a_level_that_the_draws_do_not_resolve_is_refused(two: list[xr.Dataset]) -> None:
    assert "first predicts IT better" in neurofit.compare(two, level=0.999).attrs["conclusion"]
    with pytest.raises(NeurofitError, match=r"level must be at most 0.999: 4,000 draws"):
        neurofit.compare(two, level=0.9999)


def test_a_result_without_the_hash_of_its_halves_is_refused(two: list[xr.Dataset]) -> None:
    del two[1].attrs["halves_sha256"]
    with pytest.raises(
        NeurofitError, match=r"same trial halves .*; first has \w+, second has none"
    ):
        neurofit.compare(two)

"""What figures draw equals the numbers of the results."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import xarray as xr
from cycler import cycler
from matplotlib.figure import Figure

from neurofit.errors import NeurofitError
from neurofit.results import figures
from neurofit.results.figures.looks import DARK, LIGHT
from neurofit.results.io import save_result
from neurofit.results.schema import time_coords

Make = Callable[..., xr.Dataset]


def panel() -> Any:
    return Figure().subplots()


def lines(ax: Any) -> dict[str, np.ndarray]:
    """Return the values of every line of axes by its label."""
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in ax.get_lines()}


def shaded(ax: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the lowest and highest value of every shaded area at each x."""
    found = []
    for area in ax.collections:
        points = np.concatenate([path.vertices for path in area.get_paths()] or [np.empty((0, 2))])
        every = [points[points[:, 0] == x, 1] for x in np.unique(points[:, 0])]
        if every:
            found.append((np.array([e.min() for e in every]), np.array([e.max() for e in every])))
    return found


def test_curves_draw_each_result_with_its_interval_and_band(planted_score: Make) -> None:
    a, b = planted_score("a", seed=1), planted_score("b", seed=2)
    ax = panel()
    assert figures.curves([a, b], ax) is ax
    drawn = lines(ax)
    for name, result in (("a", a), ("b", b)):
        np.testing.assert_array_equal(drawn[name], result.curve.values[0])
    for area, result in zip(shaded(ax), (a, b), strict=True):
        np.testing.assert_allclose(area[0], result.curve_low.values[0, 1:])
        np.testing.assert_allclose(area[1], result.curve_high.values[0, 1:])
    every = [np.asarray(line.get_ydata()) for line in ax.get_lines()]
    for end in ("curve_band_low", "curve_band_high"):
        assert any(np.array_equal(a[end].values[0], y, equal_nan=True) for y in every)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()].count("95% band") == 1
    assert ax.get_xlim() == (80, 160)
    assert ax.get_xlabel() == "Time from image onset (ms)"
    assert ax.get_ylabel().replace("\n", " ") == "Noise-corrected predictivity (r)"


def test_a_dictionary_gives_results_the_labels_of_the_user(planted_score: Make) -> None:
    ax = panel()
    figures.curves({"with gates": planted_score("a"), "without": planted_score("b")}, ax)
    assert {"with gates", "without"} <= set(lines(ax))


def test_reliability_is_not_drawn_in_the_axes_of_the_corrected_score(planted_score: Make) -> None:
    result = planted_score()
    upper, lower = figures.draw(result).axes
    ceiling = result.ceiling.values
    for y in lines(upper).values():
        assert y.shape != ceiling.shape or not np.array_equal(y, ceiling)
    drawn = lines(lower)
    np.testing.assert_allclose(drawn["ceiling of raw r"] ** 2, np.clip(ceiling, 0, None))
    np.testing.assert_array_equal(drawn["net, conv5"], result.curve_r_xy.values[0])
    assert lower.get_ylabel() == "Raw r"


def test_a_bound_on_the_scale_of_the_score_is_drawn_with_it(planted_score: Make) -> None:
    result = planted_score()
    result.ceiling.attrs["scale"] = "score"
    (ax,) = figures.draw(result).axes
    np.testing.assert_array_equal(lines(ax)["split-half reliability"], result.ceiling.values)


def test_a_bar_marks_when_the_image_is_on_if_that_is_known(planted_score: Make) -> None:
    ax = figures.curves(planted_score(), panel())
    (bar,) = [line for line in ax.get_lines() if line.get_label() == "image on"]
    np.testing.assert_array_equal(bar.get_xdata(), [80, 100])
    each = planted_score().attrs["activations"]
    compared = planted_score(activations=f'{{"a": {each}, "b": {each}}}')
    assert "image on" in lines(figures.curves(compared, panel()))
    for unknown in (
        "{}",
        f'{{"a": {each}, "b": {{"presentation": null}}}}',
        '{"presentation": {"image_off": 10}}',
        '{"ms_per_timestep": 10}',
    ):
        ax = figures.curves(planted_score(activations=unknown), panel())
        assert "image on" not in lines(ax)


def test_different_quantities_are_not_drawn_in_the_same_axes(planted_score: Make) -> None:
    a, b = planted_score("a"), planted_score("b")
    b.curve.attrs["long_name"] = "explained variance"
    with pytest.raises(NeurofitError, match="same main quantity"):
        figures.curves([a, b], panel())


def test_each_subject_has_a_thin_line(planted_score: Make) -> None:
    result = planted_score(subjects=True)
    ax = figures.curves(result, panel())
    for name in ("A", "B"):
        expected = result.curve_of_subject.sel(subject=name, layer="conv5").values
        np.testing.assert_array_equal(lines(ax)[f"subject {name}"], expected)


def test_more_than_six_models_have_panels_of_their_own(planted_score: Make) -> None:
    results = {f"model {i}": planted_score(seed=i) for i in range(12)}
    figure = figures.draw(results)
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(results)
    for ax, (name, result) in zip(figure.axes, results.items(), strict=True):
        np.testing.assert_array_equal(lines(ax)[name], result.curve.values[0])
    assert len({ax.get_ylim() for ax in figure.axes}) == 1


def test_a_single_bin_is_drawn_as_neuroids_and_the_score(planted_score: Make) -> None:
    results = [planted_score(name, n_bins=1, seed=i) for i, name in enumerate("ab")]
    ax = figures.sites(results, panel())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    x = [np.asarray(line.get_xdata()) for line in ax.get_lines()]
    for result in results:
        neuroids = result.noise_corrected_r.values.ravel()
        assert any(np.array_equal(neuroids, each) for each in x)
        ends = [result.curve_low.item(), result.curve_high.item()]
        assert any(np.array_equal(ends, each) for each in x)
        assert any(np.array_equal([result.curve.item()], each) for each in x)


def test_counts_have_a_panel_only_where_they_vary(planted_score: Make) -> None:
    result = planted_score()
    assert len(figures.draw(result).axes) == 2
    result.n_neuroids[0, 4] = 17
    *_, counts = figures.draw(result).axes
    (steps,) = counts.get_lines()
    np.testing.assert_array_equal(steps.get_xdata(), np.arange(80, 170, 10))
    np.testing.assert_array_equal(np.asarray(steps.get_ydata())[:-1], result.n_neuroids.values[0])
    assert "17 to 30 neuroids." in figures.caption(result)


def test_a_comparison_of_one_bin_is_a_row_for_each_pair(planted_comparison: Make) -> None:
    result = planted_comparison("a", "b", "c", n_bins=1)
    (ax,) = figures.draw(result).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a - b", "a - c", "b - c"]


@pytest.mark.parametrize("n_bins", [1, 8])
@pytest.mark.parametrize("layers", [["c1"], ["c1", "c2", "c3", "c4"]])
def test_a_result_without_any_score_is_drawn_empty(
    planted_score: Make, n_bins: int, layers: list[str]
) -> None:
    result = planted_score(n_bins=n_bins, layers=layers)
    for name in result.data_vars:
        if result[name].dtype.kind == "f":
            result[name][:] = np.nan
    assert figures.draw(result).axes
    assert "a perfect model has 1" in figures.caption(result)
    assert figures.draw([result, result.assign_attrs(model="other")]).axes


def test_many_layers_are_a_map_with_the_chosen_layer_in_bold(planted_score: Make) -> None:
    result = planted_score(layers=["c1", "c2", "c3", "c4"])
    figure = figures.draw(result)
    ax = figure.axes[0]
    drawn: Any = ax.collections[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(drawn, np.nan), result.curve.values)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c1", "c2", "c3", "c4"]
    bold = [label.get_text() for label in ax.get_yticklabels() if label.get_fontweight() == "bold"]
    assert bold == ["c4"]
    best = lines(ax)["best layer of each bin"]
    np.testing.assert_array_equal(best, result.curve.values[:, 1:].argmax(axis=0))


def test_the_chosen_layer_is_named_in_the_legend_of_curves(planted_score: Make) -> None:
    ax = figures.curves(planted_score(layers=["c1", "c2"]), panel())
    assert {"net, c1", "net, c2 (chosen)"} <= set(lines(ax))
    auto = planted_score(layers=["auto"])
    auto["layer_choice"] = ("split", ["c1", "c1", "c2"])
    auto.layer_choice.attrs |= {"role": "detail", "long_name": "chosen layer", "units": "1"}
    assert "net, auto (mostly c1)" in lines(figures.curves(auto, panel()))
    assert "choose, with splits: c1 (2), c2 (1)." in figures.caption(auto)


def test_model_time_against_recorded_time_is_a_map(planted_score: Make) -> None:
    result = planted_score()
    starts = 10 * np.arange(5)
    values = np.random.default_rng(0).uniform(0, 1, (5, 8))
    matrix = xr.Dataset(
        {"generalisation": (("time_bin_model", "time_bin"), values, result.curve.attrs)},
        coords={
            **time_coords(starts, starts + 10, dim="time_bin_model"),
            **{name: result[name] for name in ("time_bin", "time_bin_start", "time_bin_end")},
        },
        attrs=result.attrs,
    )
    ax = figures.draw(matrix).axes[0]
    np.testing.assert_array_equal(ax.collections[0].get_array(), values)
    assert ax.get_ylabel() == "Model time from image onset (ms)"
    assert ax.get_ylim()[1] == 50


def test_the_difference_marks_the_bins_that_its_band_excludes(planted_comparison: Make) -> None:
    result = planted_comparison("a", "b")
    upper, lower = figures.draw(result).axes
    for name in ("a", "b"):
        np.testing.assert_array_equal(lines(upper)[name], result.curve.sel(model=name).values)
    drawn = lines(lower)
    np.testing.assert_array_equal(drawn["a - b"], result.difference.values[0])
    np.testing.assert_array_equal(drawn["95% band"], result.difference_band_low.values[0])
    marked = [
        tuple(np.asarray(line.get_xdata()))
        for line in lower.get_lines()
        if "excludes" in str(line.get_label())
    ]
    beyond = (result.difference_band_low > 0) | (result.difference_band_high < 0)
    starts = result.time_bin_start.values[beyond.values[0]]
    assert 0 < len(starts) < 12
    assert marked == [(start, start + 10) for start in starts]
    assert upper.get_xlim() == lower.get_xlim() == (100, 220)


def test_many_pairs_are_small_multiples(planted_comparison: Make) -> None:
    result = planted_comparison("a", "b", "c")
    figure = figures.draw(result)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a - b", "a - c", "b - c"]
    with pytest.raises(NeurofitError, match="pair must name one of the pairs: a - b; a - c"):
        figures.difference(result, panel())
    with pytest.raises(NeurofitError, match="dimensions pair and time"):
        figures.difference(planted_comparison("a", "b")[["curve"]], panel())


def test_a_scatter_has_a_point_for_each_common_neuroid(planted_score: Make) -> None:
    a, b = planted_score("a", seed=1), planted_score("b", seed=2)
    b = b.isel(neuroid=np.arange(29, 4, -1))  # five fewer, in another order
    ax = figures.scatter(a, b, panel())
    scored = slice(1, None)
    points = {
        str(line.get_label()): np.stack([line.get_xdata(), line.get_ydata()])
        for line in ax.get_lines()
    }
    drawn = np.concatenate([points["subject A"], points["subject B"]], axis=1)
    assert drawn.shape == (2, 25)
    for i, ident in enumerate(sorted(f"n{i}" for i in range(5, 30))):
        for row, result in enumerate((a, b)):
            place = result.neuroid_id.values.tolist().index(ident)
            expected = result.r_xy.values[0, :, place, scored].mean()
            order = [f"n{i}" for i in range(5, 30)]
            subjects = sorted(n for n in order if int(n[1:]) < 20)
            subjects += sorted(n for n in order if int(n[1:]) >= 20)
            assert drawn[row, subjects.index(ident)] == pytest.approx(expected, abs=1e-12), i
    assert ax.get_xlim() == ax.get_ylim()
    with pytest.raises(NeurofitError, match=r"no neuroid in common"):
        figures.scatter(a.isel(neuroid=slice(0, 5)), b, panel())
    with pytest.raises(NeurofitError, match=r"Choose one: result.sel"):
        figures.scatter(a, planted_score(layers=["c1", "c2"]), panel())


def test_the_learning_curve_is_a_mean_over_common_bins(planted_score: Make) -> None:
    result = planted_score(learning=True)
    result.curve_of_training[0, 0, 3] = np.nan  # no score with the fewest images
    ax = figures.learning(result, panel())
    expected = result.curve_of_training.values[:, 0, [1, 2, 4, 5, 6, 7]].mean(axis=1)
    np.testing.assert_allclose(lines(ax)["net, conv5"], expected)
    with pytest.raises(NeurofitError, match="--learning-curve"):
        figures.learning(planted_score(), panel())


def test_captions_hold_the_formula_and_what_is_drawn(
    planted_score: Make, planted_comparison: Make
) -> None:
    words = figures.caption(planted_score())
    for part in (
        "Noise-corrected predictivity (r) over time, IT of planted (simulated): net, conv5.",
        "Formula: pooled_r = x / y; a perfect model has 1.",
        "Shaded: 95% interval over neuroids and stimuli, for each time bin on its own.",
        "Thin lines: 95% band, for all time bins at once.",
        "the square root of the split-half reliability, pooled",
        "image on, 0 to 100 ms",
        "30 neuroids.",
    ):
        assert part in words
    compared = planted_comparison("a", "b")
    beyond = (compared.difference_band_low > 0) | (compared.difference_band_high < 0)
    assert f"({int(beyond.sum())} of a - b)" in figures.caption(compared)
    assert "The models differ in the first bins." in figures.caption(compared)
    a, b = planted_score("a"), planted_score("b", seed=2)
    means = [each.r_xy.values[0, :, :, 1:].mean(axis=(0, 2)) for each in (a, b)]
    above = int((means[1] > means[0]).sum())
    assert f"30 neuroids, of which {above} lie above" in figures.caption([a, b], "scatter")


def test_axes_of_the_user_keep_their_colours(planted_score: Make) -> None:
    results = [planted_score(name) for name in "ab"]
    for style, expected in (("light", LIGHT), ("dark", DARK)):
        with figures.style(style):
            drawn = figures.curves(results, panel()).get_lines()
        assert drawn[0].get_color() == expected[0]
    with matplotlib.rc_context({"axes.prop_cycle": cycler(color=["red", "blue"])}):
        assert figures.curves(results, panel()).get_lines()[0].get_color() == "red"


def test_functions_without_axes_draw_with_pyplot(planted_score: Make) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot

    ax = figures.curves(planted_score())
    assert pyplot.gcf() is ax.figure
    pyplot.close("all")


def test_a_shown_figure_is_one_of_pyplot(planted_score: Make) -> None:
    """As sphinx-gallery and notebooks collect them."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    pyplot.close("all")
    figure = figures.draw(planted_score(), width="85mm")
    size = figure.get_size_inches().tolist()
    with warnings.catch_warnings(action="ignore"):  # agg shows nothing, and says so with a display
        figures.show(figure)
    assert [pyplot.figure(number) for number in pyplot.get_fignums()] == [figure]
    assert figure.get_size_inches().tolist() == size
    pyplot.close("all")


def test_the_python_of_the_page_runs_as_printed(
    planted_score: Make, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    for name in "AB":
        (tmp_path / name).mkdir()
        save_result(planted_score(name), tmp_path / name / "result.nc")
    page = (repository / "docs" / "figures.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.S | re.M):
        exec(block, space)
    assert {"curves.pdf", "mine.pdf"} <= {path.name for path in tmp_path.iterdir()}
    assert {"with gates", "without"} <= set(lines(space["top"]))

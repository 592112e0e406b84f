"""Files of figures: formats, widths in mm, and texts that neither overlap nor are cut off."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from neurofit.errors import NeurofitError
from neurofit.results import figures
from neurofit.results.figures.looks import parse_width
from neurofit.results.plot import plot_result

Make = Callable[..., xr.Dataset]

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-", "svg": b"<?xml"}
LONG = ("feedforward_tiny", "rnn_bypass_gating_tiny", "rgc_feedback_tiny", "intersectionrnn_tiny")


@pytest.fixture
def results(planted_score: Make, planted_comparison: Make) -> Callable[[str], tuple[Any, str]]:
    """Make the results of a figure by its name, and its kind."""
    models = [f"{LONG[i % 4]}_{i}" for i in range(12)]
    layers = [f"conv{i}" for i in range(1, 9)]

    def make(name: str) -> tuple[Any, str]:
        several = [planted_score(model, seed=i) for i, model in enumerate(models)]
        single = [planted_score(model, n_bins=1, seed=i) for i, model in enumerate(models)]
        made = {
            "one": planted_score("rgc_tiny", n_bins=26),
            "three": several[:3],
            "six": several[:6],
            "twelve": several,
            "subjects": planted_score(subjects=True),
            "layers": planted_score(layers=layers, n_bins=14),
            "layers of two": [planted_score(m, layers=layers) for m in models[:2]],
            "one bin": single[0],
            "one bin of twelve": single,
            "one pair": planted_comparison(*models[:2]),
            "three pairs": planted_comparison(*models[:3]).assign_attrs(activations="{}"),
            "six pairs": planted_comparison(*models[:4]),
            "scatter": several[:2],
            "learning": [planted_score(m, learning=True, seed=i) for i, m in enumerate(models[:3])],
        }
        return made[name], name if name in ("scatter", "learning") else "auto"

    return make


NAMES = (
    *("one", "three", "six", "twelve", "subjects", "layers", "layers of two", "one bin"),
    *("one bin of twelve", "one pair", "three pairs", "six pairs", "scatter", "learning"),
)


@pytest.mark.parametrize("width", [85, 120, 180])
@pytest.mark.parametrize("name", NAMES)
def test_texts_have_7_points_and_neither_overlap_nor_are_cut_off(
    results: Callable[[str], tuple[Any, str]],
    name: str,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, kind = results(name)
    figure = figures.draw(given, kind, width=width)
    drawn: list[tuple[str, float, Bbox]] = []
    of_legends = {text for legend in figure.legends for text in legend.findobj(Text)}
    outside: list[tuple[str, Bbox]] = []
    original = Text.draw

    def draw(self: Text, renderer: Any, *more: Any, **options: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            box = self.get_window_extent(renderer)
            drawn.append((self.get_text(), float(self.get_fontsize()), box))
            if self not in of_legends:
                outside.append((self.get_text(), box))
        original(self, renderer, *more, **options)

    monkeypatch.setattr(Text, "draw", draw)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    assert len(drawn) > 5
    assert {size for _, size, _ in drawn} == {7.0}
    whole = figure.bbox
    for text, _, box in drawn:
        inside = min(box.x0 - whole.x0, whole.x1 - box.x1, box.y0 - whole.y0, whole.y1 - box.y1)
        assert inside >= 0, f"{text!r} is cut off"
        for ax in figure.axes:
            assert not box.overlaps(ax.get_window_extent()), f"{text!r} covers data"
    for (one, _, a), (other, _, b) in itertools.combinations(drawn, 2):
        assert not a.overlaps(b), f"{one!r} overlaps {other!r}"
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(ax.bbox) for ax in figure.axes)
        assert not [text for text, other in outside if box.overlaps(other)], "covers the legend"


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_a_picture_has_the_format_of_its_suffix_and_the_same_bytes_again(
    planted_score: Make, tmp_path: Path, suffix: str
) -> None:
    paths = [str(tmp_path / f"{name}.{suffix}") for name in "ab"]
    for path in paths:
        plot_result(planted_score(), path)  # a path may be text
    one, other = (Path(path).read_bytes() for path in paths)
    assert one.startswith(MAGIC[suffix])
    assert one == other


@pytest.mark.parametrize("name", ["plot.tiff", "plot", "plot.png.gz"])
def test_an_unknown_suffix_is_refused_in_one_line(
    planted_score: Make, tmp_path: Path, name: str
) -> None:
    with pytest.raises(NeurofitError, match=r"written as \.svg, \.pdf or \.png") as refused:
        plot_result(planted_score(), tmp_path / name)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("width", "mm"), [("85mm", 85), ("8.9 cm", 89), ("7in", 177.8), (120, 120)]
)
def test_a_file_is_as_wide_as_asked_for(
    planted_score: Make, tmp_path: Path, width: Any, mm: float
) -> None:
    figure = figures.draw(planted_score(), width=width)
    for suffix in ("pdf", "svg", "png"):
        figures.save(figure, tmp_path / f"a.{suffix}")
    pdf, text = (tmp_path / "a.pdf").read_bytes(), (tmp_path / "a.svg").read_text()
    box = re.search(rb"/MediaBox \[ *0 0 ([\d.]+)", pdf)
    wide = re.search(r'<svg [^>]*width="([\d.]+)pt"', text)
    assert box is not None
    assert wide is not None
    for points in (box[1], wide[1]):
        assert float(points) * 25.4 / 72 == pytest.approx(mm, abs=0.01)
    pixels = int.from_bytes((tmp_path / "a.png").read_bytes()[16:20], "big")
    assert pixels == pytest.approx(mm / 25.4 * 300, abs=1)


def test_fonts_are_text_in_svg_and_truetype_in_pdf(planted_score: Make, tmp_path: Path) -> None:
    figure = figures.draw(planted_score("rgc_tiny"))
    figures.save(figure, tmp_path / "a.pdf")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    text = figures.svg(figure)
    assert text.startswith("<svg")
    assert re.search(r"<text [^>]*>rgc_tiny, conv5</text>", text)


def test_sizes_do_not_depend_on_the_settings_around(planted_score: Make) -> None:
    figure = figures.draw(planted_score(), width="85mm", style="ggplot")
    figure.set_figheight(8)  # more ticks are made when it is drawn again, outside the style
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    sizes = {
        t.get_fontsize() for ax in figure.axes for t in [*ax.get_yticklabels(), ax.yaxis.label]
    }
    assert sizes == {7.0}


@pytest.mark.parametrize("width", ["85px", "", "0mm", "5m", "nan", -3, "1000mm"])
def test_a_width_that_is_none_is_refused(width: Any) -> None:
    with pytest.raises(NeurofitError, match="width must be a length of 40 to 400 mm") as refused:
        parse_width(width)
    assert refused.value.options == ("width",)


def test_wrong_options_are_refused(planted_score: Make) -> None:
    result = planted_score()
    with pytest.raises(NeurofitError, match="Did you mean 'dark'"):
        figures.draw(result, style="drak")
    with pytest.raises(NeurofitError, match="Did you mean 'curves'"):
        figures.draw(result, "curve")
    with pytest.raises(NeurofitError, match="A scatter takes two results; got 1"):
        figures.draw(result, "scatter")
    with pytest.raises(NeurofitError, match="A map needs two dimensions"):
        figures.draw(result, "layers")
    with pytest.raises(NeurofitError, match="at least one result"):
        figures.draw([])


def test_a_dark_figure_is_dark_also_in_its_file(planted_score: Make, tmp_path: Path) -> None:
    from PIL import Image

    corners = []
    for style in ("light", "dark"):
        figures.save(figures.draw(planted_score(), style=style), tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            corners.append(np.asarray(image.convert("L"))[0, 0])
    assert corners[0] == 255
    assert corners[1] < 40


def test_a_figure_is_drawn_without_pyplot(planted_score: Make) -> None:
    assert type(figures.draw(planted_score())) is Figure

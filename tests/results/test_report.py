"""The report: what it says, that names cannot break it, and that it is one small file."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses.analysis import variable
from neurofit.errors import NeurofitError
from neurofit.results.io import save_result
from neurofit.results.report import write_report
from neurofit.results.report.citations import bibtex, read_entries
from neurofit.results.report.html import Html, tag

EVIL = "<script>alert(1)</script>\" ' & </style> {{title}} $x [bold]b[/bold]"
MAX_BYTES = 2_000_000
MAX_SECONDS = 20.0


class Page(HTMLParser):
    """The text of a page by element, and its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "elements are nested"

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    @property
    def words(self) -> str:
        """All text of the page, with single spaces."""
        return " ".join(" ".join(self.text).split())

    def named(self, name: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of a name."""
        return [attrs for tag, attrs in self.elements if tag == name]


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Write a report and return it as text and as a page."""

    def write(results: list[xr.Dataset], **given: Any) -> tuple[str, Page]:
        write_report(results, tmp_path / "report.html", **given)
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        return text, Page(text)

    return write


def test_a_report_answers_and_says_how_sure_it_is(make_result: Any, written: Any) -> None:
    control = make_result("net", level=0.0, control="shuffled stimuli")
    net = make_result("net")
    _, page = written([net, control])
    names = ("curve", "curve_low", "curve_high", "curve_band_low", "curve_band_high")
    first, last = ([net[name].values[0, i] for name in names] for i in (1, -1))
    mean, inside = np.nanmean(control.curve), int((abs(control.curve) < 0.0123).sum())
    assert 0 < inside < 9
    for said in (
        "What is the pooled r of net for IT of planted (simulated), from 60 to 160 ms after",
        "net goes from {:.3f} ({:.3f} to {:.3f}) at 70-80 ms".format(*first[:3]),
        "to {:.3f} ({:.3f} to {:.3f}) at 150-160 ms".format(*last[:3]),
        f"highest at 150-160 ms with {last[0]:.3f} ({last[3]:.3f} to {last[4]:.3f}) as its band.",
        "excludes 0 in 9 of 9 time bins",
        f"net (shuffled stimuli) for IT of planted (simulated): mean {mean:.3f} over 9 time bins; "
        f"the interval contains 0 in {inside} of 9.",
        "The recording planted is simulated",
        "no number in 60-70 ms (before model responds)",
        "A note on the trials.",
        "ceiling (split-half reliability, pooled over neuroids) from 0.40 to 0.70",
    ):
        assert said in page.words, said
    assert "No control is among the results" not in page.words
    assert "are not compared" not in page.words


def test_models_without_a_comparison_are_said_not_to_be_compared(
    make_result: Any, written: Any
) -> None:
    _, page = written([make_result("a"), make_result("b", subjects=("Chabo", "Tito"))])
    assert "The models are not compared" in page.words
    assert "Two animals (Chabo and Tito): two numbers." in page.words
    assert "No control is among the results for IT of planted" in page.words


def test_a_comparison_answers_first(make_result: Any, make_comparison: Any, written: Any) -> None:
    results = [make_result(name) for name in "abc"]
    for given in (
        {"results": results, "comparisons": [make_comparison()]},
        {"results": [*results, make_comparison()]},
    ):
        _, page = written(given.pop("results"), **given)
        answer = page.words.partition(" Answer ")[2]
        assert answer.startswith(
            "IT of planted (simulated). a predicts IT better than b. Mean over"
        )
        assert "difference of mean pooled r, by window" in page.words
        assert "<.001" in page.words
        assert "The models are not compared" not in page.words
        assert "Models were compared on the same neuroids and images" in page.words
    assert "a predicts IT better than b." in written([make_comparison()])[1].words


def test_baselines_are_compared_with_their_model(
    make_result: Any, make_comparison: Any, written: Any
) -> None:
    control = make_result("net", level=0.0, control="shuffled")
    compared = {"net (shuffled)": {"control": "shuffled"}, "net": {"control": ""}}
    against = make_comparison(tuple(compared), compared=compared)
    _, page = written([make_result("net"), control], comparisons=[against])
    answer, _, found = page.words.partition(" Baselines ")
    assert "Against baselines: " in answer
    assert "net (shuffled) - net: 0.1000 (0.0920 to 0.1080), p < .001 (95% band" in answer
    assert "net (shuffled) for IT of planted" in found
    assert "Comparison:" not in page.words
    answer = page.words.partition(" Answer ")[2]
    assert answer.startswith("IT of planted (simulated). net goes from"), "the model's own answer"


def test_a_baseline_without_a_common_bin_is_no_tie(
    make_result: Any, make_comparison: Any, written: Any
) -> None:
    compared = {"net (shuffled)": {"control": "shuffled"}, "net": {"control": ""}}
    against = make_comparison(tuple(compared), compared=compared)
    against.whole_difference[:] = np.nan
    _, page = written([make_result("net")], comparisons=[against])
    assert "net (shuffled) - net: no place in which both have a value." in page.words


def test_comparisons_of_one_area_are_all_in_the_answer(make_comparison: Any, written: Any) -> None:
    other = make_comparison(conclusion=["c predicts IT better than d."])
    _, page = written([make_comparison(), other])
    answer = page.words.partition(" Answer ")[2].partition("Comparison:")[0]
    assert "a predicts IT better than b." in answer
    assert "c predicts IT better than d." in answer


def test_the_conclusion_of_an_analysis_is_part_of_the_answer(
    make_result: Any, written: Any
) -> None:
    _, page = written([make_result("net", conclusion=["The code stays the same."])])
    answer = page.words.partition(" Answer ")[2]
    assert "The code stays the same." in answer.partition("Limits")[0]
    assert "Comparison:" not in page.words


def test_numbers_of_the_methods_are_those_of_the_result(make_result: Any, written: Any) -> None:
    result = make_result(seed=7, citation="Doe, Roe & Poe (1999), J 1(2)", simulated=0)
    result = result.assign_coords(neuroid_id=("neuroid", list("abcd")))
    _, page = written([result])
    methods = page.words.partition(" Methods ")[2].partition(" References ")[0]
    for said in (
        "IT (4 neuroids) of the recording planted (Doe, Roe & Poe (1999), J 1(2)) with 640 images",
        "in 10 time bins of 10 ms from 60 to 160 ms after stimulus onset",
        "net (layer conv5, trained weights) for IT",
        "divided 10 times into training and test images",
        "pooled_r = X / Y.",
        "95% interval over neuroids, for each time bin on its own; 95% band",
        "neurofit 0.1.0 with numpy 2.0; random seed 7.",
        "Nayebi et al. (2018) and Nayebi et al. (2022)",
    ):
        assert said in methods, said


def test_the_bibliography_follows_the_results(make_result: Any, repository: Path) -> None:
    own = make_result()
    assert re.findall(r"@\w+\{(\w+),", bibtex([own])) == ["nayebi2018", "nayebi2022", "neurofit"]
    real = make_result(
        simulated=0, recording="majajhong2015", citation="Majaj, Hong & X{ (2015), from Brain-Score"
    )
    found = bibtex([real, own])
    keys = ["nayebi2018", "nayebi2022", "schrimpf2018", "schrimpf2020", "majajhong2015", "neurofit"]
    assert re.findall(r"@\w+\{(\w+),", found) == keys
    assert "author = {Majaj and Hong and X}" in found
    assert "year = {2015}" in found
    assert found.count("{") == found.count("}")
    cff = (repository / "CITATION.cff").read_text(encoding="utf-8")
    for entry in (read_entries()[key] for key in ("nayebi2018", "nayebi2022", "neurofit")):
        assert re.findall(r"title = \{(.*)\}", entry)[0] in cff
        for family in re.findall(r"(?:\{| and )([\w-]+), ", entry):
            assert f"family-names: {family}" in cff


def test_names_and_notes_are_text_wherever_they_come_from(
    make_result: Any, make_comparison: Any, written: Any
) -> None:
    texts: dict[str, Any] = dict.fromkeys(
        ("model", "recording", "region", "control", "citation", "method"), EVIL
    )
    given: dict[str, Any] = {**texts, "notes": [EVIL], "selection": {"subject": EVIL}}
    given |= {"activations": {"weights": EVIL}, "config": {"mapping": {"name": EVIL}}}
    result = make_result(layers=(EVIL, "b"), subjects=(EVIL, "c"), simulated=0, **given)
    for attrs in (result.curve.attrs, result.ceiling.attrs):
        attrs |= {"long_name": EVIL, "column": EVIL}
    result.curve.attrs |= {"formula": EVIL, "interval": EVIL, "band": EVIL}
    compared = make_comparison((EVIL, "b"), conclusion=[EVIL], notes=[EVIL])
    text, page = written([result], comparisons=[compared], title=EVIL, notes=[EVIL])
    assert text.lower().count("<script") == 1 + text.count('<script type="application/json">')
    assert text.count("</script>") == text.lower().count("<script")
    assert text.count("</style>") == 1
    assert page.open == []
    assert page.words.count("<script>alert(1)</script>") > 20
    handlers = [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert not handlers
    named = make_result(layers=("a", "b"), subjects=("a", "c"), citation="x")
    _, plain = written([named], comparisons=[make_comparison(("a", "b"))])
    assert {name for name, _ in page.elements} == {name for name, _ in plain.elements}


def test_text_is_escaped_and_elements_are_not() -> None:
    made = tag("p", "<b>", tag("i", "&"), class_='"x"', hidden=True, open=False)
    assert made == '<p class="&quot;x&quot;" hidden>&lt;b&gt;<i>&amp;</i></p>'
    assert isinstance(made, Html)


def test_tables_charts_and_controls_have_names(make_result: Any, written: Any) -> None:
    text, page = written([make_result("a"), make_result("b")])
    assert len(page.named("caption")) == len(page.named("table")) > 0
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.named("th"))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for attrs in page.named("svg"):
        if "aria-hidden" not in attrs:
            assert set(str(attrs["aria-labelledby"]).split()) <= set(ids)
    assert all(attrs.get("aria-label") for attrs in page.named("input"))
    for attrs in page.named("section"):
        assert attrs["aria-labelledby"] in ids
    assert page.named("html")[0]["lang"] == "en"
    assert "url(" not in text
    assert not {"src", "href", "action"} & {
        name for tag, attrs in page.elements if tag != "a" for name in attrs
    }


@pytest.mark.parametrize(
    "kind", ["point", "one bin", "matrix", "many series", "other axis", "cube"]
)
def test_every_shape_of_result_has_a_report(kind: str, make_result: Any, written: Any) -> None:
    layers = [f"layer{i}" for i in range(20 if kind == "many series" else 2)]
    result = make_result(layers=layers)
    if kind == "point":
        result = result.isel(time_bin=3, drop=True)
    if kind == "one bin":
        result = result.isel(time_bin=[3])
    if kind == "matrix":
        result = result.rename(layer="time_bin_test").assign_coords(
            time_bin_test=[5.0, 15.0],
            time_bin_test_start=("time_bin_test", [0, 10]),
            time_bin_test_end=("time_bin_test", [10, 20]),
        )
    if kind == "other axis":
        result = result.rename(time_bin="depth").drop_vars(["time_bin_start", "time_bin_end"])
    if kind == "cube":
        for name in ("curve", "curve_low", "curve_high", "curve_band_low", "curve_band_high"):
            result[name] = result[name].expand_dims(depth=[1, 2], size=[3, 4])
        del result.curve.attrs["bound"], result.curve.attrs["count"], result.curve.attrs["reason"]
    _, page = written([result])
    charts = len([a for a in page.named("svg") if a.get("role") == "img"])
    assert charts == {"cube": 0, "other axis": 2}.get(kind, 1), "a bound has axes of its own"
    shown = result.curve.values[..., -1].ravel()[0] if kind != "point" else result.curve.values[0]
    assert f"{shown:.2f}" in page.words
    assert page.open == []


def test_a_report_of_twelve_models_is_quick_and_small(
    make_result: Any, make_comparison: Any, tmp_path: Path
) -> None:
    names = [f"model_{i}" for i in range(12)]
    results = [make_result(name, level=0.2 + i / 50) for i, name in enumerate(names)]
    for result in results:  # what real results carry
        result["noise_corrected_r"] = variable(
            ("layer", "neuroid", "time_bin"), np.zeros((1, 4, 10)), "detail", "r"
        )
    begun = time.perf_counter()
    write_report(results, tmp_path / "r.html", comparisons=[make_comparison(names)])
    assert time.perf_counter() - begun < MAX_SECONDS
    assert (tmp_path / "r.html").stat().st_size < MAX_BYTES
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    data = [json.loads(each) for each in re.findall(r"application/json\">(.*?)</script>", text)]
    assert [each["kind"] for each in data] == ["curve", "curve", "matrix"]
    assert [each["name"] for each in data[0]["series"]] == names
    assert [each["name"] for each in data[1]["series"]] == ["ceiling"]
    assert data[0]["series"][0]["text"][1].startswith(f"{results[0].curve.values[0, 1]:.3f} (")
    assert len(data[2]["rows"]) == 66
    np.testing.assert_allclose(data[2]["values"][0], 0.1)


def test_the_command_writes_a_report_and_says_why_models_are_not_compared(
    neurofit: Any, make_result: Any, tmp_path: Path
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        save_result(make_result(f"model_{name}"), tmp_path / name / "result.nc")
    (tmp_path / "a" / "baselines" / "shuffled").mkdir(parents=True)
    shuffled = make_result("model_a", control="shuffled")
    save_result(shuffled, tmp_path / "a" / "baselines" / "shuffled" / "result.nc")
    code, printed, error = neurofit("report", "a", "b", "--out", "here.html", "--title", "Mine")
    assert code == 0, error
    assert printed == "Written: here.html\n"
    words = Page((tmp_path / "here.html").read_text()).words
    assert words.startswith("Mine")
    assert "model_a (shuffled) for IT of planted" in words, "baselines lie in the folder"
    assert "IT of planted: models are not compared. Only pooled scores are compared" in words
    code, _, error = neurofit("report", "nothing")
    assert (code, "There is no result at nothing." in error) == (2, True)


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeurofitError, match="at least one result"):
        write_report([], tmp_path / "r.html")

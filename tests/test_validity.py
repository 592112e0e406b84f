"""The simulations of docs/validity.md on a few recordings, and the page's tables."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Scripts = Callable[[str], AbstractContextManager[Callable[[str], Any]]]


@pytest.fixture
def script(scripts: Scripts) -> Iterator[Callable[[str], Any]]:
    """Import a script of the simulations by its name."""
    with scripts("validity") as imported:
        yield imported


@pytest.fixture
def validity(script: Callable[[str], Any]) -> Any:
    """Return the script that runs the simulations."""
    return script("run")


@pytest.mark.filterwarnings("ignore::neurofit.errors.NeurofitWarning")
@pytest.mark.parametrize("truth", [0.0, 0.7, 1.0])
@pytest.mark.simulation
def test_the_pooled_score_is_unbiased_at_every_reliability(validity: Any, truth: float) -> None:
    population = validity.Population(truth=truth, n_stimuli=300, n_neuroids=60, spread=1.0)
    found = [validity.one_bias(population, number) for number in range(6)]
    bias, error = (
        np.array(validity.summarise_bias(found)[name], dtype=float) for name in ("bias", "se")
    )
    assert (np.abs(bias) < 0.02 + 3 * error)[1:].all()
    assert np.isnan(bias[0]) or abs(bias[0]) < 0.02 + 3 * error[0]


@pytest.mark.filterwarnings("ignore::neurofit.errors.NeurofitWarning")
@pytest.mark.simulation
def test_bins_without_signal_have_no_number_and_forced_intervals_hold_0(validity: Any) -> None:
    found = validity.summarise_null([validity.one_null(number) for number in range(2)])
    assert found["bins"] == 100
    assert found["numbers"] == found["one_sided"] == 0
    assert found["forced"] > 50, "a positive denominator occurs by chance"
    assert found["covers_0"] > 0.9


@pytest.mark.filterwarnings("ignore::neurofit.errors.NeurofitWarning")
@pytest.mark.simulation
def test_intervals_over_both_cover_what_can_be_reached(validity: Any) -> None:
    population = validity.Population(truth=(0.4, 0.9), n_stimuli=150, n_neuroids=24)
    ridge = {"mapping": "ridge"}
    found = [validity.one_coverage(population, "both", ridge, 0, number) for number in range(16)]
    covered = validity.summarise_coverage(found)
    assert np.mean(covered["coverage"]) > 0.85  # 0.95 with a standard error of about 0.04
    assert np.median(np.array(covered["half_width"]) / covered["sd"]) == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("analysis", ["generalisation", "geometry", "dimensionality", "latency"])
@pytest.mark.simulation
def test_planted_courses_are_recovered_in_intervals(
    script: Callable[[str], Any], analysis: str
) -> None:
    courses = script("courses")
    work = next(work for name, work in courses.WORK.items() if name.startswith(analysis))
    found = courses.summarise([work(number) for number in range(4)])
    for name, estimate in found.items():
        if name != "sets" and "without bins" not in name:
            error = np.abs(estimate["bias"])
            assert (error < estimate["half_width"]).all(), "four standard errors of four data sets"
            assert np.mean(estimate["coverage"]) > 0.7


def test_bias_coverage_and_rejections_are_counted(script: Callable[[str], Any]) -> None:
    one = {"value": [1.0, 5.0], "truth": [0.0, 5.0], "low": [0.5, 4.0], "high": [2.0, 6.0]}
    bands = {"band_low": [-1.0, 4.0], "band_high": [2.0, 6.0], "p": [0.01, 1.0]}
    other = {**one, "value": [-2.0, np.nan], "low": [-2.0, np.nan], "high": [2.0, np.nan]}
    outside = {"band_low": [-2.0, np.nan], "band_high": [-0.5, np.nan], "p": [0.2, np.nan]}
    found = [{"D": {**one, **bands}}, {"D": {**other, **outside}}, {"D": {**one, **bands}}]
    made = script("courses").summarise(found)["D"]
    assert made["defined"] == pytest.approx([1, 2 / 3])
    assert made["bias"] == [0.0, 0.0]
    assert made["largest error"] == [2.0, 0.0]
    assert made["coverage"] == pytest.approx([1 / 3, 1])
    assert made["band"] == pytest.approx(2 / 3), "an estimate that is not defined is in any band"
    assert made["rejected"] == pytest.approx([2 / 3, 0])


def test_a_rerun_keeps_what_is_finished_and_adds_recordings(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"

    def figures(*options: str) -> Any:
        given = ["script.py", "--jobs", "1", "--out", str(file), *options]
        monkeypatch.setattr("sys.argv", given)
        script("run").carry_out(
            "", lambda n: dict.fromkeys(("one", "other"), (abs, summary, n)), file, n_sets=2
        )
        return json.loads(file.read_text())

    def summary(found: list[int]) -> dict[str, int]:
        return {"sets": len(found), "sum": sum(found)}

    assert figures("--only", "oth") == {"other": {"sets": 2, "sum": 1}}
    file.write_text('{"other": {"sets": 2, "sum": -1}}')
    assert figures() == {"one": {"sets": 2, "sum": 1}, "other": {"sets": 2, "sum": -1}}
    assert figures("--sets", "4")["other"] == {"sets": 4, "sum": 6}


def test_the_tables_of_the_page_are_those_of_its_figures(
    validity: Any, script: Callable[[str], Any], repository: Path
) -> None:
    page = script("page")
    text = (repository / "docs" / "validity.md").read_text()
    docs = repository / "docs"
    assert page.filled(text, page.read_figures(docs)) == text
    names = set(json.loads((docs / "validity.json").read_text()))
    assert names == set(validity.conditions(200)), "every condition was run"
    compare = script("compare")
    names = set(json.loads((docs / "validity_compare.json").read_text()))
    assert names == set(compare.conditions()), "every condition was run"
    names = set(json.loads((docs / "validity_courses.json").read_text()))
    assert names == set(script("courses").conditions(100)), "every condition was run"

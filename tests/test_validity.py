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

"""The open table: from a small search to its files, and the regression on planted nets."""

from __future__ import annotations

import csv
import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.analyses.sweeps import local
from neurofit.analyses.sweeps import work as sweep_work
from neurofit.data_loaders import write_recording
from neurofit.training.search.run import begin
from neurofit.training.search.study import Search
from neurofit.training.search.trials import SearchFolder, search_folder
from neurofit.training.search.work import take_trials

Scripts = Callable[[str], AbstractContextManager[Callable[[str], Any]]]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def script(scripts: Scripts) -> Iterator[Callable[[str], Any]]:
    """Import a script of the open table by its name."""
    with scripts("search") as imported:
        yield imported


@pytest.fixture
def searched(make_search: Callable[..., Search]) -> SearchFolder:
    """Return a search of 6 trials of which some are stopped early."""
    search = make_search(trials=6, training={"epochs": 3, "batch_size": 16})
    folder = search_folder(search.name)
    begin(search, folder)
    take_trials(search, folder)
    return folder


def test_a_search_becomes_a_table_a_figure_and_a_page(
    searched: SearchFolder,
    evoked: Callable[[], Any],
    script: Callable[[str], Any],
    neurofit: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def run_process(command: Any, task: Path, log: Path, environment: Any) -> bool:
        """Compute the cells of a task in this process."""
        computed.append(task)
        sweep_work.work(task)
        return False

    computed: list[Path] = []
    monkeypatch.setattr(local, "run_process", run_process)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # of the main thread only
    write_recording(evoked(), tmp_path / "small.nc")
    study = {
        "recordings": [str(tmp_path / "small.nc")],
        "regions": ["V4"],
        "windows": ["70:110"],
        "options": {"n_splits": 2, "n_halves": 2, "min_z": 0.0},
    }
    scores, page, look = (script(f"open_table_{name}") for name in ("scores", "page", "look"))
    places = searched.path, tmp_path / "nets", tmp_path / "scores"
    complete = [each["number"] for each in searched.results() if each["state"] == "complete"]
    pruned = [each["number"] for each in searched.results() if each["state"] == "pruned"]
    assert len(complete) > 1
    assert pruned

    # one net, then the others, then nothing
    done = [net for net, _ in scores.score(*places, most=1, study=study)]
    assert done == [f"{complete[0]:04d}"]
    assert len(computed) == 3  # with two baselines
    done = [net for net, _ in scores.score(*places, study=study)]
    assert done == [f"{number:04d}" for number in complete[1:]]
    assert len(computed) == 2 + len(complete)
    assert list(scores.score(*places, study=study)) == []
    assert len(computed) == 2 + len(complete)

    table = page.read_table(*places)
    out = tmp_path / "docs"
    page.write_table(table, out)
    stored = json.loads((out / "open_table.json").read_text())
    assert stored == json.loads(json.dumps(table))
    assert len((out / "open_table.json").read_text().splitlines()) == 6 + 2
    (name,) = stored["recordings"]
    assert [each["number"] for each in stored["trials"] if each["scores"]] == complete
    assert set(stored["baselines"]) == {"baseline:pixels", "baseline:gabor"}
    assert stored["baselines"]["baseline:pixels"][name]["mean"] > 0.2  # sites see brightness
    assert "storage" not in stored["search"]
    assert "coefficients need" in stored["regressions"][name]["reason"] or (
        "none of a cell" in stored["regressions"][name]["reason"]
    )
    with open(out / "open_table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, each in zip(rows, stored["trials"], strict=True):
        assert float(row["accuracy"]) == each["accuracy"]
        score = each["scores"].get(name)
        assert row[f"{name}, mean"] == (str(score["mean"]) if score else "")
        assert (row["ms_per_image"] != "") == bool(score)
        if score:
            assert score["low"] <= score["mean"] <= score["high"]
            assert len(score["curve"]) == 4
            assert float(row["ms_per_image"]) > 0

    # the page sorts by the script that all pages have; the figure is in it
    html = look.page(table)
    assert html.count("<tr>") == 1 + 6
    assert 'class="sortable"' in html
    assert "<svg" in html
    assert not re.search(r"(src|href)=.http", html)
    for each in stored["trials"]:
        assert each["model"] in html

    # a row names the command that trains its net again, from the published file
    monkeypatch.chdir(tmp_path)
    for number in (complete[-1], pruned[0]):
        threads, *words = shlex.split(rows[number]["command"])
        assert threads == "OMP_NUM_THREADS=1"
        code, printed, said = neurofit(*words[1:])
        assert code == 0, printed + said
        accuracy = f"{stored['trials'][number]['accuracy']:.4%}"
        assert f"trial {number}: {accuracy} then, {accuracy} now" in printed


NAME = "V4 of planted"
EFFECTS = {
    "accuracy, per 10 points": 0.05,
    "parameters, per tenfold": 0.04,
    "time per image, per tenfold": -0.03,
    "depth, per layer": 0.0,
    "timesteps, per step": 0.01,
    "cell gru, against memoryless": 0.06,
    "cell lstm, against memoryless": 0.0,
}


def planted(n: int, *, cells: tuple[str, ...] = ("memoryless", "gru", "lstm")) -> dict[str, Any]:
    """Return a table whose scores follow from accuracy, size, time, timesteps and one cell."""
    rng, trials = np.random.default_rng(0), []
    for number in range(n):
        cell, depth, timesteps = cells[number % len(cells)], rng.integers(4, 7), rng.integers(8, 13)
        accuracy, size, time = rng.uniform(0.2, 0.6), rng.uniform(3.5, 4.5), rng.uniform(-1, 1)
        mean = 0.1 + 0.5 * accuracy + 0.04 * size - 0.03 * time + 0.01 * timesteps
        mean += 0.06 * (cell == "gru") + rng.normal(0, 0.005)
        trials.append(
            {
                "number": number,
                "accuracy": accuracy,
                "parameters": 10**size,
                "ms_per_image": 10**time,
                "choices": {"cell": cell},
                "architecture": {"stages": [{}] * int(depth), "timesteps": int(timesteps)},
                "scores": {NAME: {"mean": mean}},
            }
        )
    return {"trials": trials}


def test_what_predicts_scores_beyond_accuracy_is_found_where_it_was_planted(
    script: Callable[[str], Any],
) -> None:
    page, look = script("open_table_page"), script("open_table_look")
    found = page.regression(planted(90), NAME)
    assert found["n"] == 90
    assert found["coefficients"].keys() == EFFECTS.keys()
    for name, truth in EFFECTS.items():
        each = found["coefficients"][name]
        half = (each["high"] - each["low"]) / 2
        assert abs(each["coefficient"] - truth) < 2 * half, name
        assert half < 0.01, name
    said = look._beyond(found)
    assert "of 6 predictors beside accuracy" in said
    for name in ("parameters", "time per image", "timesteps", "cell gru"):
        assert name in said
    assert "lstm" not in said.replace("against", "")


def test_few_nets_rare_cells_and_what_does_not_vary_are_named(script: Callable[[str], Any]) -> None:
    page = script("open_table_page")
    assert page.regression(planted(17), NAME)["reason"] == (
        "8 coefficients need 18 scored nets; got 17."
    )
    table = planted(40)
    for each in table["trials"]:
        each["architecture"]["timesteps"] = 9
    for each in table["trials"][:2]:
        each["choices"]["cell"] = "ugrnn"
    found = page.regression(table, NAME)
    assert (found["n"], found["left_out"]) == (38, ["ugrnn"])
    assert found["fixed"] == ["timesteps, per step"]
    assert "timesteps, per step" not in found["coefficients"]
    for each in table["trials"]:
        each["scores"] = {}
    assert "none of a cell" in page.regression(table, NAME)["reason"]

"""The page of a study compares what can be compared, and loses no cell."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses.comparison.paired import compare
from neurofit.analyses.identity import NUMBERS
from neurofit.analyses.sweeps import cells as cells_module
from neurofit.analyses.sweeps.cells import load_cell, save_cell
from neurofit.analyses.sweeps.collect import collect
from neurofit.analyses.sweeps.local import run_locally
from neurofit.analyses.sweeps.plan import StudyFolder, make_cells, make_tasks, study_folder
from neurofit.analyses.sweeps.study import Study
from neurofit.results.report.study import Group, Row, StudyTable
from neurofit.results.report.study_page import write_study

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that keeps the computed study between tests."""
    return tmp_path_factory.mktemp("swept")


@pytest.fixture
def swept(study: Study, kept: Path) -> StudyFolder:
    """Compute a study of two models and a baseline, of which each cell of V4 by pls is missing."""
    study = replace(
        study,
        models=["timedecay_tiny", "feedforward_tiny", "baseline:pixels"],
        exclude=[{"region": "V4", "mapping": "pls", "model": "*_tiny"}],
    )
    folder, cells = study_folder(study.name), make_cells(study)
    folder.write_cells(cells)
    if not (kept / "cells").exists():
        run_locally(make_tasks(cells, study), study, folder)
        shutil.copytree("home/cells", kept / "cells")
    shutil.copytree(kept / "cells", "home/cells", dirs_exist_ok=True)
    return folder


def groups_by_name(table: StudyTable) -> dict[str, Group]:
    return {group.name: group for group in table.groups}


def results_of(folder: StudyFolder, **choices: str) -> list[xr.Dataset]:
    """Return the results of the cells that have some choices."""
    found = folder.read_cells()
    return [load_cell(c) for c in found if choices.items() <= dict(c.choices).items()]


def test_ranks_and_differences_are_those_of_a_comparison(swept: StudyFolder) -> None:
    groups = groups_by_name(collect(swept))
    assert list(groups) == ["IT of small, pls", "IT of small, ridge", *list(groups)[2:]]
    for mapping in ("ridge", "pls"):
        made = compare(results_of(swept, region="IT", mapping=mapping))
        rows = {row.model: row for row in groups[f"IT of small, {mapping}"].rows}
        assert len(rows) == 3
        for place, model in enumerate(made.model.values.tolist()):
            row = rows[model]
            assert (row.best, row.worst) == (made.best_rank[place], made.worst_rank[place])
            assert row.mean.value == pytest.approx(float(made.mean_curve[place]))
            if not row.baseline:
                (against,) = row.against
                pair = made.sel(pair=f"{model} - baseline:pixels")
                assert against.difference.value == pytest.approx(float(pair.whole_difference))
                assert against.difference.low == pytest.approx(
                    float(pair.whole_difference_band_low)
                )
                assert against.p == pytest.approx(float(pair.whole_p_adjusted))
        assert rows["baseline:pixels"].against == ()
    (caution,) = (c for c in groups["IT of small, pls"].cautions if "too narrow" in c)
    assert caution not in groups["IT of small, ridge"].cautions
    write_study(collect(swept), Path("page"))
    assert caution in Path("page/index.html").read_text().partition("Downloads")[0]


def test_what_differs_is_never_ranked_together(
    swept: StudyFolder, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[dict[str, Any]] = [
        {"seeds": [1]},
        {"windows": ["80:90"]},
        {"layers": ["conv5"]},
        {"time_modes": ["fixed"]},
        {"options": {"n_splits": 2, "n_halves": 3, "min_z": 0.0}},
        {"selection": {"min_reliability": -1.0}},
    ]
    first = [c for c in swept.read_cells() if c.choices["region"] == "IT"]
    ridge = [c for c in first if c.choices["mapping"] == "ridge"]
    cells, template = list(ridge), load_cell(ridge[0])
    for change in changes:
        other = replace(study, regions=["IT"], mappings=["ridge"], **change)
        (made,) = (c for c in make_cells(other) if c.choices["model"] == "timedecay_tiny")
        save_cell(made, template)
        cells.append(made)
    monkeypatch.setattr(cells_module, "NUMBERS", NUMBERS + 1)
    (newer,) = (
        replace(c, key="f" * 64)
        for c in make_cells(replace(study, regions=["IT"], mappings=["ridge"]))
        if c.choices["model"] == "timedecay_tiny"
    )
    save_cell(newer, template)
    folder = study_folder("mixed")
    folder.write_cells([*cells, newer])
    table = collect(folder)
    sizes = [len(group.rows) for group in table.groups]
    assert sorted(sizes) == [1] * (len(changes) + 1) + [3]
    assert len({group.name for group in table.groups}) == len(table.groups)
    for group in table.groups:
        assert group.n_ranked == (3 if len(group.rows) == 3 else 0)


def test_no_cell_is_lost_whatever_its_state(swept: StudyFolder) -> None:
    cells = swept.read_cells()
    damaged, failed, waiting = cells[0], cells[1], cells[2]
    damaged.result.write_bytes(b"nothing")
    for cell in (failed, waiting):
        cell.result.unlink()
    swept.failure(failed.key).parent.mkdir(exist_ok=True)
    swept.failure(failed.key).write_text(json.dumps({"error": "It broke.\nSo it ended."}))
    table = collect(swept)
    states = {row.key: (row.state, row.error) for row in table.missing}
    assert states[failed.key] == ("failed", "It broke.\nSo it ended.")
    assert states[waiting.key] == ("waiting", "")
    assert states[damaged.key][0] == "damaged"
    assert {row.key for row in [*table.rows, *table.missing]} == {cell.key for cell in cells}
    write_study(table, Path("page"))
    text = Path("page/index.html").read_text()
    assert "It broke. So it ended." in text
    assert text.count("no result.") >= 1


def test_the_command_writes_a_page_whose_downloads_have_every_number(
    swept: StudyFolder, neurofit: Command
) -> None:
    code, out, _ = neurofit("report", str(swept.path))
    assert code == 0
    assert "Written: small-report/index.html" in out
    page = Path("small-report")
    with open(page / "cells.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(swept.read_cells())
    with open(page / "curves.csv", newline="") as file:
        curves = list(csv.DictReader(file))
    for cell in swept.read_cells():
        wanted = load_cell(cell).curve.values.ravel()
        found = [float(c["values"] or "nan") for c in curves if c["cell"] == cell.key]
        np.testing.assert_array_equal(found, wanted)
    known = json.loads((page / "study.json").read_text())
    assert sorted(known["files"]) == sorted(
        str(path.relative_to(page)) for path in page.rglob("*") if path.is_file()
    )
    code, _, _ = neurofit("report", str(swept.path))
    assert code == 0, "its own folder is replaced"
    (page / "mine.txt").write_text("notes")
    code, _, err = neurofit("report", str(swept.path))
    assert code == 2
    assert "mine.txt" in err
    assert (page / "mine.txt").read_text() == "notes"
    code, _, err = neurofit("report", str(swept.path), "other.nc")
    assert code == 2
    assert "one study" in err


def test_a_row_says_its_rank_and_its_strongest_baseline() -> None:
    row = Row(key="a", choices={"model": "net"}, best=1, worst=3)
    assert row.rank == "1 to 3"
    assert replace(row, worst=1).rank == "1"
    assert Row(key="a", choices={"model": "net"}).rank == ""
    assert row.strongest is None

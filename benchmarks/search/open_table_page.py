"""Make the open table of a search and of the scores of its nets.

    python benchmarks/search/open_table_page.py SEARCH NETS SCORES [--out docs]

Writes open_table.csv and open_table.json (a row for each trial that has ended), open_table.svg
(size x accuracy x predictivity) and open_table.html (a page that sorts, with the regressions). The
scores are those of `open_table_scores.py` that exist so far; the folders are only read.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.analyses.sweeps.collect import collect
from neurofit.analyses.sweeps.plan import StudyFolder
from neurofit.errors import NeurofitError, counted
from neurofit.metrics.regression import Regression, regress
from neurofit.results.report.study import Group, Row
from neurofit.storage.home import atomic_file
from neurofit.training.search.trials import SearchFolder, table_of

CONTRACT = "neurofit-open-table/1"

SPARE = 10
"""Least number of nets beyond the coefficients of a regression."""

FEWEST = 3
"""Nets of a kind of cell with fewer scored ones are left out of the regressions."""


def main() -> None:
    """Write the table, the figure and the page."""
    from open_table_look import draw, page

    from neurofit.results.figures import save

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("search", "nets", "scores"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    table = read_table(options.search, options.nets, options.scores)
    write_table(table, options.out)
    save(draw(table), options.out / "open_table.svg")
    with atomic_file(options.out / "open_table.html") as temporary:
        temporary.write_text(page(table), encoding="utf-8")
    print(f"{counted(len(table['trials']), 'trial')}, {counted(n_scored(table), 'scored net')}")


def read_table(search: Path, nets: Path, scores: Path) -> dict[str, Any]:
    """Return the table in types of JSON: search, trials with their scores, baselines, regressions.

    Parameters
    ----------
    search, nets, scores
        Folders of `open_table_scores.py`.
    """
    folder = SearchFolder(path=search)
    stored = json.loads(folder.definition.read_text(encoding="utf-8"))["search"]
    kept = {name: value for name, value in stored.items() if name not in ("storage", "slurm")}
    groups = collect(StudyFolder(path=scores)).groups
    by_net = {
        group.name: {Path(row.model.partition(":")[2]).stem: row for row in group.rows}
        for group in groups
    }
    trials = []
    for line in folder.results():
        stem = f"{line['number']:04d}"
        timed = nets / f"{stem}.json"
        known = json.loads(timed.read_text()) if timed.exists() else {"ms_per_image": None}
        trials.append(
            {
                **line,
                "epochs": [
                    {name: each[name] for name in ("epoch", "accuracy", "seconds", "cpu_seconds")}
                    for each in line["epochs"]
                ],
                **known,
                "scores": {
                    name: described(rows[stem]) for name, rows in by_net.items() if stem in rows
                },
                "command": command(line),
            }
        )
    table = {
        "contract": CONTRACT,
        "search": kept,
        "recordings": {group.name: about(group, nets) for group in groups},
        "baselines": {
            row.model: {
                group.name: described(each)
                for group in groups
                for each in group.rows
                if each.model == row.model
            }
            for group in groups
            for row in group.rows
            if row.baseline
        },
        "trials": trials,
    }
    table["regressions"] = {name: regression(table, name) for name in table["recordings"]}
    return table


def command(line: Mapping[str, Any]) -> str:
    """Return the command that trains a net again from the published table, and compares."""
    number = line["number"]
    if not line["epochs"]:
        return ""
    return (
        f"OMP_NUM_THREADS={line['threads']} neurofit search repeat docs/open_table.json {number} "
        f"--out runs/{number} --device cpu"
    )


def about(group: Group, nets: Path) -> dict[str, Any]:
    """Return what the scores of a recording and region have in common."""
    here = f"file:{nets.resolve()}/"  # the nets are published by number, wherever they were
    return {
        "quantity": group.quantity,
        "interval": group.interval,
        "simulated": group.simulated,
        "bins": [list(each) for each in group.bins],
        "mean over": group.where,
        "notes": [note.replace(here, "") for note in (*group.notes, *group.cautions)],
    }


def described(row: Row) -> dict[str, Any]:
    """Return a score: its mean with interval, rank and ceiling, and its curve over time bins."""
    return {
        "mean": rounded(row.mean.value),
        "low": rounded(row.mean.low),
        "high": rounded(row.mean.high),
        "ceiling": rounded(row.mean_ceiling),
        "rank": row.rank,
        "curve": [rounded(each) for each in row.values.tolist()],
        "curve_low": [rounded(each) for each in row.low.tolist()],
        "curve_high": [rounded(each) for each in row.high.tolist()],
    }


def rounded(value: float) -> float | None:
    """Return a value that JSON takes; None for NaN."""
    return None if value != value else round(value, 5)


def n_scored(table: Mapping[str, Any]) -> int:
    """Return the number of nets with a score."""
    return sum(bool(each["scores"]) for each in table["trials"])


def write_table(table: Mapping[str, Any], out: Path) -> None:
    """Write open_table.json, a line for each trial, and open_table.csv."""
    out.mkdir(parents=True, exist_ok=True)
    head = {name: value for name, value in table.items() if name != "trials"}
    lines = ",\n".join(json.dumps(each) for each in table["trials"])
    with atomic_file(out / "open_table.json") as temporary:
        temporary.write_text(
            f'{json.dumps(head)[:-1]}, "trials": [\n{lines}\n]}}\n', encoding="utf-8"
        )
    columns, rows = table_of(table["trials"])
    ends = ("mean", "low", "high", "rank")
    more = [f"{name}, {end}" for name in table["recordings"] for end in ends]
    with (
        atomic_file(out / "open_table.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([*columns, "ms_per_image", *more, "command"])
        for each, row in zip(table["trials"], rows, strict=True):
            scores = [each["scores"].get(name, {}) for name in table["recordings"]]
            values = [score.get(end, "") for score in scores for end in ends]
            writer.writerow([*row, each["ms_per_image"], *values, each["command"]])


def regression(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the regression of the mean score of a recording and region on properties of nets.

    Accuracy is one of the predictors, so that the others say what predicts scores beyond it. Nets
    of a cell that fewer than `FEWEST` scored nets have are left out, and predictors that do not
    vary.

    Parameters
    ----------
    table
        The table.
    name
        Name of the recording and region.

    Returns
    -------
    The coefficients, or `reason` why there is no regression.
    """
    scored = [
        each for each in table["trials"] if each["scores"].get(name, {}).get("mean") is not None
    ]
    cells = Counter(each["choices"]["cell"] for each in scored)
    rare = sorted(cell for cell, n in cells.items() if n < FEWEST)
    kept = [each for each in scored if each["choices"]["cell"] not in rare]
    made: dict[str, Any] = {"n": len(kept), "left_out": rare}
    if not kept:
        return {**made, "reason": f"{counted(len(scored), 'net')}, none of a cell with {FEWEST}."}
    values = np.array([each["scores"][name]["mean"] for each in kept])
    predictors, fixed = predictors_of(kept)
    made["fixed"] = fixed
    needed = len(predictors) + 1 + SPARE
    if len(kept) < needed:
        reason = f"{len(predictors) + 1} coefficients need {needed} scored nets; got {len(kept)}."
        return {**made, "reason": reason}
    try:
        return {**made, **listed(regress(values, predictors))}
    except NeurofitError as error:
        return {**made, "reason": str(error)}


def predictors_of(
    nets: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the predictors that vary (net), and the names of those that do not.

    A kind of cell is compared with feedforward nets, or else with the most frequent kind.
    """
    cells = Counter(each["choices"]["cell"] for each in nets)
    reference = "memoryless" if "memoryless" in cells else cells.most_common(1)[0][0]
    depths = [len(each["architecture"]["stages"]) for each in nets]
    every = {
        "accuracy, per 10 points": [10 * each["accuracy"] for each in nets],
        "parameters, per tenfold": np.log10([each["parameters"] for each in nets]),
        "time per image, per tenfold": np.log10([each["ms_per_image"] for each in nets]),
        "depth, per layer": depths,
        "timesteps, per step": [each["architecture"]["timesteps"] for each in nets],
        **{
            f"cell {cell}, against {reference}": [each["choices"]["cell"] == cell for each in nets]
            for cell in sorted(cells)
            if cell != reference
        },
    }
    arrays = {name: np.asarray(values, dtype=float) for name, values in every.items()}
    fixed = [name for name, values in arrays.items() if np.ptp(values) == 0]
    return {name: values for name, values in arrays.items() if name not in fixed}, fixed


def listed(found: Regression) -> dict[str, Any]:
    """Return a regression in types of JSON."""
    columns = ("coefficients", "low", "high", "p", "df")
    return {
        "r2": rounded(found.r2),
        "coefficients": {
            name: {
                column.removesuffix("s"): float(f"{getattr(found, column)[i]:.5g}")
                for column in columns
            }
            for i, name in enumerate(found.names)
        },
    }


if __name__ == "__main__":
    main()

"""Do nets that are better at the task explain more, and when? Scores of the nets of the claim.

    python benchmarks/claim/curves.py RUNS [--recordings hvm-sim:V4,hvm-sim:IT,cowley2023:V4]

Scores a net of each finished row, that of the first seed whose weights are in RUNS
(RUNS/scores/KEY-SEED_RECORDING_REGION), compares all with the base net, and prints the tables of
docs/claim.md. Existing scores are not repeated.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from plan import EPOCHS, ROWS, SEEDS, Row

import neurofit
from neurofit.errors import NeurofitError
from neurofit.results.io import write_result


def main() -> None:
    """Score what is missing and print a table for each recording and region."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--recordings", default="hvm-sim:V4,hvm-sim:IT,cowley2023:V4")
    options = parser.parse_args()
    # Results are named by their model, so that a model has one row.
    rows = {row.model: row for row in ROWS if row.epochs == EPOCHS}.values()
    runs = {row: run for row in rows if (run := first_run(options.runs, row))}
    for each in options.recordings.split(","):
        recording, region = each.split(":")
        scored: dict[Row, Path] = {}
        for row, run in runs.items():
            try:
                scored[row] = score(options.runs / "scores", run, row.model, recording, region)
            except NeurofitError as error:  # the deeper net begins after the bin of cowley2023
                print(f"{row.label} has no score: {error}")
        print(f"\n{recording} {region}\n")
        print(table(list(scored.values()), {row: runs[row] for row in scored}))


def first_run(runs: Path, row: Row) -> Path | None:
    """Return the folder of the first seed that has been trained, if any."""
    folders = (runs / f"{row.key}-{seed}" for seed in SEEDS)
    return next((folder for folder in folders if (folder / "result.json").is_file()), None)


def score(scores: Path, run: Path, model: str, recording: str, region: str) -> Path:
    """Score a net; return the folder of the result."""
    folder = scores / f"{run.name}_{recording}_{region}"
    if not (folder / "result.nc").is_file():
        config = neurofit.RunConfig(
            model=model,
            recording=recording,
            weights=run / f"{model}.safetensors",
            selection=neurofit.Selection(region=region),
            analysis=neurofit.ScoreConfig(n_splits=5, n_halves=5),
        )
        write_result(neurofit.run(config), folder)
    return folder


def table(folders: list[Path], runs: Mapping[Row, Path]) -> str:
    """Return a row for each net: its score, and its difference from the base net in windows."""
    config = neurofit.CompareConfig(reference=next(iter(runs)).model)
    results = [neurofit.load_result(folder) for folder in folders]
    one_bin = results[0].sizes["time_bin"] == 1
    compared = neurofit.compare(results, config)
    windows = [] if one_bin else [str(each) for each in compared.window.values]
    head = ["net", "seed", "score", *(f"{each} - base" for each in ("whole curve", *windows))]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for number, (row, run) in enumerate(runs.items()):
        cells = [row.label, run.name.split("-")[-1], f"{float(compared.mean_curve[number]):.3f}"]
        if number:
            pair = compared.isel(pair=number - 1)
            cells.append(_interval(pair, "whole_difference"))
            cells += [
                _interval(pair.isel(window=index), "window_difference")
                for index in range(len(windows))
            ]
        lines.append(cells + [""] * (len(head) - len(cells)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(part: object, name: str) -> str:
    value, low, high = (
        float(part[each])  # type: ignore[index]
        for each in (name, f"{name}_low", f"{name}_high")
    )
    return "" if np.isnan(value) else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()

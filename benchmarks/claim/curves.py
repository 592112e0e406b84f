"""Do nets that are better at the task explain more, and when? Scores of the nets of the claim.

    python benchmarks/claim/curves.py RUNS [--recordings hvm-sim:V4,hvm-sim:IT,cowley2023:V4]

Scores the net of seed 0 of each finished row (RUNS/scores/KEY_RECORDING_REGION), compares all with
the base net, and prints the tables of docs/claim.md. Existing scores are not repeated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from plan import EPOCHS, ROWS, Row

import neurofit
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
    done = [row for row in rows if weights_of(options.runs, row).is_file()]
    for each in options.recordings.split(","):
        recording, region = each.split(":")
        folders = [score(options.runs, row, recording, region) for row in done]
        print(f"\n{recording} {region}\n")
        print(table(folders, done))


def weights_of(runs: Path, row: Row) -> Path:
    """Return the weights of the run with seed 0."""
    return runs / f"{row.key}-0" / f"{row.model}.safetensors"


def score(runs: Path, row: Row, recording: str, region: str) -> Path:
    """Score a net; return the folder of the result."""
    folder = runs / "scores" / f"{row.key}_{recording}_{region}"
    if not (folder / "result.nc").is_file():
        config = neurofit.RunConfig(
            model=row.model,
            recording=recording,
            weights=weights_of(runs, row),
            selection=neurofit.Selection(region=region),
            analysis=neurofit.ScoreConfig(n_splits=5, n_halves=5),
        )
        write_result(neurofit.run(config), folder)
    return folder


def table(folders: list[Path], rows: list[Row]) -> str:
    """Return a row for each net: its score, and its difference from the base net in windows."""
    config = neurofit.CompareConfig(reference=rows[0].model)
    results = [neurofit.load_result(folder) for folder in folders]
    one_bin = results[0].sizes["time_bin"] == 1
    compared = neurofit.compare(results, config)
    windows = [] if one_bin else [str(each) for each in compared.window.values]
    head = ["net", "score", *(f"{each} - base" for each in ("whole curve", *windows))]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for number, row in enumerate(rows):
        cells = [row.label, f"{float(compared.mean_curve[number]):.3f}"]
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

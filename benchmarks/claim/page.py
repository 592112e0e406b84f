"""Make the tables and the figure of docs/claim.md from the outcomes of `run.py`.

    python benchmarks/claim/page.py [OUTCOMES]

Replaces the tables of docs/claim.md and writes docs/claim.json and docs/claim.png. Rows without a
finished run are left out and named; intervals need two seeds of every row.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from images import KINDS
from intervals import differences
from outcomes import OUTCOMES, Outcome, finished
from plan import RECIPE, ROWS, Row

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCES = ("feedforward", "rgc")


def main() -> None:
    """Write the tables, the numbers and the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outcomes", type=Path, nargs="?", default=OUTCOMES, help="their folder")
    folder = parser.parse_args().outcomes
    seeds = {row: finished(row, folder) for row in ROWS}
    found = {row: list(each.values()) for row, each in seeds.items() if each}
    print("Not finished:", ", ".join(row.key for row in ROWS if row not in found) or "none")
    n_seeds = min(len(each) for each in found.values())
    found = {row: each[:n_seeds] for row, each in found.items()}
    numbers = numbers_of(found)
    (DOCS / "claim.json").write_text(json.dumps(numbers, indent=1) + "\n")
    page = DOCS / "claim.md"
    tables = {"accuracies": accuracies(numbers), "commands": commands(numbers)}
    page.write_text(filled(page.read_text(), tables))
    draw(found, DOCS / "claim.png")


def filled(text: str, tables: dict[str, str]) -> str:
    """Return a page with its tables between the marks of their names."""
    for name, table in tables.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        text, n = re.subn(pattern, (begin + table + end).replace("\\", r"\\"), text, flags=re.S)
        assert n == 1, f"docs/claim.md has {n} tables called {name}"
    return text


def numbers_of(found: Mapping[Row, Sequence[Outcome]]) -> dict[str, Any]:
    """Return what the tables say; accuracies in per cent, of the last timestep."""
    numbers: dict[str, Any] = {}
    for row, each in found.items():
        facts = {"n_parameters": each[0].n_parameters, "epochs": each[0].epochs}
        numbers[row.key] = {"label": row.label, "model": row.model, **facts, **each[0].settings}
    for kind in KINDS:
        last = {row.key: np.stack([one.right[kind] for one in each]) for row, each in found.items()}
        for key, right in last.items():
            numbers[key][kind] = (100 * right.mean(axis=1)).round(2).tolist()
        for reference in REFERENCES:
            if reference in last and len(last[reference]) > 1:
                for key, change in differences(last, reference).items():
                    rounded = round(100 * change.value, 2), round(100 * change.half, 2)
                    numbers[key][f"{kind} - {reference}"] = rounded
    return numbers


def accuracies(numbers: dict[str, Any]) -> str:
    """Return the table of accuracies and of their differences from the base net."""
    head = ["net", "parameters", "epochs", "seeds", *KINDS]
    head += [f"{kind} - base" for kind in KINDS]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for each in numbers.values():
        values = [f"{np.mean(each[kind]):.1f}" for kind in KINDS]
        changes = [each.get(f"{kind} - {REFERENCES[0]}") for kind in KINDS]
        shown = [
            f"{c[0]:+.1f} ({c[0] - c[1]:+.1f} to {c[0] + c[1]:+.1f})" if c else "" for c in changes
        ]
        lines.append(
            [
                each["label"],
                f"{each['n_parameters']:,}",
                str(each["epochs"]),
                str(len(each["clean"])),
                *values,
                *shown,
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def commands(numbers: dict[str, Any]) -> str:
    """Return the table of hyperparameters and commands."""
    lines = [["net", "command (seed 0; also 1 and 2)"], ["---", "---"]]
    for key, each in numbers.items():
        changes = f"--lr {each['lr']:g}"
        changes += " --clip none" if each["clip"] is None else f" --clip {each['clip']:g}"
        command = (
            f"neurofit train --model {each['model']} --data cifar10 --recipe {RECIPE} {changes} "
            f"--epochs {each['epochs']} --seed 0 --out runs/{key}-0"
        )
        lines.append([each["label"], f"`{command}`"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def draw(found: Mapping[Row, Sequence[Outcome]], path: Path) -> None:
    """Draw accuracy over timesteps, a panel for each kind of images."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(KINDS), figsize=(10, 3.6), layout="constrained")
    for kind, panel in zip(KINDS, panels, strict=True):
        for number, (row, each) in enumerate(found.items()):
            line = 100 * np.mean([one.accuracy[kind] for one in each], axis=0)
            panel.plot(
                each[0].timesteps, line, label=row.label, color=plt.cm.tab20(number),
                marker="o", markersize=3,
            )  # fmt: skip
        panel.set_title(kind)
        panel.set_xlabel("Timestep")
    panels[0].set_ylabel("Correct test images (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()

"""The tables of docs/recording_faults.md, which this script writes.

The test of each cell proves that its outcome is what the table says.
"""

from __future__ import annotations

from pathlib import Path

import faults_of_exports
import faults_of_files
import faults_of_identity
import faults_of_tables
import faults_of_time
import faults_of_values
from forms import FORMS
from matrix import Fault

PAGE = Path(__file__).resolve().parents[3] / "docs" / "recording_faults.md"
BEGIN, END = "<!-- made by tests/data_loaders/faults/recording_faults.py -->\n", "<!-- end -->\n"

KINDS: dict[str, tuple[Fault, ...]] = {
    "Time": faults_of_time.FAULTS + faults_of_exports.TIME,
    "Identity": faults_of_identity.FAULTS + faults_of_exports.IDENTITY,
    "Fills and types": faults_of_values.FAULTS + faults_of_tables.FAULTS + faults_of_exports.VALUES,
    "Containers": faults_of_files.FAULTS,
}

SHORT = {
    "netCDF, named axes in a group": "netCDF group",
    "npy and tables": "npy",
    "MATLAB v5": "mat v5",
    "MATLAB v7.3": "mat v7.3",
    "spike folder": "spikes",
    "spike table": "CSV",
    "classic netCDF": "netCDF 3",
}
"""Format -> its name in the head of a table."""


def tables() -> str:
    """Return the table of each kind, and the sentences that it numbers."""
    numbers: dict[str, int] = {}
    lines = []
    for kind, faults in KINDS.items():
        names = ["fault", *(SHORT.get(form, form) for form in FORMS)]
        lines += [f"## {kind}", "", _row(names), _row(["---"] * len(names))]
        for fault in faults:
            cells = [fault.what]
            for form in FORMS:
                found = fault.outcomes.get(form)
                said = found.said if found else ""
                number = numbers.setdefault(said, len(numbers) + 1) if said else ""
                cells.append(f"{found.kind} {number}".strip() if found else "")
            lines.append(_row(cells))
        lines.append("")
    lines += ["## Sentences", ""]
    lines += [f"{number}. … {said}" for said, number in numbers.items()]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def whole(text: str) -> str:
    """Return the text of the page with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""A table for a paper as text, Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from itertools import groupby

from rich.markup import escape
from rich.table import Table

from neurofit.results.paper import Cell, Column, Estimate, P, PaperTable
from neurofit.results.tables import p_text

MAX_DECIMALS = 4

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    **{character: rf"\{character}" for character in "&%$#_{}"},
}
"""Characters that LaTeX would take for commands -> what prints them."""


def decimals_of(half: float) -> int:
    """Return the decimals that give half an interval two significant digits; 2 without one."""
    if not (math.isfinite(half) and half > 0):
        return 2
    rounded = float(f"{half:.1e}")
    return min(max(1 - math.floor(math.log10(rounded)), 0), MAX_DECIMALS)


def rich_table(table: PaperTable) -> Table:
    """Return a table for the terminal."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    first = table.columns[0]
    made.add_column(first.heading, overflow="fold")
    for column in table.columns[1:]:
        heading = "\n".join(filter(None, [column.group, column.heading]))
        made.add_column(heading, justify="right", overflow="fold")
    for row in zip(*_texts(table), strict=True):
        made.add_row(*map(escape, row))
    return made


def markdown(table: PaperTable) -> str:
    """Return a table in Markdown, with its caption below."""
    headings = [" ".join(filter(None, [c.group, c.heading])) for c in table.columns]
    ruler = ["---" if i == 0 else "---:" for i in range(len(headings))]
    texts = [[_markdown_cell(cell) for cell in cells] for cells in _texts(table)]
    rows = [[_markdown_cell(heading) for heading in headings], ruler, *zip(*texts, strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", _markdown_cell(table.caption), ""])


def _markdown_cell(text: str) -> str:
    for character in "\\`*_|<>[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def latex(table: PaperTable) -> str:
    r"""Return a LaTeX table; the document needs \usepackage{booktabs}."""
    groups = [
        (name, len(list(columns))) for name, columns in groupby(table.columns, lambda c: c.group)
    ]
    head, rules, at = [], [], 1
    for name, width in groups:
        if name:
            head.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(name)}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        else:
            head += [""] * width
        at += width
    above = [f"{' & '.join(head)} \\\\", " ".join(rules)] if rules else []
    headings = " & ".join(latex_text(column.heading) for column in table.columns)
    cells = [
        [_latex_cell(cell, text) for cell, text in zip(column.cells, texts, strict=True)]
        for column, texts in zip(table.columns, _texts(table), strict=True)
    ]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(table.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            *above,
            rf"{headings} \\",
            r"\midrule",
            *(rf"{' & '.join(row)} \\" for row in zip(*cells, strict=True)),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex_cell(cell: Cell, text: str) -> str:
    """Return a cell as LaTeX, with the minus of numbers as such."""
    made = latex_text(text)
    return re.sub(r"-(?=\d)", "$-$", made) if isinstance(cell, Estimate) else made


def latex_text(text: str) -> str:
    """Return text as LaTeX that prints it."""
    return "".join(LATEX.get(character, character) for character in text.replace("\n", " "))


def csv_text(table: PaperTable) -> str:
    """Return a table as CSV: full precision, ends of intervals and of time bins in own columns."""
    columns: list[list[object]] = []
    for column in table.columns:
        name = " ".join(filter(None, [column.group, column.heading]))
        columns += _csv_columns(column, name)
    page = io.StringIO()
    csv.writer(page, lineterminator="\n").writerows(zip(*columns, strict=True))
    return page.getvalue()


def _csv_columns(column: Column, name: str) -> list[list[object]]:
    """Return a column as one or several, each with its heading."""
    some = next((cell for cell in column.cells if cell != ""), "")
    if isinstance(some, tuple):
        ends = [pair for pair in column.cells if isinstance(pair, tuple)]
        return [["start (ms)", *(a for a, _ in ends)], ["end (ms)", *(b for _, b in ends)]]
    if isinstance(some, Estimate):
        made: list[list[object]] = [
            [f"{name} {end}".removesuffix(" value"), *(_exact(cell, end) for cell in column.cells)]
            for end in ("value", "low", "high")
        ]
        return made if any(made[1][1:]) else made[:1]
    return [[name, *(_exact(cell, "value") for cell in column.cells)]]


def _exact(cell: Cell, name: str) -> object:
    """Return a cell without rounding; empty where there is no value."""
    if isinstance(cell, Estimate | P):
        value = float(getattr(cell, name))
        return "" if value != value else repr(value)
    return cell


def _texts(table: PaperTable) -> list[list[str]]:
    """Return the cells of every column as text."""
    estimates = [c for column in table.columns for c in column.cells if isinstance(c, Estimate)]
    symmetric = all(map(_is_symmetric, estimates))
    return [[_text(cell, symmetric) for cell in column.cells] for column in table.columns]


def _is_symmetric(cell: Estimate) -> bool:
    half = (cell.high - cell.low) / 2
    return not half > 0 or abs(cell.value - cell.low - half) < 0.05 * half


def _text(cell: Cell, symmetric: bool) -> str:
    """Return "0.123 ± 0.011", or "0.123 [0.110, 0.140]" where an interval is not symmetric."""
    if isinstance(cell, tuple):
        return f"{cell[0]}-{cell[1]}"
    if isinstance(cell, P):
        return p_text(cell.value)
    if not isinstance(cell, Estimate):
        return str(cell)
    if cell.value != cell.value:
        return "-"
    half = (cell.high - cell.low) / 2
    n = decimals_of(half)
    if half != half:
        return f"{cell.value:z.{n}f}"
    if symmetric:
        return f"{cell.value:z.{n}f} ± {half:.{n}f}"
    return f"{cell.value:z.{n}f} [{cell.low:z.{n}f}, {cell.high:z.{n}f}]"


FORMATS: dict[str, Callable[[PaperTable], str]] = {
    "md": markdown,
    "latex": latex,
    "csv": csv_text,
}
"""Formats of a file -> functions that write it."""

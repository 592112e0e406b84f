"""Results as one HTML file that opens from disk: tables, plots, notes and provenance, by roles."""

from __future__ import annotations

import base64
import html
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from rich.table import Table

from neurofit.results.plot import plot_result
from neurofit.results.tables import describe_result, footnotes, result_tables
from neurofit.storage.home import atomic_file

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.1rem 0.8rem; text-align: right; border-bottom: 1px solid #8884; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
img {{ max-width: 100%; background: white; }}
pre {{ white-space: pre-wrap; font-size: 0.8rem; }}
</style>
<h1>{title}</h1>
{sections}
</html>
"""


def write_report(
    results: Sequence[xr.Dataset], path: str | Path, *, title: str = "neurofit"
) -> None:
    """Write results as one HTML file without links to other files or the network.

    Parameters
    ----------
    results
        Results of any analyses, one section each.
    path
        File to write, completely or not at all.
    title
        Heading of the page.
    """
    sections = "\n".join(_section(result) for result in results)
    with atomic_file(Path(path)) as temporary:
        text = PAGE.format(title=html.escape(title), sections=sections)
        temporary.write_text(text, encoding="utf-8")


def _section(result: xr.Dataset) -> str:
    parts = [f"<h2>{html.escape(describe_result(result))}</h2>"]
    alternative = html.escape(f"Plot: {describe_result(result)}", quote=True)
    parts.append(f'<img alt="{alternative}" src="data:image/png;base64,{_plot(result)}">')
    for caption, table in result_tables(result):
        parts.append(_table(table, caption))
    parts += [f"<p>{html.escape(line)}</p>" for line in footnotes(result)]
    attrs = {name: _decoded(value) for name, value in result.attrs.items()}
    provenance = html.escape(json.dumps(attrs, indent=2, default=str))
    parts.append(f"<details><summary>Provenance</summary><pre>{provenance}</pre></details>")
    return f"<section>\n{chr(10).join(parts)}\n</section>"


def _plot(result: xr.Dataset) -> str:
    with tempfile.TemporaryDirectory() as folder:
        plot_result(result, Path(folder) / "plot.png")
        return base64.b64encode((Path(folder) / "plot.png").read_bytes()).decode()


def _table(table: Table, caption: str) -> str:
    columns = [list(column.cells) for column in table.columns]
    head = "".join(f"<th>{html.escape(str(column.header))}</th>" for column in table.columns)
    rows = (
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in zip(*columns, strict=True)
    )
    body = "\n".join(rows)
    return (
        f"<table><caption>{html.escape(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    )


def _decoded(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value

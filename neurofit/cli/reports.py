"""Commands that show results: tables for a paper, and a report in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli.console import harmless, out, progress, write
from neurofit.errors import NeurofitError, check_option

if TYPE_CHECKING:
    import xarray as xr

ResultsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RESULT...", help="Folders of results, or result.nc files."),
]


def table(
    results: ResultsArgument,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format: text, md, latex (booktabs) or csv.",
            show_default="the suffix of --out, or text",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="Rows: bins (a row for each time bin) or models (means over time).",
            show_default="bins for a single curve, else models",
        ),
    ] = None,
    windows: Annotated[
        str | None,
        typer.Option(
            metavar="START:END,...",
            help="Windows (ms) of the means of --rows models; early is 70:130, late 130:260.",
            show_default="all time bins",
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write the table into a file.")
    ] = None,
) -> None:
    """Print results as a table for a paper, rounded to two digits of half the interval."""
    from neurofit.analyses.windows import parse_windows
    from neurofit.results.io import load_result
    from neurofit.results.paper import paper_table
    from neurofit.results.paper_text import FORMATS, rich_table
    from neurofit.storage.home import atomic_file

    suffix = Path(file or "").suffix.lstrip(".")
    format_ = check_option(
        "format", format_ or {"tex": "latex"}.get(suffix, suffix) or "text", ["text", *FORMATS]
    )
    made = paper_table(
        list(map(load_result, results)),
        rows=rows,
        windows=parse_windows(windows) if windows else (),
    )
    if format_ == "text":
        if file:
            raise NeurofitError("A file has the format md, latex or csv; text is printed.")
        out.print(rich_table(made))
        out.print(made.caption, style="dim", markup=False)
        return
    text = FORMATS[format_](made)
    if not file:
        write(harmless(text))
        return
    with atomic_file(Path(file)) as temporary:
        temporary.write_text(text, encoding="utf-8")
    out.print(f"Written: {file}", soft_wrap=True)


def report(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...|STUDY",
            help="Folders of results or result.nc files; or a study: its TOML file, or the folder "
            "of its sweep.",
        ),
    ],
    file: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="HTML file to write; the folder to write for a study.",
            show_default="report.html, or NAME-report for a study",
        ),
    ] = None,
    title: Annotated[
        str, typer.Option(help="Heading of the report.", show_default="what the results are about")
    ] = "",
) -> None:
    """Write results as one HTML file, or a study as a folder with a table of all its cells."""
    from neurofit.results.io import load_result
    from neurofit.results.report import write_report

    studies = [each for each in results if _is_study(each)]
    if studies and len(results) > 1:
        raise NeurofitError(
            f"A report is about results or about one study; {studies[0]} is a study, and there are "
            f"{len(results) - 1} more."
        )
    if studies:
        _report_study(studies[0], file, title)
        return
    file = file or "report.html"
    loaded = list(map(load_result, with_baselines(results)))
    comparisons, notes = compare_areas(loaded)
    write_report(loaded, file, comparisons=comparisons, title=title, notes=notes)
    out.print(f"Written: {file}", soft_wrap=True)


def _is_study(path: str) -> bool:
    return Path(path).suffix == ".toml" or (Path(path) / "cells.jsonl").is_file()


def _report_study(path: str, out_folder: str | None, title: str) -> None:
    """Write the page of a study."""
    from neurofit.analyses.sweeps.collect import collect
    from neurofit.analyses.sweeps.plan import study_folder
    from neurofit.analyses.sweeps.study import read_study
    from neurofit.results.report.study_page import check_own, write_study

    given = Path(path)
    name = given.resolve().name if given.is_dir() else read_study(given).name
    folder = study_folder(name, given if given.is_dir() else None)
    target = Path(out_folder or f"{name}-report")
    check_own(target)
    with progress() as bars:
        table = collect(folder, name=name, progress=bars)
        write_study(table, target, title=title, progress=bars)
    out.print(f"Written: {target / 'index.html'}", soft_wrap=True, markup=False)


def with_baselines(paths: Sequence[str]) -> list[Path]:
    """Return the paths of results, each followed by those of its baselines, every one once."""
    every: list[Path] = []
    for given in map(Path, paths):
        folder = given if given.is_dir() else given.parent
        every += [given, *sorted(each.parent for each in folder.glob("baselines/*/result.nc"))]
    return list({(path / "result.nc" if path.is_dir() else path): path for path in every}.values())


def compare_areas(results: Sequence[xr.Dataset]) -> tuple[list[xr.Dataset], list[str]]:
    """Return comparisons of the models of each area, and of each model with its baselines.

    Sentences say why others are not compared. Where a comparison is given, none is made.
    """
    from neurofit.analyses.comparison.paired import compare
    from neurofit.results.labels import label_results
    from neurofit.results.schema import is_comparison

    if any(map(is_comparison, results)):
        return [], []
    areas: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for result in results:
        if result.attrs["analysis"] == "score":
            own = tuple(result.attrs[key] for key in ("region", "recording"))
            areas.setdefault(own, []).append(result)
    made: list[xr.Dataset] = []
    notes: list[str] = []
    for (region, recording), scores in areas.items():
        models = [each for each in scores if not each.attrs["control"]]
        groups = [(f"{region} of {recording}: models are", models, "")]
        for model in models:
            name = model.attrs["model"]
            group = [model]
            group += [s for s in scores if s.attrs["control"] and s.attrs["model"] == name]
            about = f"{region} of {recording}: {name} and its baselines are"
            groups.append((about, group, label_results(group)[0]))
        for about, group, reference in groups:
            if len(group) > 1:
                options: dict[str, Any] = {"reference": reference, "windows": ()}
                try:
                    made.append(compare(group, **(options if reference else {})))
                except NeurofitError as error:
                    notes.append(f"{about} not compared. {str(error).partition(chr(10))[0]}")
    return made, notes

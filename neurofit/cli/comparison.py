"""The command compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli.analyses import print_result
from neurofit.cli.console import err, out, write
from neurofit.cli.options import expand, late_command

if TYPE_CHECKING:
    from neurofit.analyses.comparison.config import CompareConfig

SUMMARY = "Compare models by their stored scores: which one predicts an area better, and when."

ResultsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RESULT...", help="Results: files result.nc or their folders."),
]

OutOption = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder of the comparison \\[default: neurofit-results/compare_...].",
        show_default=False,
        rich_help_panel="Output",
    ),
]

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the summary as JSON, nothing else.", rich_help_panel="Output"
    ),
]


def compare_command() -> Any:
    """Return the command, whose options are those of a dataclass that takes time to import."""
    from neurofit.analyses.comparison.config import CompareConfig

    def compare(
        results: ResultsArgument,
        statistics: Any,
        out_folder: OutOption = None,
        as_json: JsonOption = False,
    ) -> None:
        compare_and_show(results, statistics, out_folder=out_folder, as_json=as_json)

    compare.__doc__ = SUMMARY
    example = "neurofit compare A/result.nc B/result.nc --windows early,late"
    return late_command("compare", expand(statistics=CompareConfig)(compare), example=example)


def compare_and_show(
    results: list[str], config: CompareConfig, *, out_folder: str | None, as_json: bool
) -> None:
    """Compare results; write and print the comparison."""
    from neurofit.analyses.comparison.paired import compare as compare_results
    from neurofit.results.folder import check_writable, result_folder
    from neurofit.results.io import FILES, write_result
    from neurofit.results.summary import summarise

    result = compare_results(results, config)
    attrs = result.attrs
    words = ["compare", *result.model.values.tolist(), attrs["region"], attrs["recording"]]
    folder = Path(out_folder) if out_folder else result_folder(words)
    check_writable(folder, attrs["analysis"])
    replaced = write_result(result, folder)
    if as_json:
        write(f"{json.dumps(summarise(result))}\n")
        if replaced:
            err.print(f"Note: replaced {folder}/{', '.join(FILES)}.", soft_wrap=True)
        return
    print_result(result)
    verb = "Replaced" if replaced else "Written"
    out.print(f"{verb}: {folder}/{', '.join(FILES)}", soft_wrap=True)

"""`neurofit brainscore`: submissions, links and scores; Brain-Score is imported when needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neurofit.cli.console import err, out
from neurofit.cli.options import App

app = App(
    no_args_is_help=True,
    help="Use models of neurofit in Brain-Score (pip install 'neurofit\\[brainscore]').",
)


@app.command(epilog="Example: neurofit brainscore export submission --model rgc_tiny")
def export(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Submission folder.")],
    model: Annotated[
        str, typer.Option(help="Registered model (neurofit list models), or file:PATH.")
    ],
) -> None:
    """Write a submission folder: a plugin that Brain-Score finds."""
    plugin = _import("export").export(model, folder)
    if not _import("export").has_bundled_weights(model):
        err.print(
            f"Note: no weights of {model} come with the package; without downloaded ones, the "
            "submission cannot be scored."
        )
    out.print(
        f"Written: {plugin}. Zip {folder} and submit it, or try it: "
        f"neurofit brainscore link {folder}",
        soft_wrap=True,
    )


@app.command(epilog="Example: neurofit brainscore link submission")
def link(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder written by export.")],
) -> None:
    """Link a submission folder into the installed Brain-Score."""
    for target in _import("export").link(folder, _package()):
        out.print(f"Linked: {target}", soft_wrap=True)


@app.command(epilog="Example: neurofit brainscore unlink")
def unlink() -> None:
    """Remove the links, and the scores that Brain-Score cached for them."""
    removed = _import("export").unlink(_package())
    for target in removed:
        out.print(f"Removed: {target}", soft_wrap=True)
    if not removed:
        out.print("There is nothing to remove.")


@app.command(
    epilog="Example: neurofit brainscore score neurofit-rgc_tiny MajajHong2015public.IT-pls"
)
def score(
    model: Annotated[
        str, typer.Argument(help="Identifier in Brain-Score; models of neurofit are neurofit-NAME.")
    ],
    benchmark: Annotated[
        str,
        typer.Argument(
            help="Identifier in Brain-Score; benchmarks of neurofit are neurofit-RECORDING.REGION."
        ),
    ],
) -> None:
    """Score a model on a benchmark as Brain-Score does, in this process."""
    found = _import("candidate").score_benchmark(model, benchmark)
    error = f" +- {found.error:.4f}" if found.error else ""
    out.print(f"[bold]{model}[/bold] on [bold]{benchmark}[/bold]: {found.value:.4f}{error}")
    if found.ceiling is not None:
        out.print(f"raw {found.raw:.4f}, ceiling {found.ceiling:.4f}")
    for (start, end), value in found.curve:
        out.print(f"{start:>5}-{end:<5} {'-' if value != value else f'{value:.3f}'}")


def _import(module: str) -> Any:
    from neurofit.analyses.inputs import import_brainscore

    return import_brainscore(module)


def _package() -> Path:
    return Path(_import("registration").brainscore_vision.__file__).parent

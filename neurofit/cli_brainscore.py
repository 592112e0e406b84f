"""`neurofit brainscore`: submissions, links and scores. Nothing of Brain-Score is imported before a command needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurofit.tables import err, out
from neurofit.terminal import of_brainscore

app = typer.Typer(no_args_is_help=True, help="Our models inside Brain-Score (pip install 'neurofit\\[brainscore]').")


@app.command(epilog="Example: neurofit brainscore export submission --model rgc_tiny")
def export(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Submission folder.")],
    model: Annotated[str, typer.Option(help="Registered model (neurofit list models).")],
) -> None:
    """Write a submission folder: a plugin that Brain-Score finds."""
    plugin = of_brainscore("export").export(model, folder)
    if not of_brainscore("export").ships_weights(model):
        err.print(f"Note: no weights of {model} come with the package; where there are none, the submission is scored with random ones.")
    out.print(f"Written: {plugin}. Zip {folder} and submit it, or try it here: neurofit brainscore link {folder}", soft_wrap=True)


@app.command(epilog="Example: neurofit brainscore link submission")
def link(folder: Annotated[str, typer.Argument(metavar="DIR", help="As export wrote it.")]) -> None:
    """Link a submission folder into the installed Brain-Score."""
    for target in of_brainscore("export").link(folder, _package()):
        out.print(f"Linked: {target}", soft_wrap=True)


@app.command(epilog="Example: neurofit brainscore unlink")
def unlink() -> None:
    """Remove the links again, and what Brain-Score left of their scores."""
    removed = of_brainscore("export").unlink(_package())
    for target in removed:
        out.print(f"Removed: {target}", soft_wrap=True)
    if not removed:
        out.print("There is nothing to remove.")


@app.command(epilog="Example: neurofit brainscore score neurofit-rgc_tiny MajajHong2015public.IT-pls")
def score(
    model: Annotated[str, typer.Argument(help="Brain-Score's identifier; ours are neurofit-NAME.")],
    benchmark: Annotated[str, typer.Argument(help="Brain-Score's identifier; ours are neurofit-RECORDING.REGION.")],
) -> None:
    """Score a model on a benchmark as Brain-Score does, in this process."""
    found = of_brainscore("candidate").score_benchmark(model, benchmark)
    out.print(f"[bold]{model}[/bold] on [bold]{benchmark}[/bold]: {found.value:.4f}" + (f" +- {found.error:.4f}" if found.error else ""))
    if found.ceiling is not None:
        out.print(f"raw {found.raw:.4f}, ceiling {found.ceiling:.4f}")
    for (start, end), value in found.curve:
        out.print(f"{start:>5}-{end:<5} {'-' if value != value else f'{value:.3f}'}")


def _package() -> Path:
    return Path(of_brainscore("registration").brainscore_vision.__file__).parent

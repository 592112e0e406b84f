"""The command `neurofit`: turns names into objects, prints, and reports errors in a line or two."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
import typer.core

from neurofit.cli import (
    analyses,
    brainscore,
    catalogue,
    comparison,
    features,
    figures,
    files,
    recordings,
    reports,
    search,
    sweep,
    training,
    verifying,
)
from neurofit.cli.console import err, fail, plugins, print_warning
from neurofit.cli.options import App, Command
from neurofit.errors import NeurofitError

INTERRUPTED = 130
"""Exit code of Ctrl-C."""

LATE: dict[str, tuple[str, Callable[[], Any]]] = {
    **{
        name: (summary, partial(analyses.analysis_command, name))
        for name, summary in analyses.SHORT_NAMES.items()
    },
    "compare": (comparison.SUMMARY, comparison.compare_command),
    "extract": (features.SUMMARY, features.extract_command),
    "plot": (figures.SUMMARY, figures.plot_command),
    "train": (training.SUMMARY, training.train_command),
}
"""Commands that are made when they are called, not for the help: a line on each, and the maker."""


class Root(typer.core.TyperGroup):
    """The root group."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, analyses first."""
        return [*LATE, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a command; for one that is made late, what the list of commands needs of it."""
        if name in LATE:
            return Command(name, callback=lambda: None, help=LATE[name][0])
        return super().get_command(ctx, name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name."""
        if args and args[0] in LATE:
            return args[0], LATE[args[0]][1](), args[1:]
        return super().resolve_command(ctx, args)


app = App(
    name="neurofit",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Does a recurrent vision model unfold in time as V4 and IT do? One noise-corrected "
    "predictivity curve per area.",
)
app.add_typer(analyses.app, name="analyse")
app.add_typer(files.data, name="data")
app.add_typer(files.weights, name="weights")
app.add_typer(files.cache, name="cache")
app.add_typer(brainscore.app, name="brainscore")
app.add_typer(sweep.app, name="sweep")
app.add_typer(search.app, name="search")
for _command, _example in (
    (catalogue.list_, "list models"),
    (catalogue.describe, "describe rgc_tiny"),
    (recordings.check, "check mine.nc"),
    (reports.report, "report neurofit-results/* --out report.html"),
    (reports.table, "table neurofit-results/* --format latex"),
    (verifying.verify, "verify neurofit-results/rgc_tiny_IT_hvm-sim_ridge"),
    (training.eval_, "eval --model rgc_tiny --data cifar10"),
):
    app.command(_command.__name__.rstrip("_"), epilog=f"Example: neurofit {_example}")(_command)


def _print_version(asked: bool) -> bool:
    if asked:
        from neurofit import __version__

        print(f"neurofit {__version__}")
        raise typer.Exit
    return asked


def _run_plugins(paths: list[str] | None) -> list[str]:
    for path in paths or []:
        if not Path(path).is_file():
            found = "is a folder" if Path(path).is_dir() else "does not exist"
            raise NeurofitError(f"--plugin takes a Python file; {path!r} {found}.")
        err.print(f"Note: running {path} (--plugin).", markup=False, soft_wrap=True)
        plugins.append(str(Path(path)))
        try:
            _run_plugin(Path(path))
        except NeurofitError:
            raise
        except Exception as error:
            raise NeurofitError(
                f"{path} (--plugin) failed: {type(error).__name__}: {error}\n"
                "Run neurofit --debug COMMAND for the traceback."
            ) from error
    return paths or []


def _run_plugin(path: Path) -> None:
    """Run a Python file as a module that stays imported: annotations are looked up in it later."""
    module = ModuleType(f"neurofit_plugin_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(path.read_bytes(), path, "exec"), vars(module))


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error.")
    ] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin",
            metavar="FILE.py",
            is_eager=True,
            callback=_run_plugins,
            help="Run a Python file first that registers models, recordings, mappings or analyses.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    os.environ["NEUROFIT_DEBUG"] = "1" if debug else os.environ.get("NEUROFIT_DEBUG", "")


def main() -> None:
    """Run the command; wrong use exits with 2, faults of the machine with 1."""
    plugins.clear()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal or file with another code page
            stream.reconfigure(errors="replace")
    warnings.showwarning = print_warning  # type: ignore[assignment]  # takes the place as it comes
    try:
        if app(args=_plugins_first(sys.argv[1:]), standalone_mode=False) == INTERRUPTED:
            raise KeyboardInterrupt  # typer returns what it makes of Ctrl-C
    except NeurofitError as error:
        fail(str(error), error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except MemoryError as error:
        fail(f"The memory of this machine does not suffice. {error}".strip(), 1)
    except (KeyboardInterrupt, typer.Abort):
        err.print("Interrupted; partial files were removed.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help is printed when it is made
            sys.exit(0)
        if hasattr(error, "format_message"):  # a usage error of typer
            message = error.format_message()
            fail(f"{message}{_analyse_hint(message)} See neurofit --help.", 2)
        plugin = _plugin_of(error)
        blame = f"It was raised in {plugin} (--plugin)." if plugin else "This is a bug in neurofit."
        fail(
            f"{type(error).__name__}: {error}\n{blame} "
            "Run neurofit --debug COMMAND for the traceback.",
            1,
        )


def _analyse_hint(message: str) -> str:
    """Return a hint if the command that does not exist is the name of an analysis, or nothing."""
    found = re.fullmatch(r"No such command '(\w+)'\.", message)
    if found:
        from neurofit.analyses import ANALYSES

        if found[1] in ANALYSES:
            return f" Did you mean neurofit analyse {found[1]}?"
    return ""


def _plugin_of(error: Exception) -> str:
    """Return the file of the last plugin that an error passed through; "" for none."""
    frames = traceback.walk_tb(error.__traceback__)
    files = [frame.f_code.co_filename for frame, _ in frames]
    return next((each for each in reversed(files) if each in plugins), "")


def _plugins_first(args: list[str]) -> list[str]:
    """Return the arguments with every --plugin in front, where the root command takes it."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(args)
    for arg in waiting:
        if arg == "--plugin":
            front += [arg, *[value for value in [next(waiting, None)] if value is not None]]
        else:
            (front if arg.startswith("--plugin=") else rest).append(arg)
    return [*front, *rest]

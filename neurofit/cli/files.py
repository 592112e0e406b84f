"""Commands about files outside `--out`: recordings, weights and the cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from neurofit.cli.console import err, out, progress, set_offline
from neurofit.cli.options import App, expand
from neurofit.cli.recordings import FILES, ImagesOption, OfflineOption, TimeBinOption, load
from neurofit.errors import counted
from neurofit.recordings.selection import Selection

data = App(no_args_is_help=True, help="Download, build or convert recordings.")
weights = App(no_args_is_help=True, help="Download published weights or convert a checkpoint.")
cache = App(no_args_is_help=True, help="List, verify and remove cached files (NEUROFIT_HOME).")

ZERO_FIXED = (
    "Set the decays that the reference code fixes at 0 to 0, even if the checkpoint stores other "
    "values."
)


@data.command(epilog="Example: neurofit data get hvm-sim")
def get(
    name: Annotated[str, typer.Argument(help="Registered recording.")],
    offline: OfflineOption = False,
) -> None:
    """Build or download a recording, once."""
    from neurofit.recordings.validation import validate_recording
    from neurofit.storage.home import home

    set_offline(offline)
    with progress() as report:
        recording = load(name, report)
        validate_recording(recording)
    shape = recording.responses.sizes
    simulated = " (SIMULATED)" if recording.simulated else ""
    out.print(
        f"{recording.name}{simulated}: {len(recording.stimuli)} stimuli, "
        f"{shape['presentation']:,} presentations, {shape['neuroid']} neuroids in "
        f"{', '.join(recording.regions)}, {shape['time_bin']} time bins. Cached in {home()}.",
        soft_wrap=True,
    )


@data.command(epilog="Example: neurofit data convert session.nwb mine.nc --region IT")
@expand(selection=Selection)
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help=f"A registered recording, or the path of a recording. {FILES}"
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="File to write: NAME.nc or NAME.npz; images go into NAME.stimuli.zip beside it.",
        ),
    ],
    selection: Selection,
    layout: Annotated[
        str,
        typer.Option(help="netCDF layout: neurofit (one time bin after another) or brainscore."),
    ] = "neurofit",
    images: ImagesOption = "",
    time_bin: TimeBinOption = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that a conversion wrote.")
    ] = False,
    offline: OfflineOption = False,
) -> None:
    """Write a recording, or a part of it, in another format."""
    from neurofit.data_loaders.formats import write_recording

    set_offline(offline)
    with progress() as report:
        recording = selection.apply(load(source, report, images=images, time_bin=time_bin))
    archive = Path(target).with_suffix(".stimuli.zip")
    existed = archive.exists()
    written = write_recording(recording, target, layout=layout, overwrite=overwrite)
    pictures = "." if len(written) > 2 else "; the recording has no images."
    out.print(f"Written: {', '.join(map(str, written))}{pictures}", soft_wrap=True)
    if existed and not archive.exists():
        out.print(f"Removed: {archive}.", soft_wrap=True)


@weights.command(name="get", epilog="Example: neurofit weights get rgc_shallow")
def get_weights(
    name: Annotated[str, typer.Argument(help="Published model (neurofit list models).")],
    zero_fixed: Annotated[bool, typer.Option("--zero-fixed-decays", help=ZERO_FIXED)] = False,
    offline: OfflineOption = False,
) -> None:
    """Download a model's published weights and convert them, once."""
    from neurofit.models.published import get_weights as get_published

    set_offline(offline)
    path = get_published(name, zero_fixed=zero_fixed)
    out.print(
        f"The published weights of {name} are at {path}; --weights auto finds them.",
        soft_wrap=True,
    )


@weights.command(
    name="convert",
    epilog="Example: neurofit weights convert model.ckpt --model rgc_shallow --out w.safetensors",
)
def convert_weights(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CKPT", help="TensorFlow V2 checkpoint: the prefix of its files."),
    ],
    model: Annotated[str, typer.Option(help="Registered model that it belongs to.")],
    file: Annotated[
        str, typer.Option("--out", metavar="FILE", help="The .safetensors file to write.")
    ],
    zero_fixed: Annotated[bool, typer.Option("--zero-fixed-decays", help=ZERO_FIXED)] = False,
) -> None:
    """Convert a TensorFlow checkpoint of a published model."""
    from neurofit.models.published import convert_checkpoint

    zeroed = convert_checkpoint(checkpoint, file, model=model, zero_fixed=zero_fixed)
    note = f" Set to 0: {', '.join(zeroed)}." if zeroed else ""
    out.print(f"Written: {file}, the weights of {model} from {checkpoint}.{note}", soft_wrap=True)


@cache.command(epilog="Example: neurofit cache ls")
def ls() -> None:
    """List cached files with their sizes and owners."""
    from neurofit.storage.cache import list_cache
    from neurofit.storage.home import home

    entries = list_cache()
    width = max(map(len, ["owner", *(each.owner for each in entries)]))
    out.print(f"{'size':>12}  {'files':>7}  {'owner':{width}}  cached", style="bold")
    for each in entries:
        state = "left by a killed process" if each.state in ("left", "continuable") else ""
        used = f"used by {each.used_by}" if each.used_by else state
        row = f"{describe_size(each.n_bytes):>12}  {each.n_files:>7,}  {each.owner:{width}}  "
        name = f"{each.name} ({used})" if used else each.name
        out.print(f"{row}{name}", markup=False, soft_wrap=True)  # a name may be copied whole
    total = describe_size(sum(each.n_bytes for each in entries))
    err.print(f"[dim]{total} in {home()} (NEUROFIT_HOME).[/dim]", soft_wrap=True)


@cache.command(epilog="Example: neurofit cache rm 'grams/rgc_*' --older-than 30")
def rm(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="What to remove, as `neurofit cache ls` names it, a folder, or a pattern with *.",
        ),
    ],
    older_than: Annotated[
        float,
        typer.Option(
            metavar="DAYS",
            min=0,
            help="Only what was not modified for so many days.",
            show_default=False,
        ),
    ] = 0.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, no more.")
    ] = False,
) -> None:
    """Remove cached files; they are built or downloaded again when needed.

    What a running process uses is left.
    """
    from neurofit.storage.cache import clear_cache

    removed, used = clear_cache(names, days=older_than, dry_run=dry_run)
    for each in used:
        by = each.used_by or "a process"
        err.print(f"Not removed: {each.name}, which {by} is using.", soft_wrap=True)
    if dry_run:
        for each in removed:
            out.print(f"{each.name}: {describe_size(each.n_bytes)}", soft_wrap=True)
    n_files, n_bytes = (sum(getattr(each, n) for each in removed) for n in ("n_files", "n_bytes"))
    verb = "Would remove" if dry_run else "Removed"
    files = counted(n_files, "file")
    out.print(f"{verb} {', '.join(names)}: {files}, {describe_size(n_bytes)}.", soft_wrap=True)


@cache.command(epilog="Example: neurofit cache verify")
def verify() -> None:
    """Compute the hashes of cached files anew; the exit code is 1 if a file is damaged."""
    import neurofit.activations.grams
    import neurofit.activations.records
    import neurofit.analyses.sweeps.cells
    import neurofit.data_loaders
    import neurofit.data_loaders.hvm_sim.checks
    import neurofit.models.weight_files  # noqa: F401 - each registers its check
    from neurofit.storage.cache import verify_cache

    with progress() as report:
        wrong = verify_cache(progress=report)
    for path, fault in wrong.items():
        out.print(f"{path}: {fault}", markup=False, soft_wrap=True)
    if wrong:
        them = "it" if len(wrong) == 1 else "them"
        files = counted(len(wrong), "file")
        err.print(f"Remove {files}: what needs {them} next makes {them} again.")
        sys.exit(1)
    out.print("Every cached file is what its name says.")


def describe_size(n_bytes: int) -> str:
    """Return a size with its unit."""
    return f"{n_bytes / 1e6:,.1f} MB"

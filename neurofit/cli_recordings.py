"""Commands about recordings: describe a file, check it, convert it, its ceiling."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from neurofit.errors import MachineError, NeurofitError, all_faults, check_option
from neurofit.tables import err, out, recording_name, say_ceiling
from neurofit.terminal import load, parse_window, progress, result_folder, set_offline, writable, write_json

if TYPE_CHECKING:
    from neurofit.assemblies import Recording

FILES = "A file or folder: see docs/recordings.md."

ImagesOption = Annotated[str, typer.Option(help="Its pictures: a table, zip or folder.")]

TimeBinOption = Annotated[str, typer.Option(help="When the one bin of a file is, if it does not say so.", metavar="START:END")]


def select(
    recording: Recording,
    *,
    region: str | None,
    window: tuple[int, int] | None = None,
    bins: str = "",
    subject: str = "",
    subregion: str = "",
    stimuli: str = "",
    min_reliability: float | None = None,
) -> tuple[Recording, dict[str, Any]]:
    """Return the part of a recording that options ask for, and what a result notes of the choice; say what is left out."""
    from neurofit.parts import choose

    noted = {"bins": bins, "subject": subject, "subregion": subregion, "stimuli": stimuli}
    part = choose(recording, region=region, window=window, min_reliability=min_reliability, **noted)
    for note in part.notes:
        err.print(f"Note: {note}", markup=False)
    selection: dict[str, Any] = {name: value for name, value in noted.items() if value}
    if min_reliability is not None:
        selection |= {"min_reliability": min_reliability, "left_out": part.left_out}
    return part.recording, selection


def area(recording: Recording, region: str, subregion: str) -> tuple[str, str]:
    """Return region and subregion of what an area is called."""
    from neurofit.parts import area_of

    region, part = area_of(recording, region, subregion)
    return region, part or ""


def describe_path(path: str, *, images: str = "", time_bin: str = "") -> None:
    """Print what a recording file holds, and how reliable each area is."""
    from neurofit.ceiling import reliabilities
    from neurofit.data_loaders.formats import find_format, open_recording
    from neurofit.selection import overlapping
    from neurofit.stimuli import NoImages

    recording = open_recording(path, pictures=images or None, time_bin=parse_window(time_bin, option="--time-bin"))
    counts = _repetitions(recording)
    bins = recording.time_bins
    (first, end), width = bins[0], bins[0][1] - bins[0][0]
    several = f"{len(bins)} of {width} ms from {first} to {bins[-1][1]} ms" if len(bins) > 1 else f"one, {first}-{end} ms"
    shared = f", every {bins[1][0] - first} ms: they overlap" if overlapping(bins) else ""
    shared += ", not without gaps" if any(start > end for (_, end), (start, _) in pairwise(sorted(bins))) else ""
    held = recording.stimuli.images
    if isinstance(held, NoImages):
        pictures = f"none: for ceilings only. {held.why}".rstrip(". ") + "." * bool(held.why)
    else:
        pictures = ", ".join([f"{len(held):,}", *filter(None, [getattr(held, "origin", "")])])
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "recording": recording_name(recording),
        "form": find_format(Path(path)).name,
        "units": str(recording.responses.attrs.get("units", "not said: taken as rates")),
        "time bins": several + shared,
        "stimuli": f"{len(recording.stimuli):,}; pictures: {pictures}",
        "presentations": f"{recording.responses.sizes['presentation']:,}; repetitions {counts[0]} to {counts[2]}, median {counts[1]:g}",
        "missing": f"{_missing(recording):.1%} of the trials of a neuroid",
        "sha256": recording.sha256,
    }
    for key, value in rows.items():
        table.add_row(key, value)
    out.print(table)
    areas = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("area", "sites", "reliability: median", "5 to 95 %", "over 0.5"):
        areas.add_column(name, justify="left" if name == "area" else "right")
    for region in recording.regions:
        part = recording.select(region=region)
        sizes, called = part.responses.sizes, region or "(none)"
        if counts[0] < 2:
            areas.add_row(called, str(sizes["neuroid"]), "-", "", "needs 2 repetitions")
            continue
        found = reliabilities(part)
        known = found[found == found]
        if not len(known):
            areas.add_row(called, str(sizes["neuroid"]), "-", "", "see neurofit check")
        else:
            low, middle, high = (float(q) for q in _quantiles(known))
            areas.add_row(called, str(sizes["neuroid"]), f"{middle:.2f}", f"{low:.2f} to {high:.2f}", str(int((known > 0.5).sum())))
    out.print()
    out.print(areas)
    out.print("[dim]reliability: of the mean over all bins, split halves, Spearman-Brown corrected.[/dim]")


def check(
    path: Annotated[str, typer.Argument(metavar="RECORDING", help=f"A registered recording, or a path. {FILES}")],
    images: ImagesOption = "",
    time_bin: TimeBinOption = "",
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
) -> None:
    """List every fault of a recording and of its pictures, with its position and repair; exits with 0 only if there is none.

    Where responses cannot be read at all, that, and what was found before, is all that can be said.
    """
    from neurofit.assemblies import find_faults
    from neurofit.checks import doubts, picture_faults
    from neurofit.stimuli import NoImages

    set_offline(offline)
    known: list[str] = []
    recording = None
    with all_faults() as faults, progress() as report:
        try:
            recording = load(path, report, pictures=images, time_bin=time_bin, checked=False)
            held = recording.stimuli.images
            if isinstance(held, NoImages) and held.why and held.why not in faults:
                _say(f"Note: no pictures, for ceilings only. {held.why}")
            known = [*find_faults(recording), *picture_faults(recording.stimuli)]
        except MachineError:
            raise
        except NeurofitError as error:
            if not Path(path).exists():
                raise
            recording, known = None, list(error.faults)
    faults = [*(each for each in faults if not any(each in other for other in known)), *known]
    for each in faults:
        _say("- " + each.replace("\n", "\n  "))
    if recording is not None and not any("time_bin" in each or each.startswith(("dim", "coordinate")) for each in known):
        for doubt in doubts(recording):
            _say(f"Note: {doubt}")
    if faults or recording is None:
        raise NeurofitError(f"{path} has {len(faults)} fault{'s' * (len(faults) > 1)}.")
    sizes = recording.responses.sizes
    out.print(
        f"{path}: no fault in {sizes['presentation']:,} presentations x {sizes['neuroid']} neuroids x {sizes['time_bin']} time bins.",
        soft_wrap=True,
    )


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help=f"A registered recording, or a file or folder. {FILES}")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="NAME.nc or NAME.npz; pictures go into NAME.stimuli.zip beside it.")],
    layout: Annotated[str, typer.Option(help="Of netCDF: neurofit (a time bin lies together) or brainscore.")] = "neurofit",
    images: ImagesOption = "",
    time_bin: TimeBinOption = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of these names.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
) -> None:
    """Write a recording in another form."""
    from neurofit.data_loaders.formats import write_recording

    set_offline(offline)
    with progress() as report:
        recording = load(source, report, pictures=images, time_bin=time_bin)
    before = [Path(target).with_suffix(ending) for ending in (".json", ".stimuli.zip")]
    before = [each for each in before if each.exists()]
    written = write_recording(recording, target, layout=layout, overwrite=overwrite)
    pictures = "." if len(written) > 2 else "; there are no pictures."
    out.print(f"Written: {', '.join(map(str, written))}{pictures}", soft_wrap=True)
    removed = [str(each) for each in before if not each.exists()]
    if removed:
        out.print(f"Removed: {', '.join(removed)}.", soft_wrap=True)


def ceiling(
    recording: Annotated[str, typer.Option(help=f"Registered recording, or a path. {FILES}")],
    region: Annotated[str, typer.Option(help="Area.")],
    images: ImagesOption = "",
    time_bin: TimeBinOption = "",
    bins: Annotated[str, typer.Option(help="Other time bins, in ms.", metavar="START:END:WIDTH")] = "",
    subject: Annotated[str, typer.Option(help="Only this animal.")] = "",
    subregion: Annotated[str, typer.Option(help="Only this part of the area.")] = "",
    stimuli: Annotated[str, typer.Option(help="COLUMN=VALUE,VALUE of the stimuli, or a file of ids.")] = "",
    min_reliability: Annotated[float | None, typer.Option(help="Leave out neuroids below it: of the mean over the bins.")] = None,
    halves: Annotated[int, typer.Option(help="Random splits of the trials in two.")] = 10,
    bootstrap_over: Annotated[str, typer.Option(help="What the interval is over: neuroids, stimuli or both.")] = "both",
    seed: Annotated[int, typer.Option(help="Of the splits and bootstraps.")] = 0,
    folder: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the result.", show_default="neurofit-results/...")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the curve as JSON, nothing else.")] = False,
) -> None:
    """Say how reliable a recording is in time: the bound of every score."""
    from neurofit.ceiling import BOOTSTRAPPED, summarise_ceiling
    from neurofit.ceiling import ceiling as run
    from neurofit.plot import plot_ceiling
    from neurofit.result import save_result

    if halves < 1:
        raise NeurofitError(f"--halves is at least 1; got {halves}.")
    check_option("--bootstrap-over", bootstrap_over, BOOTSTRAPPED)
    set_offline(offline)
    with progress() as report:
        whole = load(recording, report, pictures=images, time_bin=time_bin)
        region, subregion = area(whole, region, subregion)
        least = "" if min_reliability is None else f"reliability{min_reliability}"
        part = {"bins": bins, "subject": subject, "subregion": subregion, "stimuli": stimuli, "least": least}
        target = writable(Path(folder) if folder else result_folder("ceiling", region, whole.name, selection=part))
        chosen, selection = select(
            whole,
            region=region,
            bins=bins,
            subject=subject,
            subregion=subregion,
            stimuli=stimuli,
            min_reliability=min_reliability,
        )
        if len(chosen.stimuli) < 3:
            raise NeurofitError(f"A reliability is a correlation over stimuli: it takes 3; {len(chosen.stimuli)} are chosen.")
        result = run(chosen, n_halves=halves, seed=seed, bootstrap_over=bootstrap_over, progress=report("blocks of the recording"))
    result.attrs["selection"] = json.dumps(selection)
    replaced = (target / "ceiling.nc").exists()
    save_result(result, target / "ceiling.nc")
    plot_ceiling(result, target / "ceiling.png")
    summary = summarise_ceiling(result) | {"selection": selection}
    write_json(summary, target / "ceiling.json")
    if as_json:
        print(json.dumps(summary))
    else:
        say_ceiling(result)
        out.print(f"{'Replaced' if replaced else 'Written'}: {target}/ceiling.nc, ceiling.png, ceiling.json", soft_wrap=True)


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _repetitions(recording: Recording) -> tuple[int, float, int]:
    import numpy as np

    counts = np.bincount(recording.stimulus_rows)
    return int(counts.min()), float(np.median(counts)), int(counts.max())


def _missing(recording: Recording) -> float:
    import numpy as np

    return float(np.mean([np.isnan(recording.block(position)).mean() for position in range(len(recording.time_bins))]))


def _quantiles(values: Any) -> Any:
    import numpy as np

    return np.quantile(values, [0.05, 0.5, 0.95])

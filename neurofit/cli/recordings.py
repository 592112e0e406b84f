"""Commands about recordings given by name or path: describe and check."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from neurofit.cli.console import out, progress, set_offline
from neurofit.cli.options import name_flags
from neurofit.config.options import flag_of
from neurofit.errors import MachineError, NeurofitError, all_faults, some_of

if TYPE_CHECKING:
    from neurofit.recordings.recording import Recording
    from neurofit.recordings.selection import Selection

SPIKE_FORMATS = ("NWB", "spike times")
"""Formats of spikes, which are counted in bins that only a sidecar states."""

FILES = "Formats: docs/recordings.md."

ImagesOption = Annotated[str, typer.Option(help="Images of the recording: a table, zip or folder.")]

TimeBinOption = Annotated[
    str,
    typer.Option(
        help="Time window (ms) of a file with a single bin that does not state it.",
        metavar="START:END",
    ),
]

OfflineOption = Annotated[bool, typer.Option("--offline", help="Download nothing.")]


def load(
    name: str,
    report: Callable[[str, int, int], None],
    *,
    images: str = "",
    time_bin: str = "",
    checked: bool = True,
) -> Recording:
    """Return a recording by name or path; unchecked, with its faults."""
    from neurofit.analyses.inputs import find_recording
    from neurofit.analyses.run import RunConfig
    from neurofit.recordings.time_bins import parse_time_bin

    config = RunConfig(
        recording=name,
        images=images or None,
        time_bin=parse_time_bin(time_bin) if time_bin else None,
    )
    return find_recording(config, checked=checked, progress=report)


def describe_path(path: str, selection: Selection, *, images: str = "", time_bin: str = "") -> None:
    """Print what a recording contains, and how reliable each area is."""
    from neurofit.data_loaders.formats import find_format
    from neurofit.data_loaders.formats.sidecar import read_sidecar, sidecar_path
    from neurofit.recordings.times import ASSUMED

    with progress() as report:
        whole = load(path, report, images=images, time_bin=time_bin, checked=False)
    recording = selection.apply(whole)
    form, sidecar = find_format(Path(path)).name, read_sidecar(Path(path))

    def sourced(text: str, field: str = "") -> str:
        """Add where a text was read from, unless it is assumed."""
        given = getattr(sidecar, field, None)
        by_sidecar = given is not None and (field not in ("region", "subject") or given == text)
        source = sidecar_path(path).name if by_sidecar else "in the file"
        return text if ASSUMED in text else f"{text} ({source})"

    bins = _describe_bins(recording)
    if time_bin:
        bins += " (--time-bin)"
    elif form in SPIKE_FORMATS and sidecar.bins is None:
        bins += f" {ASSUMED}"
    else:
        bins = sourced(bins, "bins" if form in SPIKE_FORMATS else "time_bin")
    animals, sessions = (_names(recording, name) for name in ("subject", "session"))
    units = _describe_units(recording)
    units = f"{units} (counted)" if form in SPIKE_FORMATS else sourced(units, "units")
    onset = f"{recording.onset} (in the file)" if recording.onset else "0 ms, as its times say"
    counts = _repetitions(recording)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "recording": recording.name + " (SIMULATED)" * recording.simulated,
        "format": form,
        "areas": sourced(", ".join(each or "(none)" for each in recording.regions), "region"),
        "animals": sourced(animals, "subject") if animals else "not stated",
        "sessions": sourced(sessions) if sessions else "not stated; taken as one",
        "units": units,
        "time bins": bins,
        "stimulus onset": recording.onset if ASSUMED in recording.onset else onset,
        "stimuli": f"{len(recording.stimuli):,}; images: {_describe_images(recording)}",
        "width of an image": sourced(recording.stimuli.width, "visual_degrees"),
        "shown for": sourced(recording.stimuli.duration, "duration_ms"),
        "presentations": f"{recording.responses.sizes['presentation']:,}; repetitions {counts[0]} "
        f"to {counts[2]}, median {counts[1]:g}",
        "missing": f"{_missing(recording):.1%} of the trials of a neuroid",
        "sha256": recording.sha256,
    }
    for key, value in rows.items():
        table.add_row(key, value)
    out.print(table)
    areas = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("area", "sites", "reliability: median", "5 to 95 %", "above 0.5"):
        areas.add_column(name, justify="left" if name == "area" else "right")
    for region in recording.regions:
        areas.add_row(region or "(none)", *_area_cells(recording.select(region=region), counts[0]))
    out.print()
    out.print(areas)
    out.print(
        "[dim]reliability: split halves of the mean over all bins, Spearman-Brown corrected[/dim]"
    )


def _names(recording: Recording, name: str) -> str:
    """Return the different values of a coordinate; empty if there is none."""
    import numpy as np

    if name not in recording.responses.coords:
        return ""
    values = np.unique(recording.responses[name].values.astype(str)).tolist()
    return f"{len(values):,}: {some_of(values)}" if len(values) > 1 else str(values[0])


def _describe_units(recording: Recording) -> str:
    from neurofit.recordings.times import ASSUMED

    units = str(recording.responses.attrs.get("units", "unknown"))
    return f"not stated; taken as rates {ASSUMED}" if units == "unknown" else units


def _describe_bins(recording: Recording) -> str:
    from neurofit.recordings.time_bins import overlapping

    bins = recording.time_bins
    (first, end), width = bins[0], bins[0][1] - bins[0][0]
    if len(bins) == 1:
        return f"one, {first}-{end} ms"
    described = f"{len(bins)} of {width} ms from {first} to {bins[-1][1]} ms"
    if overlapping(bins):
        described += f", every {bins[1][0] - first} ms: they overlap"
    if any(start > end for (_, end), (start, _) in pairwise(sorted(bins))):
        described += ", with gaps"
    return described


def _describe_images(recording: Recording) -> str:
    from neurofit.recordings.stimuli import NoImages

    images = recording.stimuli.images
    if isinstance(images, NoImages):
        return f"none; usable for ceilings only. {images.why}".strip()
    return ", ".join([f"{len(images):,}", *filter(None, [getattr(images, "origin", "")])])


def _area_cells(part: Recording, fewest: int) -> tuple[str, str, str, str]:
    """Return number of sites, median and range of their reliability, and how many exceed 0.5."""
    import numpy as np

    from neurofit.recordings.reliability import reliabilities

    n_sites = str(part.responses.sizes["neuroid"])
    if fewest < 2:
        return n_sites, "-", "", "needs 2 repetitions"
    found = reliabilities(part)
    known = found[~np.isnan(found)]
    if not len(known):
        return n_sites, "-", "", "see neurofit check"
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    return n_sites, f"{middle:.2f}", f"{low:.2f} to {high:.2f}", str(int((known > 0.5).sum()))


def check(
    path: Annotated[
        str,
        typer.Argument(
            metavar="RECORDING",
            help=f"A registered recording, or the path of a recording. {FILES}",
        ),
    ],
    images: ImagesOption = "",
    time_bin: TimeBinOption = "",
    plot: Annotated[
        str,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw responses, trials, reliability and stimuli into this file (.png, .pdf or "
            ".svg).",
        ),
    ] = "",
    offline: OfflineOption = False,
) -> None:
    """List all problems of a recording and its images; exit status 0 if there are none.

    Each problem is given with its position and repair. Whether the recording is your experiment is
    easier to judge from a figure (--plot) than from numbers.

    If the responses cannot be read at all, the reason is listed after the problems found before.
    """
    from neurofit.recordings.plausibility import image_faults, plausibility_warnings
    from neurofit.recordings.requirements import find_lacking
    from neurofit.recordings.validation import find_faults

    set_offline(offline)
    if plot:
        from neurofit.results.figures.looks import format_of

        format_of(plot)
    known: list[str] = []
    recording = None
    with all_faults() as faults, progress() as report:
        try:
            recording = load(path, report, images=images, time_bin=time_bin, checked=False)
            known = [*find_faults(recording), *image_faults(recording.stimuli)]
        except MachineError:
            raise
        except NeurofitError as error:
            if not Path(path).exists():
                raise
            recording, known = None, list(error.faults)
    listed = [*(each for each in faults if not any(each in other for other in known)), *known]
    for each in listed:
        _print("- " + each.replace("\n", "\n  "))
    structure = ("dim", "coordinate")
    if recording is not None and not any(
        "time_bin" in each or each.startswith(structure) for each in known
    ):
        for warning in plausibility_warnings(recording):
            _print(f"Note: {warning}")
    if listed or recording is None:
        raise NeurofitError(f"{path} has {len(listed)} problem{'s' * (len(listed) > 1)}.")
    sizes = recording.responses.sizes
    _print(
        f"{path}: no problems in {sizes['presentation']:,} presentations x {sizes['neuroid']} "
        f"neuroids x {sizes['time_bin']} time bins."
    )
    for lack in find_lacking(recording):
        _print(f"Note: {name_flags(lack, {name: flag_of(name) for name in lack.options})}")
    if plot:
        from neurofit.results.figures import save
        from neurofit.results.figures.sheet import recording_sheet

        save(recording_sheet(recording), plot)
        _print(f"Written: {plot}. Does this look like your experiment?")


def _print(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _repetitions(recording: Recording) -> tuple[int, float, int]:
    import numpy as np

    counts = np.bincount(recording.stimulus_rows)
    return int(counts.min()), float(np.median(counts)), int(counts.max())


def _missing(recording: Recording) -> float:
    import numpy as np

    from neurofit.recordings.recording import contiguous_blocks

    missing = sum(
        int(np.isnan(recording.block(bins, neuroids)).sum())
        for neuroids, bins in contiguous_blocks(recording)
    )
    return missing / recording.responses.size

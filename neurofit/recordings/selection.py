"""Select parts of a recording: areas, animals, stimuli, time bins, reliable neuroids."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, one_or_several, option, parse_names
from neurofit.errors import NeurofitError, NeurofitWarning, check_option
from neurofit.recordings.time_bins import (
    TimeBin,
    is_a_bin,
    overlapping,
    parse_bins,
    parse_window,
)

if TYPE_CHECKING:
    from neurofit.recordings.recording import Recording


@dataclass(frozen=True, kw_only=True)
class Selection(Configuration):
    """Which part of a recording to analyse; the same choices in Python and on the command line.

    Parameters
    ----------
    region
        Area or areas, as in the coordinate `region` ("IT") or `subregion` ("aIT"). None keeps all.
    subregion, subject
        Values of these coordinates of the neuroids. None keeps all.
    stimuli
        Stimulus ids; "COLUMN=VALUE,VALUE" of the stimuli or of the presentations; or the path of a
        text file with an id per line.
    window
        (start, end) in ms from stimulus onset: bins inside it are kept.
    bins
        New time bins, "START:END:WIDTH" or a list of (start, end) in ms, made from the recorded
        ones by exact overlap; see `neurofit.recordings.rebinning.rebin`.
    min_reliability
        Minimum split-half reliability of a neuroid's mean response over the selected bins.
    exclude_trials
        "z>N": trials of a neuroid with a z above N in some selected bin are missing in all of them;
        see `neurofit.recordings.artefacts`.
    detrend
        Whether to subtract slow drift over the order of presentation, after excluding trials; see
        `neurofit.recordings.drift`.

    Raises
    ------
    NeurofitError
        If a value has the wrong type.

    Examples
    --------
    >>> import neurofit
    >>> selection = neurofit.Selection(region="V4", window=(90, 110))
    >>> selection.apply(neurofit.load_recording("hvm-sim")).time_bins
    [(90, 100), (100, 110)]
    """

    region: str | Sequence[str] | None = option(
        None, parse=parse_names, metavar="AREA,...", help="Area or areas, such as V4 or IT."
    )
    subregion: str | Sequence[str] | None = option(
        None, parse=parse_names, metavar="NAME,...", help="Parts of the area, such as aIT."
    )
    subject: str | Sequence[str] | None = option(
        None, parse=parse_names, metavar="NAME,...", help="Animals, each analysed on its own."
    )
    stimuli: str | Path | Iterable[str] | None = option(
        None,
        parse=str,
        metavar="COLUMN=VALUE,...",
        help="Stimuli with these values in a column, or a file of stimulus ids.",
    )
    window: TimeBin | None = option(
        None,
        parse=parse_window,
        metavar="START:END",
        help="Keep time bins inside this window (ms).",
    )
    bins: str | Iterable[Any] | None = option(
        None, parse=str, metavar="START:END:WIDTH", help="Re-bin the responses (ms)."
    )
    min_reliability: float | None = option(
        None, help="Minimum split-half reliability of a neuroid (mean response over all bins)."
    )
    exclude_trials: str | None = option(
        None,
        parse=str,
        metavar="z>N",
        help="Treat trials more than N robust SD from others of their stimulus as missing.",
    )
    detrend: bool = option(
        False, help="Subtract slow drift over the order of presentation from each neuroid and bin."
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.window is not None and not is_a_bin(self.window):
            raise NeurofitError(
                "window is (start, end) in whole ms, with the end after the start; "
                f"got {self.window!r}.",
                option="window",
            )
        for name in ("bins", "stimuli"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, str | Path | Iterable):
                raise NeurofitError(
                    f"{name} must be a string or a list; got {given!r}.", option=name
                )
            if given is not None and not isinstance(given, str | Path):
                rows = given.tolist() if hasattr(given, "tolist") else list(given)
                object.__setattr__(self, name, tuple(rows))
        least = self.min_reliability
        if least is not None and not isinstance(least, int | float | np.number):
            raise NeurofitError(
                f"min_reliability must be a number; got {least!r}.", option="min_reliability"
            )
        if self.exclude_trials:
            from neurofit.recordings.artefacts import parse_limit

            limit = parse_limit(self.exclude_trials)
            object.__setattr__(self, "exclude_trials", f"z>{limit:g}")

    def apply(self, recording: Recording) -> Recording:
        """Return the selected part of a recording, with this selection noted in it.

        Responses are read when they are used, except that `min_reliability` and `exclude_trials`
        read them once each.

        Raises
        ------
        NeurofitError
            If nothing is left, or bins cannot be made from the recorded ones; the nearest existing
            name is given.

        Warns
        -----
        NeurofitWarning
            About new bins, bins that overlap, and the number of neuroids dropped as unreliable.
        """
        from neurofit.recordings.artefacts import exclude_trials, parse_limit
        from neurofit.recordings.drift import detrend
        from neurofit.recordings.rebinning import rebin

        chosen = recording
        if regions := one_or_several(self.region):
            chosen = _keep_areas(chosen, regions)
        chosen = where(
            chosen.select(window=self.window), subject=self.subject, subregion=self.subregion
        )
        asked = self.stimuli
        if asked is not None and asked != "":
            chosen = keep_stimuli(
                chosen, str(asked) if isinstance(asked, str | Path) else list(asked)
            )
        if self.bins is not None and self.bins != "":
            before = chosen
            made = parse_bins(self.bins) if isinstance(self.bins, str) else list(self.bins)
            chosen = rebin(chosen, made)
            for note in _notes_on_bins(before, chosen):
                _warn(note)
        if overlapping(chosen.time_bins):
            (first, end), (second, _) = sorted(chosen.time_bins)[:2]
            _warn(
                f"Time bins overlap ({end - first} ms every {second - first} ms) and share spikes. "
                "Select bins that do not overlap with --bins."
            )
        noted = self.noted(recording)
        if self.exclude_trials:
            chosen, note, n = exclude_trials(chosen, parse_limit(self.exclude_trials))
            noted["excluded_trials"] = n
            _warn(note)
        if self.detrend:
            chosen, note = detrend(chosen)
            _warn(note)
        if self.min_reliability is not None:
            chosen, dropped = keep_reliable(chosen, self.min_reliability)
            noted["dropped_neuroids"] = dropped
            if dropped:
                _warn(
                    f"Dropped {dropped} neuroids with a reliability below {self.min_reliability:g}."
                )
        return replace(chosen, selection={**recording.selection, **noted})

    def noted(self, recording: Recording) -> dict[str, Any]:
        """Return what a result notes about this selection, ready for JSON."""
        noted: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None or value is False or value == "" or each.name == "region":
                continue
            if each.name == "window":
                value = f"{value[0]}:{value[1]}"
            elif each.name == "bins" and not isinstance(value, str):
                value = ",".join(f"{start}-{end}" for start, end in value)
            elif each.name in ("subject", "subregion"):
                value = ",".join(one_or_several(value))
            elif each.name == "min_reliability":
                value = float(value)
            elif not isinstance(value, str | bool):
                value = str(value) if isinstance(value, Path) else list(map(str, value))
            noted[each.name] = value
        parts = [name for name in one_or_several(self.region) if name not in recording.regions]
        if not parts:
            return noted
        names = one_or_several(self.region)
        key = "subregion" if len(parts) == len(names) else "areas"
        return {key: ",".join(names), **noted}

    def each(self) -> list[Selection]:
        """Return one selection for each combination of an area and an animal that is named."""
        regions = one_or_several(self.region) or (None,)
        subjects = one_or_several(self.subject) or (None,)
        return [
            replace(self, region=region, subject=subject)
            for region in regions
            for subject in subjects
        ]


def _keep_areas(recording: Recording, names: Sequence[str]) -> Recording:
    """Return the neuroids of areas that are named by region or by subregion."""
    responses = recording.responses
    regions = responses.region.values.astype(str)
    parts = responses.subregion.values.astype(str) if "subregion" in responses.coords else regions
    kept = np.zeros(len(regions), dtype=bool)
    for name in names:
        own = parts if name not in recording.regions and name in parts else regions
        if own is regions:
            check_option(f"region of {recording.name}", name, recording.regions)
        kept |= own == name
    return keep_neuroids(recording, kept)


def _warn(message: str) -> None:
    warnings.warn(message, NeurofitWarning, stacklevel=3)


def _notes_on_bins(before: Recording, after: Recording) -> list[str]:
    """Return how new bins were made from recorded ones, a sentence for each thing to know."""
    from neurofit.recordings.rebinning import are_counts

    recorded, made = before.time_bins, after.time_bins
    if set(made) <= set(recorded):
        return []
    width = made[0][1] - made[0][0]
    adjacent = made == [(start, start + width) for start in range(made[0][0], made[-1][1], width)]
    listed = ", ".join(f"{start}-{end}" for start, end in made[:4])
    described = f"{made[0][0]}:{made[-1][1]}:{width}" if adjacent else listed
    kind = "counts" if are_counts(before.responses) else "rates"
    units = before.responses.attrs.get("units", "units unknown")
    return [f"Bins of {described} ms: responses are taken as {kind} ({units})."]


def keep_reliable(
    recording: Recording, least: float, *, n_halves: int = 10, seed: int = 0
) -> tuple[Recording, int]:
    """Return the neuroids with a minimum reliability, and the number of dropped ones.

    The reliability is that of split halves of the mean response over the recording's bins,
    Spearman-Brown corrected. The same trials select neuroids and measure their ceiling: near the
    limit some neuroids are reliable by chance, and the ceiling is slightly too high.

    Raises
    ------
    NeurofitError
        If no neuroid is reliable enough.
    """
    from neurofit.recordings.reliability import reliabilities

    found = reliabilities(recording, n_halves=n_halves, seed=seed)
    kept = np.nan_to_num(found, nan=-1.0) >= least
    if not kept.any():
        raise NeurofitError(
            f"No neuroid of {recording.name} has a reliability of {least:g}; the highest is "
            f"{np.nanmax(found):.2f}."
        )
    return keep_neuroids(recording, kept), int((~kept).sum())


def where(recording: Recording, **values: str | Sequence[str] | None) -> Recording:
    """Return the neuroids whose coordinates have one of the given values.

    `where(recording, subject="Chabo", subregion=["aIT", "cIT"])` keeps neuroids that meet both
    conditions; None sets no condition.

    Raises
    ------
    NeurofitError
        If neuroids have no such coordinate, or none has the value; the nearest one is named.
    """
    for name, value in values.items():
        wanted = one_or_several(value)
        if not wanted:
            continue
        coords = [
            str(n) for n, coord in recording.responses.coords.items() if coord.dims == ("neuroid",)
        ]
        check_option(f"coordinate of the neuroids of {recording.name}", name, coords)
        own = recording.responses[name].values.astype(str)
        for each in wanted:
            check_option(f"{name} of {recording.name}", each, np.unique(own).tolist())
        recording = keep_neuroids(recording, np.isin(own, wanted))
    return recording


def keep_neuroids(recording: Recording, kept: np.ndarray) -> Recording:
    """Return the neuroids that a boolean array (neuroid) marks."""
    from neurofit.recordings.recording import as_slice

    rows = as_slice(np.flatnonzero(kept))
    truth = None if recording.truth is None else recording.truth.isel(neuroid=rows)
    return replace(recording, responses=recording.responses.isel(neuroid=rows), truth=truth)


def keep_stimuli(recording: Recording, asked: str | Sequence[str]) -> Recording:
    """Return the presentations of some stimuli, or those with given values in a column.

    Parameters
    ----------
    recording
        Recording to select from.
    asked
        Stimulus ids; "COLUMN=VALUE[,VALUE...]", where the column belongs to the table of stimuli or
        to the presentations ("session=a"); or the path of a text file with a stimulus_id per line.

    Raises
    ------
    NeurofitError
        If there is no such column, value, file or stimulus, or the selection is empty.
    """
    table, known = recording.stimuli.table, recording.responses.coords
    of_presentations = [
        str(name)
        for name, coord in known.items()
        if coord.dims == ("presentation",) and name != "stimulus_id"
    ]
    rows_shown = recording.stimulus_rows
    if isinstance(asked, str) and "=" in asked:
        column, _, values = asked.partition("=")
        check_option(
            f"column of the stimuli of {recording.name}",
            column,
            dict.fromkeys([*map(str, table.columns), *of_presentations]),
        )
        wanted = values.split(",")
        own = (
            known[column].values.astype(str)
            if column in of_presentations
            else table[column].astype(str).to_numpy()[rows_shown]
        )
    else:
        column, wanted = (
            "stimulus",
            ids_in(Path(asked)) if isinstance(asked, str) else list(map(str, asked)),
        )
        own = table.stimulus_id.astype(str).to_numpy()[rows_shown]
    existing = np.unique(own).tolist()
    for value in sorted(set(wanted) - set(existing))[:1]:
        check_option(f"{column} of {recording.name}", value, existing)
    if not wanted:
        raise NeurofitError(f"The selection of stimuli of {recording.name} is empty.")
    shown = np.flatnonzero(np.isin(own, wanted))
    rows = np.unique(rows_shown[shown])
    truth = None if recording.truth is None else recording.truth.isel(stimulus=rows)
    return replace(
        recording,
        responses=recording.responses.isel(presentation=shown),
        stimuli=recording.stimuli.only(rows.tolist()),
        truth=truth,
    )


def ids_in(path: Path) -> list[str]:
    """Return the ids in a text file, one per line; the first line may be a heading."""
    if not path.is_file():
        raise NeurofitError(
            "stimuli takes COLUMN=VALUE,VALUE or a file with a stimulus_id per line; "
            f"got {str(path)!r}.",
            option="stimuli",
        )
    try:
        lines = [
            line.strip()
            for line in path.read_text(encoding="utf-8-sig").splitlines()
            if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise NeurofitError(f"Cannot read {path} as a text file of ids: {error}.") from error
    return lines[1:] if lines[:1] in (["stimulus_id"], ["image_id"]) else lines

"""The pictures that NWB files hold or point to, under `stimulus`: images by name, frames of a series, or files beside the NWB file.

What was shown is found by the first of these that gives every stimulus a picture:
1. a picture of its name (or of the name in a column of the trials, such as stimulus_filename);
2. the number in a column of the trials (image_index, ...), or in an IndexSeries, of a picture in the only ordered set;
3. a name that is the same without its ending;
4. the stimulus id itself, where ids are whole numbers, as the number of a picture, from 0.

A series is (frame, x, y), as NWB's schema says, unless its `dimension` says otherwise; images are (height, width), as pynwb's own
tutorial writes them. `picture_axes` beside the file overrules both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from neurofit.data_loaders.formats.limits import bytes_of, refuse_large, short
from neurofit.data_loaders.formats.nwb import column_of, files_of, opened, texts, trials_of
from neurofit.data_loaders.formats.pictures import MAX_PICTURE_BYTES, SUFFIXES, HeldPictures
from neurofit.data_loaders.formats.sidecar import Said
from neurofit.data_loaders.formats.stored_pictures import Picture, StoredImages
from neurofit.data_loaders.formats.words import as_text

NAME = ("image_name", "stimulus_name", "stimulus_filename", "filename", "image_file_name", "image_file", "image", "file", "path")
INDEX = ("image_index", "stimulus_index", "frame_index", "template_index", "frame", "stimulus_presented")
"""Columns of the trials that may name a picture, or number it from 0."""


@dataclass(frozen=True, kw_only=True)
class _Set:
    """Pictures that stand together: those that have names, and those that have numbers, `n` from 0."""

    name: str
    named: Mapping[str, Picture] = field(default_factory=dict)
    n: int = 0
    numbered: Callable[[int], Picture] | None = None


@dataclass(frozen=True, kw_only=True)
class _Session:
    """What one NWB file holds: sets of pictures, and what it says of the stimuli: column -> id -> name, and id -> number of a set."""

    file: Path
    shown: frozenset[str]
    sets: Sequence[_Set]
    labels: Mapping[str, Mapping[str, str]]
    numbers: Sequence[tuple[_Set, Mapping[str, int]]]
    faults: Sequence[str]


class _CannotTakeError(Exception):
    """Pictures are there, but cannot be taken: says why, in a sentence."""


def held_in(path: Path, said: Said, ids: list[str]) -> HeldPictures:
    """Return the pictures of stimuli that an NWB file or folder holds or points to; they are read one by one, when asked for.

    Parameters
    ----------
    path
        A file, or a folder of sessions.
    said
        What is said beside it: `picture_axes`, `words` (a column of names or numbers: image_name, image_index), `visual_degrees`.
    ids
        Of the stimuli, as texts.

    Raises
    ------
    NeurofitError
        If a file is damaged. Pictures that cannot be given to the stimuli are no error: `why` says it.
    """
    sessions = []
    for file in files_of(path):
        with opened(file) as nwb:
            sessions.append(_session(nwb, file, said))
    try:
        found = _given(ids, sessions)
        if found is None:
            return HeldPictures(why=_why_none(ids, sessions))
        degrees = {picture.degrees for picture in found}
        if len(degrees) > 1 and said.visual_degrees is None:
            widths = " and ".join("unknown" if each is None else f"{each:.3g}" for each in sorted(degrees, key=lambda d: d or 0))
            raise _CannotTakeError(
                f"Its pictures are of several widths ({widths} degrees), a recording has one: write visual_degrees into NAME.json."
            )
    except _CannotTakeError as error:
        return HeldPictures(why=str(error))
    return HeldPictures(images=StoredImages(found), visual_degrees=degrees.pop())


def _session(nwb: Any, file: Path, said: Said) -> _Session:
    import pynwb

    trials, stimulus, _ = trials_of(nwb, file, said)
    shown = texts(trials[stimulus])
    sets: dict[int, _Set] = {}
    faults: list[str] = []
    containers = [*nwb.stimulus_template.values(), *nwb.stimulus.values()]
    for container in containers:
        try:
            if isinstance(container, pynwb.base.Images):
                sets[id(container)] = _images(container, file, said)
            elif isinstance(container, pynwb.image.ImageSeries):
                sets[id(container)] = _series(container, file, said)
        except _CannotTakeError as error:
            faults.append(str(error))
    told = column_of(trials, NAME, said, "image_name")
    names = [each for each in dict.fromkeys((told, *NAME)) if each is not None and each in trials and _are_texts(trials[each])]
    labels = {each: _one_each(shown, texts(trials[each])) for each in names}
    numbers = []
    only = _only_ordered(list(sets.values()), faults)
    column = column_of(trials, INDEX, said, "image_index")
    if column is not None and only is not None and (rows := _whole(trials[column])) is not None:
        numbers.append((only, _one_each(shown, rows)))
    for container in containers:
        if isinstance(container, pynwb.image.IndexSeries):
            linked = container.indexed_images if container.indexed_images is not None else container.indexed_timeseries
            rows = _rows(container, trials, file)
            if id(linked) in sets and rows is not None:
                numbers.append((sets[id(linked)], _one_each(shown, rows)))
    return _Session(file=file, shown=frozenset(shown.tolist()), sets=list(sets.values()), labels=labels, numbers=numbers, faults=faults)


def _images(container: Any, file: Path, said: Said) -> _Set:
    rows_first = said.picture_axes != ("width", "height")
    place = f"in {container.name}, read as ({'height, width' if rows_first else 'width, height'})"
    named = {}
    for name, image in container.images.items():
        if isinstance(image.data, str):
            named[str(name)] = _beside(image.data, file, str(name))
        else:
            shape, dataset = _checked(tuple(image.data.shape), f"{name} in {container.name}"), image.data.name
            named[str(name)] = Picture(file=file, name=str(name), dataset=dataset, rows_first=rows_first, shape=shape, place=place)
    order = [] if container.order_of_images is None else [named[str(image.name)] for image in container.order_of_images.data]
    return _Set(name=str(container.name), named=named, n=len(order), numbered=order.__getitem__ if order else None)


def _series(series: Any, file: Path, said: Said) -> _Set:
    degrees = _degrees(series)
    name = str(series.name)
    if series.external_file is not None:
        paths: list[str] = as_text(np.asarray(series.external_file[:], dtype=object)).astype(str).tolist()
        frames = [] if series.starting_frame is None else np.asarray(series.starting_frame[:]).tolist()
        n = getattr(series, "num_samples", None)  # older pynwb counts no frames of files
        if (frames and frames != list(range(len(paths)))) or (n is not None and int(n) > len(paths)):
            raise _CannotTakeError(f"The files of {name} hold several frames each: movies are not read.")
        pictures = [_beside(each, file, each, degrees) for each in paths]
        named = {picture.name: picture for picture in pictures}
        return _Set(name=name, named=named, n=len(pictures), numbered=pictures.__getitem__ if pictures else None)
    n_frames, *rest = series.data.shape
    shape = _checked(tuple(rest), f"a frame of {name}")
    rows_first = _rows_come_first(series, shape) if said.picture_axes is None else said.picture_axes == ("height", "width")
    dataset, place = series.data.name, f"in {name}, read as (frame, {'height, width' if rows_first else 'width, height'})"

    def frame(number: int) -> Picture:
        return Picture(
            file=file,
            name=f"frame {number} of {name}",
            dataset=dataset,
            frame=number,
            rows_first=rows_first,
            shape=shape,
            place=place,
            degrees=degrees,
        )

    return _Set(name=name, n=n_frames, numbered=frame if n_frames else None)


def _checked(shape: tuple[int, ...], what: str) -> tuple[int, ...]:
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)) or 0 in shape:
        raise _CannotTakeError(f"The shape of {what} is {shape}: a picture has two axes, and a third of 1, 3 or 4 colours at most.")
    return shape


def _rows_come_first(series: Any, shape: tuple[int, ...]) -> bool:
    """Return whether the height of a frame comes before its width: only where `dimension`, which is (x, y), says so."""
    if series.dimension is None or len(series.dimension) < 2:
        return False
    across, down = (int(n) for n in series.dimension[:2])
    return (down, across) == shape[:2] and across != down


def _degrees(series: Any) -> float | None:
    """Return the width of a picture in degrees, of metres across and metres to the eye; None where either is not said."""
    across, distance = getattr(series, "field_of_view", None), getattr(series, "distance", None)
    if across is None or distance is None or np.shape(across) not in ((2,), (3,)):
        return None
    width = float(across[0])
    if not (0 < width < np.inf and 0 < float(distance) < np.inf):
        return None
    return float(np.degrees(2 * np.arctan(width / 2 / float(distance))))


def _beside(path: str, file: Path, name: str, degrees: float | None = None) -> Picture:
    """Return the picture that an NWB file names by a path from its own folder, which it may not leave."""
    if "://" in path or PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute() or PureWindowsPath(path).drive:
        raise _CannotTakeError(f"It names a picture {path!r}: only paths from the file's own folder are followed. Give --images.")
    folder = file.parent.resolve()
    try:
        target = (folder / path.replace("\\", "/")).resolve()
        inside, there = target.is_relative_to(folder), target.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise _CannotTakeError(f"It names a picture {path!r:.80}, which is no path: {short(error)}.") from error
    if not inside:
        raise _CannotTakeError(f"It names a picture {path!r}, which leads out of the file's folder and is not followed. Give --images.")
    if not there:
        raise _CannotTakeError(f"It names a picture {path!r}, which is not beside it.")
    if target.suffix.lower() not in SUFFIXES or target.stat().st_size > MAX_PICTURE_BYTES:
        raise _CannotTakeError(f"It names {path!r}, which is no picture ({' '.join(SUFFIXES)}, up to {MAX_PICTURE_BYTES / 1e6:.0f} MB).")
    return Picture(file=target, name=name, place="files that it names", degrees=degrees)


def _rows(series: Any, trials: pd.DataFrame, file: Path) -> np.ndarray | None:
    """Return the number that an IndexSeries has in each trial: the only one within it, or the one of its place; None: unknown."""
    for values in (series.data, series.timestamps):
        if values is not None:
            refuse_large(file, n_values=0, n_bytes=bytes_of(values), stored=file.stat().st_size)
    numbers = _whole(pd.Series(np.asarray(series.data[:])))
    if numbers is None:
        return None
    times = np.arange(0.0)
    if series.timestamps is not None:
        times = np.asarray(series.timestamps[:], dtype=np.float64)
    elif series.rate:
        times = float(series.starting_time or 0) + np.arange(len(numbers)) / float(series.rate)
    order = np.argsort(times, kind="stable") if len(times) == len(numbers) else np.arange(0)
    begin, end = (np.searchsorted(times[order], trials[name].to_numpy(dtype=np.float64)) for name in ("start_time", "stop_time"))
    within = [set(numbers[order[b:e]].tolist()) for b, e in zip(begin, end, strict=True)]
    if all(len(each) == 1 for each in within):
        return np.array([each.pop() for each in within])
    return numbers if len(numbers) == len(trials) else None


def _are_texts(column: pd.Series[Any]) -> bool:
    return all(isinstance(value, str | bytes) for value in column)


def _whole(column: pd.Series[Any]) -> np.ndarray | None:
    """Return a column of whole numbers, from 0; None if it is none."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    return values.astype(np.int64) if len(values) and bool(((values >= 0) & (values == np.rint(values)) & (values < 2**53)).all()) else None


def _one_each(shown: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Return what each stimulus has in its trials; nothing, if one has two things."""
    pairs = set(zip(shown.tolist(), values.tolist(), strict=True))
    return dict(pairs) if len(pairs) == len({stimulus for stimulus, _ in pairs}) else {}


def _given(ids: list[str], sessions: Sequence[_Session]) -> list[Picture] | None:
    """Return a picture for each stimulus, by the first rule that finds all; None if none does."""
    columns = [None, *dict.fromkeys(column for session in sessions for column in session.labels)]
    rules: list[Callable[[], dict[str, Picture]]] = [
        *(partial(_by_label, ids, sessions, column, key) for key in (str, _base) for column in columns),
        partial(_by_number, sessions),
        *(partial(_by_label, ids, sessions, column, _stem) for column in columns),
    ]
    faults: list[_CannotTakeError] = []
    for rule in rules:
        try:
            found = rule()
        except _CannotTakeError as error:
            faults.append(error)
        else:
            if all(each in found for each in ids):
                return [found[each] for each in ids]
    if faults:  # what contradicts itself is not guessed at
        raise faults[0]
    found = _joined(map(_by_place, sessions))
    return [found[each] for each in ids] if all(each in found for each in ids) else None


def _by_label(ids: list[str], sessions: Sequence[_Session], column: str | None, key: Callable[[str], str]) -> dict[str, Picture]:
    """Return pictures that are called as the stimuli, or as a column of the trials says."""
    labels = {each: each for each in ids} if column is None else _joined(session.labels.get(column, {}).items() for session in sessions)
    wanted = {key(label) for label in labels.values()}
    named = _joined(_called(wanted, key, session) for session in sessions)
    return {each: named[key(label)] for each, label in labels.items() if key(label) in named}


def _by_number(sessions: Sequence[_Session]) -> dict[str, Picture]:
    """Return pictures by the numbers that the trials or an IndexSeries give."""
    return _joined(_numbered(rows, each) for session in sessions for each, rows in session.numbers)


def _by_place(session: _Session) -> Iterable[tuple[str, Picture]]:
    """Return pictures by the stimuli's own ids, where these are numbers of the only ordered set."""
    only, numbers = _only_ordered(session.sets, session.faults), _whole(pd.Series(sorted(session.shown)))
    if only is None or numbers is None:
        return ()
    return _numbered(dict(zip(sorted(session.shown), numbers.tolist(), strict=True)), only)


def _only_ordered(sets: Sequence[_Set], faults: Sequence[str]) -> _Set | None:
    """Return the set that a number without a name means: the only one with numbers, if no set was left out."""
    ordered = [each for each in sets if each.numbered is not None]
    return ordered[0] if len(ordered) == 1 and not faults else None


def _joined(parts: Iterable[Iterable[tuple[str, Any]]]) -> dict[str, Any]:
    """Join what sessions say of stimuli: the first's picture, where they agree in its name and size."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part:
            before = whole.setdefault(key, value)
            if (before.name, before.shape) != (value.name, value.shape) if isinstance(value, Picture) else before != value:
                raise _CannotTakeError(f"Of {key!r} two different pictures are said to be shown: {before}, and {value}.")
    return whole


def _called(wanted: set[str], key: Callable[[str], str], session: _Session) -> Iterable[tuple[str, Picture]]:
    found: dict[str, Picture] = {}
    for each in session.sets:
        for name, picture in each.named.items():
            if key(name) in wanted:
                before = found.setdefault(key(name), picture)
                if (before.file, before.dataset) != (picture.file, picture.dataset):
                    raise _CannotTakeError(f"{session.file.name} holds two pictures {key(name)!r}: which was shown is not known.")
    return found.items()


def _numbered(rows: Mapping[str, int], pictures: _Set) -> Iterable[tuple[str, Picture]]:
    for stimulus, number in rows.items():
        if pictures.numbered is None:
            raise _CannotTakeError(f"The pictures in {pictures.name} are asked for by number, but have none: it has no order_of_images.")
        if not 0 <= number < pictures.n:
            raise _CannotTakeError(f"Stimulus {stimulus!r} has the number {number} of {pictures.name}, which has {pictures.n} (from 0).")
        yield stimulus, pictures.numbered(number)


def _base(name: str) -> str:
    """Return a name without folders."""
    return PurePosixPath(name.replace("\\", "/")).name


def _stem(name: str) -> str:
    """Return a name without folders and without the ending of a picture."""
    path = PurePosixPath(_base(name))
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _why_none(ids: Sequence[str], sessions: Sequence[_Session]) -> str:
    faults = [fault for session in sessions for fault in session.faults]
    if faults:
        return faults[0]
    sets = {each.name: each for session in sessions for each in session.sets}
    if not sets:
        return ""
    named = {name for each in sets.values() for name in each.named}
    lacking = next((each for each in ids if each not in named), ids[0])
    held = ", ".join(f"{each.name} ({max(each.n, len(each.named)):,})" for each in list(sets.values())[:4])
    return (
        f"Its pictures in {held} cannot be given to the stimuli: none is called {lacking!r}, and no column of the trials "
        f"({NAME[0]}, {INDEX[0]} ...), IndexSeries or whole number says which is whose."
    )

"""Match the images of NWB files to stimulus ids.

The first of these rules that gives every stimulus an image is used:
1. an image of the same name (or of the name in a column of the trials, such as stimulus_filename);
2. the number, in a column of the trials (image_index, ...) or in an IndexSeries, of an image in the
   only ordered group;
3. an image whose name without suffix is the same;
4. the stimulus id itself, if ids are whole numbers, as the number of an image, from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurofit.data_loaders.formats.stimuli import SUFFIXES
from neurofit.data_loaders.formats.stored_images import StoredImage
from neurofit.recordings.identifiers import Names

NAME = (
    "image_name",
    "stimulus_name",
    "stimulus_filename",
    "filename",
    "image_file_name",
    "image_file",
    "image",
    "file",
    "path",
)
INDEX = (
    "image_index",
    "stimulus_index",
    "frame_index",
    "template_index",
    "frame",
    "stimulus_presented",
)
"""Columns of the trials that may name an image, or number it from 0."""


class UnusableImagesError(Exception):
    """Why images in a file cannot be used, as a sentence."""


@dataclass(frozen=True, kw_only=True)
class ImageGroup:
    """Images stored together.

    Parameters
    ----------
    name
        Name of the container.
    named
        Image name -> image.
    n
        Number of ordered images.
    numbered
        Function from a number, counted from 0, to the image; None if the images have no order.
    """

    name: str
    named: Mapping[str, StoredImage] = field(default_factory=dict)
    n: int = 0
    numbered: Callable[[int], StoredImage] | None = None


@dataclass(frozen=True, kw_only=True)
class SessionImages:
    """Images of one NWB file, and what its trials state about them.

    Parameters
    ----------
    file
        The NWB file.
    shown
        Ids of the stimuli that were shown.
    groups
        Groups of images.
    labels
        Column of the trials -> stimulus id -> image name.
    numbers
        Pairs of a group and stimulus id -> number in it.
    faults
        Why groups that are left out cannot be used.
    """

    file: Path
    shown: frozenset[str]
    groups: Sequence[ImageGroup]
    labels: Mapping[str, Mapping[str, str]]
    numbers: Sequence[tuple[ImageGroup, Mapping[str, int]]]
    faults: Sequence[str]


def match_images(ids: list[str], sessions: Sequence[SessionImages]) -> list[StoredImage] | None:
    """Return an image for each stimulus, by the first rule that finds all; None if none does.

    Raises
    ------
    UnusableImagesError
        If the files contradict themselves.
    """
    columns = [None, *dict.fromkeys(column for session in sessions for column in session.labels)]
    rules: list[Callable[[], dict[str, StoredImage]]] = [
        *(partial(_by_label, ids, sessions, column) for column in columns),
        partial(_by_number, sessions),
        *(partial(_by_label, ids, sessions, column, any_suffix=True) for column in columns),
    ]
    errors: list[UnusableImagesError] = []
    for rule in rules:
        try:
            found = rule()
        except UnusableImagesError as error:
            errors.append(error)
        else:
            if all(each in found for each in ids):
                return [found[each] for each in ids]
    if errors:  # a contradiction is never resolved by guessing
        raise errors[0]
    found = _merged(map(_by_id, sessions))
    return [found[each] for each in ids] if all(each in found for each in ids) else None


def explain_no_match(ids: Sequence[str], sessions: Sequence[SessionImages]) -> str:
    """Return why no rule matches; empty if there are no images."""
    faults = [fault for session in sessions for fault in session.faults]
    if faults:
        return faults[0]
    groups = {each.name: each for session in sessions for each in session.groups}
    if not groups:
        return ""
    named = {name for each in groups.values() for name in each.named}
    lacking = next((each for each in ids if each not in named), ids[0])
    listed = ", ".join(
        f"{each.name} ({max(each.n, len(each.named)):,})" for each in list(groups.values())[:4]
    )
    return (
        f"Its images in {listed} cannot be matched to the stimuli: none is called {lacking!r}, and "
        f"no column of the trials ({NAME[0]}, {INDEX[0]} ...), IndexSeries or whole number "
        "identifies them."
    )


def only_ordered(groups: Sequence[ImageGroup], faults: Sequence[str]) -> ImageGroup | None:
    """Return the only ordered group, to which numbers refer; None if another group is unusable."""
    ordered = [each for each in groups if each.numbered is not None]
    return ordered[0] if len(ordered) == 1 and not faults else None


def whole_numbers(column: pd.Series[Any]) -> np.ndarray | None:
    """Return a column of whole numbers from 0 as int64; None for any other column."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    valid = (values >= 0) & (values == np.rint(values)) & (values < 2**53)
    return values.astype(np.int64) if len(values) and bool(valid.all()) else None


def _by_label(
    ids: list[str],
    sessions: Sequence[SessionImages],
    column: str | None,
    *,
    any_suffix: bool = False,
) -> dict[str, StoredImage]:
    """Match images by the stimulus ids, or by the labels in a column of the trials."""
    labels = (
        {each: each for each in ids}
        if column is None
        else _merged(session.labels.get(column, {}).items() for session in sessions)
    )
    wanted = list(dict.fromkeys(labels.values()))
    named = _merged(_named(wanted, session, any_suffix) for session in sessions)
    return {each: named[label] for each, label in labels.items() if label in named}


def _by_number(sessions: Sequence[SessionImages]) -> dict[str, StoredImage]:
    """Match images by the numbers in the trials or in an IndexSeries."""
    return _merged(_numbered(rows, each) for session in sessions for each, rows in session.numbers)


def _by_id(session: SessionImages) -> Iterable[tuple[str, StoredImage]]:
    """Match images by stimulus ids that are numbers in the only ordered group."""
    ids = sorted(session.shown)
    group, numbers = only_ordered(session.groups, session.faults), whole_numbers(pd.Series(ids))
    if group is None or numbers is None:
        return ()
    return _numbered(dict(zip(ids, numbers.tolist(), strict=True)), group)


def _named(
    wanted: list[str], session: SessionImages, any_suffix: bool
) -> Iterable[tuple[str, StoredImage]]:
    held = [(name, image) for group in session.groups for name, image in group.named.items()]
    names = Names(dict(held), SUFFIXES if any_suffix else ())
    for label, found in names.find(wanted, any_suffix=any_suffix).items():
        images = {(image.file, image.dataset): image for name, image in held if name in found}
        if len(images) > 1:
            raise UnusableImagesError(
                f"{session.file.name} contains two images {label!r}: which was shown is not known."
            )
        yield from ((label, image) for image in images.values())


def _numbered(rows: Mapping[str, int], group: ImageGroup) -> Iterable[tuple[str, StoredImage]]:
    for stimulus, number in rows.items():
        if group.numbered is None:
            raise UnusableImagesError(
                f"The images in {group.name} are referred to by number, but it has no "
                "order_of_images."
            )
        if not 0 <= number < group.n:
            raise UnusableImagesError(
                f"Stimulus {stimulus!r} has the number {number} in {group.name}, "
                f"which has {group.n} images (from 0)."
            )
        yield stimulus, group.numbered(number)


def _merged(parts: Iterable[Iterable[tuple[str, Any]]]) -> dict[str, Any]:
    """Merge (stimulus, value) pairs of sessions, which must agree (images: in name and shape)."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part:
            other = merged.setdefault(key, value)
            if (
                (other.name, other.shape) != (value.name, value.shape)
                if isinstance(value, StoredImage)
                else other != value
            ):
                raise UnusableImagesError(
                    f"Stimulus {key!r} has two different images: {other}, and {value}."
                )
    return merged

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
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from neurofit.data_loaders.formats.stimuli import SUFFIXES
from neurofit.data_loaders.formats.stored_images import StoredImage
from neurofit.recordings.identifiers import Names

Pairs = Iterable[tuple[str, StoredImage]]
"""Stimulus ids, or other names, and their images."""


class UnusableImagesError(Exception):
    """Why images in a file cannot be used, as a sentence."""


@dataclass(frozen=True, kw_only=True)
class ImageGroup:
    """Images stored together, by name and, if they are ordered, by number from 0 to n - 1.

    `name` is that of the container; n is 0 if the images have no order.
    """

    name: str
    named: Mapping[str, StoredImage]
    n: int
    numbered: Callable[[int], StoredImage]

    def images(self, numbers: Mapping[str, int]) -> Pairs:
        """Yield stimulus ids and images from stimulus id -> number of the image."""
        for stimulus, number in numbers.items():
            if not self.n:
                raise UnusableImagesError(
                    f"The images in {self.name} are referred to by number, but it has no "
                    "order_of_images."
                )
            if not 0 <= number < self.n:
                raise UnusableImagesError(
                    f"Stimulus {stimulus!r} has the number {number} in {self.name}, "
                    f"which has {self.n} images (from 0)."
                )
            yield stimulus, self.numbered(number)


@dataclass(frozen=True, kw_only=True)
class SessionImages:
    """Images of one NWB file, and what its trials state about them.

    Parameters
    ----------
    labels
        Column of the trials -> stimulus id -> image name.
    numbers, ids
        Groups with stimulus id -> number in it: those stated, and stimulus ids that are numbers.
    faults
        Why groups that are left out cannot be used.
    """

    file: Path
    groups: Sequence[ImageGroup]
    labels: Mapping[str, Mapping[str, str]]
    numbers: Sequence[tuple[ImageGroup, Mapping[str, int]]]
    ids: Sequence[tuple[ImageGroup, Mapping[str, int]]]
    faults: Sequence[str]

    def find(self, names: Iterable[str], *, any_suffix: bool) -> Pairs:
        """Yield those of the image names that the file has, and their images."""
        held = [(name, image) for group in self.groups for name, image in group.named.items()]
        known = Names(dict(held), SUFFIXES if any_suffix else ())
        for wanted, found in known.find(names, any_suffix=any_suffix).items():
            images = {(image.file, image.dataset): image for name, image in held if name in found}
            if len(images) > 1:
                what = f"{self.file.name} contains two images {wanted!r}"
                raise UnusableImagesError(f"{what}: which was shown is not known.")
            yield from ((wanted, image) for image in images.values())


def match_images(ids: list[str], sessions: Sequence[SessionImages]) -> list[StoredImage] | None:
    """Return an image for each stimulus, by the first rule that finds all; None if none does.

    Raises
    ------
    UnusableImagesError
        If the files contradict themselves.
    """

    def by_label(column: str | None, any_suffix: bool) -> dict[str, StoredImage]:
        """Match images by the stimulus ids, or by the labels in a column of the trials."""
        stated = [session.labels.get(column or "", {}).items() for session in sessions]
        labels = dict(zip(ids, ids, strict=True)) if column is None else _merged(stated)
        names = dict.fromkeys(labels.values())
        images = _merged(session.find(names, any_suffix=any_suffix) for session in sessions)
        return {each: images[label] for each, label in labels.items() if label in images}

    def by_number(kind: str) -> dict[str, StoredImage]:
        """Match images by the numbers in the trials or an IndexSeries, or by stimulus ids."""
        stated = [pair for session in sessions for pair in getattr(session, kind)]
        return _merged(group.images(numbers) for group, numbers in stated)

    columns = [None, *dict.fromkeys(column for session in sessions for column in session.labels)]
    rules = [
        *(partial(by_label, column, any_suffix=False) for column in columns),
        partial(by_number, "numbers"),
        *(partial(by_label, column, any_suffix=True) for column in columns),
    ]
    errors: list[UnusableImagesError] = []
    for rule in rules:
        try:
            found = rule()
        except UnusableImagesError as error:
            errors.append(error)
            continue
        if found.keys() >= set(ids):
            return [found[each] for each in ids]
    if errors:  # a contradiction is never resolved by guessing
        raise errors[0]
    found = by_number("ids")
    return [found[each] for each in ids] if found.keys() >= set(ids) else None


def explain_no_match(ids: Sequence[str], sessions: Sequence[SessionImages]) -> str:
    """Return why no rule matches; empty if there are no images."""
    faults = [fault for session in sessions for fault in session.faults]
    groups = {each.name: each for session in sessions for each in session.groups}
    if faults or not groups:
        return faults[0] if faults else ""
    named = {name for each in groups.values() for name in each.named}
    lacking = next((each for each in ids if each not in named), ids[0])
    listed = ", ".join(
        f"{each.name} ({max(each.n, len(each.named)):,})" for each in list(groups.values())[:4]
    )
    return (
        f"Its images in {listed} cannot be matched to the stimuli: none is called {lacking!r}, and "
        "no column of the trials (image_name, image_index ...), IndexSeries or whole number "
        "identifies them."
    )


def _merged(parts: Iterable[Iterable[tuple[str, Any]]]) -> dict[str, Any]:
    """Merge (stimulus, value) pairs of sessions, which must agree (images: in name and shape)."""
    merged: dict[str, Any] = {}
    for key, value in chain.from_iterable(parts):
        other = merged.setdefault(key, value)
        if other != value:
            raise UnusableImagesError(
                f"Stimulus {key!r} has two different images: {other}, and {value}."
            )
    return merged

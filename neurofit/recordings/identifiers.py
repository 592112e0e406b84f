"""Rules of identity, the same for every file format: what names a stimulus, neuroid or picture.

Readers pass what a file says through `as_identifiers`, and `validate_recording` checks it
(`identity_faults`). Identifiers are compared as they are; names that mean the same to a person and
not to a program (`same_name`) are refused, and those that may (`alike`) are said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from neurofit.errors import NeurofitError, some_of

MISSING = ("", "nan", "NaN", "None", "NaT", "<NA>", "[]")
"""Texts that stand for no identifier: what programs write for one that is missing."""

EXACT = 2**53
"""Whole floats from this number on are not exact: two identifiers may be one float."""

EXACT_OF = {f"f{size}": 2 ** (np.finfo(f"f{size}").nmant + 1) for size in (2, 4, 8)}
"""The same for each type of floats: 2^24 in single precision."""

ROUNDED = r"-?\d(\.\d+)?E\+\d{2,}"
"""Numbers as spreadsheets write long ones: 1.23457E+15 may have been any of 10^10 identifiers."""

MAX_TEXT = 4_096
"""Largest number of characters of a text; paths have no more."""

MORE_PRECISE = (
    "image_id",
    "image_name",
    "stimulus_filename",
    "filename",
    "image_index",
    "stimulus_index",
    "frame_index",
    "template_index",
    "frame",
)
"""Columns that may name a picture where another one names its block."""


RUN = 8
"""Presentations of one identifier one after the other, on average, that are blocks; in a random
order of two there are 2."""


def as_identifiers(values: Any, *, name: str = "identifiers") -> np.ndarray:
    """Return identifiers as numbers or fixed-width text in native byte order.

    Numbers are unchanged. Text may be bytes, and objects may be mixed; then whole numbers are
    written without .0, and a missing identifier is an empty text.

    Parameters
    ----------
    values
        Array of any shape, type and byte order.
    name
        Name of the column, for the message.

    Raises
    ------
    NeurofitError
        If a row holds several values.
    """
    values = np.asarray(values)
    if values.dtype.kind != "O":
        return as_text(values)
    flat = values.ravel().tolist()
    several = [each for each in flat if isinstance(each, list | tuple | dict | set | np.ndarray)]
    if several:
        raise NeurofitError(
            f"{name} holds several values in a row ({str(several[0])[:40]}); an identifier is one "
            "number or text. Name another column."
        )
    if any(isinstance(each, str | bytes) or _is_absent(each) for each in flat):
        return fixed_width(as_texts(flat, name=name), name=name).reshape(values.shape)
    return as_text(values, name=name)


def as_text(values: Any, *, name: str = "a column") -> np.ndarray:
    """Return bytes and objects as fixed-width text; numbers in native byte order.

    Raises
    ------
    NeurofitError
        If a text among several is longer than `MAX_TEXT` characters.
    """
    values = np.asarray(values)
    if values.dtype.kind in "SU" and values.ndim:
        _check_text(values.dtype.itemsize // np.dtype(f"{values.dtype.kind}1").itemsize, name)
    if values.dtype.kind == "S":
        return np.asarray(np.char.decode(values, "utf-8", "replace"))
    if values.dtype.kind == "O":
        flat = [_decoded(value) for value in values.ravel().tolist()]
        texts = any(isinstance(value, str) for value in flat)
        made = fixed_width([str(value) for value in flat], name=name) if texts else np.array(flat)
        return made.reshape(values.shape)
    return np.asarray(values, dtype=values.dtype.newbyteorder("="))


def fixed_width(texts: Sequence[str], *, name: str) -> np.ndarray:
    """Return texts as an array, in which all of them take the space of the longest.

    Raises
    ------
    NeurofitError
        If one is longer than `MAX_TEXT` characters.
    """
    _check_text(max(map(len, texts), default=0), name)
    return np.array(texts, dtype=str)


def _check_text(longest: int, name: str) -> None:
    if longest > MAX_TEXT:
        raise NeurofitError(
            f"{name} holds a text of {longest:,} characters; at most {MAX_TEXT:,} are read."
        )


def as_texts(values: Iterable[Any], *, name: str = "identifiers") -> list[str]:
    """Return identifiers as text: whole numbers without .0, missing ones as empty texts.

    Raises
    ------
    NeurofitError
        If a number is a float that is too large to be exact.
    """
    texts = []
    for value in values:
        if isinstance(value, float | np.floating) and value.is_integer():
            exact = EXACT_OF.get(np.asarray(value).dtype.str[1:], EXACT)
            if abs(value) >= exact:
                raise NeurofitError(_inexact(name, float(value), exact))
            texts.append(f"{value:.0f}")
        else:
            texts.append("" if _is_absent(value) else str(_decoded(value)))
    return texts


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _is_absent(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)


def _inexact(name: str, value: float, exact: int = EXACT) -> str:
    return (
        f"{name} contains floats beyond 2^{exact.bit_length() - 1}, such as {value:.0f}, "
        "which are not exact: different identifiers may have become one. Store whole numbers "
        "or text."
    )


def is_missing(ids: np.ndarray) -> np.ndarray:
    """Return which identifiers are missing: NaN, empty, or a text that stands for none."""
    if ids.dtype.kind == "f":
        return np.asarray(np.isnan(ids))
    if ids.dtype.kind in "iub":
        return np.zeros(ids.shape, dtype=bool)
    return np.isin(np.char.strip(np.array(as_texts(ids.ravel()), dtype=str)), MISSING)


def number_repetitions(stimulus_ids: np.ndarray) -> np.ndarray:
    """Return the repetition number of each presentation, from 0 in the order of presentation."""
    _, rows = np.unique(stimulus_ids, return_inverse=True)
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows)
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[order] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def same_name(name: str) -> str:
    """Return a name in Unicode normal form C without outer blanks: equal for what looks equal.

    Files from a Mac have names in normal form D: an e and an accent rather than an accented e.
    Characters without a width (zero-width spaces, byte order marks) are left out.
    """
    if not name.isascii():
        shown = (each for each in name if unicodedata.category(each) != "Cf")
        name = unicodedata.normalize("NFC", "".join(shown))
    return " ".join(name.split())


def _similar_name(name: str) -> str:
    return re.sub(r"(?<![\d.])0+(?=\d)", "", same_name(name).casefold())


def identity_faults(ids: np.ndarray, *, name: str) -> list[str]:
    """Return a sentence for identifiers that are not exact, or that only a program tells apart.

    Parameters
    ----------
    ids
        Identifiers, which may occur several times.
    name
        Name of the coordinate.
    """
    if ids.dtype.kind in "iub":
        return []
    if ids.dtype.kind == "f":
        exact = EXACT_OF.get(ids.dtype.str[1:], EXACT)
        large = ids[np.abs(ids) >= exact]
        return [_inexact(name, float(large[0]), exact)] if len(large) else []
    rounded = [each for each in np.unique(ids.astype(str)).tolist() if re.fullmatch(ROUNDED, each)]
    if rounded:
        return [
            f"{name} contains numbers that a spreadsheet rounded, such as {rounded[0]}: different "
            "identifiers may have become one. Export them as text."
        ]
    pairs = _pairs(ids, same_name)
    return [
        f"{name} {some_of(pairs)} differ only in blanks or in their Unicode normal form. "
        "Give them one name, or names that differ."
    ] * bool(pairs)


def neuroid_faults(neuroid_ids: np.ndarray) -> list[str]:
    """Return a sentence for neuroids whose identifiers are missing, repeated or inexact."""
    faults = identity_faults(neuroid_ids, name="neuroid_id")
    missing = np.flatnonzero(is_missing(neuroid_ids))
    if len(missing):
        listed = some_of(missing.tolist())
        faults.append(f"neuroid {listed} has no neuroid_id ({len(missing):,} in all).")
    ids = neuroid_ids.astype(str)
    names, counts = np.unique(np.delete(ids, missing), return_counts=True)
    for name, count in zip(names[counts > 1], counts[counts > 1], strict=True):
        listed = ", ".join(map(str, np.flatnonzero(ids == name)))
        faults.append(
            f"neuroid_id {str(name)!r} occurs {count} times, at neuroid {listed}; "
            "ids must be unique."
        )
    return faults


def alike(ids: np.ndarray) -> list[str]:
    """Return pairs of identifiers that differ only in case or leading zeros, as 'a' and 'A'."""
    return [] if ids.dtype.kind in "iufb" else _pairs(ids, _similar_name)


def alike_notes(named: Mapping[str, np.ndarray]) -> list[str]:
    """Return a sentence for each coordinate whose identifiers may be meant to be the same."""
    found = {name: alike(ids) for name, ids in named.items()}
    return [
        f"Values of {name} that differ only in case or leading zeros, taken as different: "
        f"{some_of(pairs)}."
        for name, pairs in found.items()
        if pairs
    ]


def _pairs(ids: np.ndarray, key: Callable[[str], str]) -> list[str]:
    found: dict[str, str] = {}
    pairs = []
    for each in map(str, np.unique(ids.astype(str))):
        other = found.setdefault(key(each), each)
        if other != each:
            pairs.append(f"{other!r} and {each!r}")
    return pairs


def block_fault(ids: np.ndarray, columns: Mapping[str, np.ndarray]) -> str:
    """Return why identifiers name blocks of presentations rather than pictures; else "".

    They do if all are the same, or if each occurs in one run of presentations (or in runs of
    `RUN` on average), within which a column of `MORE_PRECISE` takes several values that recur.

    Parameters
    ----------
    ids
        Identifier of each presentation.
    columns
        Other columns of the presentations: name -> array (presentation).
    """
    if len(ids) < 2:
        return ""
    _, rows = np.unique(ids.astype(str), return_inverse=True)
    n_ids = int(rows.max()) + 1
    better = []
    for column, values in columns.items():
        if column in MORE_PRECISE and values.dtype.kind in "iufbU":
            _, own = np.unique(values.astype(str), return_inverse=True)
            _, counts = np.unique(np.stack([rows, own]), axis=1, return_counts=True)
            if n_ids < len(counts) and counts.max() > 1:
                better.append(column)
    listed = f" Name a column that tells pictures apart: {', '.join(better)}." if better else ""
    if n_ids == 1:
        return f"all {len(ids):,} presentations have the stimulus_id {str(ids[0])!r}.{listed}"
    n_runs = int((np.diff(rows) != 0).sum()) + 1
    in_runs = n_runs <= max(n_ids, len(ids) // RUN)
    if in_runs and better:
        return f"stimulus_id names blocks of presentations, such as {str(ids[0])!r}.{listed}"
    return ""


def are_numbers(ids: Iterable[str]) -> bool:
    """Return whether identifiers are whole numbers, which begin anew in each session.

    Unit 7 of two sessions is not one unit, unless something else says so.
    """
    return all(re.fullmatch(r"-?\d+", each) for each in ids)


class Names:
    """Files by the names that tables call them: with or without folders and suffix.

    Parameters
    ----------
    files
        Names of files, with their folders.
    suffixes
        Suffixes, in lower case, that a name may leave out.
    """

    def __init__(self, files: Iterable[str], suffixes: Sequence[str] = ()) -> None:
        self.suffixes = tuple(suffixes)
        self.files: dict[str, list[str]] = {}
        for file in files:
            path = _path(file)
            for key in {str(path), path.name, self._bare(path)}:
                self.files.setdefault(key, []).append(file)

    def find(self, names: Iterable[str], *, any_suffix: bool = False) -> dict[str, list[str]]:
        """Return name -> the files that it may mean: that of its path, else by its base name.

        Folders that both of them give must be the same, and names in different folders do not
        share a file. With `any_suffix` a name finds files that differ from it in their suffix.
        """
        found = {name: self._find(_path(name), any_suffix) for name in names}
        users: dict[str, set[PurePosixPath]] = {}
        for name, files in found.items():
            for file in files:
                users.setdefault(file, set()).add(_path(name))
        return {
            name: [
                file
                for file in files
                if _path(name) == _path(file) or len({path.parent for path in users[file]}) == 1
            ]
            for name, files in found.items()
        }

    def _find(self, path: PurePosixPath, any_suffix: bool) -> list[str]:
        for key in (str(path), path.name, *([self._bare(path)] if any_suffix else [])):
            found = [file for file in self.files.get(key, []) if _agree(path, _path(file))]
            if found:
                return [file for file in found if _path(file) == path] or found
        return []

    def _bare(self, path: PurePosixPath) -> str:
        return path.stem if path.suffix.lower() in self.suffixes else path.name


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(same_name(name).replace("\\", "/"))


def _agree(name: PurePosixPath, file: PurePosixPath) -> bool:
    """Return whether the folders of two paths are the same as far as both give them."""
    n = min(len(name.parts), len(file.parts)) - 1
    return n == 0 or name.parts[-n - 1 : -1] == file.parts[-n - 1 : -1]

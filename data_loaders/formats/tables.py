"""Tables that belong to a recording, CSV or Parquet, in our words. What identifies is text: 001 and 1 are two stimuli, NA is a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurofit.data_loaders.formats.limits import head_of, short
from neurofit.data_loaders.formats.words import WORDS, in_words
from neurofit.errors import NeurofitError, fault, some_of

TEXTS = ("stimulus_id", "neuroid_id", "region")
"""Our words whose columns are texts, as they stand in the table."""

NEEDED = ("stimulus_id", "neuroid_id", "session")
"""Texts that no row may lack."""

NOTHING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A")
"""What stands for no value in a column that is no text."""


SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""What stands between columns in tables that are not read, and its name."""


def read_table(
    path: Path, *, words: Mapping[str, str] | None = None, known: Mapping[str, str] = WORDS, texts: Sequence[str] = TEXTS
) -> pd.DataFrame:
    """Return a table, its columns under our names.

    Parameters
    ----------
    path
        CSV, or Parquet by its ending or content.
    words
        What is said beside it: theirs -> ours.
    known
        Other people's words that are understood.
    texts
        Columns that are texts.

    Raises
    ------
    NeurofitError
        If it cannot be read, is empty, or a row lacks a text of `NEEDED`.
    """
    try:
        if path.suffix.lower() == ".parquet" or head_of(path).startswith(b"PAR1"):
            table = pd.read_parquet(path)
            table.columns = pd.Index(in_words([str(name) for name in table], words or {}, known).values())
        else:
            names = in_words([str(name) for name in pd.read_csv(path, nrows=0)], words or {}, known)
            kept = {theirs for theirs, ours in names.items() if ours in texts}
            nothing = {theirs: [""] if theirs in kept else list(NOTHING) for theirs in names}
            table = pd.read_csv(path, dtype=dict.fromkeys(kept, str), keep_default_na=False, na_values=nothing)
            table = table.rename(columns=names).dropna(how="all").reset_index(drop=True)
    except ImportError as error:
        raise NeurofitError("Reading Parquet needs pyarrow: pip install 'neurofit[parquet]'.") from error
    except (OSError, ValueError) as error:
        raise NeurofitError(f"Cannot read {path} as a table: {short(error)}.") from error
    separated = next((said for mark, said in SEPARATORS.items() if len(table.columns) == 1 and mark in str(table.columns[0])), None)
    if separated is not None:
        raise NeurofitError(f"The columns of {path} are separated by {separated}; write commas, and points in numbers.")
    if not len(table.columns) or not len(table):
        raise NeurofitError(f"The table {path} is empty.")
    for name in texts:
        if name in table:
            table[name] = _as_texts(table[name], path)
    return table


def _as_texts(column: pd.Series[Any], path: Path) -> np.ndarray:
    """Return a column as texts; a row that lacks one that is needed is a fault."""
    absent = np.flatnonzero(column.isna())
    if len(absent) and column.name in NEEDED:
        rows = f"row {some_of(absent.tolist())}, counted from 0 ({len(absent):,} in all)"
        fault(f"{path}: every row needs a {column.name}; there is none in {rows}.")
    return np.array(as_written(column), dtype=object)


def as_written(column: pd.Series[Any]) -> list[str]:
    """Return a column as texts: whole numbers without a needless .0, nothing as an empty text."""
    values = column.to_numpy(dtype=object, na_value="")
    return [f"{v:.0f}" if isinstance(v, float) and v.is_integer() else str(v) for v in values]

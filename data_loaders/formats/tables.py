"""Read tables of a recording (CSV or Parquet) with standard column names."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neurofit.data_loaders.formats.limits import OBJECT_BYTES, read_head, refuse_large, short
from neurofit.data_loaders.formats.names import ALIASES, standard_names
from neurofit.errors import NeurofitError, fault, some_of
from neurofit.recordings.identifiers import as_texts

TEXT_COLUMNS = ("stimulus_id", "neuroid_id", "region")
"""Columns that are read as text, unchanged: 001 and 1 are two stimuli, NA is a name."""

REQUIRED = ("stimulus_id", "neuroid_id", "session")
"""Text columns that need a value in every row."""

NA_VALUES = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A")
"""Missing values in a column that is not read as text."""

MAX_COLUMNS = 1_000
"""Largest number of columns: 100,000 take minutes to read, and are no table of a recording."""

SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""Column separators that are not supported, and their names."""


def read_table(
    path: Path,
    *,
    words: Mapping[str, str] = {},
    known: Mapping[str, str] = ALIASES,
    texts: Sequence[str] = TEXT_COLUMNS,
) -> pd.DataFrame:
    """Return a table with standard column names.

    Parameters
    ----------
    path
        CSV file, or Parquet file (by suffix or content).
    words
        Aliases given in the sidecar: name -> standard name.
    known
        Built-in aliases: lower-case name -> standard name.
    texts
        Columns to read as text.

    Raises
    ------
    NeurofitError
        If the table cannot be read, is empty, has two columns of one name, rows that are longer or
        shorter than its header, or other separators, or if a row lacks a value of `REQUIRED`.
    """
    try:
        if path.suffix.lower() == ".parquet" or read_head(path).startswith(b"PAR1"):
            _check_parquet(path)
            table = pd.read_parquet(path)
            table.columns = pd.Index(standard_names(list(map(str, table)), words, known).values())
        else:
            _check_rows(path)
            header = pd.read_csv(path, nrows=0)
            names = standard_names(list(map(str, header)), words, known)
            as_str = {name for name, standard in names.items() if standard in texts}
            table = pd.read_csv(
                path,
                dtype=dict.fromkeys(as_str, str),
                keep_default_na=False,
                na_values={name: [""] if name in as_str else list(NA_VALUES) for name in names},
            )
            table = table.rename(columns=names).dropna(how="all").reset_index(drop=True)
    except ImportError as error:
        raise NeurofitError(
            "Reading Parquet needs pyarrow: pip install 'neurofit[parquet]'."
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        raise NeurofitError(f"Cannot read {path} as a table: {short(error)}.") from error
    if not len(table.columns) or not len(table):
        raise NeurofitError(f"The table {path} is empty.")
    for name in table:
        if name in texts:
            if name in REQUIRED:
                report_missing(path, str(name), table[name].isna().to_numpy())
            table[name] = np.array(as_texts(table[name].to_numpy(), name=str(name)), dtype=object)
    return table


def report_missing(path: Path, name: str, absent: np.ndarray) -> None:
    """Report a fault if a column has no value in some rows."""
    if absent.any():
        listed = some_of(np.flatnonzero(absent).tolist())
        rows = f"row {listed}, counted from 0 ({int(absent.sum()):,} in all)"
        fault(f"{path}: every row needs a {name}; it is missing in {rows}.")


def _check_rows(path: Path) -> None:
    """Refuse a CSV file with other separators, a name twice, or rows unlike its header in length.

    pandas would take the first column of longer rows for an index, and move all others by one.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        _check_columns(path, len(header))
        if twice := [name for name, n in Counter(header).items() if n > 1 and name]:
            raise NeurofitError(f"{path} has several columns called {some_of(twice)}.")
        for mark, name in SEPARATORS.items():
            if mark in "".join(header):
                raise NeurofitError(
                    f"The columns of {path} are separated by {name}; use commas, and decimal "
                    "points."
                )
        for row in rows:
            if len(row) != len(header) and any(map(str.strip, row)):
                raise NeurofitError(
                    f"Line {rows.line_num:,} of {path} has {len(row)} values, but its header "
                    f"has {len(header)} names."
                )


def _check_columns(path: Path, n: int) -> None:
    if n > MAX_COLUMNS:
        raise NeurofitError(
            f"{path} has {n:,} columns; tables of a recording have at most {MAX_COLUMNS:,}. Give "
            "responses as an array (.npz, .nc)."
        )


def _check_parquet(path: Path) -> None:
    """Refuse a table that is much larger in memory than on the disk."""
    from pyarrow.parquet import read_metadata

    declared = read_metadata(path)
    _check_columns(path, declared.num_columns)
    columns = map(declared.schema.column, range(declared.num_columns))
    row = sum(OBJECT_BYTES if each.physical_type == "BYTE_ARRAY" else 8 for each in columns)
    refuse_large(path, row * declared.num_rows, stored=path.stat().st_size)

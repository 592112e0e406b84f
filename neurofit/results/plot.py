"""The picture that a command writes beside a result."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from neurofit.results.figures import draw, save
from neurofit.results.figures.looks import format_of


def plot_result(result: xr.Dataset, path: str | Path) -> None:
    """Draw the main quantity of a result; see `neurofit.results.figures.draw`.

    Parameters
    ----------
    result
        A result of an analysis.
    path
        File to write, completely or not at all: .png, .svg or .pdf.

    Raises
    ------
    NeurofitError
        If the main quantity has more than two dimensions beside its series, or a figure has no
        such format.
    """
    format_of(path)
    save(draw(result), path)

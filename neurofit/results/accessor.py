"""`result.neurofit`: what one does with a result, in one word each."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from neurofit.results.schema import headline, is_time, validate_result
from neurofit.results.summary import summarise
from neurofit.results.tables import result_tables

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


@xr.register_dataset_accessor("neurofit")  # type: ignore[no-untyped-call]
class ResultAccessor:
    """Figure, table and summary of a result, as `result.neurofit`.

    Parameters
    ----------
    result
        Result of an analysis.

    Raises
    ------
    NeurofitError
        If a Dataset is no result.
    """

    def __init__(self, result: xr.Dataset) -> None:
        validate_result(result)
        self._result = result

    def plot(self, path: str | Path | None = None, **options: Any) -> Figure:
        """Draw the result.

        Parameters
        ----------
        path
            File (.svg, .pdf or .png) to write; None writes none.
        **options
            Options of `neurofit.figures.draw`, such as `width="85mm"`.

        Returns
        -------
        Figure
            A notebook shows it.
        """
        from neurofit.results import figures

        figure = figures.draw(self._result, **options)
        if path is not None:
            figures.save(figure, path)
        return figure

    def to_dataframe(self) -> pd.DataFrame:
        """Return the main quantity with its interval, band, bound, counts and reasons.

        Returns
        -------
        DataFrame
            One row for each series (such as layer) and time bin.
        """
        result = self._result
        main = result[headline(result)]
        names = [
            str(name)
            for name, variable in result.data_vars.items()
            if set(variable.dims) <= set(main.dims)
            and (variable.attrs.get("role") != "detail" or "flag_values" in variable.attrs)
        ]
        names.sort(key=lambda name: name != main.name)
        table = result[names].to_dataframe(dim_order=list(main.dims))
        return table[[each for each in table.columns if each in {*names, *_bin_edges(main)}]]

    def summary(self) -> dict[str, Any]:
        """Return the contents of `summary.json`."""
        return summarise(self._result)

    def __repr__(self) -> str:
        """Return the tables of the result as text."""
        from rich.console import Console

        console = Console(width=100, file=io.StringIO())
        with console.capture() as printed:
            for title, table in result_tables(self._result):
                console.print(title, highlight=False, markup=False)
                console.print(table, highlight=False)
        return printed.get()

    def _repr_html_(self) -> str:
        from neurofit.results import figures

        return f"<pre>{escape(repr(self))}</pre>{figures.svg(self.plot(width='120mm'))}"


def _bin_edges(score: xr.DataArray) -> set[str]:
    """Return the names of the coordinates of time bins."""
    return {
        f"{dim}_{end}" for dim in map(str, score.dims) if is_time(dim) for end in ("start", "end")
    }

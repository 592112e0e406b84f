"""Responses that are changed when they are read, so that a recording may be larger than memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurofit.recordings.recording import Recording

PROCESSING = "processing"
"""Attribute of responses that says what was done to them, in sentences; files keep it."""

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


def changed(recording: Recording, change: Change, note: str) -> Recording:
    """Return a recording whose responses are changed when they are read.

    Parameters
    ----------
    recording
        Recording; its responses are not read.
    change
        Function of trials (presentation neuroid time_bin), float32, always of all presentations,
        and of the positions of their neuroids; it returns a new array of the same shape.
    note
        Sentence on what is done, appended to the attribute `PROCESSING` of the responses.
    """
    responses = recording.responses
    before = str(responses.attrs.get(PROCESSING, ""))
    made = xr.DataArray(
        indexing.LazilyIndexedArray(_Changed(responses, change)),
        dims=responses.dims,
        coords=responses.coords,
        attrs={**responses.attrs, PROCESSING: f"{before} {note}".strip()},
    )
    made.encoding = dict(responses.encoding)
    return replace(recording, responses=made)


class LazyArray(BackendArray, ABC):  # xarray's own protocol for arrays on disk
    """Responses, float32, of which `_read` returns the indexed ones on each access.

    Parameters
    ----------
    shape
        Numbers of presentations, neuroids and time bins.
    """

    indexing_support = indexing.IndexingSupport.OUTER

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.float32)

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyArray:
        return self

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, self.indexing_support, self._read
        )

    @abstractmethod
    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        """Return the responses at an index of each dimension: a number, a slice or an array."""


class _Changed(LazyArray):
    """Responses of the indexed neuroids and bins, changed on each access."""

    def __init__(self, responses: xr.DataArray, change: Change) -> None:
        super().__init__(responses.shape)
        self.responses, self.change = responses, change

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        rows, *others = key
        single = [isinstance(each, int | np.integer) for each in others]
        columns, bins = ([each] if one else each for each, one in zip(others, single, strict=True))
        part = self.responses.isel(neuroid=columns, time_bin=bins)
        neuroids = np.arange(self.shape[1])[columns]
        values = self.change(np.asarray(part.values, dtype=np.float32), neuroids)
        kept = values[(slice(None), *(0 if one else slice(None) for one in single))]
        return np.asarray(kept[rows])

"""A time bin at a time from a file in which the bins of a trial lie side by side, as in Brain-Score's.

Such a file has to be read as a whole for each single bin. So the first bin that is asked for copies it once, in blocks that lie
together, into a temporary file in which each bin lies together; all bins are read from there. Blocks of which nothing is asked are
not copied. Runs of bins are read as they are.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from threading import Lock
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurofit.assemblies import DIMS
from neurofit.errors import MachineError

SMALL_BYTES = 2**26
"""What is read as it is, for each bin again: the system keeps it in memory."""

BLOCK_BYTES = 2**28
"""Responses that are held at a time while they are copied."""


def by_time_bin(stored: xr.Variable, *, along: str, multiple: int = 1) -> indexing.LazilyIndexedArray:
    """Return a lazy array (presentation neuroid time_bin) that reads single bins from a copy, made when the first is asked for.

    Parameters
    ----------
    stored
        Lazy, (presentation neuroid time_bin).
    along
        The slowest dimension of the file: "presentation" or "neuroid".
    multiple
        Chunks of the file in this dimension; blocks are cut between them.
    """
    return indexing.LazilyIndexedArray(_ByTimeBin(stored, along=along, multiple=multiple))


class _ByTimeBin(BackendArray):  # xarray's own protocol for arrays on disk
    """See the module. The copy is (time_bin along other) float32, and goes when the recording goes."""

    def __init__(self, stored: xr.Variable, *, along: str, multiple: int) -> None:
        self.stored, self.along, self.axis = stored, along, DIMS.index(along)
        self.shape, self.dtype = stored.shape, np.dtype(np.float32)
        self.n_along, self.n_other, self.n_bins = stored.shape[self.axis], stored.shape[1 - self.axis], stored.shape[2]
        fit = BLOCK_BYTES // (4 * self.n_other * self.n_bins)
        self.step = max(1, fit // multiple) * multiple
        self.copied = np.zeros(-(-self.n_along // self.step), dtype=bool)
        self.file: Any = None
        self.lock = Lock()  # bins are read from several threads

    def __deepcopy__(self, memo: dict[int, Any]) -> _ByTimeBin:
        return self

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        rows = [np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True)]
        if len(rows[2]) != 1 or self.n_bins == 1 or 4 * len(rows[0]) * len(rows[1]) * self.n_bins <= SMALL_BYTES:
            return np.asarray(self.stored[key].values, dtype=np.float32)
        along, other = rows[self.axis], rows[1 - self.axis]
        values = self._bin(int(rows[2][0]), along)
        if not np.array_equal(other, np.arange(self.n_other)):
            values = values[:, other]
        whole = (values.T if self.along == "neuroid" else values)[..., None]
        return np.asarray(whole[tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key)])

    def _bin(self, position: int, along: np.ndarray) -> np.ndarray:
        """Return a bin's responses (along other) at some positions, all others of their dimension."""
        with self.lock:
            self._open()
            for block in np.unique(along // self.step):
                if not self.copied[block]:
                    self._copy(int(block))
            first, last = int(along.min()), int(along.max())
            values = np.empty((last - first + 1, self.n_other), dtype=np.float32)
            self.file.seek(self._offset(position, first))
            self.file.readinto(values)
        return values if len(along) == len(values) and (np.diff(along) == 1).all() else values[along - first]

    def _copy(self, block: int) -> None:
        begin, end = block * self.step, min((block + 1) * self.step, self.n_along)
        key = (slice(begin, end), slice(None)) if self.axis == 0 else (slice(None), slice(begin, end))
        values = np.asarray(self.stored[(*key, slice(None))].values, dtype=np.float32)
        try:
            for position in range(self.n_bins):
                self.file.seek(self._offset(position, begin))
                self.file.write(np.ascontiguousarray(np.moveaxis(values[:, :, position], self.axis, 0)))
            self.file.flush()
        except OSError as error:
            raise self._no_room() from error
        self.copied[block] = True

    def _open(self) -> None:
        if self.file is not None:
            return
        if shutil.disk_usage(tempfile.gettempdir()).free < self._offset(self.n_bins, 0):
            raise self._no_room()
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the recording
        weakref.finalize(self, self.file.close)

    def _offset(self, position: int, along: int) -> int:
        return 4 * (position * self.n_along + along) * self.n_other

    def _no_room(self) -> MachineError:
        return MachineError(
            f"To read this file bin by bin takes a temporary copy of {self._offset(self.n_bins, 0) / 1e9:.1f} GB, for which "
            f"{tempfile.gettempdir()} has no room.\nSet TMPDIR to a folder on a larger disk."
        )

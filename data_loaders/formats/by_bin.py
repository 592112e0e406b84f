"""Read single time bins from a file that stores the bins of a trial contiguously.

Brain-Score's files are of this kind, and reading one bin means reading all of the file. The first
access to a single bin therefore copies the file once, block by block, into a temporary file in
which each bin is contiguous, and all bins are read from there. Only blocks that are accessed are
copied. Ranges of bins are read directly.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from threading import Lock
from typing import Any

import numpy as np
import xarray as xr

from neurofit.errors import MachineError
from neurofit.recordings.lazy import LazyArray
from neurofit.recordings.recording import DIMS

SMALL_BYTES = 2**26
"""Arrays up to this size are read directly; the operating system caches them."""

BLOCK_BYTES = 2**28
"""Memory for the responses of a block while it is copied."""


class ByTimeBin(LazyArray):
    """Lazy responses of which single time bins are read from a copy, made on first access.

    Parameters
    ----------
    stored
        Lazy responses (presentation neuroid time_bin).
    along
        Slowest dimension of the file: "presentation" or "neuroid".
    multiple
        Chunk length of the file along this dimension; blocks are a multiple of it.
    """

    def __init__(self, stored: xr.Variable, *, along: str, multiple: int) -> None:
        super().__init__(stored.shape)
        self.stored, self.axis = stored, DIMS.index(along)
        self.n_along, self.n_other = stored.shape[self.axis], stored.shape[1 - self.axis]
        self.n_bins = stored.shape[2]
        fit = BLOCK_BYTES // (4 * self.n_other * self.n_bins)
        self.step = max(1, fit // multiple) * multiple
        self.copied = np.zeros(-(-self.n_along // self.step), dtype=bool)
        self.file: Any = None
        self.lock = Lock()  # bins are read from several threads

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        parts = zip(self.shape, key, strict=True)
        rows = [np.atleast_1d(np.arange(size)[part]) for size, part in parts]
        is_small = 4 * len(rows[0]) * len(rows[1]) * self.n_bins <= SMALL_BYTES
        if len(rows[2]) != 1 or self.n_bins == 1 or is_small:
            return np.asarray(self.stored[key].values, dtype=np.float32)
        along, other = rows[self.axis], rows[1 - self.axis]
        values = self._bin(int(rows[2][0]), along)
        if not np.array_equal(other, np.arange(self.n_other)):
            values = values[:, other]
        whole = (values.T if self.axis else values)[..., None]
        single = (isinstance(part, int | np.integer) for part in key)
        return np.asarray(whole[tuple(0 if one else slice(None) for one in single)])

    def _bin(self, position: int, along: np.ndarray) -> np.ndarray:
        """Return the responses (along other) of a bin at positions along the slow dimension."""
        with self.lock:
            self._open()
            for block in np.unique(along // self.step):
                if not self.copied[block]:
                    self._copy(int(block))
            first, last = int(along.min()), int(along.max())
            values = np.empty((last - first + 1, self.n_other), dtype=np.float32)
            self.file.seek(self._offset(position, first))
            self.file.readinto(values)
        as_stored = len(along) == len(values) and (np.diff(along) == 1).all()
        return values if as_stored else values[along - first]

    def _copy(self, block: int) -> None:
        begin = block * self.step
        part = self.stored.isel({DIMS[self.axis]: slice(begin, begin + self.step)})
        values = np.moveaxis(np.asarray(part.values, dtype=np.float32), self.axis, 0)
        try:
            for position in range(self.n_bins):
                self.file.seek(self._offset(position, begin))
                self.file.write(np.ascontiguousarray(values[:, :, position]))
            self.file.flush()
        except OSError as error:
            raise self._disk_full() from error
        self.copied[block] = True

    def _open(self) -> None:
        if self.file is not None:
            return
        if shutil.disk_usage(tempfile.gettempdir()).free < self._offset(self.n_bins, 0):
            raise self._disk_full()
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the recording
        weakref.finalize(self, self.file.close)

    def _offset(self, position: int, along: int) -> int:
        return 4 * (position * self.n_along + along) * self.n_other

    def _disk_full(self) -> MachineError:
        return MachineError(
            "Reading this file bin by bin needs a temporary copy of "
            f"{self._offset(self.n_bins, 0) / 1e9:.1f} GB, and {tempfile.gettempdir()} is too full."
            "\nSet TMPDIR to a folder on a larger disk."
        )

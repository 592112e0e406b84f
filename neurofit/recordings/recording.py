"""A recording: responses (presentation neuroid time_bin) and the stimuli that evoked them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from neurofit.config.notebook import Facts
from neurofit.errors import NeurofitError, check_option
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.time_bins import TimeBin
from neurofit.recordings.times import ONSET

DIMS = ("presentation", "neuroid", "time_bin")

BLOCK_BYTES = 2**28
"""Size of the responses in memory at a time."""

COORDS = {
    "stimulus_id": "presentation",
    "repetition": "presentation",
    "neuroid_id": "neuroid",
    "region": "neuroid",
    "time_bin_start": "time_bin",
    "time_bin_end": "time_bin",
}
"""Coordinates of every recording -> their dimensions."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # arrays have no single truth value
class Recording(Facts):
    """Responses of recorded sites over time to repeated presentations of images, with the images.

    Parameters
    ----------
    name
        Citation key or name of the recording.
    responses
        DataArray (presentation neuroid time_bin), float32 spike counts or rates, with the
        coordinates `stimulus_id` and `repetition` (presentation), `neuroid_id` and `region`
        (neuroid), `time_bin_start` and `time_bin_end` (time_bin), in ms from stimulus onset. It may
        be lazy (opened from a file larger than memory). NaN marks a trial that is missing for a
        neuroid.
    stimuli
        Images, with every `stimulus_id` of `responses` among their ids.
    simulated
        Whether the responses were simulated; every output says so.
    sha256
        Hash of the data and of the images, if any; stored in results.
    citation
        Publication of the recording.
    truth
        Noise-free responses of a simulation: DataArray (stimulus neuroid time_bin), in the order
        of `stimuli`.
    selection
        Part of the original recording that this is, ready for JSON; stored in results.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> recording
    Recording('hvm-sim', simulated, 88 V4 neuroids, ... 640 stimuli, 2 time bins in 90-110 ms)
    >>> recording.time_bins, recording.block(0).shape
    ([(90, 100), (100, 110)], (18956, 88))
    """

    name: str
    responses: xr.DataArray
    stimuli: StimulusSet
    simulated: bool = False
    sha256: str = ""
    citation: str = ""
    truth: xr.DataArray | None = None
    selection: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """Return name, areas and sizes."""
        regions, sites = np.unique(self.responses.region.values, return_counts=True)
        (start, _), (_, end) = self.time_bins[0], self.time_bins[-1]
        n_bins = self.responses.sizes["time_bin"]
        return {
            "name": f"{self.name!r}{', simulated' * self.simulated}",
            "neuroids": "{} neuroids".format(
                " and ".join(f"{n} {r}" for r, n in zip(regions, sites, strict=True))
            ),
            "presentations": f"{self.responses.sizes['presentation']:,} presentations",
            "stimuli": f"{len(self.stimuli):,} stimuli",
            "time bins": f"{n_bins} time bin{'s' * (n_bins > 1)} in {start}-{end} ms",
        }

    @property
    def onset(self) -> str:
        """What was taken for stimulus onset in each trial; empty if the file's times say it."""
        return str(self.responses.attrs.get(ONSET, ""))

    @property
    def regions(self) -> tuple[str, ...]:
        """Recorded areas, in alphabetical order."""
        return tuple(str(r) for r in np.unique(self.responses.region.values))

    @property
    def time_bins(self) -> list[TimeBin]:
        """Recorded bins (start, end): half-open, in ms from stimulus onset."""
        starts, ends = self.responses.time_bin_start.values, self.responses.time_bin_end.values
        return [(int(s), int(e)) for s, e in zip(starts, ends, strict=True)]

    @property
    def stimulus_rows(self) -> np.ndarray:
        """Row in `stimuli` of the stimulus of each presentation: array (presentation)."""
        row_of = {stimulus: row for row, stimulus in enumerate(self.stimuli.ids)}
        return np.array([row_of[s] for s in self.responses.stimulus_id.values])

    def block(self, time_bin: int | slice, neuroid: slice = slice(None)) -> np.ndarray:
        """Read the responses of one time bin: float32 array (presentation neuroid).

        Those of a slice of time bins have the further axis time_bin.
        """
        part = self.responses.isel(neuroid=neuroid, time_bin=time_bin)
        return np.asarray(part.values, dtype=np.float32)

    def select(
        self, *, region: str | None = None, window: tuple[int, int] | None = None
    ) -> Recording:
        """Return one area and the time bins inside a window, without reading responses.

        Parameters
        ----------
        region
            Area, as in the coordinate `region`. None keeps all.
        window
            (start, end) in ms: bins inside it are kept. None keeps all.

        Raises
        ------
        NeurofitError
            If there is no such area, or no bin lies inside the window.
        """
        neuroids: slice | np.ndarray = slice(None)
        bins: slice | np.ndarray = slice(None)
        if region is not None:
            check_option(f"region of {self.name}", region, self.regions)
            neuroids = as_slice(np.flatnonzero(self.responses.region.values == region))
        if window is not None:
            starts, ends = np.array(self.time_bins).T
            inside = np.flatnonzero((starts >= window[0]) & (ends <= window[1]))
            if len(inside) == 0:
                raise NeurofitError(
                    f"No time bin of {self.name} lies inside {window[0]}-{window[1]} ms; "
                    f"it has {starts[0]}-{ends[-1]} ms."
                )
            bins = as_slice(inside)
        truth = None if self.truth is None else self.truth.isel(neuroid=neuroids, time_bin=bins)
        return replace(
            self, responses=self.responses.isel(neuroid=neuroids, time_bin=bins), truth=truth
        )


def contiguous_blocks(
    recording: Recording, n_draws: int = 0, *, most: int = BLOCK_BYTES
) -> Iterator[tuple[slice, slice]]:
    """Yield (neuroids, time bins) that are contiguous in the file and fit into `most` bytes.

    Parameters
    ----------
    recording
        Recording; nothing of it is read.
    n_draws
        Number of further float64 values for each neuroid and time bin.
    most
        Memory of a block.
    """
    n_presentations, n_neuroids, n_bins = recording.responses.shape
    one = 4 * n_presentations + 8 * n_draws
    if recording.responses.encoding.get("together") == "neuroid":
        step = max(1, most // (one * n_bins))
        for begin in range(0, n_neuroids, step):
            yield slice(begin, min(begin + step, n_neuroids)), slice(0, n_bins)
    else:
        step = max(1, most // (one * n_neuroids))
        for begin in range(0, n_bins, step):
            yield slice(0, n_neuroids), slice(begin, min(begin + step, n_bins))


def identifiers_of(recording: Recording) -> dict[str, np.ndarray]:
    """Return the identifiers of stimuli and of neuroids, by the name of their coordinate."""
    neuroids = recording.responses.neuroid_id.values
    return {"stimulus_id": recording.stimuli.ids, "neuroid_id": neuroids}


def as_slice(index: np.ndarray) -> slice | np.ndarray:
    """Return consecutive indices as a slice, which file backends read fast; others unchanged."""
    if len(index) and index[-1] - index[0] + 1 == len(index):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index

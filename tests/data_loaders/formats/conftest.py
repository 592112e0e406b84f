"""Fixtures of several formats: an assembly as Brain-Score writes it, NWB files with pictures."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
import pytest
import xarray as xr
from pynwb.base import ImageReferences, Images
from pynwb.image import ImageSeries, RGBImage

from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages

Assembly = Callable[..., xr.DataArray]
Write = Callable[..., Path]
Rgb = Callable[..., np.ndarray]
Named = Callable[..., Images]
Series = Callable[..., ImageSeries]
Shown = Callable[[Recording, np.ndarray], None]
Why = Callable[[Recording], str]

SHOWN = ("cat", "dog", "cat", "dog")
HEIGHT, WIDTH = 4, 6


@pytest.fixture
def brainscore_assembly() -> Assembly:
    """Make an assembly as Brain-Score writes it: flat coordinates, neuroid first, own names."""
    return _brainscore_assembly


def _brainscore_assembly(*, static: bool = False) -> xr.DataArray:
    bins = [70] if static else [-100, -90, -80]
    data = xr.DataArray(
        np.random.default_rng(0).normal(size=(4, 10, len(bins))).astype(np.float32),
        dims=("neuroid", "presentation", "time_bin"),
        coords={
            "neuroid_id": ("neuroid", [f"Chabo_L_M_5_{i}" for i in range(4)]),
            "region": ("neuroid", ["V4", "IT", "IT", "V4"]),
            "subregion": ("neuroid", ["V4", "pIT", "aIT", "V4"]),
            "animal": ("neuroid", ["Chabo"] * 4),
            "image_id": ("presentation", [f"id{i % 5}" for i in range(10)]),
            "object_name": ("presentation", [f"car{i % 5}" for i in range(10)]),
            "time_bin_start": ("time_bin", bins),
            "time_bin_stop": ("time_bin", [s + (100 if static else 20) for s in bins]),
        },
        attrs={"stimulus_set_identifier": "hvm"},
        name="a_name_of_its_own",
    )
    return data.squeeze("time_bin") if static else data


@pytest.fixture
def write_nwb() -> Write:
    """Write an NWB session of one unit and a trial a second.

    What is given goes under stimulus, and `templates` under its templates.
    """
    return _write_nwb


def _write_nwb(
    path: Path,
    *held: Any,
    templates: Sequence[Any] = (),
    shown: Sequence[Any] = SHOWN,
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    nwb = pynwb.NWBFile(
        session_description="s",
        identifier=path.stem,
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    nwb.add_unit_column("region", "area")
    nwb.add_unit(spike_times=np.arange(0.05, len(shown), 0.5), region="IT")
    table = {"stimulus_id": shown, **(columns or {})}
    for name in table:
        nwb.add_trial_column(name, "of the trial")
    for number, row in enumerate(zip(*table.values(), strict=True)):
        nwb.add_trial(
            start_time=float(number), stop_time=number + 0.5, **dict(zip(table, row, strict=True))
        )
    for each in templates:
        nwb.add_stimulus_template(each)
    for each in held:
        nwb.add_stimulus(each)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


@pytest.fixture
def rgb() -> Rgb:
    """Make random pictures: uint8 (stimulus height width channel)."""
    return _rgb


def _rgb(n: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def named() -> Named:
    """Hold pictures by name, as NWB images."""
    return _named


def _named(
    pixels: np.ndarray,
    names: Sequence[str] = ("cat", "dog"),
    *,
    ordered: bool = False,
    called: str = "pictures",
) -> Images:
    images = [RGBImage(name=name, data=each) for name, each in zip(names, pixels, strict=True)]
    order = ImageReferences(name="order_of_images", data=images) if ordered else None
    return Images(name=called, images=images, description="p", order_of_images=order)


@pytest.fixture
def series() -> Series:
    """Hold pictures (stimulus y x channel) as frames (frame x y channel), as in the schema."""
    return _series


def _series(pixels: np.ndarray, *, called: str = "movie", **more: Any) -> ImageSeries:
    return ImageSeries(name=called, data=pixels.swapaxes(1, 2), unit="n.a.", rate=1.0, **more)


@pytest.fixture
def files() -> Series:
    """Name pictures that are files beside an NWB file."""
    return _files


def _files(*paths: str, **more: Any) -> ImageSeries:
    first = {"starting_frame": list(range(len(paths))), **more}
    times = np.arange(float(len(paths)))
    return ImageSeries(
        name="files",
        external_file=list(paths),
        format="external",
        unit="n.a.",
        timestamps=times,
        **first,
    )


@pytest.fixture
def assert_shown() -> Shown:
    """Check the pictures of all stimuli, pixel for pixel."""
    return _assert_shown


def _assert_shown(recording: Recording, pixels: np.ndarray) -> None:
    assert len(recording.stimuli.images) == len(pixels)
    for row, expected in enumerate(pixels):
        found = recording.stimuli.images[row]
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def why() -> Why:
    """Return why a recording has no pictures."""
    return _why


def _why(recording: Recording) -> str:
    assert isinstance(recording.stimuli.images, NoImages)
    return recording.stimuli.images.why

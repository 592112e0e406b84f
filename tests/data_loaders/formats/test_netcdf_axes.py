"""netCDF as people have it: other names of the axes, no axis of time.

What is ambiguous is refused with the option or attribute that settles it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
import xarray as xr

from neurofit.cli.app import main
from neurofit.data_loaders import load_recording, open_recording, write_recording
from neurofit.data_loaders.formats.netcdf_axes import name_axes
from neurofit.errors import NeurofitError
from neurofit.recordings.validation import validate_recording

VALUES = (
    np.random.default_rng(0).normal(size=(10, 4, 3)).astype(np.float32)
)  # presentation neuroid time_bin
VALUES[3, 2, 1] = np.nan
VALUES[4, 1, 0] = -0.0


def assembly(
    dims: tuple[str, str, str],
    *,
    order: tuple[int, ...] | None = None,
    bins: bool = True,
    **more: Any,
) -> xr.DataArray:
    """Return an assembly.

    `dims` names its presentation, neuroid and time_bin; `order` is the order of its axes.
    """
    presentation, neuroid, time = dims
    coords: dict[str, Any] = {
        "image_id": (presentation, [f"id{i % 5}" for i in range(10)]),
        "neuroid_id": (neuroid, [f"n{i}" for i in range(4)]),
        "region": (neuroid, ["V4", "IT", "IT", "V4"]),
    }
    if bins:
        coords |= {"time_bin_start": (time, [70, 80, 90]), "time_bin_stop": (time, [80, 90, 100])}
    values, names = (VALUES, dims) if bins else (VALUES[..., 0], dims[:2])
    data = xr.DataArray(values, dims=names, coords={**coords, **more}, name="mine")
    return data if order is None else data.transpose(*(names[axis] for axis in order))


def written(path: Path, *dims: Any, **more: Any) -> Path:
    """Write an assembly with xarray."""
    assembly(*dims, **more).to_netcdf(path, engine="h5netcdf")
    return path


def assert_equal_to_the_bit(path: Path, expected: np.ndarray, **asked: Any) -> None:
    """Compare what is read with what was written.

    It is read at once, bin by bin, and after a round trip in both layouts.
    """
    recording = open_recording(path, **asked)
    validate_recording(recording)
    assert recording.responses.dims == ("presentation", "neuroid", "time_bin")
    assert recording.responses.values.tobytes() == expected.tobytes()
    for position in range(expected.shape[2]):
        assert recording.block(position).tobytes() == expected[:, :, position].tobytes()
    assert recording.responses.stimulus_id.values.tolist() == [f"id{i % 5}" for i in range(10)]
    assert recording.responses.region.values.tolist() == ["V4", "IT", "IT", "V4"]
    for layout in ("neurofit", "brainscore"):
        write_recording(recording, path.with_name(f"{layout}.nc"), layout=layout, overwrite=True)
        back = open_recording(path.with_name(f"{layout}.nc"))
        assert back.responses.values.tobytes() == expected.tobytes()
        assert back.time_bins == recording.time_bins


@pytest.mark.parametrize(
    ("dims", "order"),
    [
        (("trial", "unit", "t"), (0, 1, 2)),
        (("trial", "unit", "t"), (1, 0, 2)),
        (("image_id", "neuroid_id", "time_bin_start"), (1, 0, 2)),
        (("presentation", "site", "time"), (2, 1, 0)),
    ],
)
def test_axes_of_other_names_are_told_by_what_lies_along_them(
    tmp_path: Path, dims: tuple[str, str, str], order: tuple[int, ...]
) -> None:
    path = written(tmp_path / "r.nc", dims, order=order)
    assert open_recording(path).time_bins == [(70, 80), (80, 90), (90, 100)]
    assert_equal_to_the_bit(path, VALUES)


def test_a_file_written_with_h5py_alone_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "r.nc", "w") as file:
        for dim, n in {"row": 10, "unit": 4, "t": 3}.items():
            file[dim] = np.zeros(n, np.float32)
            file[dim].make_scale(f"This is a netCDF dimension but not a netCDF variable.{n:10d}")
        columns: dict[str, tuple[str, Any]] = {
            "stimulus_id": ("row", [f"id{i % 5}".encode() for i in range(10)]),
            "neuroid_id": ("unit", [f"n{i}".encode() for i in range(4)]),
            "region": ("unit", [b"V4", b"IT", b"IT", b"V4"]),
            "time_bin_start": ("t", [70, 80, 90]),
            "time_bin_end": ("t", [80, 90, 100]),
        }
        for name, (dim, values) in columns.items():
            file[name] = np.array(values)
            file[name].dims[0].attach_scale(file[dim])
        file["spikes"] = VALUES.transpose(1, 2, 0)
        for axis, dim in enumerate(("unit", "t", "row")):
            file["spikes"].dims[axis].attach_scale(file[dim])
    assert_equal_to_the_bit(tmp_path / "r.nc", VALUES)


@pytest.mark.parametrize(
    ("dims", "order"), [(("presentation", "neuroid", ""), (0, 1)), (("trial", "unit", ""), (1, 0))]
)
@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_without_an_axis_of_time_the_bin_is_that_of_scalars_or_attributes(
    tmp_path: Path,
    order: tuple[int, ...],
    dims: tuple[str, str, str],
    engine: Literal["h5netcdf", "scipy"],
) -> None:
    for edges in (
        {"time_bin_start": 70, "time_bin_stop": 170},
        {"time_bin_start": 70.0, "time_bin_end": 170.0},
    ):
        bare = assembly(dims, order=order, bins=False)
        of_variable, of_file = bare.to_dataset(), bare.to_dataset()
        of_variable.mine.attrs.update(edges)
        of_file.attrs.update(edges)
        for number, dataset in enumerate(
            (bare.assign_coords(edges).to_dataset(), of_variable, of_file)
        ):
            path = tmp_path / f"{number}.nc"
            dataset.to_netcdf(str(path), engine=engine)
            assert open_recording(path).time_bins == [(70, 170)]
            assert_equal_to_the_bit(path, VALUES[..., :1])


def test_a_bin_that_no_one_says_is_asked_for_and_can_be_said_in_three_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "r.nc", ("presentation", "neuroid", ""), bins=False)
    with pytest.raises(
        NeurofitError,
        match=r"r.nc: the times of its one time bin are missing.*"
        r"give --time-bin 50:150 or load_recording\(PATH, time_bin=",
    ):
        open_recording(path)
    assert load_recording(path, time_bin=(70, 170)).time_bins == [(70, 170)]
    assert_equal_to_the_bit(path, VALUES[..., :1], time_bin=(70, 170))
    monkeypatch.setattr(sys, "argv", ["neurofit", "check", str(path), "--time-bin", "70:170"])
    main()
    printed = capsys.readouterr().out
    assert "no problems in 10 presentations x 4 neuroids x 1 time bins" in printed
    assert f"Note: {path} has no images" in printed
    assert "give --images" in printed
    path.with_suffix(".json").write_text('{"time_bin": [60, 160]}')
    assert open_recording(path).time_bins == [(60, 160)]
    assert open_recording(path, time_bin=(70, 170)).time_bins == [
        (70, 170)
    ]  # the caller goes before the file beside it
    monkeypatch.setattr(sys, "argv", ["neurofit", "describe", str(path)])
    main()
    assert "one, 60-160 ms" in capsys.readouterr().out


def test_a_bin_said_where_the_file_says_another_is_refused(tmp_path: Path) -> None:
    path = written(
        tmp_path / "r.nc",
        ("presentation", "neuroid", ""),
        bins=False,
        time_bin_start=70,
        time_bin_end=170,
    )
    assert open_recording(path, time_bin=(70, 170)).time_bins == [(70, 170)]
    with pytest.raises(
        NeurofitError, match=r"states that its time bin is 70-170 ms; got 50-150 ms"
    ):
        open_recording(path, time_bin=(50, 150))
    several = written(tmp_path / "several.nc", ("presentation", "neuroid", "time_bin"))
    with pytest.raises(
        NeurofitError, match=r"time_bin applies to files with one time bin; .* has 3"
    ):
        open_recording(several, time_bin=(50, 150))
    with pytest.raises(NeurofitError, match="with start < end; got"):
        open_recording(path, time_bin=(150, 50))
    with pytest.raises(NeurofitError, match="hvm-sim is a registered recording"):
        load_recording("hvm-sim", time_bin=(50, 150))


def test_arrays_take_the_bin_from_the_caller_too(tmp_path: Path) -> None:
    held: dict[str, Any] = {
        "stimulus_id": list("aabbccddee"),
        "neuroid_id": list("wxyz"),
        "region": ["IT"] * 4,
    }
    held |= {"responses": VALUES[..., 0], "dims": ["presentation", "neuroid"]}
    np.savez(tmp_path / "r.npz", **held)
    with pytest.raises(NeurofitError, match="give --time-bin 50:150"):
        open_recording(tmp_path / "r.npz")
    assert open_recording(tmp_path / "r.npz", time_bin=(50, 150)).time_bins == [(50, 150)]
    (tmp_path / "spikes.csv").write_text(
        "neuroid_id,presentation,time_ms,stimulus_id,region\na,0,5,x,IT\na,1,6,x,IT\n"
    )
    with pytest.raises(
        NeurofitError,
        match=r"files that do not state their time \(netCDF, "
        r"NumPy arrays, MATLAB, HDF5\); .* is spike times",
    ):
        open_recording(tmp_path / "spikes.csv", time_bin=(50, 150))


def test_an_axis_of_length_one_that_nothing_tells_is_the_time_bin(tmp_path: Path) -> None:
    data = xr.DataArray(VALUES[..., :1], dims=("trial", "unit", "x"), name="mine")
    data = data.assign_coords(
        image_id=("trial", [f"id{i % 5}" for i in range(10)]), neuroid_id=("unit", list("wxyz"))
    )
    data.assign_coords(region=("unit", ["V4", "IT", "IT", "V4"])).to_netcdf(
        tmp_path / "r.nc", engine="h5netcdf"
    )
    assert_equal_to_the_bit(tmp_path / "r.nc", VALUES[..., :1], time_bin=(0, 100))


@pytest.mark.parametrize(
    ("sizes", "along", "expected"),
    [
        (
            {"a": 5, "b": 5, "c": 5},
            {"a": ["stimulus_id"], "b": ["neuroid_id"], "c": ["time_bin_end"]},
            ("presentation", "neuroid", "time_bin"),
        ),
        (
            {"a": 5, "b": 5, "c": 5},
            {"a": ["stimulus_id"], "b": ["neuroid_id"]},
            None,
        ),  # c may be repetitions
        (
            {"a": 5, "b": 5, "c": 1},
            {"a": ["stimulus_id"], "b": ["neuroid_id"], "c": ["neuroid_id", "stimulus_id"]},
            None,
        ),
        ({"a": 5, "b": 5}, {"a": ["stimulus_id", "neuroid_id"]}, None),
        ({"a": 5, "b": 5}, {"a": ["stimulus_id"]}, None),  # nothing says that b is neuroids
        (
            {"a": 5, "b": 5},
            {"a": ["stimulus_id"], "b": ["region"]},
            None,
        ),  # an area may be a picture's
        ({"presentation": 5, "b": 5}, {"b": ["stimulus_id"]}, None),
        (
            {"a": 5, "b": 5, "c": 3, "d": 1},
            {"a": ["stimulus_id"], "b": ["neuroid_id"], "c": ["time_bin_start"]},
            None,
        ),
        ({"neuroid": 5, "b": 5}, {"b": ["stimulus_id"]}, ("neuroid", "presentation")),
        ({"neuroid": 5, "presentation": 5}, {}, ("neuroid", "presentation")),
    ],
)
def test_axes_are_named_only_where_there_is_one_way(
    sizes: dict[str, int], along: dict[str, list[str]], expected: tuple[str, ...] | None
) -> None:
    assert name_axes(sizes, along) == expected


def test_what_cannot_be_told_apart_is_refused_with_what_lies_where(tmp_path: Path) -> None:
    data = xr.DataArray(
        VALUES,
        dims=("trial", "unit", "t"),
        name="mine",
        coords={"image_id": ("trial", list("aabbccddee"))},
    )
    data.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    said = (
        r"stimulus_id along trial, neuroid_id along none of them, "
        r"time_bin_start along none of them\. Rename them"
    )
    with pytest.raises(
        NeurofitError,
        match=rf"it has mine \(trial unit t\)\.\n"
        rf"Other axes are identified by .*: {said}, or write .* into r\.json",
    ):
        open_recording(tmp_path / "r.nc")


def test_two_variables_that_may_be_the_responses_are_refused(tmp_path: Path) -> None:
    with xr.open_dataset(
        written(tmp_path / "one.nc", ("trial", "unit", "t")), engine="h5netcdf"
    ) as dataset:
        dataset.load().assign(rates=dataset.mine * 100).to_netcdf(
            tmp_path / "two.nc", engine="h5netcdf"
        )
        dataset.assign(wave=(("unit", "sample"), np.ones((4, 30)))).to_netcdf(
            tmp_path / "more.nc", engine="h5netcdf"
        )
    with pytest.raises(
        NeurofitError, match="mine, rates could each be the responses: keep one of them"
    ):
        open_recording(tmp_path / "two.nc")
    assert open_recording(tmp_path / "more.nc").responses.shape == VALUES.shape


def test_the_file_beside_it_says_what_an_assembly_does_not(tmp_path: Path) -> None:
    data = xr.DataArray(VALUES[..., 0], dims=("x", "y"), name="mine")
    data = data.assign_coords(
        picture=("x", [f"id{i % 5}" for i in range(10)]), neuroid_id=("y", list("wxyz"))
    )
    data.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    said: dict[str, Any] = {
        "region": "IT",
        "subject": "m1",
        "units": "spikes per bin",
        "time_bin": [70, 170],
        "visual_degrees": 5,
    }
    said |= {
        "dims": ["presentation", "neuroid"],
        "words": {"picture": "stimulus_id"},
        "missing": float(VALUES[0, 0, 0]),
    }
    (tmp_path / "r.json").write_text(json.dumps(said))
    recording = open_recording(tmp_path / "r.nc")
    validate_recording(recording)
    assert recording.regions == ("IT",)
    assert set(recording.responses.subject.values) == {"m1"}
    assert recording.responses.attrs["units"] == "spikes per bin"
    assert recording.stimuli.visual_degrees == 5.0
    expected = VALUES[..., :1].copy()
    expected[0, 0, 0] = np.nan
    np.testing.assert_array_equal(recording.responses.values, expected)
    (tmp_path / "r.json").write_text(json.dumps({**said, "dims": ["stimulus", "neuroid"]}))
    with pytest.raises(
        NeurofitError,
        match=r"r\.json names the axes stimulus, neuroid; they must be presentation, neuroid and",
    ):
        open_recording(tmp_path / "r.nc")


def test_stimuli_along_another_axis_are_named(tmp_path: Path) -> None:
    written(tmp_path / "r.nc", ("neuroid", "presentation", "time_bin"))
    with pytest.raises(
        NeurofitError,
        match="the coordinate stimulus_id must lie along presentation; it lies along neuroid",
    ):
        open_recording(tmp_path / "r.nc")

"""netCDF: Brain-Score's assemblies are read unchanged; what is written is read back to the bit."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image
from scipy.io import netcdf_file

from neurofit.data_loaders import load_recording, open_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.rebinning import rebin
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.validation import validate_recording

Make = Callable[..., Recording]


def with_everything(make_recording: Make) -> Recording:
    """Return a recording with missing trials, -0.0, further coordinates and a reordered table."""
    small = make_recording()
    responses = small.responses.assign_coords(
        subject=("neuroid", list("aabbcc")), variation=("presentation", np.arange(24) % 2 * 1.5)
    )
    responses.values[3, 2, :] = np.nan
    responses.values[4, 1, 0] = -0.0
    responses.attrs["units"] = "spikes per bin"
    order = [3, 1, 0, 2, 5, 4]
    stimuli = small.stimuli.only(order)
    stimuli = replace(
        stimuli,
        table=stimuli.table.assign(object_name=list("xyzxyz")).reset_index(drop=True),
        visual_degrees=5.0,
    )
    return replace(small, responses=responses, stimuli=stimuli, citation="Someone (2020)")


def assert_same_to_the_bit(one: Recording, other: Recording) -> None:
    assert one.responses.dims == other.responses.dims
    assert one.responses.dtype == other.responses.dtype == np.float32
    assert one.responses.values.tobytes() == other.responses.values.tobytes()
    assert set(one.responses.coords) == set(other.responses.coords)
    for name, coord in one.responses.coords.items():
        assert coord.dims == other.responses[name].dims
        assert coord.dtype.kind == other.responses[name].dtype.kind, name
        np.testing.assert_array_equal(coord.values, other.responses[name].values)
    assert one.stimuli.ids.tolist() == other.stimuli.ids.tolist()
    for column in one.stimuli.table:
        assert one.stimuli.table[column].tolist() == other.stimuli.table[column].tolist()
    assert isinstance(one.stimuli.images, NoImages) == isinstance(other.stimuli.images, NoImages)
    if not isinstance(one.stimuli.images, NoImages):
        for i in range(len(one.stimuli)):
            np.testing.assert_array_equal(one.stimuli.images[i], other.stimuli.images[i])


def assert_said_of_both(one: Recording, other: Recording) -> None:
    assert (other.name, other.citation, other.simulated) == (one.name, one.citation, one.simulated)
    assert one.simulated
    assert one.citation
    assert other.responses.attrs["units"] == one.responses.attrs["units"] == "spikes per bin"
    assert (one.stimuli.visual_degrees, one.stimuli.duration_ms) == (5.0, 100.0)
    assert (other.stimuli.visual_degrees, other.stimuli.duration_ms) == (5.0, 100.0)


@pytest.mark.parametrize("layout", ["neurofit", "brainscore"])
def test_a_round_trip_is_equal_to_the_bit(
    make_recording: Make, tmp_path: Path, layout: str
) -> None:
    recording = with_everything(make_recording)
    write_recording(recording, tmp_path / "r.nc", layout=layout)
    back = open_recording(tmp_path / "r.nc")
    assert_same_to_the_bit(recording, back)
    assert_said_of_both(recording, back)
    validate_recording(back)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.nc", "r.stimuli.csv", "r.stimuli.zip"]


def test_a_round_trip_as_npz_is_equal_to_the_bit(make_recording: Make, tmp_path: Path) -> None:
    recording = with_everything(make_recording)
    write_recording(recording, tmp_path / "r.npz")
    back = open_recording(tmp_path / "r.npz")
    assert_same_to_the_bit(recording, back)
    assert_said_of_both(recording, back)
    (start, _), (_, end) = recording.time_bins[:2]
    counted = recording.block(0) + recording.block(1)
    np.testing.assert_array_equal(
        rebin(back, [(start, end)]).block(0), counted, "they are still counts"
    )


@pytest.mark.parametrize("ending", [".nc", ".npz"])
def test_stimuli_that_are_numbers_stay_numbers(
    make_recording: Make, tmp_path: Path, ending: str
) -> None:
    recording = make_recording(n_repetitions=2)
    ids = np.array([int(s[1:]) + 10 for s in recording.responses.stimulus_id.values])
    stimuli = replace(recording.stimuli, table=pd.DataFrame({"stimulus_id": np.arange(10, 16)}))
    recording = replace(
        recording,
        responses=recording.responses.assign_coords(stimulus_id=("presentation", ids)),
        stimuli=stimuli,
    )
    write_recording(recording, tmp_path / f"r{ending}")
    back = open_recording(tmp_path / f"r{ending}")
    validate_recording(back)
    assert_same_to_the_bit(recording, back)


def test_files_whose_names_differ_after_a_dot_keep_their_own_pictures(
    make_recording: Make, tmp_path: Path
) -> None:
    one = make_recording()
    other = replace(one, stimuli=one.stimuli.shuffled(1))
    write_recording(one, tmp_path / "r.v1.nc")
    write_recording(other, tmp_path / "r.v2.nc")
    assert_same_to_the_bit(one, open_recording(tmp_path / "r.v1.nc"))
    assert_same_to_the_bit(other, open_recording(tmp_path / "r.v2.nc"))


def brainscore_assembly(*, static: bool = False) -> xr.DataArray:
    """Return an assembly as Brain-Score writes it: flat coordinates, neuroid first, own names."""
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


def test_an_assembly_of_brain_score_is_read_in_our_words(tmp_path: Path) -> None:
    data = brainscore_assembly()
    data.to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    recording = open_recording(tmp_path / "assy.nc")
    validate_recording(recording)
    assert recording.responses.dims == ("presentation", "neuroid", "time_bin")
    assert recording.time_bins == [(-100, -80), (-90, -70), (-80, -60)]
    assert recording.responses.stimulus_id.values.tolist() == data.image_id.values.tolist()
    assert recording.responses.repetition.values.tolist() == [0] * 5 + [1] * 5
    assert recording.responses.subregion.values.tolist() == data.subregion.values.tolist()
    assert set(recording.responses.subject.values) == {"Chabo"}
    for i in range(3):
        np.testing.assert_array_equal(recording.block(i), data.values[:, :, i].T)
    v4 = recording.select(region="V4")
    np.testing.assert_array_equal(v4.block(1), data.values[[0, 3], :, 1].T)
    np.testing.assert_array_equal(v4.responses.values, data.values[[0, 3]].transpose(1, 0, 2))


def test_every_way_of_indexing_what_is_on_disk_equals_it_in_memory(tmp_path: Path) -> None:
    data = brainscore_assembly()
    data.to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    lazy = open_recording(tmp_path / "assy.nc").responses
    memory = xr.DataArray(data.values.transpose(1, 0, 2), dims=lazy.dims)
    for index in (
        {"presentation": [7, 2, 2, 5]},
        # xarray 2022.3 turns a descending slice of a lazy array into one that ends elsewhere,
        # whatever the backend
        {
            "presentation": slice(1, 8, 3)
            if xr.__version__.startswith("2022")
            else slice(8, 1, -3),
            "neuroid": [3, 0],
        },
        {"neuroid": 2, "time_bin": [1]},
        {"presentation": 4, "neuroid": slice(None, None, 2)},
        {"presentation": [9, 0], "neuroid": [1, 3, 0], "time_bin": [2, 0]},
        {"presentation": 0, "neuroid": 0, "time_bin": 0},
        {"presentation": slice(0, 0)},
    ):
        np.testing.assert_array_equal(
            lazy.isel(index).values, memory.isel(index).values, err_msg=str(index)
        )


def test_an_assembly_of_one_bin_may_come_without_the_dimension(tmp_path: Path) -> None:
    data = brainscore_assembly(static=True)
    data.to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    recording = open_recording(tmp_path / "assy.nc")
    assert recording.time_bins == [(70, 170)]
    np.testing.assert_array_equal(recording.block(0), data.values.T)
    np.testing.assert_array_equal(
        recording.responses.isel(presentation=[3, 1], time_bin=0).values, data.values.T[[3, 1]]
    )
    assert recording.responses.isel(neuroid=2).shape == (10, 1)


def test_classic_netcdf_is_read(tmp_path: Path) -> None:
    data = brainscore_assembly()
    data.to_netcdf(tmp_path / "assy.nc", engine="scipy")
    np.testing.assert_array_equal(
        open_recording(tmp_path / "assy.nc").block(2), data.values[:, :, 2].T
    )


def test_the_fill_of_a_file_is_a_missing_trial(tmp_path: Path) -> None:
    data = brainscore_assembly()
    data.values[1, 3, 0] = np.nan
    data.to_netcdf(
        tmp_path / "assy.nc",
        engine="h5netcdf",
        encoding={"a_name_of_its_own": {"_FillValue": np.float32(-999)}},
    )
    with h5py.File(tmp_path / "assy.nc") as file:
        assert file["a_name_of_its_own"][1, 3, 0] == -999
    np.testing.assert_array_equal(
        open_recording(tmp_path / "assy.nc").block(0), data.values[:, :, 0].T
    )


def write_raw(
    path: Path, values: np.ndarray, attrs: dict[str, Any], *, fillvalue: Any = None
) -> None:
    """Write stored numbers and `attrs`, but not the last presentation.

    The file is netCDF4 or, with the ending .cdf, classic netCDF.
    """
    coords = brainscore_assembly().transpose("presentation", "neuroid", "time_bin").coords
    held = xr.Dataset(coords={name: (coord.dims, coord.values) for name, coord in coords.items()})
    held.to_netcdf(path, engine="scipy" if path.suffix == ".cdf" else "h5netcdf")
    if path.suffix == ".cdf":
        with netcdf_file(path, "a") as classic:
            variable = classic.createVariable(
                "data", values.dtype, ("presentation", "neuroid", "time_bin")
            )
            variable[:] = (
                values
                if fillvalue is None
                else np.concatenate([values[:-1], np.full_like(values[-1:], fillvalue)])
            )
            for name, value in attrs.items():
                setattr(variable, name, value)
        return
    with h5netcdf.File(path, "a") as file:
        variable = file.create_variable(
            "data",
            ("presentation", "neuroid", "time_bin"),
            values.dtype,
            fillvalue=fillvalue,
            chunks=(1, 4, 3),
        )
        variable[:-1] = values[:-1]
        if fillvalue is None:
            variable[-1:] = values[-1:]
        variable.attrs.pop("_FillValue", None)
        for name, value in attrs.items():
            variable.attrs[name] = value
    with h5py.File(path, "a") as raw:
        raw["data"].attrs.pop("_FillValue", None) if "_FillValue" not in attrs else None


@pytest.mark.parametrize("ending", [".nc", ".cdf"])
@pytest.mark.filterwarnings("ignore:variable .* has multiple fill values")
def test_bytes_that_are_called_unsigned_are(tmp_path: Path, ending: str) -> None:
    counts = np.random.default_rng(0).integers(0, 256, (10, 4, 3)).astype(np.uint8)
    write_raw(tmp_path / f"assy{ending}", counts.view(np.int8), {"_Unsigned": "true"})
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, counts
    )
    write_raw(
        tmp_path / f"fill{ending}",
        counts.view(np.int8),
        {"_Unsigned": "true", "_FillValue": np.int8(counts.view(np.int8)[3, 2, 1])},
    )
    found = open_recording(tmp_path / f"fill{ending}").responses.values
    np.testing.assert_array_equal(found, np.where(counts == counts[3, 2, 1], np.nan, counts))


@pytest.mark.parametrize("ending", [".nc", ".cdf"])
@pytest.mark.parametrize(
    ("dtype", "missing"),
    [("i2", [1, 3]), ("i2", [3.0]), ("f4", [-99.9]), ("f4", [1.0, -99.9]), ("f8", [-99.9])],
)
@pytest.mark.filterwarnings("ignore:variable .* has multiple fill values")
def test_every_number_that_stands_for_a_missing_value_does(
    tmp_path: Path, ending: str, dtype: str, missing: list[float]
) -> None:
    values = np.random.default_rng(0).integers(0, 6, (10, 4, 3)).astype(dtype)
    if dtype != "i2":
        values[2, 1] = -99.9
    write_raw(
        tmp_path / f"assy{ending}",
        values,
        {"missing_value": np.array(missing, np.float64 if dtype == "f4" else dtype)},
    )
    expected = np.where(np.isin(values, np.array(missing).astype(dtype)), np.nan, values).astype(
        np.float32
    )
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, expected
    )


@pytest.mark.parametrize("ending", [".nc", ".cdf"])
@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("f4", 9.969209968386869e36),
        ("f8", 9.969209968386869e36),
        ("i2", -32767),
        ("i4", -2147483647),
    ],
)
def test_what_was_never_written_is_missing(
    tmp_path: Path, ending: str, dtype: str, fill: float
) -> None:
    """The numbers are those that the library netCDF4 puts there, and masks."""
    values = np.random.default_rng(0).integers(-6, 6, (10, 4, 3)).astype(dtype)
    write_raw(tmp_path / f"assy{ending}", values, {}, fillvalue=np.dtype(dtype).type(fill))
    expected = values.astype(np.float32)
    expected[-1] = np.nan
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, expected
    )


@pytest.mark.parametrize("more", [{}, {"missing_value": np.int16(-99)}])
@pytest.mark.parametrize("ending", [".nc", ".cdf"])
def test_packed_numbers_that_were_never_written_are_missing(
    tmp_path: Path, ending: str, more: dict[str, Any]
) -> None:
    values = np.random.default_rng(0).integers(-6, 6, (10, 4, 3)).astype("i2")
    write_raw(
        tmp_path / f"assy{ending}",
        values,
        {"scale_factor": 0.5, "add_offset": 2.0, **more},
        fillvalue=np.int16(-32767),
    )
    expected = (values * 0.5 + 2).astype(np.float32)
    expected[-1] = np.nan
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, expected
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.astype(bool), "needs one numeric variable; data contains bool"),
        (lambda r: r.astype(str), "needs one numeric variable; data contains (<U|object)"),
        (lambda r: r.isel(neuroid=slice(0)), "data is empty along neuroid"),
    ],
)
def test_a_variable_that_holds_no_numbers_is_named(
    tmp_path: Path, change: Callable[[xr.DataArray], xr.DataArray], said: str
) -> None:
    change(brainscore_assembly()).rename("data").to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "assy.nc")


def test_ids_that_are_numbers_match_a_table_as_they_are_written(tmp_path: Path) -> None:
    data = brainscore_assembly()
    ids = np.unique(data.image_id.values, return_inverse=True)[1].astype(float)
    data.assign_coords(image_id=("presentation", ids)).to_netcdf(
        tmp_path / "assy.nc", engine="h5netcdf"
    )
    pd.DataFrame({"stimulus_id": range(5), "colour": list("abcde")}).to_csv(
        tmp_path / "assy.stimuli.csv", index=False
    )
    stimuli = open_recording(tmp_path / "assy.nc").stimuli
    assert dict(zip(stimuli.ids.tolist(), stimuli.table.colour, strict=True)) == dict(
        enumerate("abcde")
    )


def test_what_netcdf4_masks_is_missing(tmp_path: Path) -> None:
    library = pytest.importorskip("netCDF4")
    for dtype in ("f4", "f8", "i2", "u2", "i4", "u4", "i8", "u8"):
        values = np.arange(120).reshape(10, 4, 3).astype(dtype)
        coords = brainscore_assembly().coords
        xr.Dataset(coords={n: (c.dims, c.values) for n, c in coords.items()}).to_netcdf(
            tmp_path / f"{dtype}.nc", engine="h5netcdf"
        )
        with library.Dataset(tmp_path / f"{dtype}.nc", "a") as file:
            file.createVariable("data", dtype, ("presentation", "neuroid", "time_bin"))[:7] = (
                values[:7]
            )
            masked = np.ma.filled(file["data"][:].astype(np.float32), np.nan)
        assert np.isnan(masked[7:]).all()
        np.testing.assert_array_equal(
            open_recording(tmp_path / f"{dtype}.nc").responses.values, masked
        )


def test_nothing_is_read_before_a_block_is_asked_for(
    make_recording: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording(make_recording(), tmp_path / "r.nc")
    read: list[object] = []
    original = h5py.Dataset.__getitem__

    def spy(self: h5py.Dataset, key: object, **more: object) -> object:
        if self.name == "/responses":
            read.append(key)
        return original(self, key, **more)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    recording = load_recording(tmp_path / "r.nc", region="IT")
    assert read == []
    recording.block(2)
    assert len(read) == 1
    with h5py.File(tmp_path / "r.nc") as file:
        assert file["responses"].chunks == (24, 6, 1)


def test_a_file_may_say_that_it_is_not_simulated(tmp_path: Path) -> None:
    data = brainscore_assembly().assign_attrs(simulated="false")
    data.to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    assert not open_recording(tmp_path / "assy.nc").simulated


def test_without_pictures_asking_for_one_says_what_to_give(tmp_path: Path) -> None:
    brainscore_assembly().to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    stimuli = open_recording(tmp_path / "assy.nc").stimuli
    assert len(stimuli) == 5
    assert stimuli.table.object_name.tolist() == [f"car{i}" for i in range(5)]
    with pytest.raises(NeurofitError, match=r"has no images.*ceilings only\.\nIf you have them"):
        stimuli.images[0]


def test_a_missing_coordinate_is_named(make_recording: Make, tmp_path: Path) -> None:
    make_recording().responses.drop_vars(["region", "neuroid_id"]).rename("data").to_netcdf(
        tmp_path / "r.nc", engine="h5netcdf"
    )
    with pytest.raises(
        NeurofitError,
        match="lacks the coordinates neuroid_id, region; it has repetition, stimulus_id",
    ):
        open_recording(tmp_path / "r.nc")


@pytest.mark.parametrize(
    ("n_presentations", "coord", "said"),
    [
        (10**12, "U8", "a dimension of length 1,000,000,000,000; the limit"),
        (10**7, "S200", "2.0 GB of coordinates"),
        (10**7, "i8", "of one time bin"),
    ],
)
def test_declared_sizes_are_refused_before_they_are_allocated(
    tmp_path: Path, n_presentations: int, coord: str, said: str
) -> None:
    with h5netcdf.File(tmp_path / "r.nc", "w") as file:
        file.dimensions = {"presentation": n_presentations, "neuroid": 1000, "time_bin": 1}
        file.create_variable(
            "data",
            ("presentation", "neuroid", "time_bin"),
            dtype=np.float32,
            chunks=(1000, 1000, 1),
        )
        dtype = np.int64 if coord == "U8" else np.dtype(coord)
        file.create_variable("presentation", ("presentation",), dtype=dtype, chunks=(1000,))
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "r.nc")


def with_folder_of_pictures(path: Path, grays: list[int]) -> Path:
    """Write an assembly and its five pictures, each of one gray."""
    path.parent.mkdir()
    brainscore_assembly().to_netcdf(path, engine="h5netcdf")
    folder = path.with_name("stimuli")
    folder.mkdir()
    for number, gray in enumerate(grays):
        Image.fromarray(np.full((4, 4, 3), gray, np.uint8)).save(folder / f"id{number}.png")
    return path


def test_other_pictures_of_the_same_responses_are_another_recording(tmp_path: Path) -> None:
    one = open_recording(with_folder_of_pictures(tmp_path / "one" / "r.nc", [0, 1, 2, 3, 4]))
    same = open_recording(with_folder_of_pictures(tmp_path / "same" / "r.nc", [0, 1, 2, 3, 4]))
    other = open_recording(with_folder_of_pictures(tmp_path / "other" / "r.nc", [0, 1, 2, 3, 5]))
    swapped = open_recording(
        with_folder_of_pictures(tmp_path / "swapped" / "r.nc", [1, 0, 2, 3, 4])
    )
    assert (tmp_path / "one" / "r.nc").read_bytes() == (tmp_path / "other" / "r.nc").read_bytes()
    assert one.sha256 == same.sha256
    assert len({one.sha256, other.sha256, swapped.sha256}) == 3
    assert (
        one.sha256
        != open_recording(tmp_path / "one" / "r.nc", images=tmp_path / "other" / "stimuli").sha256
    )
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for picture in sorted((tmp_path / "one" / "stimuli").iterdir(), reverse=True):
            archive.write(picture, picture.name)
    assert (
        open_recording(tmp_path / "one" / "r.nc", images=tmp_path / "zipped.zip").sha256
        == one.sha256
    )


def test_without_pictures_the_hash_is_that_of_the_file_and_what_is_said_of_it(
    tmp_path: Path,
) -> None:
    brainscore_assembly().to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    own = hashlib.sha256((tmp_path / "assy.nc").read_bytes()).hexdigest()
    assert open_recording(tmp_path / "assy.nc").sha256 == own
    (tmp_path / "assy.json").write_text('{"missing": 255}')
    assert open_recording(tmp_path / "assy.nc").sha256 != own


def test_each_picture_is_read_once_for_the_hash_and_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_folder_of_pictures(tmp_path / "one" / "r.nc", [0, 1, 2, 3, 4])
    read: list[str] = []
    original = Path.read_bytes

    def spy(self: Path) -> bytes:
        read.append(self.name)
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", spy)
    monkeypatch.setattr("neurofit.recordings.stimuli.decode_image", None)
    open_recording(path)
    assert sorted(name for name in read if name.endswith("png")) == [
        f"id{number}.png" for number in range(5)
    ]


@pytest.mark.parametrize("how", ["unsigned", "several numbers", "of another type", "never written"])
def test_whatever_stands_for_missing_is_missing(
    make_recording: Make, tmp_path: Path, how: str
) -> None:
    recording = make_recording(n_neuroids=4, n_bins=3)
    write_recording(recording, tmp_path / "r.nc")
    values = (
        np.random.default_rng(0).integers(130, 250, recording.responses.shape).astype(np.float32)
    )
    with h5py.File(tmp_path / "r.nc", "a") as file:
        scales = [dimension[0] for dimension in file["responses"].dims]
        coordinates = file["responses"].attrs["coordinates"]
        del file["responses"]
        dtype = np.int8 if how == "unsigned" else np.float32
        fill = np.float32(9.969209968386869e36) if how == "never written" else None
        chunks = (values.shape[0], 1, values.shape[2])
        made = file.create_dataset("responses", values.shape, dtype, fillvalue=fill, chunks=chunks)
        if how == "unsigned":
            made[...] = values.astype(np.uint8).view(np.int8)
            made.attrs["_Unsigned"] = "true"
        elif how == "never written":
            made[:, 1:] = values[:, 1:]
            values[:, 0] = np.nan
        else:
            gaps = values.copy()
            gaps[3, 2], gaps[5, 1, 2] = -99.9, -77.0
            made[...] = gaps
            made.attrs["missing_value"] = (
                np.array([-99.9, -77.0], np.float32)
                if how == "several numbers"
                else np.float64(-99.9)
            )
            values[3, 2] = np.nan
            values[5, 1, 2] = np.nan if how == "several numbers" else -77.0
        for axis, scale in enumerate(scales):
            made.dims[axis].attach_scale(scale)
        made.attrs["coordinates"] = coordinates
    np.testing.assert_array_equal(open_recording(tmp_path / "r.nc").responses.values, values)

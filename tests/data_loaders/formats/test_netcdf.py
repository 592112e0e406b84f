"""netCDF: Brain-Score's assemblies are read unchanged, and no sooner than they are asked for."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurofit.data_loaders import load_recording, open_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import validate_recording

Make = Callable[..., Recording]
Assembly = Callable[..., xr.DataArray]


def test_an_assembly_of_brain_score_is_read_in_our_words(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
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


def test_every_way_of_indexing_what_is_on_disk_equals_it_in_memory(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
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


def test_an_assembly_of_one_bin_may_come_without_the_dimension(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
    data = brainscore_assembly(static=True)
    data.to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    recording = open_recording(tmp_path / "assy.nc")
    assert recording.time_bins == [(70, 170)]
    np.testing.assert_array_equal(recording.block(0), data.values.T)
    np.testing.assert_array_equal(
        recording.responses.isel(presentation=[3, 1], time_bin=0).values, data.values.T[[3, 1]]
    )
    assert recording.responses.isel(neuroid=2).shape == (10, 1)


def test_classic_netcdf_is_read(tmp_path: Path, brainscore_assembly: Assembly) -> None:
    data = brainscore_assembly()
    data.to_netcdf(tmp_path / "assy.nc", engine="scipy")
    np.testing.assert_array_equal(
        open_recording(tmp_path / "assy.nc").block(2), data.values[:, :, 2].T
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
    tmp_path: Path,
    change: Callable[[xr.DataArray], xr.DataArray],
    said: str,
    brainscore_assembly: Assembly,
) -> None:
    change(brainscore_assembly()).rename("data").to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "assy.nc")


def test_ids_that_are_numbers_match_a_table_as_they_are_written(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
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


def test_a_file_may_say_that_it_is_not_simulated(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
    data = brainscore_assembly().assign_attrs(simulated="false")
    data.to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    assert not open_recording(tmp_path / "assy.nc").simulated


def test_without_pictures_asking_for_one_says_what_to_give(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
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


def with_folder_of_pictures(path: Path, assembly: xr.DataArray, grays: list[int]) -> Path:
    """Write an assembly and its five pictures, each of one gray."""
    path.parent.mkdir()
    assembly.to_netcdf(path, engine="h5netcdf")
    folder = path.with_name("stimuli")
    folder.mkdir()
    for number, gray in enumerate(grays):
        Image.fromarray(np.full((4, 4, 3), gray, np.uint8)).save(folder / f"id{number}.png")
    return path


def test_other_pictures_of_the_same_responses_are_another_recording(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
    one = open_recording(
        with_folder_of_pictures(tmp_path / "one" / "r.nc", brainscore_assembly(), [0, 1, 2, 3, 4])
    )
    same = open_recording(
        with_folder_of_pictures(tmp_path / "same" / "r.nc", brainscore_assembly(), [0, 1, 2, 3, 4])
    )
    other = open_recording(
        with_folder_of_pictures(tmp_path / "other" / "r.nc", brainscore_assembly(), [0, 1, 2, 3, 5])
    )
    swapped = open_recording(
        with_folder_of_pictures(
            tmp_path / "swapped" / "r.nc", brainscore_assembly(), [1, 0, 2, 3, 4]
        )
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
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
    brainscore_assembly().to_netcdf(tmp_path / "assy.nc", engine="h5netcdf")
    own = hashlib.sha256((tmp_path / "assy.nc").read_bytes()).hexdigest()
    assert open_recording(tmp_path / "assy.nc").sha256 == own
    (tmp_path / "assy.json").write_text('{"missing": 255}')
    assert open_recording(tmp_path / "assy.nc").sha256 != own


def test_each_picture_is_read_once_for_the_hash_and_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brainscore_assembly: Assembly
) -> None:
    path = with_folder_of_pictures(
        tmp_path / "one" / "r.nc", brainscore_assembly(), [0, 1, 2, 3, 4]
    )
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

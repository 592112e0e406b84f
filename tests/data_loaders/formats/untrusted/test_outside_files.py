"""No file makes neurofit read outside its folder, or make a Python object."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError

Write = Callable[[str, Path], tuple[Path, Path]]


def lead_elsewhere(path: Path, name: str, other: Path | str, way: str) -> None:
    """Put what another file holds in place of a dataset."""
    with h5py.File(path, "a") as file:
        item, attrs = file[name], dict(file[name].attrs)
        shape, dtype = item.shape, item.dtype
        del file[name]
        if way == "link":
            file[name] = h5py.ExternalLink(str(other), "/secret")
        elif way == "virtual":
            layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
            layout[...] = h5py.VirtualSource(str(other), "secret", shape=shape)
            file.create_virtual_dataset(name, layout).attrs.update(attrs)
        else:
            n_bytes = int(np.prod(shape)) * dtype.itemsize
            file.create_dataset(
                name, shape=shape, dtype=dtype, external=[(str(other), 0, n_bytes)]
            ).attrs.update(attrs)


@pytest.mark.parametrize("way", ["link", "virtual", "raw"])
@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("hdf5", "responses"),
        ("nwb", "units/spike_times"),
        ("matlab_v7_3", "responses"),
        ("nc", "data"),
    ],
    ids=["hdf5", "nwb", "matlab", "netcdf"],
)
def test_hdf5_that_leads_to_a_file_out_of_its_folder_is_refused(
    tmp_path: Path,
    form: str,
    name: str,
    relative: bool,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    write_small: Write,
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)  # raw storage is looked for from here
    path, opened = write_small(form, inside)
    with h5py.File(path) as file, h5py.File(tmp_path / "secret", "w") as other:
        other["secret"] = file[name][()]
    lead_elsewhere(path, name, "../secret" if relative else tmp_path / "secret", way)
    with pytest.raises(
        NeurofitError,
        match=r"refers to another file, '.*secret', "
        r"(outside its folder: such .* not followed|for raw data: external .* not read)",
    ):
        open_recording(opened)


def test_hdf5_that_leads_to_a_file_of_its_folder_is_read_and_that_file_is_looked_at_too(
    tmp_path: Path, write_small: Write
) -> None:
    path, _ = write_small("hdf5", tmp_path)
    dims = ["stimulus", "repetition", "neuroid", "time_bin"]
    with h5py.File(path, "a") as file, h5py.File(tmp_path / "part.h5", "w") as other:
        other["secret"] = counts = file["responses"][()]
        file.attrs["dims"] = dims
    (tmp_path / "r.json").write_text(json.dumps({"dims": dims}))
    lead_elsewhere(path, "responses", "part.h5", "link")
    np.testing.assert_array_equal(open_recording(path).responses.values.ravel(), counts.ravel())
    (tmp_path / "part.h5").write_bytes((tmp_path / "part.h5").read_bytes()[:1500])
    with pytest.raises(NeurofitError, match=r"part.h5, it is damaged"):
        open_recording(path)
    with h5py.File(tmp_path / "part.h5", "w") as other:  # and back again
        other["secret"] = h5py.ExternalLink("r.h5", "responses")
    with pytest.raises(NeurofitError):
        open_recording(path)


@pytest.mark.parametrize(
    "name", ["../secret.png", "/secret.png", "a/../../secret.png", "..\\secret.png"]
)
def test_names_that_lead_out_of_an_archive_or_folder_stay_inside(
    tmp_path: Path, name: str, write_small: Write, open_all: Callable[[Path], None]
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    _, opened = write_small("stimuli", inside)
    Image.fromarray(np.full((4, 4, 3), 99, np.uint8)).save(tmp_path / "secret.png")
    pd.DataFrame({"stimulus_id": ["s0", "s1"], "filename": [name, "s1.png"]}).to_csv(
        inside / "stimuli.csv"
    )
    with pytest.raises(NeurofitError, match="lacks 1 of 2 images"):
        open_recording(opened)
    with zipfile.ZipFile(
        inside / "stimuli.zip", "a"
    ) as archive:  # an archive that has such a name is never unpacked
        archive.write(tmp_path / "secret.png", name)
    before = sorted(tmp_path.rglob("*"))
    open_all(opened)
    assert sorted(tmp_path.rglob("*")) == before
    (inside / "stimuli.zip").unlink()
    (inside / "stimuli").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(inside / "stimuli" / "s1.png")
    with pytest.raises(NeurofitError, match="lacks 1 of 2 images"):
        open_recording(opened)


class Trap:
    """Says so if it is ever unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("sprung", "w")


def test_no_python_object_is_ever_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_small: Write
) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([[Trap()]], dtype=object)
    np.save(tmp_path / "responses.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "responses.npz", responses=trap)
    with np.load(write_small("npz", tmp_path)[0]) as held:
        arrays = dict(held) | {"stimulus_id": np.array([Trap(), Trap()], dtype=object)}
    np.savez(tmp_path / "coordinate.npz", **arrays)
    for name in ("responses.npy", "responses.npz", "coordinate.npz"):
        with pytest.raises(NeurofitError, match="contains Python objects, which are never loaded"):
            open_recording(tmp_path / name)
    assert not (tmp_path / "sprung").exists()

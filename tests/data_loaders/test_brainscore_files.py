"""Data sets from Brain-Score's files, on small ones of the documented structure in a mirror."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurofit.data_loaders import (
    describe_recording,
    freemanziemba2013,
    kar2019,
    load_recording,
    majajhong2015,
    papale2025,
)
from neurofit.data_loaders.brainscore_files import StimulusFiles
from neurofit.errors import NeurofitError
from neurofit.recordings.rebinning import rebin
from neurofit.recordings.selection import keep_stimuli, where
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.time_bins import overlapping
from neurofit.recordings.validation import validate_recording
from neurofit.storage.download import RemoteFile

N_STIMULI, N_REPETITIONS = 4, 3
IDS = [
    hashlib.sha1(bytes([number])).hexdigest() for number in range(N_STIMULI)
]  # Brain-Score's ids are SHA-1s of the pictures


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    return tmp_path / "mirror"


def pinned(path: Path, file: RemoteFile) -> RemoteFile:
    return replace(file, sha1=hashlib.sha1(path.read_bytes()).hexdigest())


def write_assembly(folder: Path, file: RemoteFile, array: xr.DataArray) -> RemoteFile:
    """Write an array as Brain-Score's packaging does.

    Its variable `data` is compressed, its coordinates are flat, its attrs are those of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dataset = array.to_dataset(name="data", promote_attrs=True)
    dataset.to_netcdf(
        folder / file.name, engine="h5netcdf", encoding={"data": {"zlib": True, "complevel": 9}}
    )
    return pinned(folder / file.name, file)


def write_pictures(mirror: Path, shown: StimulusFiles, **columns: list[Any]) -> StimulusFiles:
    folder = mirror / shown.name
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{stimulus_id}.png" for stimulus_id in IDS]
    pd.DataFrame({"stimulus_id": IDS, **columns, "filename": names}).to_csv(
        folder / shown.table.name, index=False
    )
    with zipfile.ZipFile(folder / shown.archive.name, "w") as archive:
        for number, name in enumerate(names):
            content = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(content, format="PNG")
            archive.writestr(name, content.getvalue())
    return replace(
        shown,
        table=pinned(folder / shown.table.name, shown.table),
        archive=pinned(folder / shown.archive.name, shown.archive),
    )


def presentations(**more: list[Any]) -> dict[str, Any]:
    """Return coordinates of presentations, one stimulus after the other, as the files have them."""
    coords = {"stimulus_id": IDS, **more}
    repeated = {
        name: ("presentation", np.repeat(values, N_REPETITIONS)) for name, values in coords.items()
    }
    return {
        **repeated,
        "repetition": ("presentation", np.tile(np.arange(N_REPETITIONS), N_STIMULI)),
    }


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def write_hvm(
    mirror: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    starts: list[int],
    width: int,
    static: bool = False,
) -> np.ndarray:
    values = draw(6, N_STIMULI * N_REPETITIONS, len(starts))
    objects = ["bear1", "bear2", "car1", "car2"]
    array = xr.DataArray(
        values,
        dims=("neuroid", "presentation", "time_bin"),
        coords={
            **presentations(
                image_id=IDS,
                object_name=objects,
                variation=[0, 0, 3, 3],
                category_name=["Animals"] * 2 + ["Cars"] * 2,
            ),
            "neuroid_id": (
                "neuroid",
                [f"Chabo_L_M_{i}_9" for i in range(3)] + [f"Tito_L_P_{i}_9" for i in range(3)],
            ),
            "animal": ("neuroid", ["Chabo"] * 3 + ["Tito"] * 3),
            "region": ("neuroid", ["V4", "IT", "IT"] * 2),
            "subregion": ("neuroid", ["V4", "pIT", "aIT"] * 2),
            "hemisphere": ("neuroid", ["L"] * 6),
            "x": ("neuroid", draw(6)),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", [start + width for start in starts]),
        },
        attrs={
            "stimulus_set_identifier": "hvm-public",
            "identifier": "MajajHong2015.temporal.public",
        },
    )
    file, name = ("STATIC", "majajhong2015-static") if static else ("TEMPORAL", "majajhong2015")
    monkeypatch.setattr(
        majajhong2015, file, write_assembly(mirror / name, getattr(majajhong2015, file), array)
    )
    table: dict[str, list[Any]] = {
        "object_name": objects,
        "variation": [0, 0, 3, 3],
        "degrees": [8] * 4,
        "rxy": [0.0] * 4,
    }
    monkeypatch.setattr(majajhong2015, "HVM", write_pictures(mirror, majajhong2015.HVM, **table))
    return values


def test_hvm_has_39_windows_that_overlap_and_every_second_one_does_not(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = write_hvm(mirror, monkeypatch, starts=list(range(-100, 290, 10)), width=20)
    recording = load_recording("majajhong2015")
    validate_recording(recording)
    assert len(recording.time_bins) == 39
    assert (recording.time_bins[0], recording.time_bins[-1]) == ((-100, -80), (280, 300))
    assert overlapping(recording.time_bins)
    np.testing.assert_array_equal(recording.responses.values, values.transpose(1, 0, 2))
    chosen = rebin(recording, [(start, start + 20) for start in range(70, 250, 20)])
    assert not overlapping(chosen.time_bins)
    np.testing.assert_array_equal(chosen.responses.values, values.transpose(1, 0, 2)[..., 17:35:2])


def test_the_hash_of_pinned_files_is_of_their_hashes_so_that_none_is_read_for_it(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hvm(mirror, monkeypatch, starts=[70, 90], width=20)
    monkeypatch.setattr(StimulusSet, "images_sha256", None)
    first = load_recording("majajhong2015").sha256
    files = (majajhong2015.TEMPORAL, majajhong2015.HVM.table, majajhong2015.HVM.archive)
    assert first == hashlib.sha256(" ".join(str(file.sha1) for file in files).encode()).hexdigest()


def test_hvm_is_chosen_by_animal_subregion_and_variation(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = write_hvm(mirror, monkeypatch, starts=[70, 80], width=20)
    recording = load_recording("majajhong2015")
    assert recording.regions == ("IT", "V4")
    part = keep_stimuli(where(recording, subject="Tito", subregion="aIT"), "variation=3")
    assert part.responses.neuroid_id.values.tolist() == ["Tito_L_P_2_9"]
    np.testing.assert_array_equal(
        part.responses.values, values[5:, 2 * N_REPETITIONS :].transpose(1, 0, 2)
    )
    assert part.stimuli.table.object_name.tolist() == ["car1", "car2"]
    assert [int(part.stimuli.images[row].max()) for row in range(2)] == [2, 3]


def test_static_hvm_has_a_name_of_its_own_and_shares_the_pictures(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hvm(mirror, monkeypatch, starts=[70], width=100, static=True)
    recording = load_recording("majajhong2015-static", region="IT")
    assert recording.name == "majajhong2015-static"
    assert recording.time_bins == [(70, 170)]
    assert (recording.stimuli.name, recording.stimuli.visual_degrees) == ("hvm-public", 8.0)


def test_a_file_of_another_sha1_is_refused(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hvm(mirror, monkeypatch, starts=[70], width=20)
    monkeypatch.setattr(majajhong2015, "TEMPORAL", replace(majajhong2015.TEMPORAL, sha1="0" * 40))
    with pytest.raises(
        NeurofitError, match=r"assy_dicarlo_MajajHong2015_temporal_public\.nc: its sha1 differs"
    ):
        load_recording("majajhong2015")


def test_textures_have_300_bins_of_a_millisecond_that_add_up(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = (
        np.random.default_rng(0).poisson(0.05, (4, 300, N_STIMULI * N_REPETITIONS)).astype(np.uint8)
    )
    array = xr.DataArray(
        counts,
        dims=("neuroid", "time_bin", "presentation"),
        coords={
            **presentations(image_id=IDS),
            "neuroid_id": ("neuroid", [1, 2, 103, 104]),
            "region": ("neuroid", ["V1", "V1", "V2", "V2"]),
            "time_bin_start": ("time_bin", np.arange(300)),
            "time_bin_end": ("time_bin", np.arange(1, 301)),
        },
        attrs={"stimulus_set_identifier": "FreemanZiemba2013.aperture-public"},
    )
    file = write_assembly(mirror / "freemanziemba2013", freemanziemba2013.PUBLIC, array)
    monkeypatch.setattr(freemanziemba2013, "PUBLIC", file)
    shown = write_pictures(
        mirror,
        freemanziemba2013.TEXTURES,
        texture_type=["noise", "texture"] * 2,
        texture_family=[13, 13, 18, 18],
    )
    monkeypatch.setattr(freemanziemba2013, "TEXTURES", shown)
    recording = load_recording("freemanziemba2013", region="V2")
    validate_recording(recording)
    assert recording.stimuli.visual_degrees == 4.0
    assert len(recording.time_bins) == 300
    textures = rebin(keep_stimuli(recording, "texture_type=texture"), [(50, 60), (60, 70)])
    expected = (
        counts[2:]
        .reshape(2, 300, N_STIMULI, N_REPETITIONS)[:, 50:70, 1::2]
        .reshape(2, 2, 10, -1)
        .sum(axis=2)
    )
    np.testing.assert_allclose(textures.responses.values, expected.transpose(2, 0, 1))


def write_tvsd(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = xr.DataArray(
        draw(N_STIMULI * N_REPETITIONS, 6, 1),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            **presentations(
                stimulus_label=["a", "b", "c", "d"],
                object_name=["a", "b", "c", "d"],
                stimulus_label_idx=[0, 1, 2, 3],
            ),
            "neuroid_id": ("neuroid", [0, 1, 2, 0, 1, 2]),
            "subject": ("neuroid", ["monkeyF"] * 3 + ["monkeyN"] * 3),
            "region": ("neuroid", ["V1", "V4", "IT"] * 2),
            "reliability": ("neuroid", draw(6)),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        },
    )
    monkeypatch.setattr(
        papale2025, "TEST", write_assembly(mirror / "papale2025", papale2025.TEST, array)
    )


def test_electrodes_that_two_animals_share_a_number_with_get_names_of_their_own(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tvsd(mirror, monkeypatch)
    recording = load_recording("papale2025")
    validate_recording(recording)
    assert recording.responses.neuroid_id.values.tolist() == [
        f"monkey{animal}-{number}" for animal in "FN" for number in range(3)
    ]
    assert where(recording, subject="monkeyN").responses.region.values.tolist() == [
        "V1",
        "V4",
        "IT",
    ]


def test_tvsd_is_for_ceilings_until_its_pictures_are_in_the_mirror(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tvsd(mirror, monkeypatch)
    with pytest.raises(NeurofitError, match="has no images"):
        load_recording("papale2025").stimuli.images[0]
    monkeypatch.setattr(
        papale2025, "THINGS", write_pictures(mirror, papale2025.THINGS, label=["a", "b", "c", "d"])
    )
    stimuli = load_recording("papale2025").stimuli
    assert int(stimuli.images[3].max()) == 3
    assert (stimuli.visual_degrees, stimuli.duration_ms) == (18.0, 200.0)


@pytest.mark.parametrize(
    "decoder", ["decoder", "decoder_"]
)  # the latter is what Brain-Score's packaging makes of a lone coordinate
def test_solution_times_are_a_table_and_no_recording(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    times = np.array([[120.0, np.nan, 150.5, 150.5], [130.0, 200.0, np.nan, 151.0]])
    array = xr.DataArray(
        times,
        dims=("decoder", "presentation"),
        coords={
            decoder: ("decoder", ["svm", "logistic"]),
            "image_id": ("presentation", [*IDS[:3], IDS[2]]),
            "i1": ("presentation", [2.0, 1.0, 0.5, 0.25]),
            "image_label": ("presentation", ["bear", "car", "zebra", "zebra"]),
        },
    )
    monkeypatch.setattr(kar2019, "TABLE", write_assembly(mirror / "kar2019", kar2019.TABLE, array))
    table = kar2019.load_solution_times()
    assert list(table) == ["stimulus_id", "object_name", "i1", "svm", "logistic"]
    assert table.stimulus_id.tolist() == [*IDS[:3], IDS[2]]
    np.testing.assert_array_equal(table[["svm", "logistic"]].to_numpy().T, times)
    with pytest.raises(
        NeurofitError, match="kar2019 has no responses, only object solution times"
    ) as caught:
        load_recording("kar2019")
    assert len(str(caught.value).splitlines()) == 2


def test_another_file_is_no_table_of_solution_times(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mirror / "kar2019").mkdir(parents=True)
    path = mirror / "kar2019" / kar2019.TABLE.name
    array = xr.DataArray(np.zeros((2, 3)), dims=("neuroid", "presentation"))
    for content in (b"nothing", None):
        if content is None:
            write_assembly(path.parent, kar2019.TABLE, array)
        else:
            path.write_bytes(content)
        monkeypatch.setattr(kar2019, "TABLE", pinned(path, kar2019.TABLE))
        with pytest.raises(NeurofitError, match="is not a table of object solution times"):
            kar2019.load_solution_times()
        next((mirror.parent / "home" / "recordings" / "kar2019").glob("*.nc")).unlink()


@pytest.mark.parametrize(
    "name", ["majajhong2015", "majajhong2015-static", "freemanziemba2013", "papale2025", "kar2019"]
)
def test_nobody_is_told_that_the_original_files_were_read(name: str) -> None:
    assert describe_recording(name).caution == "not verified against the original file"


@pytest.mark.parametrize(
    ("file", "address"),
    [  # bucket, folder, name and version, as Brain-Score's loader puts them together
        (
            majajhong2015.TEMPORAL,
            "brainio-brainscore/assy_dicarlo_MajajHong2015_temporal_public.nc?versionId=null",
        ),
        (majajhong2015.HVM.table, "brainio-brainscore/stimulus_hvm-public.csv?versionId=null"),
        (
            freemanziemba2013.TEXTURES.archive,
            "brainio-brainscore/stimulus_FreemanZiemba2013_aperture-public.zip?versionId=null",
        ),
        (
            papale2025.TEST,
            "brainscore-vision/benchmarks/Papale2025/assy_THINGS_TVSD_test_Assembly.nc"
            "?versionId=XK0CVCAzfHNOrKgmNrLqFfwvs_gSWKb.",
        ),
    ],
)
def test_objects_lie_where_brainscore_looks_for_them(file: RemoteFile, address: str) -> None:
    assert file.url == f"https://brainscore-storage.s3.amazonaws.com/{address}"

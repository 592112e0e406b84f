"""Recordings go to Brain-Score and come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import (
    NeuroidAssembly,
    NeuronRecordingAssembly,
    walk_coords,
)
from brainscore_core.supported_data_standards.brainio.packaging import write_netcdf
from brainscore_vision.benchmark_helpers.neural_common import average_repetition
from PIL import Image

from neurofit.brainscore import from_assembly, to_assembly, to_stimulus_set
from neurofit.data_loaders import open_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import ImageFiles
from neurofit.recordings.validation import validate_recording


def test_a_recording_comes_back_as_it_was(planted: Callable[..., Recording]) -> None:
    recording = planted(n_stimuli=12, n_repetitions=3)
    back = from_assembly(to_assembly(recording), visual_degrees=8.0)
    validate_recording(back)
    np.testing.assert_array_equal(back.responses.values, recording.responses.values)
    for name, coord in recording.responses.coords.items():
        np.testing.assert_array_equal(back.responses[name].values, coord.values)
    assert set(recording.stimuli.table) <= set(back.stimuli.table)
    rows = [recording.stimuli.ids.tolist().index(each) for each in back.stimuli.ids]
    np.testing.assert_array_equal(back.stimuli.images[3], recording.stimuli.images[rows[3]])


def test_stimuli_stand_in_the_order_in_which_brainscore_splits_them(
    planted: Callable[..., Recording],
) -> None:
    assembly = to_assembly(planted(n_stimuli=12, n_repetitions=3))
    averaged = average_repetition(assembly)
    assert from_assembly(assembly).stimuli.ids.tolist() == averaged["stimulus_id"].values.tolist()


@pytest.mark.parametrize("extra", [None, "session"])
def test_stimuli_are_ordered_as_brainscore_averages_them_where_ids_are_not_sorted(
    unsorted: Callable[..., Recording], extra: str | None
) -> None:
    responses = unsorted(n_stimuli=12, n_repetitions=4).responses
    shown = responses.stimulus_id.values
    objects = {f"image{i:03d}": ("pear", "dog", "face", "car")[i % 4] for i in range(12)}
    sizes = {f"image{i:03d}": 7 * i % 12 for i in range(12)}
    coords = {
        "object_name": ("presentation", np.array([objects[each] for each in shown])),
        "size": ("presentation", np.array([sizes[each] for each in shown])),
        **{str(name): (coord.dims[0], coord.values) for name, coord in responses.coords.items()},
    }
    by_hand = sorted(objects, key=lambda each: (objects[each], sizes[each]))
    assert by_hand != sorted(by_hand)
    assert by_hand != list(dict.fromkeys(shown.tolist()))
    plain = NeuronRecordingAssembly(responses.values, coords=coords, dims=responses.dims)
    assert average_repetition(plain)["stimulus_id"].values.tolist() == by_hand
    if extra is not None:  # a column that differs between the trials of a stimulus
        coords[extra] = ("presentation", np.arange(len(shown)) % 3)
    assembly = NeuronRecordingAssembly(responses.values, coords=coords, dims=responses.dims)
    table = from_assembly(assembly).stimuli.table
    assert table["stimulus_id"].tolist() == by_hand
    assert table["object_name"].tolist() == [objects[each] for each in by_hand]
    assert table["size"].tolist() == [sizes[each] for each in by_hand]


def test_every_presentation_has_the_columns_of_its_own_stimulus(
    unsorted: Callable[..., Recording],
) -> None:
    recording = unsorted(n_stimuli=12, n_repetitions=4)
    shown = recording.responses.stimulus_id.values
    assert len(set(np.unique(shown, return_counts=True)[1])) > 1
    table = recording.stimuli.table.set_index("stimulus_id")
    assembly = to_assembly(recording)
    assert assembly["stimulus_id"].values.tolist() == shown.tolist()
    np.testing.assert_array_equal(assembly.values, recording.responses.values)
    for name in ("object_name", "size"):
        assert assembly[name].values.tolist() == [table.loc[each, name] for each in shown]
    averaged = average_repetition(assembly)
    assert averaged.sizes["presentation"] == 12
    for row, each in enumerate(averaged["stimulus_id"].values):
        assert averaged["object_name"].values[row] == table.loc[each, "object_name"]
        means = recording.responses.values[shown == each].mean(axis=0)
        np.testing.assert_allclose(averaged.values[row], means, rtol=1e-6)


def test_columns_with_gaps_or_of_single_trials_are_no_part_of_an_average(
    planted: Callable[..., Recording],
) -> None:
    recording = planted(n_stimuli=12, n_repetitions=4)
    table = recording.stimuli.table.assign(half_known=np.where(np.arange(12) % 2, np.nan, 1.0))
    session = np.where(recording.responses.repetition.values < 2, "monday", "tuesday")
    responses = recording.responses.assign_coords(session=("presentation", session))
    recording = replace(
        recording, responses=responses, stimuli=replace(recording.stimuli, table=table)
    )
    assembly = to_assembly(recording)
    assert average_repetition(assembly).sizes["presentation"] == 12
    assert "session" not in assembly.coords
    back = from_assembly(assembly)
    assert (len(back.stimuli), back.responses.shape) == (12, responses.shape)
    theirs = NeuronRecordingAssembly(  # as somebody else may have made one
        responses.values,
        coords={str(n): (c.dims[0], c.values) for n, c in responses.coords.items()}
        | {"object_name": ("presentation", table.object_name.to_numpy()[recording.stimulus_rows])}
        | {"half_known": ("presentation", table.half_known.to_numpy()[recording.stimulus_rows])},
        dims=responses.dims,
    )
    found = from_assembly(theirs)
    assert found.stimuli.ids.tolist() == sorted(recording.stimuli.ids)
    assert "session" not in found.stimuli.table
    assert np.isnan(found.stimuli.table.half_known).sum() == 6
    assert found.responses.session.values.tolist() == session.tolist()


def test_bins_that_are_not_whole_ms_are_refused(planted: Callable[..., Recording]) -> None:
    assembly = to_assembly(planted(n_stimuli=4))
    coords = {name: (dims, values) for name, dims, values in walk_coords(assembly)}

    def in_bins(starts: list[float], ends: list[float]) -> NeuroidAssembly:
        bins = {
            "time_bin_start": ("time_bin", np.array(starts)),
            "time_bin_end": ("time_bin", np.array(ends)),
        }
        return NeuroidAssembly(assembly.values, coords=coords | bins, dims=assembly.dims)

    assert from_assembly(in_bins([70.0, 80.0, 90.0], [80.0, 90.0, 100.0])).time_bins == [
        (70, 80),
        (80, 90),
        (90, 100),
    ]
    with pytest.raises(NeurofitError, match=r"whole ms from onset; time_bin_start has 12\.5"):
        from_assembly(in_bins([0, 12.5, 25.0], [12.5, 25.0, 37.5]))


@pytest.mark.parametrize("form", ["turned by EXIF", "16 bits", "transparent"])
def test_pictures_that_brainscore_would_show_otherwise_are_written_as_we_show_them(
    planted: Callable[..., Recording], tmp_path: Path, form: str
) -> None:
    stimuli = planted(n_stimuli=4).stimuli
    path = tmp_path / ("other.jpg" if form == "turned by EXIF" else "other.png")
    pixels = np.random.default_rng(1).integers(0, 255, (16, 16, 4), dtype=np.uint8)
    if form == "turned by EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels[..., :3]).save(path, exif=exif)
    elif form == "16 bits":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(pixels).save(path)
    assert isinstance(stimuli.images, ImageFiles)
    changed = replace(
        stimuli, images=ImageFiles([*stimuli.images.paths[:2], path, stimuli.images.paths[3]])
    )
    theirs = to_stimulus_set(changed)
    assert to_stimulus_set(stimuli).get_stimulus("image002") == str(stimuli.images.paths[2]), (
        "plain files are given as they are"
    )
    for row, stimulus in enumerate(changed.ids):
        with Image.open(theirs.get_stimulus(stimulus)) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), changed.images[row])


def test_time_bins_are_a_multiindex_of_start_and_end(planted: Callable[..., Recording]) -> None:
    assembly = to_assembly(planted(n_stimuli=4))
    assert list(assembly.indexes["time_bin"].names) == ["time_bin_start", "time_bin_end"]
    assert assembly.attrs["stimulus_set"].identifier == assembly.attrs["stimulus_set_identifier"]


def test_a_squeezed_bin_of_an_older_name_is_understood(planted: Callable[..., Recording]) -> None:
    assembly = to_assembly(planted(n_stimuli=4, n_bins=1))
    older = NeuroidAssembly(
        assembly.values,
        coords={
            {"time_bin_end": "time_bin_stop"}.get(name, name): (dims, values)
            for name, dims, values in walk_coords(assembly)
        },
        dims=assembly.dims,
    )
    assert from_assembly(older).time_bins == [(70, 80)]
    assert from_assembly(assembly.squeeze("time_bin")).time_bins == [(70, 80)]


def test_averaged_trials_are_no_recording(planted: Callable[..., Recording]) -> None:
    with pytest.raises(NeurofitError, match="already averaged"):
        from_assembly(average_repetition(to_assembly(planted(n_stimuli=4))))


def test_netcdf_goes_both_ways(planted: Callable[..., Recording], tmp_path: Path) -> None:
    recording = planted(n_stimuli=4)
    write_recording(recording, tmp_path / "ours.nc", layout="brainscore")
    theirs = NeuronRecordingAssembly.from_files(
        tmp_path / "ours.nc",
        stimulus_set_identifier="planted",
        stimulus_set=to_stimulus_set(recording.stimuli),
    )
    np.testing.assert_array_equal(
        from_assembly(theirs).responses.values, recording.responses.values
    )

    assembly = to_assembly(recording)
    write_netcdf(assembly, str(tmp_path / "theirs.nc"))
    ours = open_recording(tmp_path / "theirs.nc")
    np.testing.assert_array_equal(ours.responses.values, recording.responses.values)
    assert (
        ours.responses.neuroid_id.values.tolist() == recording.responses.neuroid_id.values.tolist()
    )
    assert ours.time_bins == recording.time_bins


def test_the_identifier_of_a_stimulus_set_follows_its_pixels(
    planted: Callable[..., Recording],
) -> None:
    stimuli = planted(n_stimuli=4).stimuli
    changed = [np.array(stimuli.images[i]) for i in range(4)]
    changed[2][0, 0, 0] ^= 1
    one, other = to_stimulus_set(stimuli), to_stimulus_set(replace(stimuli, images=changed))
    assert one.identifier != other.identifier
    assert (
        to_stimulus_set(replace(stimuli, images=[stimuli.images[i] for i in range(4)])).identifier
        == one.identifier
    )
    assert all(Path(path).is_file() for path in other.stimulus_paths.values())

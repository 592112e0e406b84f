"""What is written is read back to the bit, as netCDF and as npz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofit.data_loaders import open_recording, write_recording
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

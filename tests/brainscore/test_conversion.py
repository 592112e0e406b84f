"""Recordings go to Brain-Score and come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, NeuronRecordingAssembly, walk_coords
from brainscore_core.supported_data_standards.brainio.packaging import write_netcdf
from brainscore_vision.benchmark_helpers.neural_common import average_repetition

from neurofit.assemblies import Recording, validate_recording
from neurofit.brainscore import from_assembly, to_assembly, to_stimulus_set
from neurofit.data_loaders import open_recording, write_recording
from neurofit.errors import NeurofitError


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


def test_stimuli_stand_in_the_order_in_which_brainscore_splits_them(planted: Callable[..., Recording]) -> None:
    assembly = to_assembly(planted(n_stimuli=12, n_repetitions=3))
    averaged = average_repetition(assembly)
    assert from_assembly(assembly).stimuli.ids.tolist() == averaged["stimulus_id"].values.tolist()


def test_time_bins_are_a_multiindex_of_start_and_end(planted: Callable[..., Recording]) -> None:
    assembly = to_assembly(planted(n_stimuli=4))
    assert list(assembly.indexes["time_bin"].names) == ["time_bin_start", "time_bin_end"]
    assert assembly.attrs["stimulus_set"].identifier == assembly.attrs["stimulus_set_identifier"]


def test_a_squeezed_bin_of_an_older_name_is_understood(planted: Callable[..., Recording]) -> None:
    assembly = to_assembly(planted(n_stimuli=4, n_bins=1))
    older = NeuroidAssembly(
        assembly.values,
        coords={{"time_bin_end": "time_bin_stop"}.get(name, name): (dims, values) for name, dims, values in walk_coords(assembly)},
        dims=assembly.dims,
    )
    assert from_assembly(older).time_bins == [(70, 80)]
    assert from_assembly(assembly.squeeze("time_bin")).time_bins == [(70, 80)]


def test_averaged_trials_are_no_recording(planted: Callable[..., Recording]) -> None:
    with pytest.raises(NeurofitError, match="averaged already"):
        from_assembly(average_repetition(to_assembly(planted(n_stimuli=4))))


def test_netcdf_goes_both_ways(planted: Callable[..., Recording], tmp_path: Path) -> None:
    recording = planted(n_stimuli=4)
    write_recording(recording, tmp_path / "ours.nc", layout="brainscore")
    theirs = NeuronRecordingAssembly.from_files(
        tmp_path / "ours.nc", stimulus_set_identifier="planted", stimulus_set=to_stimulus_set(recording.stimuli)
    )
    np.testing.assert_array_equal(from_assembly(theirs).responses.values, recording.responses.values)

    assembly = to_assembly(recording)
    write_netcdf(assembly, str(tmp_path / "theirs.nc"))
    ours = open_recording(tmp_path / "theirs.nc")
    np.testing.assert_array_equal(ours.responses.values, recording.responses.values)
    assert ours.responses.neuroid_id.values.tolist() == recording.responses.neuroid_id.values.tolist()
    assert ours.time_bins == recording.time_bins


def test_the_identifier_of_a_stimulus_set_follows_its_pixels(planted: Callable[..., Recording]) -> None:
    stimuli = planted(n_stimuli=4).stimuli
    changed = [np.array(stimuli.images[i]) for i in range(4)]
    changed[2][0, 0, 0] ^= 1
    one, other = to_stimulus_set(stimuli), to_stimulus_set(replace(stimuli, images=changed))
    assert one.identifier != other.identifier
    assert to_stimulus_set(replace(stimuli, images=[stimuli.images[i] for i in range(4)])).identifier == one.identifier
    assert all(Path(path).is_file() for path in other.stimulus_paths.values())

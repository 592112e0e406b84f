"""Raster files of the Neural Decoding Toolbox, counted around the onset; zhang2011 has 132."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from neurofit.data_loaders import load_recording, open_recording
from neurofit.errors import NeurofitError, all_faults
from neurofit.recordings.rebinning import are_counts
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.validation import validate_recording

Find = Callable[[str], Path]


def write_raster(
    path: Path, raster: np.ndarray, shown: list[str], *, onset: int | None = 21
) -> None:
    labels = {"stimulus_ID": np.array(shown, dtype=object)}
    info: dict[str, Any] = (
        {} if onset is None else {"raster_site_info": {"alignment_event_time": onset}}
    )
    scipy.io.savemat(path, {"raster_data": raster, "raster_labels": labels, **info})


def test_raster_files_are_counted_around_the_onset_and_a_trial_that_a_site_lacks_is_missing(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    rasters = [(rng.random((n, 75)) < 0.3).astype(np.uint8) for n in (4, 3)]
    write_raster(tmp_path / "s1_raster_data.mat", rasters[0], ["b", "a", "b", "a"])
    write_raster(tmp_path / "s2_raster_data.mat", rasters[1], ["a", "b", "b"])
    with pytest.raises(
        NeurofitError,
        match=r"do not state the recorded area. Write \{\"region\": \"IT\"\} into .*recording.json",
    ):
        open_recording(tmp_path)
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    recording = open_recording(tmp_path)
    validate_recording(recording)
    assert recording.time_bins == [(start, start + 10) for start in (-20, -10, 0, 10, 20, 30, 40)]
    assert list(
        zip(
            recording.responses.stimulus_id.values,
            recording.responses.repetition.values,
            strict=True,
        )
    ) == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]
    for column, trials in ((0, [1, 3, 0, 2]), (1, [0, None, 1, 2])):
        for row, trial in enumerate(trials):
            found = recording.responses.values[row, column]
            if trial is None:
                assert np.isnan(found).all()
            else:
                np.testing.assert_array_equal(
                    found, rasters[column][trial, :70].reshape(7, 10).sum(axis=1)
                )


def test_a_raster_that_holds_no_spikes_is_averaged_and_a_missing_value_is_missing(
    tmp_path: Path,
) -> None:
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    smooth = np.random.default_rng(1).random((3, 70))
    smooth[1] = np.nan
    write_raster(tmp_path / "s1_raster_data.mat", smooth, ["a", "a", "b"])
    recording = open_recording(tmp_path)
    np.testing.assert_allclose(
        recording.responses.values[:, 0], smooth.reshape(3, 7, 10).mean(axis=2), rtol=1e-6
    )
    assert not are_counts(recording.responses)
    spikes = np.ones((3, 70))
    spikes[2, 5] = np.nan
    write_raster(tmp_path / "s1_raster_data.mat", spikes, ["a", "a", "b"])
    recording = open_recording(tmp_path)
    assert are_counts(recording.responses)
    np.testing.assert_array_equal(
        recording.responses.values[:, 0], [[10] * 7, [10] * 7, [np.nan] + [10] * 6]
    )
    write_raster(tmp_path / "s2_raster_data.mat", smooth, ["a", "a", "b"])
    with pytest.raises(
        NeurofitError,
        match=r"must contain the same kind of data; "
        r"s1_raster_data has spikes, s2_raster_data fractions\.",
    ):
        open_recording(tmp_path)


def test_all_that_is_wrong_with_raster_files_is_collected(tmp_path: Path) -> None:
    write_raster(
        tmp_path / "s1_raster_data.mat", np.zeros((2, 50), np.uint8), ["a", "b"], onset=None
    )
    write_raster(tmp_path / "s2_raster_data.mat", np.ones((2, 50), np.uint8), ["a", "b"])
    write_raster(tmp_path / "s3_raster_data.mat", np.zeros((2, 50), np.uint8), ["a"])
    with all_faults() as faults:
        recording = open_recording(tmp_path)
    assert recording.responses.neuroid_id.values.tolist() == ["s2"]
    where = [
        "the recorded area",
        "s1_raster.* the stimulus onset, is missing",
        "s3_raster.* 1 labels",
    ]
    for fault, said in zip(faults, where, strict=True):
        assert re.search(said, fault)


def test_a_raster_that_does_not_say_its_onset_is_refused(tmp_path: Path) -> None:
    write_raster(
        tmp_path / "s1_raster_data.mat", np.zeros((2, 50), np.uint8), ["a", "b"], onset=None
    )
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    with pytest.raises(NeurofitError, match="alignment_event_time, the stimulus onset, is missing"):
        open_recording(tmp_path)


def test_zhang2011_has_the_counts_of_the_tidy_copy(
    shared: Find, mirror: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("zhang2011").parent))
    recording = load_recording("zhang2011")
    validate_recording(recording)
    with np.load(shared("data/check/zd_it_10ms.npz"), allow_pickle=False) as held:
        tidy = {name: held[name] for name in held.files}
    assert recording.responses.sizes == {"presentation": 21 * 20, "neuroid": 132, "time_bin": 100}
    assert recording.time_bins == [(s, s + 10) for s in tidy["bin_start_ms"].tolist()]
    assert [f"{name}_raster_data" for name in recording.responses.neuroid_id.values] == [
        s.removesuffix(".mat") for s in tidy["site"]
    ]
    condition = {name: position for position, name in enumerate(tidy["condition"].tolist())}
    rows = np.array([condition[s] for s in recording.responses.stimulus_id.values])
    counts = tidy["counts"].astype(np.float32)
    counts[counts == tidy["missing"]] = np.nan
    found = np.full_like(counts, np.nan)
    found[:, rows, recording.responses.repetition.values] = recording.responses.values.transpose(
        1, 0, 2
    )
    np.testing.assert_array_equal(found, counts)
    assert set(recording.responses.object_name.values) == set(tidy["object"].tolist())
    assert isinstance(recording.stimuli.images, NoImages)
    with pytest.raises(
        NeurofitError, match="zhang2011 has no images: no model can be scored against it"
    ):
        recording.stimuli.need_images()

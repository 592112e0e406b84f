"""Identifiers of every array format follow the same rules: a planted fault is right or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.data_loaders import load_recording
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.validation import validate_recording

Arrays = dict[str, np.ndarray]
ArraysOf = Callable[..., Arrays]
Written = Callable[..., Path]

BINS = [(70, 80), (80, 90), (90, 100)]
N_STIMULI, N_REPETITIONS, N_NEUROIDS = 6, 2, 4

FORMS = ("netCDF", "classic netCDF", "npz", "HDF5", "MATLAB", "tables")
EVERY = pytest.mark.parametrize("form", FORMS)
NUMBERS = pytest.mark.parametrize(
    "form", ["netCDF", "netCDF with fills", "npz", "HDF5", "MATLAB", "tables"]
)


@NUMBERS
def test_identifiers_beyond_the_exact_floats_stay_apart(form: str, written: Written) -> None:
    ids = np.repeat(2**53 + np.arange(N_STIMULI), N_REPETITIONS)
    recording = load_recording(written(form, stimulus_id=ids))
    assert sorted(map(int, recording.stimuli.ids)) == (2**53 + np.arange(N_STIMULI)).tolist()
    validate_recording(recording)


@pytest.mark.parametrize("form", ["netCDF", "npz", "HDF5", "MATLAB"])
@pytest.mark.parametrize("name", ["stimulus_id", "neuroid_id"])
def test_floats_that_are_not_exact_identify_nothing(form: str, written: Written, name: str) -> None:
    repeats = N_REPETITIONS if name == "stimulus_id" else 1
    n = N_STIMULI if name == "stimulus_id" else N_NEUROIDS
    ids = np.repeat(2.0**53 + 2 * np.arange(n), repeats)
    path = written(form, **{name: ids})
    with pytest.raises(NeurofitError, match=rf"{name} contains floats beyond 2\^53"):
        load_recording(path)


@pytest.mark.parametrize(
    ("form", "order"),
    # xarray writes classic netCDF in one order, whatever it is given.
    [("classic netCDF", "little")]
    + [(form, order) for form in FORMS if "classic" not in form for order in ("little", "big")],
)
def test_the_order_of_bytes_does_not_matter(
    arrays_of: ArraysOf, form: str, written: Written, order: Any
) -> None:
    arrays = arrays_of(stimulus_id=np.repeat(np.arange(N_STIMULI), N_REPETITIONS))
    swapped = {
        name: values.astype(values.dtype.newbyteorder(order)) for name, values in arrays.items()
    }
    if form in ("netCDF", "classic netCDF", "HDF5"):  # they store text without an order
        swapped |= {n: v for n, v in arrays.items() if v.dtype.kind == "U"}
    recording = load_recording(written(form, **swapped))
    validate_recording(recording)
    assert list(map(int, recording.stimuli.ids)) == list(range(N_STIMULI))
    assert recording.time_bins == BINS
    np.testing.assert_array_equal(recording.responses.values, arrays_of()["responses"])


@EVERY
@pytest.mark.parametrize("absent", ["", "nan", "None", np.nan])
def test_a_missing_identifier_is_none(form: str, written: Written, absent: Any) -> None:
    ids: Any = np.repeat([f"s{i}" for i in range(N_STIMULI)], N_REPETITIONS)
    if isinstance(absent, float):
        ids = np.repeat(np.arange(float(N_STIMULI)), N_REPETITIONS)
    else:
        ids = ids.astype("U4")
    ids[[3, 4]] = absent
    path = written(form, stimulus_id=ids)
    with pytest.raises(NeurofitError, match=r"has no stimulus_id|every row needs a stimulus_id"):
        load_recording(path)


@pytest.mark.parametrize("form", ["netCDF with fills"])
def test_a_fill_value_is_a_missing_identifier(form: str, written: Written) -> None:
    ids = np.repeat(2**53 + np.arange(N_STIMULI), N_REPETITIONS)
    ids[[3, 4]] = -1
    path = written(form, stimulus_id=ids)
    with pytest.raises(NeurofitError, match=r"presentation 3, 4 has no stimulus_id \(2 in all\)"):
        load_recording(path)


@EVERY
@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9", "cafe\u0301"), ("face", "face "), ("face 1", "face  1")]
)
def test_names_that_only_a_program_tells_apart_are_refused(
    form: str, written: Written, one: str, other: str
) -> None:
    ids = np.repeat([one, other, "s2", "s3", "s4", "s5"], N_REPETITIONS)
    path = written(form, stimulus_id=ids)
    with pytest.raises(NeurofitError, match="differ only in blanks or in their Unicode normal"):
        load_recording(path)


@EVERY
@pytest.mark.parametrize(("one", "other"), [("Face", "face"), ("im01", "im1"), ("007", "7")])
def test_names_that_a_person_may_take_for_one_are_said(
    form: str, written: Written, one: str, other: str
) -> None:
    ids = np.repeat([one, other, "s2", "s3", "s4", "s5"], N_REPETITIONS)
    path = written(form, stimulus_id=ids)
    with pytest.warns(NeurofitWarning, match="differ only in case or leading zeros") as heard:
        recording = load_recording(path)
    assert {one, other} <= set(recording.stimuli.ids.tolist()), "they stay two stimuli"
    assert str(heard[0].message) in plausibility_warnings(recording)


@EVERY
def test_one_stimulus_throughout_is_refused(form: str, written: Written) -> None:
    ids = ["natural_scenes"] * (N_STIMULI * N_REPETITIONS)
    path = written(form, stimulus_id=ids)
    with pytest.raises(
        NeurofitError, match="all 12 presentations have the stimulus_id 'natural_scenes'"
    ):
        load_recording(path)


@pytest.mark.parametrize("form", ["netCDF", "tables"])
def test_a_column_that_names_blocks_is_refused_with_the_one_that_names_pictures(
    arrays_of: ArraysOf, form: str, written: Written
) -> None:
    ids = np.repeat(["scenes", "gratings"], 6)
    blocks = arrays_of(stimulus_id=ids, frame=np.tile([0, 1, 2], 4))
    with pytest.raises(NeurofitError, match=r"names blocks of presentations.*apart: frame"):
        load_recording(written(form, **blocks))
    # The frame of a picture that has one frame says no more than the picture.
    pictures = arrays_of(frame=np.repeat(np.arange(N_STIMULI), N_REPETITIONS))
    assert len(load_recording(written(form, **pictures)).stimuli) == N_STIMULI

"""Axes and time bins of arrays are those that the file or the JSON beside it states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from neurofit.data_loaders import open_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.correlation import pearson
from neurofit.recordings.trials import TrialSets, deal_trials
from neurofit.recordings.validation import validate_recording

Find = Callable[[str], Path]


def test_an_axis_is_not_repetitions_where_ids_of_another_length_wait_for_one(
    tmp_path: Path,
) -> None:
    np.savez(
        tmp_path / "r.npz",
        responses=np.ones((24, 10, 3)),
        stimulus_id=np.arange(24),
        neuroid_id=np.arange(11),
        region="IT",
    )
    with pytest.raises(
        NeurofitError,
        match=r"no array has the length of axis 1 \(10\); "
        r"found stimulus_id \(24\), neuroid_id \(11\)",
    ):
        open_recording(tmp_path / "r.npz")


@pytest.mark.parametrize("told", [{}, {"time_bin": [0, 300]}])
def test_an_axis_that_nothing_names_is_not_guessed(tmp_path: Path, told: dict[str, Any]) -> None:
    means = np.random.default_rng(0).random((5, 4, 30))  # a response over time, without trials
    np.savez(
        tmp_path / "r.npz",
        responses=means,
        stimulus_id=np.array([f"s{i}" for i in range(5)]),
        neuroid_id=np.array([f"n{i}" for i in range(4)]),
        region=np.array(["V4", "IT", "V4", "IT"]),
    )
    (tmp_path / "r.json").write_text(json.dumps(told))
    with pytest.raises(
        NeurofitError,
        match=r"axis 2 of length 30 may be repetition or time_bin\. Write .*dims.* into .*r\.json",
    ):
        open_recording(tmp_path / "r.npz")
    (tmp_path / "r.json").write_text(
        json.dumps({"dims": ["stimulus", "neuroid", "repetition"], "time_bin": [0, 300]})
    )
    assert open_recording(tmp_path / "r.npz").responses.shape == (150, 4, 1)


@pytest.mark.parametrize(
    "of_all", [{"region": "IT"}, {"region": np.array(["IT"])}, {"region": ["IT"], "subject": ["M"]}]
)
@pytest.mark.parametrize("shape", [(24, 10), (24, 10, 3)])
def test_one_area_of_all_says_nothing_of_how_many_neuroids_there_are(
    tmp_path: Path, of_all: dict[str, Any], shape: tuple[int, ...]
) -> None:
    bins = (
        {"time_bin_start": np.arange(shape[2]) * 10}
        if len(shape) == 3
        else {"time_bin_start": [70], "time_bin_end": [170]}
    )
    values = np.random.default_rng(0).random(shape)
    np.savez(tmp_path / "r.npz", responses=values, stimulus_id=np.arange(24), **bins, **of_all)
    with pytest.raises(NeurofitError, match="axis 1 of length 10 may be repetition or neuroid"):
        open_recording(tmp_path / "r.npz")
    dims = ["stimulus", "neuroid", "time_bin"][: len(shape)]
    (tmp_path / "r.json").write_text(json.dumps({"dims": dims}))
    responses = open_recording(tmp_path / "r.npz").responses
    assert responses.region.values.tolist() == ["IT"] * 10
    assert ("subject" in of_all) == ("subject" in responses.coords)
    np.testing.assert_array_equal(responses.values.reshape(shape), values.astype(np.float32))


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_the_time_axis_of_a_psth_in_one_stated_bin_is_not_repetitions(
    tmp_path: Path, where: str
) -> None:
    held: dict[str, Any] = {
        "responses": np.random.default_rng(0).random((20, 6, 30)),
        "stimulus_id": np.arange(20),
        "neuroid_id": np.arange(6),
        "region": np.array("IT"),
    }
    if where == "inside":
        held |= {"time_bin_start": np.array([0]), "time_bin_end": np.array([300])}
    else:
        (tmp_path / "r.json").write_text('{"time_bin": [0, 300]}')
    np.savez(tmp_path / "r.npz", **held)
    with pytest.raises(NeurofitError, match="axis 2 of length 30 may be repetition or time_bin"):
        open_recording(tmp_path / "r.npz")


@pytest.mark.parametrize("name", ["binEdges", "bin_edges", "edges"])
def test_edges_of_bins_are_used_or_refused(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).poisson(3, (12, 4, 3)).astype("f4")
    dims = np.array(["presentation", "neuroid", "time_bin"])
    held: dict[str, Any] = {"responses": values, "dims": dims, "region": np.array("IT")}
    held |= {"stimulus_id": np.repeat(np.arange(6), 2), name: np.array([70.0, 80, 100, 130])}
    np.savez(tmp_path / "r.npz", **held)
    assert open_recording(tmp_path / "r.npz").time_bins == [(70, 80), (80, 100), (100, 130)]
    for more, said in (
        ({"time_bin_start": np.array([0, 10, 20])}, f"{name} and time_bin_start state different"),
        ({name: np.array([70.0, 80, 90])}, "time_bin_start has 2 values, but the responses have 3"),
        ({name: np.array(["a", "b"])}, f"{name} must be two or more numbers"),
    ):
        np.savez(tmp_path / "r.npz", **held | more)
        with pytest.raises(NeurofitError, match=said):
            open_recording(tmp_path / "r.npz")


@pytest.mark.parametrize("form", ["npz", "npy", "hdf5", "matlab", "nc", "raster"])
def test_bins_for_spike_times_are_refused_beside_responses(
    tmp_path: Path, make_recording: Callable[..., Any], form: str
) -> None:
    values, path = np.ones((4, 2, 3)), tmp_path / f"r.{form}"
    if form == "npz":
        np.savez(path, responses=values)
    elif form == "npy":
        path = tmp_path
        np.save(tmp_path / "responses.npy", values)
    elif form == "hdf5":
        with h5py.File(path, "w") as file:
            file["responses"] = values
    elif form == "matlab":
        scipy.io.savemat(path, {"responses": values}, appendmat=False)
    elif form == "nc":
        write_recording(make_recording(), path)
    else:
        path = tmp_path
        scipy.io.savemat(tmp_path / "s1_raster_data.mat", {"raster_data": values[0]})
    sidecar = path / "recording.json" if path.is_dir() else path.with_suffix(".json")
    sidecar.write_text('{"region": "IT", "bins": [0, 300, 100]}')
    with pytest.raises(NeurofitError, match=r"bins in .*json applies to spike times; .* its own"):
        open_recording(path)


def test_axes_of_equal_length_have_to_be_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", responses=np.zeros((5, 5)), stimulus_id=np.arange(5), region="IT")
    with pytest.raises(
        NeurofitError, match=r"axis 0 of length 5 is ambiguous. Write .*dims.* into .*r.json"
    ):
        open_recording(tmp_path / "r.npz")


def test_two_axes_and_a_single_bin_are_told_beside_the_file(tmp_path: Path) -> None:
    rates = np.random.default_rng(0).normal(size=(6, 3))
    np.savez(tmp_path / "r.npz", rates=rates, stimulus_id=np.array(list("aabbcc")))
    told = {
        "dims": ["presentation", "neuroid"],
        "region": "IT",
        "time_bin": [70, 170],
        "subject": "m1",
        "units": "spikes per second",
    }
    (tmp_path / "r.json").write_text(json.dumps(told))
    recording = open_recording(tmp_path / "r.npz")
    validate_recording(recording)
    np.testing.assert_array_equal(recording.block(0), rates.astype(np.float32))
    assert recording.time_bins == [(70, 170)]
    assert recording.responses.repetition.values.tolist() == [0, 1] * 3
    assert recording.responses.subject.values.tolist() == ["m1"] * 3
    assert recording.responses.attrs["units"] == "spikes per second"


@pytest.mark.parametrize(
    ("starts", "width", "said"),
    [
        (
            [0, 50, 150],
            None,
            "time bins that start at 0, 50, 150 ms are not evenly spaced; add time_bin_end",
        ),
        (
            [0, 25, 50],
            12.5,
            (
                "time bins must be whole ms of positive width; "
                "they start at 0, 25, 50 ms and are 12.5 ms wide"
            ),
        ),
        (
            [0, 12.5, 25, 37.5, 50],
            None,
            (
                r"whole ms of positive width; "
                r"they start at 0, 12.5, 25, 37.5, ... ms and are 12.5 ms wide"
            ),
        ),
        (
            [0.5, 10.5, 20.5],
            10,
            "whole ms of positive width; they start at 0.5, 10.5, 20.5 ms and are 10 ms wide",
        ),
        ([20, 10, 0], None, "they start at 20, 10, 0 ms and are -10 ms wide"),
        ([0, 50, 150], 50, [(0, 50), (50, 100), (150, 200)]),
        ([-10.0, 0.0, 10.0], None, [(-10, 0), (0, 10), (10, 20)]),
        ([0, 10, 20], [50, 50, 50], [(0, 50), (10, 60), (20, 70)]),
        ([0, 10, 30], [10, 20, 50], [(0, 10), (10, 30), (30, 80)]),
        ([0, 10, 20], [50, 50], "bin_width_ms has 2 values, but the responses have 3 along"),
    ],
)
def test_ends_of_bins_follow_from_their_starts_or_are_asked_for(
    tmp_path: Path, starts: list[float], width: float | list[int] | None, said: Any
) -> None:
    held: dict[str, Any] = {} if width is None else {"bin_width_ms": np.array(width)}
    dims = np.array(["presentation", "neuroid", "time_bin"])
    held |= {
        "responses": np.zeros((4, 2, len(starts))),
        "dims": dims,
        "stimulus_id": np.arange(4),
        "region": np.array("IT"),
    }
    np.savez(tmp_path / "r.npz", bin_start_ms=np.array(starts), **held)
    if isinstance(said, list):
        assert open_recording(tmp_path / "r.npz").time_bins == said
        return
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "r.npz")


def test_freiwald_and_tsao_are_read_with_a_line_beside_the_file(
    shared: Find, tmp_path: Path
) -> None:
    path = shared("data/check/ft_am_10ms.npz")
    (tmp_path / "ft.npz").symlink_to(path)
    (tmp_path / "ft.json").write_text('{"region": "AM"}')
    recording = open_recording(tmp_path / "ft.npz")
    with np.load(path, allow_pickle=False) as held:
        counts, published = held["counts"], held["split_half_sb_100_450ms"]
    assert recording.responses.shape == (int((counts != 255).any(axis=(0, 3)).sum()), 193, 80)
    assert recording.responses.sum() == counts[counts != 255].sum()
    window = recording.select(window=(100, 450)).responses.values.mean(axis=2)
    rows = recording.stimulus_rows
    reliabilities = []
    for site in range(193):
        mine = ~np.isnan(window[:, site])
        if np.bincount(rows[mine], minlength=200).min() < 2:
            continue
        means = TrialSets(rows[mine], deal_trials(rows[mine], n_halves=5, seed=0)).means(
            window[mine, site : site + 1]
        )
        reliabilities.append(
            (np.nanmean(spearman_brown(pearson(means[1:6], means[6:]))), published[site])
        )
    ours, theirs = np.array(reliabilities).T
    assert len(ours) > 100
    assert np.median(ours) == pytest.approx(np.median(theirs), abs=0.03)

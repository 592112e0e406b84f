"""The simulated recording: always the same bytes, never half-built, trials agree with the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from neurofit.activations.model import Model, validate_model
from neurofit.data_loaders.hvm_sim import Recipe, folder, load_or_build, load_teacher
from neurofit.data_loaders.hvm_sim.images import render_stimuli
from neurofit.data_loaders.hvm_sim.recipe import recipe_hash
from neurofit.data_loaders.hvm_sim.responses import draw_gains, draw_trials
from neurofit.data_loaders.hvm_sim.shapes import CATEGORIES, make_object
from neurofit.data_loaders.hvm_sim.storage import build, load
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.trial_checks import check_trials
from neurofit.recordings.validation import validate_recording

SMALL = Recipe(
    objects_per_category=2,
    images_per_object=4,
    calibration_images=16,
    image_size=48,
    supersample=1,
    min_repetitions=20,
    max_repetitions=24,
    n_sites={"V4": 6, "IT": 8},
)
LATENCY = {"V4": 50, "IT": 90}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("hvm-sim")
    build(where, recipe=SMALL)
    return where


def values_sha256(folder: Path) -> dict[str, str]:
    values: dict[str, str] = json.loads((folder / "manifest.json").read_text())["values_sha256"]
    return values


@pytest.fixture
def recording(built: Path) -> Recording:
    return load(built)


def test_the_recording_meets_the_contract(recording: Recording) -> None:
    validate_recording(recording)
    assert check_trials(recording).biasing == (), "its drift of gain is noise"
    assert recording.simulated
    assert recording.regions == ("IT", "V4")
    assert recording.time_bins[0] == (0, 10)
    assert recording.time_bins[-1] == (250, 260)
    assert recording.block(0).dtype == np.float32
    assert set(recording.responses.subject.values) == {"simulated"}
    assert "SIMULATED" in recording.citation


def test_the_full_recipe_is_the_one_that_is_described() -> None:
    recipe = Recipe()
    assert len(CATEGORIES) * recipe.objects_per_category * recipe.images_per_object == 640
    assert recipe.n_sites == {"V4": 88, "IT": 168}
    assert (recipe.n_time_bins, recipe.min_repetitions, recipe.max_repetitions) == (26, 20, 40)


def test_two_builds_give_equal_bytes(built: Path, tmp_path: Path) -> None:
    build(tmp_path, recipe=SMALL)
    assert (tmp_path / "manifest.json").read_bytes() == (built / "manifest.json").read_bytes()


def test_the_bytes_do_not_depend_on_the_number_of_threads(built: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        build(tmp_path, recipe=SMALL)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "manifest.json").read_bytes() == (built / "manifest.json").read_bytes()


def test_another_recipe_has_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path))
    assert folder() == tmp_path / "recordings" / "hvm-sim" / recipe_hash()[:12]
    assert folder(SMALL) != folder()


def test_a_version_that_is_already_on_the_disk_is_not_opened_as_another() -> None:
    assert folder(replace(SMALL, version=2)) != folder(SMALL)
    assert folder(Recipe(version=2)) != folder()


def test_before_its_latency_an_area_answers_to_all_stimuli_alike(recording: Recording) -> None:
    assert recording.truth is not None
    for region, latency in LATENCY.items():
        truth = recording.truth.isel(
            neuroid=np.flatnonzero(recording.truth.region.values == region)
        )
        spread = np.ptp(truth.values, axis=0).max(axis=0)
        driven = truth.time_bin_start.values >= latency
        assert (spread[~driven] == 0).all()
        assert (spread[driven] > 0).all()


def test_the_mean_over_trials_approaches_the_truth(recording: Recording) -> None:
    assert recording.truth is not None
    shown = np.bincount(recording.stimulus_rows)[:, None]
    # the gain of an area is shared by all its sites and bins, so only its slow average over the
    # session may differ from 1
    for time_bin in (0, 12, 25):
        truth = recording.truth.values[:, :, time_bin]
        total = np.zeros_like(truth)
        np.add.at(total, recording.stimulus_rows, recording.block(time_bin))
        standard_error = np.sqrt((truth + SMALL.gain_sd**2 * truth**2) / shown)
        standardised = (total / shown - truth) / standard_error
        assert abs(standardised.mean()) < 0.35
        assert 0.85 < standardised.std() < 1.15


def test_repetitions_are_uneven_and_numbered(recording: Recording) -> None:
    times = np.bincount(recording.stimulus_rows)
    assert times.min() >= SMALL.min_repetitions
    assert times.max() <= SMALL.max_repetitions
    assert len(set(times)) > 1
    for row, n in enumerate(times):
        repetitions = recording.responses.repetition.values[recording.stimulus_rows == row]
        assert repetitions.tolist() == list(range(n))


def test_the_gain_is_slow_and_has_mean_one() -> None:
    recipe = Recipe()
    gains = draw_gains(recipe, len(draw_trials(recipe, 640).stimulus))
    assert gains.mean() == pytest.approx(1, abs=0.03)
    assert gains.std() == pytest.approx(recipe.gain_sd, rel=0.2)
    assert np.corrcoef(gains[:-1, 0], gains[1:, 0])[0, 1] == pytest.approx(
        recipe.gain_memory, abs=0.01
    )
    assert abs(np.corrcoef(gains.T)[0, 1]) < 0.2


@pytest.mark.parametrize(
    "name", ["images.npy", "calibration.npy", "stimuli.csv", "responses.nc", "truth.nc"]
)
def test_a_flipped_byte_is_found(built: Path, tmp_path: Path, name: str) -> None:
    for path in built.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = bytearray((tmp_path / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / name).write_bytes(damaged)
    with pytest.raises(
        NeurofitError,
        match=f"{name} is not the file that was built. "
        f"Delete the folder .*; the next call rebuilds it",
    ):
        load(tmp_path)


def test_a_missing_manifest_says_how_to_repair(tmp_path: Path) -> None:
    with pytest.raises(
        NeurofitError,
        match=r"manifest.json is missing or damaged. "
        r"Delete the folder .*; the next call rebuilds it",
    ):
        load(tmp_path)


@pytest.mark.parametrize("stage", ["images", "teacher", "trials"])
def test_an_interrupted_build_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str
) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path))

    def interrupt(what: str, done: int, total: int) -> None:
        if stage in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_or_build(interrupt, recipe=SMALL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list(folder(SMALL).parent.iterdir()) == []


def test_it_is_built_once_with_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path))
    reports: list[tuple[str, int, int]] = []
    first = load_or_build(lambda *report: reports.append(report), recipe=SMALL)
    assert reports[-1][1] == reports[-1][2]
    n_reports = len(reports)
    second = load_or_build(lambda *report: reports.append(report), recipe=SMALL)
    assert len(reports) == n_reports
    assert first.sha256 == second.sha256
    manifest = json.loads((folder(SMALL) / "manifest.json").read_text())
    assert manifest["simulated"] is True
    assert manifest["recipe"] == SMALL.as_dict()


def test_opening_does_not_read_the_responses(built: Path) -> None:
    recording = load(built)
    assert not recording.responses.variable._in_memory
    recording.block(3)
    assert not recording.responses.variable._in_memory
    assert isinstance(recording.stimuli.images, np.memmap)


def test_the_counts_are_stored_one_bin_to_a_chunk(built: Path) -> None:
    with xr.open_dataset(built / "responses.nc", engine="h5netcdf", mask_and_scale=False) as stored:
        counts = stored.responses
        assert counts.dtype == np.uint8
        assert counts.encoding["chunksizes"] == (counts.shape[0], counts.shape[1], 1)


def test_the_teacher_is_a_model(built: Path) -> None:
    teacher = load_teacher(built, recipe=SMALL)
    model: Model = teacher
    validate_model(model)
    for region, latency in LATENCY.items():
        (layer,) = teacher.region_layers[region]
        assert teacher.first_timestep[layer] * teacher.ms_per_timestep == latency


@pytest.mark.parametrize("layer", ["layer2", "layer6", "layer10"])
def test_a_layer_of_the_teacher_does_not_depend_on_which_others_are_requested(
    built: Path, layer: str
) -> None:
    teacher = load_teacher(built, recipe=SMALL)
    images = torch.rand(2, 3, teacher.input_size, teacher.input_size)
    images = (images * 256).round() / 256
    alone, among_all = (
        [dict(each) for _, each in teacher.unroll(images, layers=layers)]
        for layers in ([layer], None)
    )
    for one, every in zip(alone, among_all, strict=True):
        torch.testing.assert_close(one[layer], every[layer], rtol=0, atol=0)


def test_the_teacher_changes_its_pattern_over_time_and_after_the_image(built: Path) -> None:
    teacher = load_teacher(built, recipe=SMALL)
    images = torch.rand(8, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        v4 = torch.stack(
            [a["layer6"] for _, a in teacher.unroll(images, layers=["layer6"])]
        ).flatten(2)
    pattern = v4 - v4.mean(dim=1, keepdim=True)
    assert (v4 >= 0).all()
    sustained, late = pattern[12].flatten(), pattern[22].flatten()
    correlation = float(sustained @ late / (sustained.norm() * late.norm()))
    assert 0.2 < correlation < 0.95
    assert not torch.allclose(v4[14], v4[17], atol=0.01)


def test_objects_fit_the_unit_ball_and_pictures_differ() -> None:
    for category in CATEGORIES:
        for part in make_object(category, np.random.default_rng(0)):
            assert np.linalg.norm(part.centre) <= 1
    pictures, table = render_stimuli(SMALL)
    assert pictures.shape == (64, 48, 48, 3)
    assert len({picture.tobytes() for picture in pictures}) == 64
    assert table.groupby("category").object_name.nunique().tolist() == [2] * 8
    gray = (np.ptp(pictures, axis=3) == 0).all(axis=(1, 2))
    assert gray.tolist() == table.gray.tolist()
    assert 0.25 < gray.mean() < 0.75

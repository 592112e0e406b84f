"""Real V4: every count and missing trial is kept; the sites are as reliable as was measured."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurofit.data_loaders import list_recordings, load_recording
from neurofit.data_loaders.cowley2023 import SESSIONS, arrange, image_zip
from neurofit.errors import NeurofitError
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.correlation import pearson
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.trials import TrialSets, deal_trials
from neurofit.recordings.validation import validate_recording
from neurofit.storage.home import hash_of

Find = Callable[[str], Path]


def small_stimuli(n: int) -> StimulusSet:
    table = pd.DataFrame(
        {"stimulus_id": [f"image{i:04d}" for i in range(n)], "object_name": ["bear"] * n}
    )
    return StimulusSet(
        name="s",
        table=table,
        images=np.zeros((n, 4, 4, 3), np.uint8),
        visual_degrees=8.0,
        duration_ms=100.0,
    )


def test_counts_and_missing_trials_keep_their_place() -> None:
    published = np.random.default_rng(0).poisson(3, (2, 3, 4)).astype(float)
    published[1, 2, 0] = np.nan
    published[:, 0, 3] = np.nan  # never shown
    responses = arrange(published, small_stimuli(3))
    assert responses.shape == (11, 2, 1)
    for presentation in range(11):
        stimulus = int(str(responses.stimulus_id.values[presentation])[-1])
        expected = published[:, stimulus, int(responses.repetition.values[presentation])]
        np.testing.assert_array_equal(
            responses.values[presentation, :, 0], expected.astype(np.float32)
        )


def test_an_array_of_another_form_is_refused() -> None:
    with pytest.raises(
        NeurofitError, match=r"must be \(neuroid, 3 stimuli, repetition\); got \(3, 4\)"
    ):
        arrange(np.zeros((3, 4)), small_stimuli(3))


def test_every_session_of_the_source_has_a_name() -> None:
    sessions = [
        name.removeprefix("cowley2023-")
        for name in list_recordings()
        if name.startswith("cowley2023-")
    ]
    assert sorted([*sessions, "210325"]) == list(SESSIONS)
    assert len(SESSIONS) == 50
    assert sum(facts["images"] is None for facts in SESSIONS.values()) == 5
    assert {facts["subject"] for facts in SESSIONS.values()} == {"WE", "PE", "RA"}


def write_session(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, session: str, zip_names: list[str]
) -> np.ndarray:
    """Write files as the source has them into a mirror and pin them.

    Return the responses (neuroid stimulus repetition).
    """
    name = f"cowley2023-{session}"
    monkeypatch.setenv("NEUROFIT_MIRROR", str(folder))
    monkeypatch.setenv("NEUROFIT_HOME", str(folder / "home"))
    (folder / name).mkdir()
    responses = np.random.default_rng(0).poisson(3, (2, 3, 4)).astype(float)
    responses[1, 2, 3] = np.nan
    np.save(folder / name / f"responses_{session}.npy", responses)
    blobs = {"responses": hash_of(folder / name / f"responses_{session}.npy", "git blob")}
    if zip_names:
        with zipfile.ZipFile(folder / name / f"images_{session}.zip", "w") as archive:
            for each in zip_names:
                content = io.BytesIO()
                Image.fromarray(np.full((4, 4, 3), 10 * int(Path(each).stem[-1]), np.uint8)).save(
                    content, format="JPEG"
                )
                archive.writestr(each, content.getvalue())
        blobs["images"] = hash_of(folder / name / f"images_{session}.zip", "git blob")
    for key, blob in blobs.items():
        monkeypatch.setitem(SESSIONS[session], key, blob)
    return responses


@pytest.mark.parametrize(
    "zip_names",
    [
        [
            "images_190923/image0001.jpg",
            "images_190923/image0002.jpg",
            "images_190923/image0003.jpg",
        ],
        ["image0003.jpg", "image0001.jpg", "image0002.jpg"],
    ],
)  # both occur in the source
def test_a_session_has_its_pictures_in_the_order_of_its_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zip_names: list[str]
) -> None:
    responses = write_session(tmp_path, monkeypatch, session="190923", zip_names=zip_names)
    recording = load_recording("cowley2023-190923")
    validate_recording(recording)
    assert recording.stimuli.ids.tolist() == ["image0001", "image0002", "image0003"]
    assert [int(recording.stimuli.images[row].mean().round()) for row in range(3)] == [10, 20, 30]
    assert set(recording.responses.subject.values) == {"WE"}
    assert "object_name" not in recording.responses.coords
    trial = recording.responses.sel(
        presentation=recording.responses.stimulus_id.values == "image0003"
    )
    np.testing.assert_array_equal(trial.values[..., 0].T, responses[:, 2].astype(np.float32))


def test_a_session_without_pictures_is_for_ceilings_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_session(tmp_path, monkeypatch, session="201016", zip_names=[])
    recording = load_recording("cowley2023-201016")
    validate_recording(recording)
    with pytest.raises(NeurofitError, match="cowley2023-201016 has no images"):
        recording.stimuli.images[0]


def test_a_file_that_is_not_that_of_the_source_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_session(tmp_path, monkeypatch, session="201016", zip_names=[])
    monkeypatch.setitem(SESSIONS["201016"], "responses", "0" * 40)
    with pytest.raises(
        NeurofitError, match=r"is not the published responses_201016\.npy: its git blob differs"
    ):
        load_recording("cowley2023-201016")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number in (1, 2, 4):
            archive.writestr(f"image000{number}.jpg", b"")
    with pytest.raises(NeurofitError, match="it has 3 images and lacks number 3"):
        image_zip(tmp_path / "images.zip")


def test_the_published_recording_is_valid_and_as_reliable_as_measured(
    mirror: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    recording = load_recording("cowley2023")
    validate_recording(recording)
    assert recording.responses.sizes["neuroid"] == 50
    assert len(recording.stimuli) == 640
    assert recording.time_bins == [(50, 150)]
    assert not recording.simulated
    assert recording.stimuli.images[639].shape == (112, 112, 3)
    rows = recording.stimulus_rows
    means = TrialSets(rows, deal_trials(rows, n_halves=20, seed=0)).means(recording.block(0))
    reliability = spearman_brown(pearson(means[1:21], means[21:])).mean(axis=0)
    assert np.median(reliability) == pytest.approx(0.75, abs=0.02)


def test_the_tidy_copy_holds_the_same_counts(
    shared: Find, mirror: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidy = np.load(shared("data/check/hvm640_v4_it.npz"), allow_pickle=False)["v4_counts"].astype(
        float
    )  # (neuroid stimulus repetition)
    tidy[tidy == 255] = np.nan
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    recording = load_recording("cowley2023")
    rows = recording.stimulus_rows
    means = TrialSets(rows, deal_trials(rows, n_halves=1, seed=0)).means(recording.block(0))[0]
    np.testing.assert_allclose(means.T, np.nanmean(tidy, axis=2), atol=1e-6)

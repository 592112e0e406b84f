"""On the embedded simulation the network that the sites read wins, and more images help it."""

from collections.abc import Callable

import numpy as np
import pytest

import neurofit
from neurofit.activations.activations import Activations
from neurofit.activations.extract import extract
from neurofit.analyses.predictivity.presets import make_config
from neurofit.data_loaders.hvm_sim import Recipe, folder, load_or_build, load_teacher
from neurofit.recordings.recording import Recording

SMALL = Recipe(objects_per_category=4, images_per_object=6, n_sites={"V4": 24, "IT": 24})
WINDOW = {"V4": (60, 160), "IT": (100, 200)}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return load_or_build(recipe=SMALL)


@pytest.fixture(scope="module")
def activations(recording: Recording) -> Callable[[str], Activations]:
    """Extract a model's two layers once; "teacher" is the network that the sites read."""
    known: dict[str, Activations] = {}

    def find(name: str) -> Activations:
        if name not in known:
            model = (
                load_teacher(folder(SMALL), recipe=SMALL)
                if name == "teacher"
                else neurofit.create_model(name, weights="random")
            )
            layers = [layer for region in WINDOW for layer in model.region_layers[region]]
            known[name] = extract(model, recording.stimuli, layers=layers, time_bins=[(60, 200)])
        return known[name]

    return find


def curve(
    activations: Activations, recording: Recording, region: str, *, train_size: float = 0.75
) -> np.ndarray:
    config = make_config(
        "nayebi2022",
        mapping="ridge",
        n_splits=5,
        n_halves=5,
        train_size=train_size,
    )
    part = recording.select(region=region, window=WINDOW[region])
    return np.asarray(neurofit.score(activations, part, config).curve.values[0])


@pytest.mark.simulation
def test_the_teacher_is_the_best_of_all_candidates_in_every_reliable_bin(
    recording: Recording, activations: Callable[[str], Activations]
) -> None:
    # Both in one test, so that one worker of pytest-xdist extracts each model once.
    for region in WINDOW:
        teacher = curve(activations("teacher"), recording, region)
        reliable = ~np.isnan(teacher)
        assert reliable.sum() >= 8
        for name in neurofit.list_models("*_tiny"):
            candidate = np.nan_to_num(curve(activations(name), recording, region), nan=-1.0)
            assert (candidate[reliable] < teacher[reliable]).all(), (name, region)


@pytest.mark.parametrize("region", ["V4", "IT"])
def test_the_teachers_score_grows_with_the_number_of_training_images(
    recording: Recording, activations: Callable[[str], Activations], region: str
) -> None:
    few, some, many = (
        np.nanmean(curve(activations("teacher"), recording, region, train_size=size))
        for size in (0.1, 0.3, 0.8)
    )
    assert few < some < many


def test_the_result_says_that_it_is_simulated(
    recording: Recording, activations: Callable[[str], Activations]
) -> None:
    config = make_config("nayebi2022", mapping="ridge", n_splits=2, n_halves=2)
    part = recording.select(region="V4", window=(100, 120))
    assert neurofit.score(activations("teacher"), part, config).attrs["simulated"] == 1

"""Images of other degrees than the model's field are padded or cropped, as on a screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import brainscore_vision
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurofit import create_model
from neurofit.activations.screen import place_on_screen
from neurofit.brainscore import (
    NeurofitBrainModel,
    activations_of,
    recording_of,
    to_stimulus_set,
)
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import ImageFiles


@pytest.fixture(autouse=True)
def no_cached_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache nothing: Brain-Score's caches go by name."""
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")


def pictures(recording: Recording) -> list[np.ndarray]:
    return [np.asarray(recording.stimuli.images[row]) for row in range(len(recording.stimuli))]


def seen_at(degrees: float, recording: Recording, model: NeurofitBrainModel) -> np.ndarray:
    shown = replace(recording, stimuli=replace(recording.stimuli, visual_degrees=degrees))
    return np.asarray(activations_of(model, shown, region="IT").blocks["IT", 10])


@pytest.mark.parametrize("degrees", [4.0, 16.0])
def test_pictures_of_other_degrees_reach_the_model_padded_or_cropped(
    planted: Callable[..., Recording], degrees: float
) -> None:
    recording = planted(n_stimuli=5, n_repetitions=2, n_bins=1, start=100)
    model = NeurofitBrainModel(create_model("rgc_tiny"))
    canvases = [
        place_on_screen(image, image_degrees=degrees, field_degrees=8.0)
        for image in pictures(recording)
    ]
    assert canvases[0].shape == {4.0: (32, 32, 3), 16.0: (8, 8, 3)}[degrees]
    by_hand = seen_at(
        8.0, replace(recording, stimuli=replace(recording.stimuli, images=canvases)), model
    )
    np.testing.assert_array_equal(seen_at(degrees, recording, model), by_hand)
    assert np.abs(by_hand - seen_at(8.0, recording, model)).max() > 1e-3


@pytest.mark.parametrize("degrees", [4, 16])
def test_a_benchmark_of_other_degrees_shows_our_model_the_padded_or_cropped_pictures(
    lend_majajhong: Any, degrees: int
) -> None:
    lend_majajhong(3)
    benchmark = brainscore_vision.load_benchmark("MajajHong2015public.IT-pls")
    benchmark._visual_degrees = degrees
    benchmark._assembly.attrs["stimulus_set"].identifier += f"-{degrees}"
    shown: list[np.ndarray] = []

    class Watched(NeurofitBrainModel):
        def look_at(
            self, stimuli: Any, number_of_trials: int = 1, require_variance: bool = False
        ) -> Any:
            shown.extend(
                np.asarray(Image.open(stimuli.get_stimulus(each)))
                for each in stimuli["stimulus_id"]
            )
            return super().look_at(stimuli, number_of_trials)

    benchmark(Watched(create_model("rgc_tiny")))
    originals = recording_of(benchmark).stimuli
    theirs = benchmark._assembly.stimulus_set["stimulus_id"].tolist()
    assert len(shown) == 40
    for stimulus, canvas in zip(theirs, shown, strict=True):
        picture = np.asarray(originals.images[originals.ids.tolist().index(stimulus)])
        np.testing.assert_array_equal(
            canvas, place_on_screen(picture, image_degrees=float(degrees), field_degrees=8.0)
        )


def test_pictures_of_one_name_in_several_folders_stay_apart_on_the_screen(
    planted: Callable[..., Recording], tmp_path: Path
) -> None:
    stimuli = planted(n_stimuli=3).stimuli
    paths = []
    for number in range(3):
        path = tmp_path / f"folder{number}" / "image.png"
        path.parent.mkdir()
        Image.fromarray(np.full((8, 8, 3), 80 * number, np.uint8)).save(path)
        paths.append(path)
    theirs = to_stimulus_set(replace(stimuli, images=ImageFiles(paths)))
    names = {Path(theirs.get_stimulus(each)).name for each in theirs["stimulus_id"]}
    assert len(names) == 3


def test_a_column_of_degrees_does_not_stop_the_screen(planted: Callable[..., Recording]) -> None:
    recording = planted(n_stimuli=5, n_repetitions=2, n_bins=1, start=100)
    table: pd.DataFrame = recording.stimuli.table.assign(degrees=4.0)
    told = replace(recording, stimuli=replace(recording.stimuli, table=table))
    model = NeurofitBrainModel(create_model("rgc_tiny"))
    np.testing.assert_array_equal(seen_at(4.0, told, model), seen_at(4.0, recording, model))

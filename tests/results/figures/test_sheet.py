"""The sheet of a recording shows the values that were read, and can be drawn for any recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.recordings.recording import Recording
from neurofit.recordings.reliability import half_correlations
from neurofit.recordings.stimuli import NoImages, StimulusSet
from neurofit.results.figures import save
from neurofit.results.figures.sheet import recording_sheet


def made(*, n_bins: int = 4, repetitions: int = 3, n_stimuli: int = 12) -> Recording:
    """Make a recording of two areas whose signal begins at 20 ms."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n_stimuli), repetitions)
    signal = rng.normal(size=(n_stimuli, 5, 1)) * (np.arange(n_bins) >= 2)
    trials = signal[rows] + rng.normal(size=(len(rows), 5, n_bins)) + 10
    ids = np.array([f"s{number:02d}" for number in range(n_stimuli)])
    starts = 10 * np.arange(n_bins)
    responses = xr.DataArray(
        trials.astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids[rows]),
            "repetition": ("presentation", np.tile(np.arange(repetitions), n_stimuli)),
            "neuroid_id": ("neuroid", np.array(list("abcde"))),
            "region": ("neuroid", np.array(["IT", "IT", "IT", "V4", "V4"])),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
        attrs={"units": "spikes per second"},
    )
    pictures = rng.integers(0, 255, (n_stimuli, 16, 16, 3)).astype(np.uint8)
    stimuli = StimulusSet(
        name="made",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=pictures,
        visual_degrees=8.0,
        duration_ms=30.0,
    )
    return Recording(name="made", responses=responses, stimuli=stimuli)


def panels(figure: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for ax in figure.get_axes():
        found.setdefault(ax.get_ylabel(), []).append(ax)
    return found


def test_lines_are_the_medians_over_the_neuroids_of_each_area() -> None:
    recording = made()
    found = panels(recording_sheet(recording))
    for number, region in enumerate(("IT", "V4")):
        area = recording.select(region=region)
        (line,) = found["Response (spikes per second)"][number].get_lines()
        means = area.responses.values.astype(float).mean(axis=0)
        np.testing.assert_allclose(line.get_ydata(), np.median(means, axis=0))
        assert line.get_xdata().tolist() == [5, 15, 25, 35]
        drawn = found["Reliability"][number].get_lines()[0]
        truth = half_correlations(area, n_halves=5).reliability
        np.testing.assert_allclose(drawn.get_ydata(), np.median(truth, axis=0))


def test_the_raster_has_the_trials_of_the_most_reliable_neuroid_by_stimulus() -> None:
    recording = made()
    order = np.random.default_rng(1).permutation(36)  # as in an experiment
    recording = replace(recording, responses=recording.responses.isel(presentation=order))
    (ax, _) = panels(recording_sheet(recording))["Trial, by stimulus"]
    area = recording.select(region="IT")
    reliability = half_correlations(area, n_halves=5).reliability
    best = int(np.argmax(reliability.mean(axis=1)))
    assert ax.get_title(loc="left") == f"Neuroid {'abc'[best]}"
    (mesh,) = (each for each in ax.collections if hasattr(each, "get_coordinates"))
    by_stimulus = np.argsort(area.stimulus_rows, kind="stable")
    expected = area.responses.values[by_stimulus, best]
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(36, 4), expected)


def test_repetitions_and_pictures_are_those_of_the_stimuli() -> None:
    recording = made()
    figure = recording_sheet(recording)
    (ax,) = panels(figure)["Stimuli"]
    assert [patch.get_height() for patch in ax.patches] == [12]
    drawn = [ax for ax in figure.get_axes() if ax.images]
    pictures = {ax.get_title(loc="left"): ax.images[0].get_array() for ax in drawn}
    assert list(pictures) == recording.stimuli.ids.tolist()
    for index, picture in enumerate(pictures.values()):
        np.testing.assert_array_equal(picture, recording.stimuli.images[index])


@pytest.mark.parametrize(
    "changed",
    [
        made(n_bins=1),
        made(repetitions=1),
        made(n_stimuli=2),
        replace(made(), simulated=True),
        replace(made(), stimuli=replace(made().stimuli, images=NoImages(12, "There are none."))),
        replace(made(), responses=made().responses.where(made().responses.neuroid_id != "d")),
    ],
    ids=["one bin", "one trial", "two stimuli", "simulated", "no images", "missing neuroid"],
)
def test_any_recording_can_be_drawn(changed: Recording, tmp_path: Path) -> None:
    figure = recording_sheet(changed)
    save(figure, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    assert figure.get_suptitle() == "made" + " (SIMULATED)" * changed.simulated

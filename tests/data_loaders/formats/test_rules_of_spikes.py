"""Tables of spikes and raster folders follow the rules of time and identity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError, NeurofitWarning


def spikes_folder(folder: Path, times: np.ndarray, column: str = "time_ms", **more: Any) -> Path:
    """Write 10 spikes of each of 12 presentations of 3 stimuli, of two sites."""
    folder.mkdir(exist_ok=True)
    pd.DataFrame(
        {
            "neuroid_id": np.tile(["a", "b"], 60),
            "presentation": np.repeat(np.arange(12), 10),
            column: times,
        }
    ).to_csv(folder / "spikes.csv", index=False)
    pd.DataFrame(
        {"presentation": range(12), "stimulus_id": [f"s{i % 3}" for i in range(12)]}
    ).to_csv(folder / "presentations.csv", index=False)
    pd.DataFrame({"neuroid_id": ["a", "b"], "region": "IT"}).to_csv(
        folder / "neuroids.csv", index=False
    )
    return folder


TIMES_MS = np.random.default_rng(1).uniform(0, 300, 120).round(3)


@pytest.mark.parametrize(
    ("column", "scale"), [("time_s", 1e-3), ("time_us", 1e3), ("spike_time_us", 1e3)]
)
def test_spikes_are_counted_in_the_unit_of_their_column(
    tmp_path: Path, column: str, scale: float
) -> None:
    expected = open_recording(spikes_folder(tmp_path / "ms", TIMES_MS)).responses.values
    assert expected.sum() == 120
    found = open_recording(spikes_folder(tmp_path / "other", scale * TIMES_MS, column))
    np.testing.assert_array_equal(found.responses.values, expected)


def test_durations_of_parquet_are_counted_in_their_unit(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    expected = open_recording(spikes_folder(tmp_path / "ms", TIMES_MS)).responses.values
    folder = spikes_folder(tmp_path / "spans", TIMES_MS)
    table = pd.read_csv(folder / "spikes.csv")
    table["time_ms"] = pd.to_timedelta(table.time_ms, unit="ms")
    table.to_parquet(folder / "spikes.parquet")
    (folder / "spikes.csv").unlink()
    np.testing.assert_array_equal(open_recording(folder).responses.values, expected)


def test_spikes_in_seconds_that_are_called_ms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NeurofitError, match=r"120 spikes lie within 0\.299 ms .* seconds"):
        open_recording(spikes_folder(tmp_path, TIMES_MS / 1e3))


def test_spikes_of_the_clock_of_the_session_are_refused(tmp_path: Path) -> None:
    onsets = np.repeat(1000 * np.arange(12), 10)
    with pytest.raises(NeurofitError, match="each presentation has its spikes at times of its own"):
        open_recording(spikes_folder(tmp_path, onsets + TIMES_MS))


def test_units_numbered_in_each_session_may_not_be_the_same(tmp_path: Path) -> None:
    rows = [
        f"{unit},IT,s{stimulus},{trial},{5 * unit + trial},{session}"
        for session in ("one", "two")
        for unit in (1, 2)
        for stimulus in range(3)
        for trial in range(2)
    ]
    head = "neuroid_id,region,stimulus_id,repetition,time_ms,session\n"
    (tmp_path / "r.csv").write_text(head + "\n".join(rows))
    with pytest.warns(NeurofitWarning, match="Neuroids 1, 2 were recorded in several sessions"):
        open_recording(tmp_path / "r.csv")
    named = head + "\n".join(f"u{row}" for row in rows)
    (tmp_path / "r.csv").write_text(named)
    assert open_recording(tmp_path / "r.csv").responses.sizes["neuroid"] == 2


def test_whole_numbers_of_parquet_that_became_floats_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(
        {
            "neuroid_id": "a",
            "region": "IT",
            "stimulus_id": 2.0**60 + np.arange(4.0) * 4096,
            "repetition": 0,
            "time_ms": [1.0, 20.0, 30.0, 40.0],
        }
    )
    table.to_parquet(tmp_path / "r.parquet")
    with pytest.raises(NeurofitError, match=r"stimulus_id contains floats beyond 2\^53"):
        open_recording(tmp_path / "r.parquet")


def test_an_onset_outside_of_a_raster_is_refused(tmp_path: Path) -> None:
    raster = np.zeros((4, 100))
    labels = {"stimulus_ID": np.array(["a", "b", "a", "b"], dtype=object)}
    for onset in (0, 101):
        info = {"alignment_event_time": onset}
        held = {"raster_data": raster, "raster_labels": labels, "raster_site_info": info}
        scipy.io.savemat(tmp_path / "s1_raster_data.mat", held)
        (tmp_path / "recording.json").write_text(json.dumps({"region": "IT"}))
        with pytest.raises(NeurofitError, match="alignment_event_time lies outside of its trial"):
            open_recording(tmp_path)

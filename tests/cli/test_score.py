"""What `neurofit score` prints and writes."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

PNG = b"\x89PNG\r\n\x1a\n"

MODEL = ("score", "--model", "timedecay_tiny", "--recording", "small")
SCORE = (*MODEL, "--mapping", "ridge", "--region")

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "imnetds"]


def read(folder: Path) -> xr.Dataset:
    return xr.load_dataset(folder / "result.nc", engine="h5netcdf")


def test_score_says_what_it_does_and_writes_three_files(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    code, out, err = neurofit(*SCORE, "IT", "--out", "here")
    assert code == 0, err
    assert "timedecay_tiny (trained weights) against IT of small (SIMULATED)" in out
    assert "60 images, 480 presentations, 6 neuroids, 4 time bins in 70-110 ms" in out
    assert "pooled_r = sum_j X_j / sum_j sqrt(P_j Y_j), where X_j" in out
    assert "Written: here/result.nc, plot.png, summary.json" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    files = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert files == ["plot.png", "result.nc", "summary.json"]
    assert (tmp_path / "here" / "plot.png").read_bytes().startswith(PNG)
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    wanted = (
        "analysis model region recording simulated control selection config headline formulas "
        "series time_bins dims curve curve_low curve_high curve_band_low curve_band_high "
        "curve_one_sided ceiling n_neuroids intervals bands notes flags versions"
    )
    assert set(wanted.split()) <= set(summary)
    assert (summary["analysis"], summary["region"], summary["control"]) == ("score", "IT", "")
    assert summary["simulated"] is True
    assert summary["config"]["preset"] == "pooled"
    assert summary["config"]["time_mode"] == "per-bin"
    assert summary["config"]["seed"] == 0
    assert summary["series"] == {"layer": ["conv5"]}
    assert summary["time_bins"] == {"time_bin": [[70, 80], [80, 90], [90, 100], [100, 110]]}
    assert summary["formulas"]["curve"].startswith("pooled_r = ")
    result = read(tmp_path / "here")
    for name in ("curve", "curve_low", "curve_high", "curve_band_low", "curve_band_high"):
        values = np.array(summary[name], float)
        np.testing.assert_allclose(values, result[name].values[0])
    np.testing.assert_allclose(np.array(summary["ceiling"], float), result.ceiling.values)
    assert json.loads(result.attrs["activations"])["weights"] == "trained weights"
    assert len(result.attrs["splits_sha256"]) == 64
    assert len(result.attrs["halves_sha256"]) == 64


def test_the_table_prints_every_bin_asked_for(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    for asked, bins in (
        ((), ["70-80", "80-90", "90-100", "100-110"]),
        (("--bins", "70:110:20"), ["70-90", "90-110"]),
        (("--window", "80:100"), ["80-90", "90-100"]),
    ):
        few = ("--n-splits", "2", "--n-halves", "1")
        code, out, err = neurofit(*SCORE, "V4", *few, *asked, "--out", "here")
        assert code == 0, err
        assert "  2 splits x 1 halving: " in out
        lines = [line.split() for line in out.splitlines()]
        heading = next(i for i, line in enumerate(lines) if line[:2] == ["ms", "score"])
        rows = lines[heading + 1 : heading + 1 + len(bins)]
        assert [row[0] for row in rows] == bins
        result = read(tmp_path / "here")
        shown = ["-" if np.isnan(c) else f"{c:.2f}" for c in result.curve.values[0]]
        assert [row[1] for row in rows] == shown
        assert [row[-1] for row in rows] == [str(n) for n in result.n_neuroids.values[0]]
        assert not re.fullmatch(r"\d+-\d+", lines[heading + 1 + len(bins)][0])


def test_json_prints_the_summary_and_nothing_else(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    layers = ("--layers", "conv2,conv3")
    code, out, _ = neurofit(
        *SCORE, "V4", "--json", *layers, "--time-mode", "fixed", "--preset", "brainscore"
    )
    assert code == 0
    summary = json.loads(out)
    assert summary["series"] == {"layer": ["conv2", "conv3"]}
    assert summary["dims"]["curve"] == ["layer", "time_bin"]
    assert np.shape(summary["curve"]) == (2, 4)
    assert summary["formulas"]["curve"].startswith("explained_variance")
    assert summary["config"]["time_mode"] == "fixed"
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert json.loads((folder / "summary.json").read_text()) == summary


def test_kept_grams_are_used_listed_and_removed(
    neurofit: Any, registered: Any, own_home: Path
) -> None:
    call = (*SCORE, "V4", "--keep-grams")
    first, again = neurofit(*call), neurofit(*call)
    assert first[0] == again[0] == 0
    assert first[1].split("Written")[0] == again[1].split("Replaced")[0]
    assert "images through the model" in first[2]
    code, out, _ = neurofit("cache", "ls")
    assert code == 0
    assert "grams/" in out
    code, out, _ = neurofit("cache", "rm", "grams")
    assert code == 0
    assert out.startswith("Removed grams: ")
    code, _, error = neurofit("cache", "rm", "grams")
    assert (code, "Unknown cache entry 'grams'" in error) == (2, True)


def test_few_stimuli_are_said_to_be_why_nothing_is_reliable(
    neurofit: Any, registered: Any, evoked: Any
) -> None:
    recording = evoked()
    noise = np.random.default_rng(2).normal(0, 1, recording.responses.shape).astype(np.float32)
    registered(replace(recording, responses=recording.responses + noise))
    asked = "stimulus_id=" + ",".join(f"s{i}" for i in range(21))
    paper = (*SCORE, "V4", "--preset", "nayebi2022")
    code, out, _ = neurofit(*paper, "--stimuli", asked, "--out", "here")
    assert code == 0
    said = " ".join(out.split())
    assert (
        "The recording is not reliable: with 6 test stimuli, a ceiling above 0.5 can arise by "
        "chance." in said
    )
    assert "recording is not reliable" not in neurofit(*paper, "--out", "there")[1]


def test_all_layers_and_both_mappings_come_from_one_call(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    command = (*MODEL, "--region", "V4", "--layers", "all", "--mapping", "ridge,pls")
    code, out, err = neurofit(*command, "--window", "70:90", "--out", "here")
    assert code == 0, err
    assert max(len(line) for line in out.splitlines()) <= 80
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "plot.png",
        "result.nc",
        "summary.json",
    ]
    result = read(tmp_path / "here")
    assert result.layer.values.tolist() == LAYERS
    assert result.mapping.values.tolist() == ["ridge", "pls"]
    rows = [line.split() for line in out.splitlines()]
    for mapping in ("ridge", "pls"):
        table = [row for row in rows if row[:1] == [mapping] and row[1:2] != ["x"]]
        assert [row[1] for row in table] == LAYERS
        best = result.curve.sel(mapping=mapping).max("time_bin").values
        assert [row[2] for row in table] == ["-" if np.isnan(b) else f"{b:.2f}" for b in best]
        choices = result.layer_choice.sel(mapping=mapping)
        assert choices.dims == ("split",)
        assert len(choices) == 10
        assert set(choices.values.tolist()) <= set(LAYERS)
    assert "5,040 fits" in out  # 6 layers, 2 mappings, 2 bins, 10 splits, 1 + 2 x 10 target sets
    few = ("--window", "70:80", "--n-splits", "2", "--n-halves", "1")
    summary = json.loads(neurofit(*command, *few, "--json")[1])
    assert summary["series"]["mapping"] == ["ridge", "pls"]
    assert summary["dims"]["curve"] == ["mapping", "layer", "time_bin"]
    assert np.shape(summary["curve"]) == (2, 6, 1)


def test_missing_trials_and_what_the_interval_is_over_are_said(
    neurofit: Any, registered: Any, evoked: Any
) -> None:
    recording = evoked()
    responses = recording.responses.copy(deep=True)
    of_stimulus = np.flatnonzero(recording.stimulus_rows == 7)
    responses.values[of_stimulus, 0] = np.nan  # V4-0 has no trial of it, V4-1 one
    responses.values[of_stimulus[1:], 1] = np.nan
    registered(replace(recording, responses=responses))
    code, out, err = neurofit(*SCORE, "V4", "--out", "here")
    assert code == 0, err
    said = " ".join(out.split())
    assert "fewer than 2 valid trials are left out: 1 of 60 for 2 of 6 neuroids" in said
    assert "95% interval over neuroids and stimuli, for each time bin on its own." in said
    assert "95% band, for all time bins at once." in said
    assert max(len(line) for line in out.splitlines()) <= 80
    said = " ".join(neurofit(*SCORE, "V4", "--interval-over", "neuroids")[1].split())
    assert "95% interval over neuroids, for each" in said
    bootstrap = ("--interval-over", "neuroids", "--preset", "nayebi2022")
    said = " ".join(neurofit(*SCORE, "V4", *bootstrap)[1].split())
    assert "95%, 1000 bootstraps over neuroids." in said


def test_shuffled_stimuli_are_a_control_and_said_to_be(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    code, out, _ = neurofit(*SCORE, "V4", "--shuffle-stimuli", "--out", "here")
    assert code == 0
    assert "CONTROL: shuffled stimuli" in " ".join(out.split())
    assert read(tmp_path / "here").attrs["control"] == "shuffled stimuli"


def test_weights_in_the_home_are_scored_by_default(
    neurofit: Any, registered: Any, own_home: Path
) -> None:
    from neurofit.models import create_model, save_weights

    untrained = create_model("timedecay_tiny", weights="random", seed=3)
    save_weights(untrained, own_home / "weights" / "timedecay_tiny.safetensors")
    assert "timedecay_tiny (trained weights)" in neurofit(*SCORE, "V4")[1]
    random = neurofit(*SCORE, "V4", "--weights", "random")[1]
    assert "timedecay_tiny (random weights, seed 0)" in random
    seeded = neurofit(*SCORE, "V4", "--weights", "random", "--model-seed", "3")[1]
    assert "timedecay_tiny (random weights, seed 3)" in seeded


def test_debug_shows_the_traceback(neurofit: Any) -> None:
    code, _, err = neurofit("--debug", "describe", "nothing")
    assert code == 2
    assert "Traceback" in err


@pytest.mark.parametrize("measure", ["rsa", "cka"])
def test_a_similarity_is_run_by_its_name_and_printed(
    neurofit: Any, registered: Any, tmp_path: Path, measure: str
) -> None:
    call = ("analyse", "similarity", *MODEL[1:], "--region", "V4", "--measure", measure)
    code, out, err = neurofit(*call)
    assert code == 0, err
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert f"Written: {folder.relative_to(tmp_path)}/result.nc" in out
    result = read(folder)
    assert result.attrs["analysis"] == "similarity"
    assert result.similarity.dims == ("layer", "time_bin")
    for start, end in ((70, 80), (80, 90), (90, 100), (100, 110)):
        assert f"{start}-{end}" in out


def test_a_pattern_chooses_layers(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    few = ("--n-splits", "2", "--n-halves", "2")
    code, _, err = neurofit(*SCORE, "IT", *few, "--out", "here", "--layer", "conv[45]")
    assert code == 0, err
    assert read(tmp_path / "here").layer.values.tolist() == ["conv4", "conv5"]
    assert neurofit("verify", "here")[0] == 0
    code, _, err = neurofit(*SCORE, "IT", *few, "--layer=conv9*")
    assert code == 2
    assert err.startswith("Unknown layer of timedecay_tiny 'conv9*'. Did you mean 'conv")

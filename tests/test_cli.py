"""What a person types and sees: the command's output, its files, and one or two lines for everything that is wrong."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from neurofit.assemblies import Recording
from neurofit.models import create_model

Make = Callable[..., Recording]
PNG = b"\x89PNG\r\n\x1a\n"


SCORE = ("score", "--model", "timedecay_tiny", "--recording", "small", "--mapping", "ridge", "--region")


def test_score_says_what_it_does_and_writes_three_files(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    code, out, err = neurofit(*SCORE, "IT", "--out", "here")
    assert code == 0, err
    assert "timedecay_tiny (trained weights) against IT of small (SIMULATED)" in out
    assert "noise_corrected_r = r_xy / sqrt(r_xx * r_yy)" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["curve.png", "result.nc", "summary.json"]
    assert (tmp_path / "here" / "curve.png").read_bytes().startswith(PNG)
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    wanted = "model region recording simulated preset formula time_mode layer time_bins curve ceiling n_neuroids seed versions"
    assert set(wanted.split()) <= set(summary)
    assert summary["simulated"] is True
    assert summary["time_bins"] == [[70, 80], [80, 90], [90, 100], [100, 110]]
    result = xr.load_dataset(tmp_path / "here" / "result.nc", engine="h5netcdf")
    np.testing.assert_allclose(np.array(summary["curve"], float), result.curve.values[0])
    assert result.attrs["weights"] == "trained weights"
    assert len(result.attrs["splits_sha256"]) == 64


def test_json_prints_the_summary_and_nothing_else(neurofit: Any, registered: Any) -> None:
    code, out, _ = neurofit(*SCORE, "V4", "--json", "--layer", "conv2,conv3", "--time", "fixed", "--preset", "brainscore")
    assert code == 0
    summary = json.loads(out)
    assert summary["layer"] == ["conv2", "conv3"]
    assert set(summary["curve"]) == {"conv2", "conv3"}
    assert summary["formula"].startswith("explained_variance")
    assert summary["time_mode"] == "fixed"


def test_kept_grams_are_used_listed_and_removed(neurofit: Any, registered: Any, own_home: Path) -> None:
    call = ("score", "--model", "timedecay_tiny", "--region", "V4", "--recording", "small", "--mapping", "ridge", "--keep-grams")
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
    assert (code, "Unknown kept thing 'grams'" in error) == (2, True)


def test_the_default_folder_is_named_by_what_was_scored(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    code, out, _ = neurofit(*SCORE, "V4")
    assert code == 0
    assert "Written: neurofit-results/timedecay_tiny_V4_small/result.nc" in out
    assert "Replaced: neurofit-results/timedecay_tiny_V4_small/result.nc" in neurofit(*SCORE, "V4", "--reduce", "pca:5")[1]
    assert (tmp_path / "neurofit-results" / "timedecay_tiny_V4_small" / "summary.json").is_file()
    part = neurofit(*SCORE, "V4", "--bins", "70:110:20", "--stimuli", "stimulus_id=" + ",".join(f"s{i}" for i in range(50)))[1]
    name = re.findall(r"Written: neurofit-results/(timedecay_tiny_V4_small_70-110-20_stimulus_id=s0,s1,.*)/result.nc", part)
    assert len(name) == 1
    assert len(name[0]) == 120  # of which the end tells those apart that begin alike


def test_few_stimuli_are_said_to_be_why_nothing_is_reliable(neurofit: Any, registered: Any, evoked: Any) -> None:
    recording = evoked()
    noise = np.random.default_rng(2).normal(0, 1, recording.responses.shape).astype(np.float32)
    registered(replace(recording, responses=recording.responses + noise))
    asked = "stimulus_id=" + ",".join(f"s{i}" for i in range(21))
    code, out, _ = neurofit(*SCORE, "V4", "--stimuli", asked, "--out", "here")
    assert code == 0
    assert "none reliable: with 6 test stimuli, chance alone may give such a ceiling." in " ".join(out.split())
    assert "none reliable" not in neurofit(*SCORE, "V4", "--out", "there")[1]


def test_all_layers_and_both_mappings_come_from_one_call(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    command = ("score", "--model", "timedecay_tiny", "--recording", "small", "--region", "V4", "--layer", "all", "--mapping", "ridge,pls")
    code, out, err = neurofit(*command, "--window", "70:90", "--out", "here")
    assert code == 0, err
    assert max(len(line) for line in out.splitlines()) <= 80
    names = ["conv1", "conv2", "conv3", "conv4", "conv5", "imnetds"]
    for mapping in ("ridge", "pls"):
        folder = tmp_path / "here" / mapping
        assert sorted(p.name for p in folder.iterdir()) == ["curve.png", "result.nc", "summary.json"]
        result = xr.load_dataset(folder / "result.nc", engine="h5netcdf")
        assert (result.layer.values.tolist(), result.attrs["mapping"]) == (names, mapping)
        table = out.split(f"timedecay_tiny all layers against V4, {mapping}")[1].splitlines()[2:8]
        assert [line.split()[0] for line in table] == names
        best = result.curve.max("time_bin").values
        assert [line.split()[1] for line in table] == ["-" if np.isnan(b) else f"{b:.2f}" for b in best]
        choices = json.loads(result.attrs["layer_choice"])
        assert sum(int(line.split()[-3]) for line in table if line.endswith("of 10")) == len(choices) == 10
    assert "5,040 fits" in out  # 6 layers, 2 mappings, 2 bins, 10 splits, 1 + 2 x 10 target sets
    assert set(json.loads(neurofit(*command, "--window", "70:80", "--json")[1])) == {"ridge", "pls"}


def test_missing_trials_and_what_the_interval_is_over_are_said(neurofit: Any, registered: Any, evoked: Any) -> None:
    recording = evoked()
    responses = recording.responses.copy(deep=True)
    of_stimulus = np.flatnonzero(recording.stimulus_rows == 7)
    responses.values[of_stimulus, 0] = np.nan  # V4-0 has no trial of it, V4-1 one
    responses.values[of_stimulus[1:], 1] = np.nan
    registered(replace(recording, responses=responses))
    code, out, err = neurofit(*SCORE, "V4", "--bootstrap-over", "both", "--out", "here")
    assert code == 0, err
    assert "2 neuroids are left out in some time bin, 0 in some trial halves" in " ".join(out.split())
    assert "1000 bootstraps over neuroids and test stimuli" in " ".join(out.split())
    assert max(len(line) for line in out.splitlines()) <= 80


def test_shuffled_stimuli_are_a_control_and_said_to_be(neurofit: Any, registered: Any) -> None:
    code, out, _ = neurofit(*SCORE, "V4", "--shuffle-stimuli", "--out", "here")
    assert code == 0
    assert "CONTROL: stimuli shuffled" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "--model", "rgc_tinny", "--region", "V4"), "Unknown model 'rgc_tinny'. Did you mean 'rgc_tiny'?"),
        ((*SCORE, "V5"), "Unknown region"),
        ((*SCORE, "V4", "--layer", "conv33"), "Did you mean 'conv3'?"),
        ((*SCORE, "V4", "--preset", "nayebi22"), "Unknown preset 'nayebi22'. Did you mean 'nayebi2022'?"),
        ((*SCORE, "V4", "--mapping", "rigde"), "Did you mean 'ridge'?"),
        ((*SCORE, "V4", "--bootstrap-over", "stimulus"), "Did you mean 'stimuli'?"),
        ((*SCORE, "V4", "--time", "perbin"), "Did you mean 'per-bin'?"),
        ((*SCORE, "V4", "--window", "70-260"), "--window takes START:END in ms"),
        ((*SCORE, "V4", "--window", "500:600"), "No time bin of small lies inside 500-600 ms; it has 70-110 ms."),
        ((*SCORE, "V4", "--presentation", "neurl"), "Did you mean 'neural'?"),
        ((*SCORE, "V4", "--weights", "none.safetensors"), "none.safetensors"),
        ((*SCORE, "V4", "--device", "tpu"), "Unknown device 'tpu'"),
        (("score", "--model", "rgc_tiny", "--region", "V4", "--recording", "cowley"), "Did you mean 'cowley2023'?"),
        (("list", "modles"), "Did you mean 'models'?"),
        (("describe", "hvmsim"), "Did you mean 'hvm-sim'?"),
        (("data", "get", "cowly2023"), "Did you mean 'cowley2023'?"),
        (("weights", "get", "rgc_shalow"), "Did you mean 'rgc_shallow'?"),
        (("weights", "get", "rgc_tiny"), "No weights of rgc_tiny are published."),
        (("weights", "get", "rgc_shallow", "--offline"), "downloads are off"),
        (("weights", "convert", "none", "--model", "rgc_shallow", "--out", "w"), "There is no checkpoint at none: none.index is missing."),
        (("weights", "convert", "none", "--model", "rgc_shalow", "--out", "w"), "Did you mean 'rgc_shallow'?"),
        (("score", "--region", "V4"), "--model"),
        (("scroe",), "scroe"),
    ],
)
def test_wrong_use_exits_with_2_in_one_or_two_lines(
    neurofit: Any, registered: Any, tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_OFFLINE", "")  # so that what --offline sets is taken back
    code, out, err = neurofit(*arguments)
    lines = [line for line in err.splitlines() if line.strip() and "━" not in line]
    assert code == 2, err
    assert message in err
    assert len(lines) <= 2, err
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


def faulty(recording: Recording, **changes: Any) -> Recording:
    return replace(recording, **changes)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda r: {"responses": r.responses.isel(time_bin=[0, 0, 2, 3])}, "occurs twice"),
        (lambda r: {"responses": r.responses.isel(time_bin=[1, 0, 2, 3])}, "comes after"),
        (lambda r: {"responses": r.responses.assign_coords(time_bin_end=("time_bin", [60, 90, 100, 110]))}, "no positive width"),
        (lambda r: {"responses": r.responses.assign_coords(stimulus_id=("presentation", np.full(480, "s99")))}, "not in the stimulus set"),
        (lambda r: {"responses": r.responses.isel(presentation=slice(0, 60))}, "one repetition only"),
        (lambda r: {"responses": r.responses.where(r.responses.neuroid_id != "V4-1")}, "NaN in every trial"),
        (lambda r: {"responses": r.responses.where(r.responses < 9, np.inf)}, "infinite"),
        (lambda r: {"responses": r.responses.rename(neuroid="site")}, "dims must be presentation, neuroid, time_bin"),
    ],
)  # fmt: skip
def test_a_faulty_recording_is_refused_with_position_and_repair(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path, break_it: Any, message: str
) -> None:
    recording = evoked()
    registered(replace(recording, **break_it(recording)))
    code, _, err = neurofit(*SCORE, "V4", "--out", "here")
    lines = [line for line in err.splitlines() if line.strip() and "━" not in line]
    assert code == 2, err
    assert message in err
    assert len(lines) <= 3, err
    assert not (tmp_path / "here").exists()


def test_a_missing_and_a_corrupt_image_are_named(neurofit: Any, registered: Any, evoked: Any, tmp_path: Path) -> None:
    from PIL import Image

    from neurofit.stimuli import ImageFiles

    recording = evoked()
    paths = [tmp_path.parent / f"{tmp_path.name}-{i}.png" for i in range(60)]
    for i, path in enumerate(paths):
        Image.fromarray(recording.stimuli.images[i]).save(path)
    registered(replace(recording, stimuli=replace(recording.stimuli, images=ImageFiles(paths))))
    paths[40].write_bytes(paths[40].read_bytes()[:60])
    code, _, err = neurofit(*SCORE, "V4", "--out", "here")
    assert (code, paths[40].name in err) == (2, True)
    paths[40].unlink()
    code, _, err = neurofit(*SCORE, "V4", "--out", "here")
    assert (code, "does not exist" in err) == (2, True)
    assert not list(tmp_path.glob("here/*"))


def test_an_unwritable_folder_is_refused_before_the_work(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = neurofit(*SCORE, "V4", "--out", "file/here")
    assert code == 2
    assert "Cannot write" in err
    assert "images through the model" not in err


def test_a_full_disk_exits_with_1_and_leaves_nothing_half_written(
    neurofit: Any, registered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: xr.Dataset, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    code, _, err = neurofit(*SCORE, "V4", "--out", "here")
    assert code == 1
    assert "No space left on the disk" in err
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("kind", ["models", "recordings", "cells", "presets", "images", "recipes"])
def test_lists_are_complete_and_80_columns_wide(neurofit: Any, kind: str) -> None:
    code, out, _ = neurofit("list", kind)
    assert code == 0
    known = {
        "models": "rgc_shallow",
        "recordings": "hvm-sim",
        "cells": "lstm",
        "presets": "brainscore",
        "images": "cifar10",
        "recipes": "cifar10-tiny",
    }
    assert known[kind] in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_an_equation_in_brackets_is_printed_as_it_stands(neurofit: Any) -> None:
    _, out, _ = neurofit("list", "cells")
    assert "[i; j; f; o] = LN(W * [x; h] + b)" in out


@pytest.mark.parametrize(("name", "said"), [("rgc_tiny", "219,482"), ("hvm-sim", "SIMULATED"), ("cowley2023", "V4")])
def test_describe_says_what_it_is(neurofit: Any, name: str, said: str) -> None:
    code, out, _ = neurofit("describe", name)
    assert code == 0
    assert said in out


def test_weights_are_brought_from_the_mirror_once(
    neurofit: Any, own_home: Path, shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(shared("golden/ckpt")))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "")
    code, _, err = neurofit("weights", "get", "simplernn_shallow", "--offline")
    assert code == 2, "this checkpoint has decays that are not 0 where they should"
    assert "3 not 0 (tnn_model/conv1/memory_decay" in err
    assert [path for path in own_home.rglob("*") if path.is_file()] == []
    assert "published" in row(neurofit("list", "models")[1], "simplernn_shallow")
    assert "published: neurofit weights get simplernn_shallow" in " ".join(neurofit("describe", "simplernn_shallow")[1].split())
    code, out, err = neurofit("weights", "get", "simplernn_shallow", "--offline", "--zero-fixed-decays")
    assert (code, err) == (0, "")
    assert str(own_home / "weights" / "simplernn_shallow.safetensors") in out
    assert [path.name for path in own_home.rglob("*") if path.is_file()] == ["simplernn_shallow.safetensors"]
    assert "here" in row(neurofit("list", "models")[1], "simplernn_shallow")


def row(table: str, name: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(f"{name} "))


def test_a_checkpoint_is_converted_to_a_file(neurofit: Any, shared: Callable[[str], Path], tmp_path: Path) -> None:
    command = ("weights", "convert", str(shared("golden/ckpt/simplernn_shallow") / "model.ckpt"), "--out", "w.safetensors", "--model")
    for model, message in (("simplernn_shallow", "--zero-fixed-decays"), ("lstm_shallow", "not those of lstm_shallow")):
        code, _, err = neurofit(*command, model)
        assert (code, message in err, len(err.splitlines()) <= 2) == (2, True, True)
        assert list(tmp_path.iterdir()) == []
    code, out, _ = neurofit(*command, "simplernn_shallow", "--zero-fixed-decays")
    assert code == 0
    assert "Taken as 0: tnn_model/conv1/memory_decay, tnn_model/conv2/memory_decay, tnn_model/imnetds/memory_decay." in out
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_in_the_home_are_scored_by_default(neurofit: Any, registered: Any, own_home: Path) -> None:
    from neurofit.models import create_model, save_weights

    save_weights(create_model("timedecay_tiny", seed=3), own_home / "weights" / "timedecay_tiny.safetensors")
    assert "timedecay_tiny (trained weights)" in neurofit(*SCORE, "V4")[1]
    assert "timedecay_tiny (random weights, seed 0)" in neurofit(*SCORE, "V4", "--weights", "random")[1]


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Make an image set of two classes, one reddish and one bluish."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("val", 4)):
        for colour, name in ((0, "red"), (2, "blue")):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for i in range(n):
                picture = rng.integers(0, 120, (40, 40, 3), dtype=np.uint8)
                picture[..., colour] += 120
                Image.fromarray(picture).save(tmp_path / "set" / part / name / f"{i}.png")
    return tmp_path / "set"


def test_a_model_is_trained_tested_and_resumed_from_the_command(neurofit: Any, class_folders: Path, tmp_path: Path) -> None:
    wanted = ("--model", "timedecay_tiny", "--data", f"folder:{class_folders}", "--input-size", "32")
    run = ("train", *wanted, "--epochs", "3", "--batch-size", "8", "--lr", "0.02", "--out", "run")
    code, out, _ = neurofit(*run)
    assert code == 0
    assert "folder:set, 24 images of 2 classes" in out
    assert "images/s and" in out
    assert "of 8 test images" in out
    assert "timestep" in out
    assert max(len(line) for line in out.splitlines() if "set" not in line and "Written" not in line) <= 80
    weights = tmp_path / "run" / "timedecay_tiny.safetensors"
    assert str(weights.name) in out

    code, out, _ = neurofit("eval", *wanted, "--weights", str(weights), "--json")
    assert code == 0
    with open(tmp_path / "run" / "metrics.csv") as file:
        last = file.read().splitlines()[-1].split(",")
    assert json.loads(out)["top1"] == pytest.approx(float(last[5]))
    assert set(json.loads(out)["by_timestep"]) == {str(step) for step in range(6, 10)}

    trained = create_model("timedecay_tiny", pretrained=weights)  # with the size and the classes that it was trained with
    assert (trained.input_size, trained.shapes["imnetds"]) == (32, (2, 1, 1))
    assert neurofit("eval", *wanted[:4], "--weights", str(weights), "--json")[1] == out

    code, _, error = neurofit(*run)
    assert (code, "holds a run already" in error) == (2, True)
    code, _, error = neurofit(*run, "--resume", "--seed", "4")
    assert (code, "is of another run: seed 0, now 4" in error) == (2, True)
    assert neurofit(*run, "--resume")[0] == 0


def test_what_cannot_be_trained_is_refused(neurofit: Any) -> None:
    for wrong, said in (
        (("--model", "rgc_tiny", "--data", "cifar"), "Did you mean 'cifar10'"),
        (("--model", "rgc_tiny", "--data", "folder:nowhere"), "no folder train in nowhere"),
        (("--model", "rgc_tiny", "--data", "cifar10", "--recipe", "cifar"), "Did you mean 'cifar10-tiny'"),
    ):
        code, _, error = neurofit("train", *wrong, "--out", "run")
        assert (code, said in error) == (2, True), error


def test_every_command_has_help_with_an_example(neurofit: Any) -> None:
    for command in (("score",), ("list",), ("describe",), ("data", "get"), ("weights", "get"), ("weights", "convert")):
        code, out, _ = neurofit(*command, "--help")
        assert code == 0
        assert "Example: neurofit" in out


def test_help_does_not_wait_for_torch() -> None:
    program = """
import sys
from neurofit.cli import main
sys.argv = ["neurofit", "--help"]
try:
    main()
except SystemExit:
    pass
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env={**os.environ, "COLUMNS": "80"})


def test_debug_shows_the_traceback(neurofit: Any) -> None:
    code, _, err = neurofit("--debug", "describe", "nothing")
    assert code == 2
    assert "Traceback" in err

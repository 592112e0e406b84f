"""One or two lines for everything that is wrong, and nothing written."""

import errno
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from neurofit import data_loaders
from neurofit.data_loaders import write_recording
from neurofit.recordings.stimuli import ImageFiles

MODEL = ("score", "--model", "timedecay_tiny", "--recording", "small")
V4 = (*MODEL, "--mapping", "ridge", "--region", "V4")
CONVERT = ("weights", "convert", "none", "--out", "w", "--model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("score", "--model", "rgc_tinny", "--region", "V4"),
            "Unknown model 'rgc_tinny'. Did you mean 'rgc_tiny'?",
        ),
        ((*MODEL, "--region", "V5"), "Unknown region"),
        (MODEL, "Name the region to analyse: small has IT, V4."),
        ((*V4, "--layers", "conv33"), "Did you mean 'conv3'?"),
        ((*V4, "--preset", "nayebi22"), "Unknown preset 'nayebi22'. Did you mean 'nayebi2022'?"),
        ((*V4[:-4], "--region", "V4", "--mapping", "rigde"), "Did you mean 'ridge'?"),
        ((*V4, "--interval-over", "stimulus"), "Did you mean 'stimuli'?"),
        ((*V4, "--time-mode", "perbin"), "Did you mean 'per-bin'?"),
        ((*V4, "--ridge-select", "lo"), "Did you mean 'loo'?"),
        ((*V4, "--pls-n-components", "5"), "--pls-n-components is an option of the mapping pls"),
        (
            (*V4, "--preset", "mouse", "--min-z", "2"),
            "--min-z has an effect only with formula 'pooled_r'; got formula 'noise_corrected_r'.",
        ),
        (
            (*V4, "--intercept", "shared"),
            "--intercept has an effect only with time_mode 'fixed'; got time_mode 'per-bin'.",
        ),
        ((*V4, "--jackknife", "1"), "--jackknife must be 0 or at least 2; got 1."),
        ((*V4, "--groups", "stimulus"), "Did you mean 'stimulus_id'?"),
        ((*V4, "--n-splits", "many"), "--n-splits takes a whole number; got 'many'."),
        (
            (*V4, "--window", "500:600"),
            "No time bin of small lies inside 500-600 ms; it has 70-110 ms.",
        ),
        ((*V4, "--presentation", "neurl"), "Did you mean 'neural'?"),
        ((*V4, "--weights", "none.safetensors"), "none.safetensors"),
        ((*V4, "--device", "tpu"), "Unknown device 'tpu'"),
        (
            ("score", "--model", "rgc_tiny", "--region", "V4", "--recording", "cowley"),
            "Did you mean 'cowley2023'?",
        ),
        (("analyse", "similarty"), "Did you mean 'similarity'?"),
        (("list", "modles"), "Did you mean 'models'?"),
        (("describe", "hvmsim"), "Did you mean 'hvm-sim'?"),
        (("data", "get", "cowly2023"), "Did you mean 'cowley2023'?"),
        (("weights", "get", "rgc_shalow"), "Did you mean 'rgc_shallow'?"),
        (("weights", "get", "rgc_tiny"), "No weights of rgc_tiny are published."),
        (("weights", "get", "rgc_shallow", "--offline"), "downloads are off"),
        ((*CONVERT, "rgc_shallow"), "Checkpoint none not found: none.index is missing."),
        ((*CONVERT, "rgc_shalow"), "Did you mean 'rgc_shallow'?"),
        (("score", "--region", "V4"), "score needs a model: name one (neurofit list models)."),
        (("scroe",), "scroe"),
        (("--plugin", "none.py", "list", "models"), "'none.py' does not exist"),
    ],
)
def test_wrong_use_exits_with_2_in_one_or_two_lines(
    neurofit: Any,
    registered: Any,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEUROFIT_OFFLINE", "")  # so that what --offline sets is taken back
    code, out, err = neurofit(*arguments)
    lines = [line for line in err.splitlines() if line.strip() and "━" not in line]
    assert code == 2, err
    assert message in err
    assert len(lines) <= 2, err
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


PLS = (*MODEL, "--region", "V4", "--mapping", "pls")
TRAIN = ("train", "--model", "rgc_tiny", "--data", "none", "--out", "run")


@pytest.mark.parametrize(
    "command",
    [
        ("score", "--recording", "small", "--region", "V4"),
        ("analyse", "similarity", "--recording", "small", "--region", "V4"),
        ("extract", "--recording", "small", "--out", "features.nc"),
        ("eval", "--data", "cifar10"),
    ],
)
def test_weights_that_nobody_has_published_are_refused_at_every_door(
    command: tuple[str, ...],
    neurofit: Any,
    registered: Any,
    evoked: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered(evoked())
    monkeypatch.setattr(data_loaders, "load_images", lambda name: SimpleNamespace(classes="ab"))
    code, out, err = neurofit(*command, "--model", "feedforward_wide_5layer_32")
    assert (code, out) == (2, "")
    assert err == (
        "Nobody has published weights of feedforward_wide_5layer_32. Train it with "
        "`neurofit train --model feedforward_wide_5layer_32 ...`,\n"
        "give a file by --weights FILE, or ask for --weights random.\n"
    )


def test_a_sweep_says_which_weights_nobody_has_published(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path, own_home: Path
) -> None:
    write_recording(evoked(), tmp_path / "small.nc")
    (tmp_path / "study.toml").write_text(
        'models = ["gru_5layer_32"]\nrecordings = ["small.nc"]\nregions = ["V4"]\n'
        'windows = ["80:100"]\n[options]\nn_splits = 2\nn_halves = 2\n'
    )
    for options in (("--dry-run",), ("--workers", "1")):
        code, out, err = neurofit("sweep", "study.toml", *options)
        assert "Nobody has published weights of gru_5layer_32." in " ".join((out + err).split())
    assert code != 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*V4, "--n-splits", "0"), "--n-splits must be at least 1; got 0."),
        ((*V4, "--train-size", "2"), "--train-size must lie between 0 and 1; got 2.0."),
        ((*V4, "--model-seed", "-1"), "--model-seed must be at least 0; got -1."),
        ((*V4, "--n-jobs", "0"), "--n-jobs must be at least 1; got 0."),
        ((*V4, "--window", "70-260"), "--window takes START:END in ms, such as 70:260; "),
        ((*V4, "--window", "260:70"), "--window is (start, end) in whole ms, "),
        ((*V4, "--bins", "70-260"), "--bins takes START:END:WIDTH in ms, "),
        ((*V4, "--stimuli", "none"), "--stimuli takes COLUMN=VALUE,VALUE or a file "),
        ((*V4, "--layers", ","), "--layers must name each layer once; got ()."),
        ((*V4, "--false-discovery-rate", "0"), "--false-discovery-rate must lie between "),
        ((*V4, "--no-fit-halves"), "--fit-halves must be on for pooled_r, "),
        ((*V4, "--splits", "folds-together"), "pooled_r needs correlations of each fold: give --s"),
        ((*V4, "--interval-over", "stimulus"), "Unknown --interval-over 'stimulus'. "),
        ((*V4, "--exclude-trials", "20"), '--exclude-trials takes "z>N", such as '),
        ((*V4, "--ridge-select", "lo"), "Unknown --ridge-select 'lo'. Did you mean 'loo'?"),
        ((*PLS, "--pls-n-components", "0"), "--pls-n-components must be at least 1; got 0."),
        (("ceiling", "--interval", "95"), "--interval must lie between 0 and 1; got 95.0."),
        (("analyse", "similarity", "--n-groups", "2"), "--n-groups must be at least 3; got 2."),
        (("check", "small", "--time-bin", "70"), "--time-bin takes START:END in ms, "),
        (("data", "convert", "small", "x.nc", "--window", "9"), "--window takes START:END "),
        ((*TRAIN, "--lr", "-1"), "--lr must be finite and not negative; got -1.0."),
        ((*TRAIN, "--batch-size", "9", "--accumulate", "2"), "--batch-size must be a multiple "),
    ],
)
def test_an_option_is_named_as_it_is_typed(
    neurofit: Any, registered: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = neurofit(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message), err
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_is_no_option_stays_as_it_is(neurofit: Any, registered: Any) -> None:
    assert neurofit(*MODEL, "--region", "V5")[2].startswith("Unknown region of small 'V5'.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.isel(time_bin=[0, 0, 2, 3]), "occurs twice"),
        (lambda r: r.isel(time_bin=[1, 0, 2, 3]), "comes after"),
        (
            lambda r: r.assign_coords(time_bin_end=("time_bin", [60, 90, 100, 110])),
            "no positive width",
        ),
        (
            lambda r: r.assign_coords(
                stimulus_id=r.stimulus_id.where(r.stimulus_id != "s0", "s99")
            ),
            "not in the stimulus set",
        ),
        (lambda r: r.isel(presentation=slice(0, 60)), "has only one repetition"),
        (lambda r: r.where(r.neuroid_id != "V4-1"), "NaN in every trial"),
        (lambda r: r.where(r < 9, np.inf), "infinite"),
        (lambda r: r.rename(neuroid="site"), "dims must be presentation, neuroid, time_bin"),
    ],
)
def test_a_faulty_recording_is_refused_with_position_and_repair(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path, change: Any, message: str
) -> None:
    recording = evoked()
    registered(replace(recording, responses=change(recording.responses)))
    code, _, err = neurofit(*V4, "--out", "here")
    lines = [line for line in err.splitlines() if line.strip() and "━" not in line]
    assert code == 2, err
    assert message in err
    assert len(lines) <= 3, err
    assert not (tmp_path / "here").exists()


def test_a_missing_and_a_corrupt_image_are_named(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path
) -> None:
    recording = evoked()
    paths = [tmp_path.parent / f"{tmp_path.name}-{i}.png" for i in range(60)]
    for i, path in enumerate(paths):
        Image.fromarray(recording.stimuli.images[i]).save(path)
    registered(replace(recording, stimuli=replace(recording.stimuli, images=ImageFiles(paths))))
    paths[40].write_bytes(paths[40].read_bytes()[:60])
    code, _, err = neurofit(*V4, "--out", "here")
    assert (code, paths[40].name in err) == (2, True)
    paths[40].unlink()
    code, _, err = neurofit(*V4, "--out", "here")
    assert (code, "does not exist" in err) == (2, True)
    assert not list(tmp_path.glob("here/*"))


def test_an_unwritable_folder_is_refused_before_the_work(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = neurofit(*V4, "--out", "file/here")
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
    code, _, err = neurofit(*V4, "--out", "here")
    assert code == 1
    assert "No space left on the disk" in err
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--weights", ""),
            '--weights is "auto", "random" or the path of a .safetensors file; got',
        ),
        (("--seed", "-1"), "--seed must be at least 0; got -1."),
        (("--n-halves", "1e9"), "--n-halves takes a whole number; got '1e9'."),
        (("--interval", "nan"), "--interval must lie between 0 and 1; got nan."),
        (("--min-z", "nan"), "--min-z must be at least 0; got nan."),
        (("--memory", "nan"), "--memory must be above 0; got nan."),
    ],
)
def test_numbers_that_are_none_are_refused(
    neurofit: Any, registered: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = neurofit(*V4, *arguments, "--out", "here")
    assert (code, out) == (2, ""), err
    assert message in err
    assert len(err.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["start", "end"])
def test_time_bins_without_a_time_are_refused(
    neurofit: Any, registered: Any, evoked: Any, end: str
) -> None:
    recording = evoked()
    times = recording.responses[f"time_bin_{end}"].values.astype(float)
    times[1] = np.nan
    bins = {f"time_bin_{end}": ("time_bin", times)}
    registered(replace(recording, responses=recording.responses.assign_coords(bins)))
    code, out, err = neurofit(*V4, "--out", "here")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) <= 2, err


@pytest.mark.parametrize("card", ["{", "[]", '{"input_size": "x"}', '{"top1": null}', "[" * 9999])
def test_a_damaged_training_card_is_refused(
    neurofit: Any, registered: Any, tmp_path: Path, card: str
) -> None:
    from neurofit.models import create_model, save_weights

    path = tmp_path / "w.safetensors"
    save_weights(create_model("timedecay_tiny"), path, metadata={"training": card})
    code, out, err = neurofit(*V4, "--weights", str(path), "--out", "here")
    assert (code, out) == (2, ""), err
    assert "training card" in err
    assert len(err.splitlines()) <= 2

"""`neurofit train` and `neurofit eval`."""

import json
import shutil
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurofit.models import create_model
from neurofit.training.config import TrainConfig


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


def test_a_model_is_trained_tested_and_resumed_from_the_command(
    neurofit: Any, class_folders: Path, tmp_path: Path
) -> None:
    data = ("--data", f"folder:{class_folders}", "--input-size", "32")
    wanted = ("--model", "timedecay_tiny", *data)
    run = ("train", *wanted, "--epochs", "3", "--batch-size", "8", "--lr", "0.02", "--out", "run")
    code, first, _ = neurofit(*run)
    out = first
    assert code == 0
    assert "folder:set, 24 images of 2 classes" in out
    assert "images/s and" in out
    assert "of 8 test images" in out
    assert "timestep" in out
    lines = [line for line in out.splitlines() if "set" not in line and "Weights" not in line]
    assert max(map(len, lines)) <= 80
    weights = tmp_path / "run" / "timedecay_tiny.safetensors"
    assert str(weights.name) in out

    code, out, _ = neurofit("eval", *wanted, "--weights", str(weights), "--json")
    assert code == 0
    last = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert json.loads(out)["top1"] == pytest.approx(float(last[5]))
    assert set(json.loads(out)["by_timestep"]) == {str(step) for step in range(6, 10)}

    # with the size and the classes that it was trained with
    trained = create_model("timedecay_tiny", weights=weights)
    assert (trained.input_size, trained.shapes["imnetds"]) == (32, (2, 1, 1))
    assert neurofit("eval", *wanted[:4], "--weights", str(weights), "--json")[1] == out

    code, _, error = neurofit(*run)
    assert (code, "already contains a run: resume it" in error) == (2, True)
    code, _, error = neurofit(*run, "--resume", "--seed", "4")
    assert (code, "belongs to another run: seed 0, now 4" in error) == (2, True)
    before = weights.read_bytes()
    for resume in (("--resume",), ("--resume", "auto"), ("--resume=auto",)):
        code, again, _ = neurofit(*run, *resume)
        assert code == 0
        assert "finished: 9 steps are done" in again
        assert again[again.index("top-1") :] == first[first.index("top-1") :]
    assert weights.read_bytes() == before
    Image.new("RGB", (40, 40)).save(class_folders / "train" / "red" / "3.png")
    code, _, error = neurofit(*run, "--resume", "auto")
    assert code == 2
    assert "belongs to another run: other images: train images of folder:set differ" in error


def test_a_run_starts_with_auto_and_goes_on(
    neurofit: Any, class_folders: Path, tmp_path: Path
) -> None:
    run = (
        *("train", "--model", "timedecay_tiny", "--data", f"folder:{class_folders}"),
        *("--input-size", "32", "--batch-size", "8", "--save-steps", "2", "--epochs", "1"),
        *("--resume", "auto", "--out", "run"),
    )
    code, out, _ = neurofit(*run)
    assert (code, "steps are done" in out) == (0, False)
    moved = class_folders.rename(tmp_path / "moved")
    assert neurofit(*(each.replace(str(class_folders), str(moved)) for each in run))[0] == 0
    steps = [line.split(",")[0] for line in Path("run/metrics.csv").read_text().splitlines()]
    assert steps == ["step", "2", "3"]
    code, _, error = neurofit(*(each.replace("auto", "always") for each in run))
    assert (code, error) == (2, "--resume is given alone or with auto; got 'always'.\n")


def test_every_field_of_the_configuration_is_an_option(
    neurofit: Any, class_folders: Path, tmp_path: Path
) -> None:
    given = {
        "recipe": "imagenet-intermediate",
        "epochs": 1,
        "batch_size": 8,
        "lr": 0.01,
        "schedule": "step",
        "milestones": [0.25, 0.5],
        "warmup_epochs": 0.5,
        "momentum": 0.8,
        "weight_decay": 0.5,
        "clip": None,
        "label_smoothing": 0.1,
        "loss": "all",
        "ema": 0.9,
        "accumulate": 2,
        "recompute": False,
        "precision": "float32",
        "compile": False,
        "presentation": "neural",
        "durations": [12, 20],
        "seed": 3,
        "evaluate_epochs": 2,
        "save_steps": 7,
        "n_workers": 1,
        "max_unreadable": 0.5,
    }
    assert set(given) == {each.name for each in fields(TrainConfig)}
    flags: list[str] = []
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-"))
        else:
            text = "none" if value is None else str(value).strip("[]").replace(" ", "")
            flags += [flag, text]
    model = ("--model", "timedecay_tiny", "--data", f"folder:{class_folders}", "--input-size", "32")
    assert neurofit("train", *model, *flags, "--out", "run")[0] == 0
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {name: record[name] for name in given} == given


def test_what_would_take_all_memory_or_time_is_refused_at_once(
    neurofit: Any, class_folders: Path
) -> None:
    run = ("train", "--model", "rgc_tiny", "--data", f"folder:{class_folders}", "--out", "run")
    begun = time.monotonic()
    for flags, said in (
        (("--batch-size", "100000"), "--batch-size must be from 1 to the number of training"),
        (("--batch-size", "24", "--input-size", "100000"), "Reduce --batch-size or input_size"),
        (("--epochs", "1000000000"), "--epochs must be at most 100,000; got 1,000,000,000."),
        (("--n-workers", "10000"), "--n-workers must be at most 256; got 10,000."),
        (("--accumulate", "1000000000"), "must be a multiple of accumulate, 1000000000; got 128"),
        (("--save-steps", "0"), "--save-steps must be at least 1; got 0."),
        (("--clip", "much"), "--clip takes NUMBER|none; got 'much'."),
        (("--clip", "nan"), "--clip must be above 0; got nan."),
        (("--milestones", "0.1,half"), "--milestones takes FRACTION,...; got '0.1,half'."),
        (("--label-smoothing", "3"), "--label-smoothing must be at least 0 and below 1"),
        (("--seed", "99999999999"), "--seed must be at least 0 and below 4.29497e+09"),
        (("--presentation", "films", "--batch-size", "8"), "Unknown presentation of rgc_tiny"),
    ):
        code, _, error = neurofit(*run, *flags)
        assert (code, said in error) == (2, True), error
        assert len(error.splitlines()) <= 2
        assert not Path("run").exists()
    assert time.monotonic() - begun < 60


def test_files_of_others_in_the_folder_are_refused(neurofit: Any, class_folders: Path) -> None:
    Path("run").mkdir()
    Path("run/config.json").write_text("mine")
    data = ("--data", f"folder:{class_folders}", "--batch-size", "8", "--input-size", "32")
    code, _, error = neurofit("train", "--model", "timedecay_tiny", *data, "--out", "run")
    assert (code, "run/config.json was not written by neurofit" in error) == (2, True)
    assert [path.name for path in Path("run").iterdir()] == ["config.json"]


def test_eval_refuses_numbers_of_images_that_are_none(neurofit: Any, class_folders: Path) -> None:
    data = ("--data", f"folder:{class_folders}")
    model = ("--model", "timedecay_tiny", "--weights", "random")
    code, _, error = neurofit("eval", *model, *data, "--input-size", "100000")
    assert (code, "A batch needs about" in error) == (2, True)
    assert error.endswith("are free. Reduce --batch-size or input_size.\n")
    for *wrong, said in (
        ("--first", "0", "--first must be at least 1 image; got 0."),
        ("--first", "-3", "--first must be at least 1 image; got -3."),
        ("--batch-size", "0", "--batch-size must be at least 1; got 0."),
    ):
        code, _, error = neurofit("eval", *model, *data, *wrong)
        assert (code, error) == (2, f"{said}\n")


def test_a_network_of_ones_own_is_tested(
    neurofit: Any, class_folders: Path, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Reddish(nn.Module):\n"
        "    def forward(self, images):\n        mean = images.mean(dim=(2, 3))\n"
        "        return {'logits': mean[:, [2, 0]], 'other': images}  # blue comes before red\n\n\n"
        "def make():\n    return nn.Sequential(nn.Identity(), Reddish())\n"
    )
    data = ("--data", f"folder:{class_folders}")
    code, out, err = neurofit("eval", "--model", "nets.py:make?input_size=32", *data, "--json")
    assert (code, err.splitlines()[0]) == (0, "Note: running nets.py (--model).")
    assert json.loads(out)["top1"] == 1
    (class_folders / "train" / "green").mkdir()
    shutil.copy(class_folders / "train" / "red" / "0.png", class_folders / "train" / "green")
    (class_folders / "val" / "green").mkdir()
    shutil.copy(class_folders / "val" / "red" / "0.png", class_folders / "val" / "green")
    code, _, err = neurofit("eval", "--model", "nets.py:make?input_size=32", *data)
    assert code == 2
    assert "returns (2,) for each image, not logits of 3 classes" in err


def test_what_cannot_be_trained_is_refused(neurofit: Any) -> None:
    for wrong, said in (
        (("--model", "rgc_tiny", "--data", "cifar"), "Did you mean 'cifar10'"),
        (("--model", "rgc_tiny", "--data", "folder:nowhere"), "no folder train in nowhere"),
        (
            ("--model", "rgc_tiny", "--data", "cifar10", "--recipe", "cifar"),
            "Did you mean 'cifar10-tiny'",
        ),
    ):
        code, _, error = neurofit("train", *wrong, "--out", "run")
        assert (code, said in error) == (2, True), error


def test_hyperparameters_are_chosen_on_held_out_training_images(
    neurofit: Any, class_folders: Path, tmp_path: Path
) -> None:
    run = (
        *("train", "--model", "feedforward_tiny", "--data", f"folder:{class_folders}"),
        *("--epochs", "1", "--batch-size", "8", "--out", "run", "--clip", "none"),
        *("--durations", "7,10", "--decoder", "random_time"),
    )
    code, out, _ = neurofit(*run, "--validation", "6")
    assert code == 0
    assert "18 images of 2 classes" in out
    assert "of 6 test images" in out
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["data"] == "folder:set, validation on the last 6 training images"
    assert (record["clip"], record["durations"], record["n_train"]) == (None, [7, 10], 18)
    assert (record["decoder"], record["unroll"]) == ("random_time", "biological")
    code, _, error = neurofit(*run[:-1], "last", "--resume", "--validation", "6")
    assert code == 2
    assert "decoder 'random_time', now 'last'" in error
    code, _, error = neurofit(*run, "--validation", "24")
    assert code == 2
    assert "--validation must be from 1 to 23 of the 24 training images; got 24" in error

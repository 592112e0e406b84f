"""`neurofit train` and `neurofit eval`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurofit.models import create_model


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
    code, out, _ = neurofit(*run)
    assert code == 0
    assert "folder:set, 24 images of 2 classes" in out
    assert "images/s and" in out
    assert "of 8 test images" in out
    assert "timestep" in out
    lines = [line for line in out.splitlines() if "set" not in line and "Written" not in line]
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
    assert neurofit(*run, "--resume")[0] == 0


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

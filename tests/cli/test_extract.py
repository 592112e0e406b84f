"""`neurofit extract` writes what a model computes for each image at each timestep."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from neurofit.activations.presentation import Presentation
from neurofit.models import create_model
from neurofit.recordings.recording import Recording

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write five images of noise, one in a folder of its own."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.png", "c.png", "more/d.png", "e.png"):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_features_are_those_of_the_unrolled_model(
    photos: Path, tmp_path: Path, neurofit: Run
) -> None:
    file = tmp_path / "out" / "features.nc"
    code, out, err = neurofit(
        *("extract", "--model", "rgc_tiny", "--images", str(photos), "--out", str(file)),
        *("--layer", "conv3,conv5", "--duration-ms", "50", "--batch-size", "2"),
    )
    assert code == 0, err
    assert "26 timesteps" in out
    assert f"Written: {file}" in out
    model = create_model("rgc_tiny").eval()
    names = ["a.png", "b.png", "c.png", "e.png", "more/d.png"]
    images = np.stack([np.asarray(Image.open(photos / name)) for name in names])
    shown = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with xr.open_dataset(file, engine="h5netcdf") as features, torch.no_grad():
        assert features.stimulus.values.tolist() == names
        assert features.timestep.values.tolist() == list(range(0, 260, 10))
        assert features.timestep.attrs["units"] == "ms"
        assert features.time_end.values[-1] == 260
        assert features.attrs["model"] == "rgc_tiny"
        made = json.loads(features.attrs["activations"])
        assert made["presentation"]["image_off"] == 5
        assert len(made["weights_sha256"]) == 64
        assert "8 degrees (assumed)" in made["screen"]["image"]
        assert set(features.data_vars) == {"conv3", "conv5"}
        assert set(features.coords) == {"stimulus", "timestep", "time_end"}
        for step, expected in model.unroll(shown, Presentation(n_timesteps=26, image_off=5)):
            for layer in ("conv3", "conv5"):
                np.testing.assert_allclose(
                    features[layer].values[step], expected[layer].flatten(1), rtol=1e-5, atol=1e-5
                )


def test_features_are_selected_by_image_and_time_and_have_the_shape_of_the_layer(
    photos: Path, tmp_path: Path, neurofit: Run, repository: Path
) -> None:
    file = tmp_path / "features.nc"
    options = ("--images", str(photos), "--out", str(file), "--layer", "conv3,conv5")
    assert neurofit("extract", "--model", "timedecay_tiny", *options)[0] == 0
    model = create_model("timedecay_tiny").eval()
    shown = torch.from_numpy(np.asarray(Image.open(photos / "more" / "d.png")).copy())
    unrolled = model.unroll(shown.permute(2, 0, 1)[None].float() / 255)
    with xr.open_dataset(file, engine="h5netcdf") as features, torch.no_grad():
        chosen = features.conv3.sel(stimulus="more/d.png", timestep=70)
        assert int(chosen.time_end) == 80
        later = features.conv3.sel(timestep=slice(100, 149))
        assert later.time_end.values.tolist() == [110, 120, 130, 140, 150]
        expected = next(each["conv3"] for step, each in unrolled if step == 7)
        shape = tuple(features.conv3.attrs["shape"])
        assert shape == expected.shape[1:]
        np.testing.assert_allclose(chosen.values.reshape(shape), expected[0], rtol=1e-5, atol=1e-5)
        first = features.conv3.attrs["first_timestep"]
        assert first == 10 * model.first_timestep["conv3"]
        spread = features.conv3.std("stimulus").max(features.conv3.dims[-1])
        assert spread.timestep[spread > 1e-6].values[0] == first
    page = (repository / "docs" / "models.md").read_text()
    (block,) = (each for each in page.split("```python\n") if "features.nc" in each[:100])
    exec(block.partition("```")[0], {})


def test_features_are_replaced_and_this_is_said_but_no_other_file_is(
    photos: Path, tmp_path: Path, neurofit: Run
) -> None:
    file = tmp_path / "f.nc"
    options = ("--images", str(photos), "--layer", "conv1")
    command = ("extract", "--model", "timedecay_tiny", *options, "--out")
    assert f"Written: {file}" in neurofit(*command, str(file))[1]
    code, out, _ = neurofit(*command, str(file))
    assert code == 0
    assert f"Replaced: {file}" in out
    note = tmp_path / "note.txt"
    note.write_text("mine")
    code, out, err = neurofit(*command, str(note))
    assert (code, out) == (2, "")
    assert f"{note} is no file of features, which extract would replace" in err
    assert note.read_text() == "mine"
    code, out, err = neurofit(*command, str(tmp_path))
    assert (code, out) == (2, "")
    assert f"--out must be a file; {tmp_path} is a folder" in err
    if os.getuid():  # root may write everywhere
        (tmp_path / "kept").mkdir(mode=0o555)
        code, out, _ = neurofit(*command, str(tmp_path / "kept" / "f.nc"))
        assert (code, out) == (2, "")


def test_a_static_network_is_written_once(
    photos: Path, tmp_path: Path, neurofit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 2, 5, 9))\n"
    )
    options = ("--images", "photos", "--out", "f.nc")
    code, out, err = neurofit("extract", "--model", "./net.py:make?input_size=32", *options)
    assert code == 0, err
    assert "Note: running ./net.py" in err
    assert "1 timestep;" in out
    with xr.open_dataset("f.nc", engine="h5netcdf") as features:
        assert features["0"].shape == (5, 2 * 4 * 4)
        assert features["0"].attrs["shape"].tolist() == [2, 4, 4]
        assert features["0"].sel(stimulus="b.png").shape == (2 * 4 * 4,)


def test_images_of_a_recording_are_shown_as_in_it(
    registered: Any, evoked: Callable[[], Recording], tmp_path: Path, neurofit: Run
) -> None:
    registered(evoked())
    command = ("extract", "--model", "timedecay_tiny", "--recording", "small", "--layers", "conv5")
    assert neurofit(*command, "--out", str(tmp_path / "f.nc"))[0] == 0
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as features:
        assert features.stimulus.values.tolist() == evoked().stimuli.ids.tolist()
        assert len(features.attrs["stimuli_sha256"]) == 64


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name a folder of --images, or a recording"),
        (("--images", "nowhere"), "--images must be a folder; nowhere is none"),
        (("--images", "photos", "--layers", "conv9"), "Unknown layer of rgc_tiny 'conv9'"),
        (("--images", "photos", "--ms-per-timestep", "5"), "--ms-per-timestep is for networks of"),
    ],
)
def test_wrong_use_is_answered_and_writes_nothing(
    arguments: tuple[str, ...],
    said: str,
    photos: Path,
    neurofit: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos.parent)
    code, _, err = neurofit("extract", "--model", "rgc_tiny", "--out", "f.nc", *arguments)
    assert code == 2
    assert said in err
    assert not Path("f.nc").exists()


def test_what_does_not_fit_on_the_disk_is_refused_before_the_first_image(
    photos: Path, tmp_path: Path, neurofit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    file = tmp_path / "f.nc"
    code, _, err = neurofit(
        "extract", "--model", "rgc_tiny", "--images", str(photos), "--out", str(file)
    )
    assert code == 1
    assert "No space left on the disk" in err
    assert not file.exists()

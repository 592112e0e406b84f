"""Clips of a recording are read frame by frame, and each model sees the frame of its timestep."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import neurofit
from neurofit.activations.extract import extract, extract_lazily
from neurofit.activations.presentation import Presentation
from neurofit.activations.screen import frames_at
from neurofit.data_loaders.formats.writing import write_recording
from neurofit.errors import NeurofitError
from neurofit.models import WrappedModel, create_model, wrap
from neurofit.models.clips import Clip
from neurofit.recordings.recording import Recording

SIZE, N_FRAMES = 16, 11
PIXELS = np.random.default_rng(0).integers(0, 256, (3, N_FRAMES, SIZE, SIZE, 3), dtype=np.uint8)


def write(folder: Path, form: str = "frames", **stated: Any) -> Path:
    """Write responses to three clips with their sidecar, and the clips."""
    clips = folder / "stimuli"
    clips.mkdir(exist_ok=True)
    for name, frames in zip("abc", PIXELS, strict=True):
        images = [Image.fromarray(frame) for frame in frames]
        if form == "frames":
            (clips / name).mkdir()
            for number, image in enumerate(images):
                image.save(clips / name / f"frame{number}.png")  # frame10 follows frame9
        elif form == "mp4":
            (clips / f"{name}.mp4").write_bytes(b"ftyp")
        else:
            images[0].save(
                clips / f"{name}.{form}", save_all=True, append_images=images[1:], lossless=True
            )
    np.savez(
        folder / "r.npz",
        responses=np.random.default_rng(1).poisson(3, (6, 2, 8)),
        dims=np.array(["presentation", "neuroid", "time_bin"]),
        stimulus_id=np.repeat(list("abc"), 2),
        region=np.array(["IT", "IT"]),
        time_bin_start=np.arange(0, 80, 10),
        time_bin_end=np.arange(10, 90, 10),
    )
    sidecar = {"visual_degrees": 8, "frame_ms": 15, **stated}
    (folder / "r.json").write_text(json.dumps(sidecar))
    return folder / "r.npz"


@pytest.mark.parametrize("form", ["frames", "png", "webp", "tiff"])
def test_frames_are_read_in_order(form: str, tmp_path: Path) -> None:
    stimuli = neurofit.load_recording(write(tmp_path, form)).stimuli
    assert (stimuli.frame_ms, stimuli.n_frames, stimuli.duration_ms) == (15, N_FRAMES, 165)
    assert stimuli.assumed == ()
    for row, frames in enumerate(PIXELS):
        np.testing.assert_array_equal(stimuli.frames(row), frames)
        np.testing.assert_array_equal(stimuli.images[row], frames[0])
        np.testing.assert_array_equal(stimuli.only([row]).frames(0, [10, 2]), frames[[10, 2]])
    sha256 = stimuli.images_sha256()
    place = tmp_path / "stimuli" / "b"
    if form == "frames":  # the hash is of all frames
        Image.fromarray(PIXELS[0, 0]).save(place / "frame10.png")
        assert neurofit.load_recording(tmp_path / "r.npz").stimuli.images_sha256() != sha256


def test_a_gif_has_the_frames_of_its_palette(tmp_path: Path) -> None:
    stimuli = neurofit.load_recording(write(tmp_path, "gif")).stimuli
    apart = np.abs(stimuli.frames(1).astype(int) - PIXELS[1])
    assert apart.mean() < 20  # 256 colours of noise; of other frames it is 85


def test_a_timestep_has_the_frame_at_its_start(tmp_path: Path) -> None:
    stimuli = neurofit.load_recording(write(tmp_path)).stimuli
    # Frames begin at 0, 15, 30 ... 150 ms, and the last ends at 165 ms.
    expected = [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10]
    assert frames_at(stimuli, n_timesteps=26, ms_per_timestep=10) == expected
    assert frames_at(stimuli, n_timesteps=4, ms_per_timestep=40) == [0, 2, 5, 8]
    shown = replace(stimuli, frame_ms=0.1)
    assert frames_at(shown, n_timesteps=9, ms_per_timestep=1) == [0, 10]


def in_unit(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1).float()[None] / 255


def normalised(model: WrappedModel, frame: np.ndarray) -> Tensor:
    return (in_unit(frame) - model.image_mean) / model.image_std


def test_a_convrnn_sees_the_frame_of_each_timestep_and_then_the_blank(tmp_path: Path) -> None:
    stimuli = neurofit.load_recording(write(tmp_path)).stimuli
    model = create_model("feedforward_tiny", input_size=SIZE).eval()
    first = model.layers[0]
    found = extract(model, stimuli, layers=[first], storage="memory")
    assert found.presentation is not None
    assert found.presentation.image_off == 17  # 165 ms
    assert found.provenance["screen"]["clip"] == "11 frames of 15 ms"
    numbers = frames_at(stimuli, n_timesteps=26, ms_per_timestep=10)
    one = Presentation(n_timesteps=1)
    with torch.no_grad():
        for timestep, number in enumerate(numbers):  # the first layer has no memory
            ((_, own),) = model.unroll(in_unit(PIXELS[1, number]), one, layers=[first])
            np.testing.assert_allclose(
                found.blocks[first, timestep][1], own[first].flatten(), rtol=1e-4, atol=1e-5
            )
    assert found.unseen == {first: 17}
    lazy = extract_lazily(model, stimuli, layers=[first], storage="memory")
    other = extract_lazily(model, replace(stimuli, frame_ms=20.0), layers=[first])
    assert lazy.fingerprint != other.fingerprint


def test_a_network_of_frames_and_a_static_one_see_the_clip(tmp_path: Path) -> None:
    stimuli = neurofit.load_recording(write(tmp_path, duration_ms=60)).stimuli
    torch.manual_seed(0)
    video = nn.Sequential(nn.Conv3d(3, 2, 3, padding=1)).eval()
    model = wrap(
        video, ["0"], input_size=SIZE, ms_per_timestep=15, clip=Clip(frames=N_FRAMES, after="black")
    )
    found = extract(model, stimuli, storage="memory")
    black = torch.zeros(1, 3, SIZE, SIZE)
    frames = [normalised(model, frame) for frame in PIXELS[2, :4]]  # 60 ms
    frames += [(black - model.image_mean) / model.image_std] * (N_FRAMES - 4)
    with torch.no_grad():
        expected = video(torch.stack(frames, dim=2))
    for timestep in range(N_FRAMES):
        np.testing.assert_allclose(
            found.blocks["0", timestep][2], expected[0, :, timestep].flatten(), atol=1e-5
        )
    still = wrap(nn.Sequential(nn.Conv2d(3, 2, 3)), ["0"], input_size=SIZE, ms_per_timestep=15)
    flat = extract(still, stimuli, storage="memory")
    with torch.no_grad():
        for timestep in range(20):
            own = still.module(normalised(still, PIXELS[0, min(timestep, N_FRAMES - 1)]))
            np.testing.assert_allclose(
                flat.blocks["0", timestep][0], own.flatten(), rtol=1e-4, atol=1e-5
            )


class Loops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        for _ in range(3):
            images = self.conv(images).relu()
        return images


def test_what_cannot_take_clips_says_so(
    tmp_path: Path, make_recording: Callable[..., Recording]
) -> None:
    recording = neurofit.load_recording(write(tmp_path))
    with pytest.raises(NeurofitError, match="Loops takes one image for all of its timesteps"):
        extract(wrap(Loops(), ["conv"], input_size=SIZE), recording.stimuli)
    with pytest.raises(NeurofitError, match="A conversion takes images, and the stimuli of r are"):
        write_recording(recording, tmp_path / "copy.nc")
    images = replace(make_recording().stimuli, frame_ms=10.0)
    with pytest.raises(NeurofitError, match="frame_ms is stated, and the stimuli are images"):
        extract(create_model("rgc_tiny"), images)


def test_faults_of_clips_are_answered(tmp_path: Path) -> None:
    path = write(tmp_path)
    clips = tmp_path / "stimuli"
    Image.fromarray(PIXELS[0, 0, :8]).save(clips / "c" / "frame3.png")
    stimuli = neurofit.load_recording(path).stimuli
    with pytest.raises(NeurofitError, match=r"must have one size; they have 16 x 8, 16 x 16 px"):
        stimuli.frames(2)
    (clips / "c" / "frame3.png").unlink()
    with pytest.raises(NeurofitError, match=r"a/frame0.png has 11, c/frame0.png 10\."):
        neurofit.load_recording(path)
    for file in (clips / "c").iterdir():
        file.unlink()
    with pytest.raises(NeurofitError, match=r"lacks 1 of 3 clips: c\. A clip is a folder"):
        neurofit.load_recording(path)


def test_movies_are_refused_with_the_line_that_makes_frames(tmp_path: Path) -> None:
    with pytest.raises(NeurofitError) as error:
        neurofit.load_recording(write(tmp_path, "mp4"))
    said, place = str(error.value), tmp_path / "stimuli" / "a"
    assert f"mkdir {place} && ffmpeg -i {place}.mp4 {place}/%05d.png" in said
    assert len(said.splitlines()) == 1


def test_an_animation_that_is_not_of_equal_frames_is_refused(tmp_path: Path) -> None:
    """Pillow stores equal frames that follow each other as one that lasts longer."""
    path = write(tmp_path, form="webp", frame_ms=40)
    for name, frames in zip("abc", PIXELS, strict=True):
        first, second = (Image.fromarray(frame) for frame in frames[:2])
        (tmp_path / "stimuli" / f"{name}.webp").unlink()
        shown = [first, first, second]
        file = tmp_path / "stimuli" / f"{name}.gif"
        shown[0].save(file, save_all=True, append_images=shown[1:], duration=40)
    with pytest.raises(NeurofitError, match=r"Frame 0 of clip .*gif lasts 80 ms, and frame_ms is"):
        neurofit.load_recording(path)

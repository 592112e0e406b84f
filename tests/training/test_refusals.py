"""What training refuses, and what a run that fails leaves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.errors import MachineError, NeurofitError
from neurofit.models import weights_sha256
from neurofit.models.convrnn import ConvRNN
from neurofit.training import checkpoint
from neurofit.training.checkpoint import TrainingState
from neurofit.training.config import TrainConfig
from neurofit.training.train import train

N_STEPS = 6
"""Steps of an epoch of the 48 images, in batches of 8."""

Images = Callable[..., ImageSet]
Net = Callable[..., ConvRNN]


def test_another_configuration_does_not_resume(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    train(net(), image_set(), short_run, out=tmp_path)
    with pytest.raises(
        NeurofitError,
        match=r"belongs to another run: lr 0.1, now 0.2; seed 0, now 3\. Resume with the same",
    ):
        train(net(), image_set(), replace(short_run, lr=0.2, seed=3), out=tmp_path, resume=True)
    with pytest.raises(NeurofitError, match="already contains a run: resume it"):
        train(net(), image_set(), short_run, out=tmp_path)
    with pytest.raises(NeurofitError, match="no checkpoint to resume from"):
        train(net(), image_set(), short_run, out=tmp_path / "empty", resume=True)


@pytest.mark.parametrize("name", ["model.", "momentum.", "average."])
def test_a_checkpoint_with_a_flipped_bit_is_refused_by_name(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig, name: str
) -> None:
    config = replace(short_run, epochs=1, ema=0.9)
    train(net(), image_set(), config, out=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    tensor = next(key for key in header if key.startswith(name) and "conv1" in key)
    content[8 + length + header[tensor]["data_offsets"][0]] ^= 1
    path.write_bytes(content)
    with pytest.raises(NeurofitError, match=rf"is damaged: {re.escape(tensor)} changed since"):
        train(net(), image_set(), config, out=tmp_path, resume=True)


def test_a_last_update_that_is_not_finite_fails_and_the_last_good_state_is_finite(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    """Every loss is finite; the weights after the last step are not."""
    config = replace(short_run, epochs=1, save_steps=2, clip=None, schedule="constant")
    network = net()

    class Last(TrainingState):
        def update_average(self, decay: float | None) -> None:
            if self.steps == N_STEPS - 1:
                next(self.model.parameters()).data.fill_(float("inf"))
            self.steps += 1

        steps = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurofit.training.train.TrainingState", Last)
        with pytest.raises(
            NeurofitError, match=r"After step 6 model\.\S+ is not finite\. .* earlier"
        ):
            train(network, image_set(), config, out=tmp_path)
    step, _, tensors = checkpoint.read_checkpoint(tmp_path / "checkpoint.safetensors")
    assert step == 4
    assert all(bool(torch.isfinite(values).all()) for values in tensors.values())
    assert not list(tmp_path.glob("little*.safetensors"))


def test_a_folder_has_one_run_at_a_time_and_a_killed_one_leaves_no_lock(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    program = f"""
import sys, time
from pathlib import Path
from neurofit.storage.home import exclusive_lock
with exclusive_lock(Path({str(tmp_path / ".lock")!r})):
    print("locked", flush=True)
    time.sleep(600)
"""
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    config = replace(short_run, epochs=1)
    with pytest.raises(NeurofitError, match="Another run is writing to"):
        train(net(), image_set(), config, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"], "nothing was written"
    other.kill()
    other.wait()
    train(net(), image_set(), config, out=tmp_path)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_last_good_state(
    tmp_path: Path, image_set: Images, short_run: TrainConfig
) -> None:
    class Explodes(nn.Module):
        input_size = 12

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 4))
            self.calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += self.training
            return (
                images.mean(dim=(2, 3)) @ self.weight * (float("nan") if self.calls == 11 else 1.0)
            )

    with pytest.raises(
        NeurofitError,
        match=r"The loss is nan in step 10. "
        r"The last checkpoint, .*checkpoint.safetensors, is after step 8",
    ):
        train(Explodes(), image_set(), short_run, out=tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image_set: Images,
    net: Net,
    short_run: TrainConfig,
) -> None:
    calls = 0

    def fail(tensors: Any, path: Any, metadata: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, path, metadata=metadata)

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(MachineError, match="No space left"):
        train(net(), image_set(), short_run, out=tmp_path)
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    train(resumed := net(seed=3), image_set(), short_run, out=tmp_path, resume=True)
    train(straight := net(), image_set(), short_run, out=tmp_path / "straight")
    assert weights_sha256(resumed) == weights_sha256(straight)


class _SomeBroken:
    """Pictures of which some cannot be read."""

    def __init__(self, pictures: Any, broken: set[int]) -> None:
        self.pictures = pictures
        self.broken = broken

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int, /) -> np.ndarray:
        if index in self.broken:
            raise NeurofitError(f"picture {index} is broken")
        picture: np.ndarray = self.pictures[index]
        return picture


def test_unreadable_images_are_left_out_and_named_and_too_many_stop_the_run(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    images = image_set(200)
    few = replace(
        images,
        train=LabelledImages(
            images=_SomeBroken(images.train.images, {3, 77}), labels=images.train.labels
        ),
    )
    done = train(net(), few, replace(short_run, epochs=1), out=tmp_path / "few")
    assert done.unreadable == ("picture 3 is broken", "picture 77 is broken")
    many = replace(
        images,
        train=LabelledImages(
            images=_SomeBroken(images.train.images, set(range(0, 200, 3))),
            labels=images.train.labels,
        ),
    )
    with pytest.raises(
        NeurofitError,
        match=r"images cannot be read, more than 1.0%. The last: picture \d+ is broken",
    ):
        train(net(), many, replace(short_run, epochs=1), out=tmp_path / "many")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"lr": -1.0}, "lr must be finite and not negative"),
        ({"lr": float("nan")}, "lr must be finite and not negative; got nan"),
        ({"weight_decay": float("inf")}, "weight_decay must be finite"),
        (
            {"batch_size": 9, "accumulate": 2},
            "batch_size must be a multiple of accumulate, 2; got 9",
        ),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(NeurofitError, match=said):
        TrainConfig(**wrong)


def test_a_batch_that_cannot_be_filled_is_refused(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    with pytest.raises(NeurofitError, match="from 1 to the number of training images, 48; got 64"):
        train(net(), image_set(), replace(short_run, batch_size=64), out=tmp_path)

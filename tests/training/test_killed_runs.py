"""Runs that are killed, and disks that are full: the last checkpoint stays, and the run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import MachineError, NeurofitError
from neurofit.models import save_weights, weights_sha256
from neurofit.models.convrnn import ConvRNN
from neurofit.training.checkpoint import read_checkpoint
from neurofit.training.config import TrainConfig
from neurofit.training.train import train

Images = Callable[..., ImageSet]
Net = Callable[..., ConvRNN]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


PROGRAM = """
import os, signal, sys
from pathlib import Path
from safetensors.torch import save_file
sys.path.insert(0, {tests!r})
import conftest as here
import torch
torch.set_num_threads(1)
from neurofit.training import checkpoint
from neurofit.training.train import train

def fails(tensors, path, metadata):
    if int(metadata["step"]) >= {at}:
        {then}
    save_file(tensors, path, metadata=metadata)

checkpoint.save_file = fails
train(here.little_net(), here.halves(), here.CONFIG, out={out!r}, resume="auto")
"""


def run_program(out: Path, then: str, *, at: int = 12) -> subprocess.CompletedProcess[str]:
    code = PROGRAM.format(tests=str(Path(__file__).parent), then=then, at=at, out=str(out))
    return subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True
    )


def test_a_run_that_is_killed_while_it_writes_resumes_to_the_same_bits(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    torn = (
        "half = (8).to_bytes(8, 'little') + b'{\"__metadata__\":'; "
        "Path(path).write_bytes(half); "
        "(Path(path).parent / '.tmpAbC123').write_bytes(half); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = run_program(tmp_path / "killed", torn)
    assert done.returncode == -signal.SIGKILL, done.stderr
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert any(name.startswith(".checkpoint-") for name in names)
    assert ".tmpAbC123" in names
    assert read_checkpoint(tmp_path / "killed" / "checkpoint.safetensors")[0] == 8
    train(resumed := net(seed=3), image_set(), short_run, out=tmp_path / "killed", resume="auto")
    train(straight := net(), image_set(), short_run, out=tmp_path / "straight")
    assert weights_sha256(resumed) == weights_sha256(straight)
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {
        path.name for path in (tmp_path / "straight").iterdir()
    }


def test_a_run_that_is_killed_before_its_first_checkpoint_starts_again(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    run_program(tmp_path / "killed", "os.kill(os.getpid(), signal.SIGKILL)", at=4)
    left = contents(tmp_path / "killed")
    assert {"config.json", "metrics.csv"} < left.keys()
    assert "checkpoint.safetensors" not in left
    with pytest.raises(NeurofitError, match=r"config.json belongs to another run \(lr 0.1, now"):
        train(net(), image_set(), replace(short_run, lr=0.2), out=tmp_path / "killed")
    assert contents(tmp_path / "killed") == left
    train(again := net(), image_set(), short_run, out=tmp_path / "killed", resume="auto")
    train(straight := net(), image_set(), short_run, out=tmp_path / "straight")
    assert weights_sha256(again) == weights_sha256(straight)
    assert contents(tmp_path / "killed").keys() == contents(tmp_path / "straight").keys()


def test_what_safetensors_says_of_a_full_disk_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: Net
) -> None:
    """The library has the error of the system in its text only."""
    from safetensors import SafetensorError

    from neurofit.models import weight_files

    def fail(tensors: Any, path: Any, metadata: Any) -> None:
        text = "Error while serializing: I/O error: No space left on device (os error 28)"
        raise SafetensorError(text)

    monkeypatch.setattr(weight_files, "save_file", fail)
    with pytest.raises(MachineError, match=r"No space left on the disk while writing .*w\.safet"):
        save_weights(net(), tmp_path / "w.safetensors")
    assert contents(tmp_path) == {}


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system has no file size limits")
def test_a_file_that_cannot_grow_leaves_the_last_checkpoint(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    """Safetensors itself fails here: the limit on the size of files is below the checkpoint's."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    done = run_program(tmp_path / "full", limit)
    assert done.returncode == 1
    assert "os error 27" in done.stderr
    assert read_checkpoint(tmp_path / "full" / "checkpoint.safetensors")[0] == 8
    train(resumed := net(seed=3), image_set(), short_run, out=tmp_path / "full", resume="auto")
    train(straight := net(), image_set(), short_run, out=tmp_path / "straight")
    assert weights_sha256(resumed) == weights_sha256(straight)

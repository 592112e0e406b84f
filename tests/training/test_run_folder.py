"""The folder of a run: it resumes with its own images only, and nothing else is overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models import save_weights, weights_sha256
from neurofit.models.convrnn import ConvRNN
from neurofit.models.weight_files import training_card
from neurofit.training.checkpoint import read_checkpoint
from neurofit.training.config import TrainConfig
from neurofit.training.run_folder import RunFolder
from neurofit.training.train import train

Images = Callable[..., ImageSet]
Net = Callable[..., ConvRNN]


@pytest.fixture
def one_epoch(short_run: TrainConfig) -> TrainConfig:
    return replace(short_run, epochs=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def pixels(images: ImageSet) -> np.ndarray:
    return np.asarray(images.train.images)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda images: replace(
                images, train=replace(images.train, images=255 - pixels(images))
            ),
            "other images: train images of halves differ",
        ),
        (
            lambda images: replace(
                images, train=replace(images.train, labels=images.train.labels[::-1].copy())
            ),
            "other images: train labels of halves differ",
        ),
        (
            lambda images: replace(images, test=images.test.first(9)),
            "other images: test images, test labels of halves differ",
        ),
        (
            lambda images: replace(images, views="photographs"),
            "other images: views of halves differ",
        ),
        (
            lambda images: replace(images, train=images.train.first(40)),
            "other images: train images, train labels of halves differ; n_train 48, now 40",
        ),
    ],
)
@pytest.mark.parametrize("resume", [True, "auto"])
def test_a_run_does_not_resume_with_other_images(
    tmp_path: Path,
    image_set: Images,
    net: Net,
    one_epoch: TrainConfig,
    change: Callable[[ImageSet], ImageSet],
    said: str,
    resume: Any,
) -> None:
    train(net(), image_set(), one_epoch, out=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(NeurofitError, match=f"belongs to another run: {said}. Resume with the"):
        train(net(), change(image_set()), one_epoch, out=tmp_path, resume=resume)
    assert contents(tmp_path) == before


def test_the_identity_of_the_images_is_in_every_file_and_their_name_does_not_matter(
    tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    images = image_set()
    done = train(net(), images, one_epoch, out=tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    _, record, _ = read_checkpoint(tmp_path / "checkpoint.safetensors")
    card = training_card(done.weights)
    assert saved["data_sha256"] == record["data_sha256"] == card["data_sha256"] == images.sha256()
    train(net(), replace(images, name="moved"), one_epoch, out=tmp_path, resume=True)


def test_a_checkpoint_that_does_not_record_its_images_is_refused(
    tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    train(net(), image_set(), one_epoch, out=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    rewrite(path, record=lambda record: {k: v for k, v in record.items() if k != "data_sha256"})
    with pytest.raises(NeurofitError, match="its images are not recorded, as in earlier versions"):
        train(net(), image_set(), one_epoch, out=tmp_path, resume=True)


def rewrite(
    path: Path,
    *,
    record: Callable[[dict[str, Any]], Any] = dict,
    tensors: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = dict,
    metadata: dict[str, str] | None = None,
) -> None:
    with safe_open(path, "pt") as file:
        stored = dict(file.metadata())
    stored["record"] = json.dumps(record(json.loads(stored["record"])))
    save_file(tensors(load_file(path)), path, metadata={**stored, **(metadata or {})})


DEEP = "[" * 100_000 + "]" * 100_000

DAMAGED: dict[str, tuple[dict[str, str], str]] = {
    "record no JSON": ({"record": "{"}, "its record is not JSON"),
    "record a list": ({"record": "[]"}, "its record must be a dictionary; got list"),
    "record deep": ({"record": DEEP}, "its record is nested too deeply"),
    "hashes deep": ({"sha256": DEEP}, "its list of sha256 is nested too deeply"),
    "hashes null": ({"sha256": "null"}, "its list of sha256 must be a dictionary; got NoneType"),
    "no hashes": ({"sha256": "{}"}, "is damaged: average"),
    "step of words": ({"step": "six"}, "is not a checkpoint of a training run"),
    "step negative": ({"step": "-1"}, "is not a checkpoint of a training run: step -1"),
    "step too late": ({"step": "7"}, "is damaged: it is after step 7 of 6"),
    "step huge": ({"step": "9" * 5000}, "is not a checkpoint of a training run"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_checkpoint_is_one_sentence(
    kind: str, tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    metadata, said = DAMAGED[kind]
    config = replace(one_epoch, ema=0.5)
    train(net(), image_set(), config, out=tmp_path)
    rewrite(tmp_path / "checkpoint.safetensors", metadata=metadata)
    model = net(seed=3)
    before = weights_sha256(model)
    with pytest.raises(NeurofitError, match=said) as error:
        train(model, image_set(), config, out=tmp_path, resume=True)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)
    assert weights_sha256(model) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: {k: v for k, v in each.items() if "conv1" not in k}, "conv1.* changed since"),
        (lambda each: {**each, "other.x": torch.zeros(1)}, "is not a checkpoint"),
    ],
)
def test_a_checkpoint_without_a_tensor_or_with_another_is_refused(
    tmp_path: Path,
    image_set: Images,
    net: Net,
    one_epoch: TrainConfig,
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    said: str,
) -> None:
    train(net(), image_set(), one_epoch, out=tmp_path)
    rewrite(tmp_path / "checkpoint.safetensors", tensors=change)
    with pytest.raises(NeurofitError, match=said):
        train(net(), image_set(), one_epoch, out=tmp_path, resume=True)


def test_auto_starts_goes_on_and_leaves_a_finished_run_as_it_is(
    tmp_path: Path, image_set: Images, net: Net, short_run: TrainConfig
) -> None:
    class Stop(Exception):
        pass

    def stop(now: int, total: int, known: object) -> None:
        if now == 9:
            raise Stop

    with pytest.raises(Stop):
        train(net(), image_set(), short_run, out=tmp_path / "a", resume="auto", progress=stop)
    steps: list[int] = []
    went_on = train(
        net(seed=5),
        image_set(),
        short_run,
        out=tmp_path / "a",
        resume="auto",
        progress=lambda now, total, known: steps.append(now),
    )
    assert steps == list(range(9, 19))
    train(straight := net(), image_set(), short_run, out=tmp_path / "b")
    before = contents(tmp_path / "a")
    again = train(
        finished := net(seed=7),
        image_set(),
        short_run,
        out=tmp_path / "a",
        resume="auto",
        progress=lambda now, total, known: steps.append(now),
    )
    assert len(steps) == 10, "a finished run is not trained again"
    assert weights_sha256(finished) == weights_sha256(straight)
    assert again == went_on
    assert contents(tmp_path / "a") == before


def test_resume_has_three_values(tmp_path: Path) -> None:
    folder = RunFolder(path=tmp_path, model="m", record={})
    assert [folder.resumes(each) for each in (True, False, "auto")] == [True, False, False]
    with pytest.raises(NeurofitError, match="resume must be True, False or 'auto'; got 'always'"):
        folder.resumes("always")


def other_weights(path: Path) -> None:
    save_weights(torch.nn.Linear(2, 2), path, metadata={"training": '{"model": "little"}'})


FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "config": (
        "config.json",
        lambda path: path.write_text('{"my": "settings"}'),
        r"config.json belongs to another run \(",
    ),
    "config as text": (
        "config.json",
        lambda path: path.write_text("mine"),
        "config.json was not written by neurofit, and training would overwrite it",
    ),
    "config as folder": ("config.json", Path.mkdir, "config.json was not written by neurofit"),
    "config, deep": (
        "config.json",
        lambda path: path.write_text(DEEP),
        "config.json was not written by neuro",
    ),
    "metrics": (
        "metrics.csv",
        lambda path: path.write_text("a,b\n1,2\n"),
        "metrics.csv was not written by this run",
    ),
    "weights": (
        "little.safetensors",
        lambda path: path.write_bytes(b"mine"),
        "little.safetensors was not written by neurofit train",
    ),
    "weights of another run": (
        "little.safetensors",
        other_weights,
        "little.safetensors belongs to another run",
    ),
    "checkpoint": (
        "checkpoint.safetensors",
        lambda path: path.write_bytes(b"mine"),
        "already contains a run",
    ),
    "lock": (".lock", lambda path: path.write_text("mine"), r"\.lock is not a lock of neurofit"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_others_are_refused_by_name_before_anything_is_written(
    kind: str, tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    name, make, said = FILES[kind]
    make(tmp_path / name)
    (tmp_path / ".tmpAbcdef").write_text("mine")
    before = sorted((path.name, path.stat().st_size) for path in tmp_path.iterdir())
    steps: list[int] = []
    with pytest.raises(NeurofitError, match=said):
        train(
            net(),
            image_set(),
            one_epoch,
            out=tmp_path,
            progress=lambda now, total, known: steps.append(now),
        )
    assert steps == []
    assert sorted((path.name, path.stat().st_size) for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["metrics", "weights", "weights of another run"])
def test_files_of_others_are_refused_on_resuming_too(
    kind: str, tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    name, make, said = FILES[kind]
    train(net(), image_set(), one_epoch, out=tmp_path)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    before = contents(tmp_path)
    with pytest.raises(NeurofitError, match=said.replace("by this run", "|is not a table of")):
        train(net(), image_set(), one_epoch, out=tmp_path, resume="auto")
    assert contents(tmp_path) == before


def test_a_file_is_no_folder(
    tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(NeurofitError, match="run is a file; choose a folder for the run"):
        train(net(), image_set(), one_epoch, out=tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_other_files_of_the_folder_stay(
    tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    mine = {"notes.txt": b"mine", ".tmpAbcdef": b"mine", ".checkpoint-mine": b"mine"}
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    train(net(), image_set(), one_epoch, out=tmp_path)
    assert contents(tmp_path).items() >= mine.items()


def test_a_result_without_its_checkpoint_is_not_overwritten(
    tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    train(net(), image_set(), one_epoch, out=tmp_path)
    (tmp_path / "checkpoint.safetensors").unlink()
    for resume in (False, "auto"):
        with pytest.raises(
            NeurofitError, match=r"little.safetensors is the result of an earlier run"
        ):
            train(net(), image_set(), one_epoch, out=tmp_path, resume=resume)


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(
    tmp_path: Path, image_set: Images, net: Net, one_epoch: TrainConfig
) -> None:
    def stop(now: int, total: int, known: object) -> None:
        if now == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(net(), image_set(), one_epoch, out=tmp_path, progress=stop)
    assert contents(tmp_path) == {}
    for wrong, said in (
        ({"presentation": "nothing"}, "presentation"),
        ({"batch_size": 1000}, "batch_size"),
    ):
        with pytest.raises(NeurofitError, match=said):
            train(net(), image_set(), replace(one_epoch, **wrong), out=tmp_path / "new")
    assert contents(tmp_path / "new") == {} if (tmp_path / "new").exists() else True
    # so that the next try, with another configuration, is no other run
    train(net(), image_set(), replace(one_epoch, lr=0.01), out=tmp_path)

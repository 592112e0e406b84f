"""A trial as a model file: the trial's own accuracy to the bit, and every door takes it."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurofit.analyses.run import RunConfig, run
from neurofit.data_loaders import load_images
from neurofit.errors import NeurofitError
from neurofit.models import create_model, weights_sha256
from neurofit.models.weight_files import training_card
from neurofit.training.batches import evaluation_batches
from neurofit.training.evaluate import evaluate
from neurofit.training.search.export import export_table, export_trial
from neurofit.training.search.repeat import repeat_trial
from neurofit.training.search.run import begin
from neurofit.training.search.study import Search
from neurofit.training.search.trial import load_search_images
from neurofit.training.search.trials import SearchFolder, search_folder
from neurofit.training.search.work import take_trials
from neurofit.training.train import train

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def searched(make_search: Callable[..., Search]) -> tuple[Search, SearchFolder]:
    """Return a search of which one trial is stopped early."""
    search = make_search(trials=5, training={"epochs": 3, "batch_size": 16, "ema": 0.9})
    folder = search_folder(search.name)
    begin(search, folder)
    take_trials(search, folder)
    return search, folder


def accuracy(path: Path, search: Search) -> Any:
    images = load_search_images(search, load_images)
    model = create_model(f"file:{path}")
    size = search.config(0).batch_size
    return evaluate(
        model,
        evaluation_batches(images.test, size=model.input_size, views=images.views, batch_size=size),
    )


def test_an_exported_trial_has_its_own_accuracy_to_the_bit(
    searched: tuple[Search, SearchFolder], tmp_path: Path
) -> None:
    search, folder = searched
    results = folder.results()
    assert {each["state"] for each in results} == {"complete", "pruned"}
    for each in results:
        path = export_trial(folder.trial(each["number"]), tmp_path / "out.safetensors")
        found = accuracy(path, search)
        assert found.top1 == each["accuracy"]
        assert found.loss == pytest.approx(each["epochs"][-1]["loss"], abs=1e-6)
        steps = {str(step): top1 for step, (top1, _) in found.by_timestep.items()}
        assert steps == each["by_timestep"]
        card = training_card(path)
        assert card["search"]["number"] == each["number"]
        assert card["search"]["seeds"] == each["seeds"]
        assert card["model"] == each["model"]
        sha256, name = (tmp_path / "out.safetensors.sha256").read_text().split()
        assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert name == "out.safetensors"


def test_train_takes_an_exported_model_and_its_weights_are_a_model_file_again(
    searched: tuple[Search, SearchFolder], tmp_path: Path
) -> None:
    search, folder = searched
    path = export_trial(folder.trial(0), tmp_path / "best.safetensors")
    images = load_search_images(search, load_images)
    network = create_model(f"file:{path}", weights="random", seed=9, n_classes=4)
    done = train(network, images, search.config(9, lr=0.1), out=tmp_path / "again")
    again = create_model(f"file:{done.weights}")
    assert weights_sha256(again) == weights_sha256(network)
    with pytest.raises(NeurofitError, match="not logits of 7 classes"):
        create_model(f"file:{path}", n_classes=7)


def test_score_takes_an_exported_model(
    searched: tuple[Search, SearchFolder],
    evoked: Callable[[], Any],
    tmp_path: Path,
) -> None:
    _, folder = searched
    path = export_trial(folder.trial(0), tmp_path / "best.safetensors")
    from neurofit.analyses.predictivity.presets import make_config
    from neurofit.data_loaders import write_recording
    from neurofit.recordings.selection import Selection

    write_recording(evoked(), tmp_path / "small.nc")
    config = RunConfig(
        model=f"file:{path}",
        recording=str(tmp_path / "small.nc"),
        selection=Selection(region="V4", window=(80, 100)),
        analysis=make_config("pooled", n_splits=2, n_halves=2, min_z=0.0),
    )
    result = run(config)
    assert np.isfinite(result["curve"]).any()
    activations = json.loads(result.attrs["activations"])
    assert activations["weights_sha256"] == weights_sha256(create_model(f"file:{path}"))


def test_the_table_is_made_of_the_lines_alone(
    searched: tuple[Search, SearchFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = searched
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    (folder.path / "journal.log").unlink()
    assert export_table(folder, tmp_path / "table.csv") == 5
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, each in zip(rows, folder.results(), strict=True):
        assert float(row["accuracy"]) == each["accuracy"]
        assert int(row["multiply_adds"]) == each["multiply_adds"]
        assert row["cell"] == each["choices"]["cell"]
        assert int(row["epochs"]) == len(each["epochs"])
        last = max(map(int, each["by_timestep"]))
        assert float(row[f"accuracy_at_{last}"]) == each["by_timestep"][str(last)]
    export_table(folder, tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text()) == folder.results()
    with pytest.raises(NeurofitError, match=r"ends in \.csv or \.json"):
        export_table(folder, tmp_path / "table.xlsx")


def test_the_command_line_tells_the_state_the_best_and_exports(
    searched: tuple[Search, SearchFolder], tmp_path: Path, neurofit: Command
) -> None:
    search, folder = searched
    results = folder.results()
    best = max(
        (each for each in results if each["state"] == "complete"),
        key=lambda each: each["accuracy"],
    )
    code, printed, _ = neurofit("search", "status", str(folder.path))
    assert code == 0
    n_complete = sum(each["state"] == "complete" for each in results)
    assert f"5 trials: {n_complete} complete, {5 - n_complete} pruned" in printed
    assert f"{best['accuracy']:.2%}" in neurofit("search", "best", str(folder.path))[1]
    out = tmp_path / "best.safetensors"
    code, printed, _ = neurofit("search", "export", str(folder.path), "best", "--out", str(out))
    assert code == 0
    assert f"--model file:{out}" in printed
    found = neurofit(
        "eval", "--model", f"file:{out}", "--data", search.data, "--validation", "16",
        "--batch-size", "16", "--device", "cpu", "--json",
    )  # fmt: skip
    assert json.loads(found[1])["top1"] == best["accuracy"]
    assert neurofit("search", "export", str(folder.path))[0] == 2
    assert "takes a trial" in neurofit("search", "export", str(folder.path))[2]
    assert "Trial 77 has not ended" in neurofit("search", "export", str(folder.path), "77")[2]
    assert "There is no search in" in neurofit("search", "status", str(tmp_path))[2]


def test_a_trial_that_runs_cannot_be_exported(make_search: Callable[..., Search]) -> None:
    search = make_search()
    with pytest.raises(NeurofitError, match="Trial 3 has not ended"):
        export_trial(search_folder(search.name).trial(3))
    assert torch.get_num_threads() >= 1


def test_every_trial_is_repeated_from_its_line(
    searched: tuple[Search, SearchFolder], tmp_path: Path, neurofit: Command
) -> None:
    search, folder = searched
    images = load_search_images(search, load_images)
    for each in folder.results():
        trial, out = folder.trial(each["number"]), tmp_path / "again" / str(each["number"])
        shutil.rmtree(trial.run)  # the line is enough
        (trial.path / "net.json").unlink()
        result = trial.read_result()
        then, now = repeat_trial(search, result, images, out=out, device="cpu")
        assert then == now == each["accuracy"]
    code, printed, said = neurofit(
        "search", "repeat", str(folder.path), "0", "--out", "cli", "--device", "cpu"
    )
    assert code == 0, said
    assert "trial 0: " in printed
    line = json.loads(folder.trial(0).result.read_text())
    folder.trial(0).write_result({**line, "accuracy": line["accuracy"] + 0.0625})
    code, _, said = neurofit(
        "search", "repeat", str(folder.path), "0", "--out", "cli", "--device", "cpu"
    )
    assert code == 1
    assert "The accuracies differ" in said

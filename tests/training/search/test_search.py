"""A search in this process: trials are ordinary trainings, each on one line, and stopped early."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurofit.data_loaders import load_images
from neurofit.errors import DivergedError, MachineError, NeurofitError
from neurofit.models import weights_sha256
from neurofit.models.architecture import architecture_of
from neurofit.models.cost import count_multiply_adds
from neurofit.models.weight_files import read_weights
from neurofit.storage.claims import claim
from neurofit.training.search import trial as trial_module
from neurofit.training.search import trials as trials_module
from neurofit.training.search import work as work_module
from neurofit.training.search.run import begin
from neurofit.training.search.status import best_of, read_status
from neurofit.training.search.storage import StorageError, create_study, open_study
from neurofit.training.search.study import Pruning, Search, read_search
from neurofit.training.search.trial import load_search_images
from neurofit.training.search.trials import SearchFolder, search_folder
from neurofit.training.search.work import take_trials
from neurofit.training.train import train

MakeSearch = Callable[..., Search]


def run(search: Search) -> tuple[SearchFolder, list[dict[str, Any]]]:
    folder = search_folder(search.name)
    begin(search, folder)
    take_trials(search, folder)
    return folder, folder.results()


def test_a_trial_is_an_ordinary_training_and_one_line_of_json(make_search: MakeSearch) -> None:
    search = make_search(trials=3, prune=False)
    folder, results = run(search)
    assert [each["number"] for each in results] == [0, 1, 2]
    assert {each["state"] for each in results} == {"complete"}
    images = load_search_images(search, load_images)
    for each in results[1:]:
        assert len(folder.trial(each["number"]).result.read_text().splitlines()) == 1
        network = architecture_of(each["architecture"]).build(seed=each["seeds"]["weights"])
        config = search.config(each["number"], **each["training"])
        assert config.lr == each["choices"]["lr"]
        done = train(network, images, config, out=Path("straight") / str(each["number"]))
        assert done.accuracy.top1 == each["accuracy"]
        steps = {int(step): top1 for step, top1 in each["by_timestep"].items()}
        assert steps == {step: top1 for step, (top1, _) in done.accuracy.by_timestep.items()}
        assert [epoch["epoch"] for epoch in each["epochs"]] == [1, 2, 3]
        assert each["epochs"][-1]["accuracy"] == each["accuracy"]
        assert each["parameters"] == sum(p.numel() for p in network.parameters())
        assert each["multiply_adds"] == count_multiply_adds(network)
        assert {"neurofit", "code", "threads", "params", "seconds", "cpu_seconds"} <= each.keys()
    # the storage has the same
    told = open_study(search, folder.path).get_trials()
    assert [each.value for each in told] == [each["accuracy"] for each in results]
    assert len({each["model"] for each in results}) == 3


def test_a_finished_search_draws_nothing_and_a_longer_one_goes_on(make_search: MakeSearch) -> None:
    folder, first = run(make_search(trials=2))
    before = {each.number: each.result.stat().st_mtime_ns for each in folder.trials()}
    assert run(make_search(trials=2))[1] == first
    _, more = run(make_search(trials=3))
    assert more[:2] == first
    assert len(more) == 3
    after = {each.number: each.result.stat().st_mtime_ns for each in folder.trials()}
    assert before.items() <= after.items()


def test_draws_depend_on_the_seed(make_search: MakeSearch) -> None:
    def drawn(name: str, **changes: Any) -> list[str]:
        search = make_search(
            name=name, trials=2, training={"epochs": 1, "batch_size": 16}, **changes
        )
        return [each["model"] for each in run(search)[1]]

    assert drawn("a") == drawn("b")
    assert drawn("c", seed=1) != drawn("d", seed=0)


def test_nets_are_stopped_early_by_successive_halving(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accuracies are planted: after an epoch, the net with the best learning rate leads."""
    planted = [0.1, 0.5, 0.2, 0.9, 0.3, 0.8]
    original = trials_module.TrialFolder.add_epoch

    def add_epoch(self: Any, epoch: int, accuracy: Any, *times: float) -> None:
        original(self, epoch, replace(accuracy, top1=planted[self.number]), *times)

    monkeypatch.setattr(trials_module.TrialFolder, "add_epoch", add_epoch)
    search = make_search(trials=6, pruning=Pruning(first=1, factor=2))
    folder, results = run(search)
    # factor 2: a net goes on if it is in the better half of those that came so far
    assert [len(each["epochs"]) for each in results] == [3, 3, 1, 3, 1, 3]
    assert [each["state"] for each in results] == [
        "complete", "complete", "pruned", "complete", "pruned", "complete"
    ]  # fmt: skip
    assert results[2]["accuracy"] == 0.2
    told = open_study(search, folder.path).get_trials()
    assert [each.state.name for each in told] == [
        "PRUNED" if each["state"] == "pruned" else "COMPLETE" for each in results
    ]


def test_several_objectives_are_searched_without_stopping_and_give_a_front(
    make_search: MakeSearch,
) -> None:
    search = make_search(
        trials=4,
        objectives=["accuracy", "multiply_adds"],
        training={"epochs": 1, "batch_size": 16},
    )
    folder, results = run(search)
    assert {each["state"] for each in results} == {"complete"}
    told = open_study(search, folder.path)
    assert [tuple(each.values) for each in told.get_trials()] == [
        (each["accuracy"], each["multiply_adds"]) for each in results
    ]
    front = {each["number"] for each in best_of(results, search.objectives)}
    values = {each["number"]: (each["accuracy"], each["multiply_adds"]) for each in results}
    optuna_front = {each.number for each in told.best_trials}
    assert {values[n] for n in front} == {values[n] for n in optuna_front}


def test_a_trial_that_fails_is_recorded_and_the_others_go_on(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: dict[int, Exception] = {
        0: DivergedError("The loss is nan in step 3."),
        1: RuntimeError("this net cannot be computed"),
    }

    def breaks(network: Any, images: Any, config: Any, **options: Any) -> Any:
        if config.seed in errors:
            raise errors[config.seed]
        return train(network, images, config, **options)

    monkeypatch.setattr(trial_module, "train", breaks)
    search = make_search(trials=3)
    folder, results = run(search)
    assert [each["state"] for each in results] == ["diverged", "failed", "complete"]
    assert results[1]["error"] == "this net cannot be computed"
    assert results[0]["accuracy"] is None
    states = [each.state.name for each in open_study(search, folder.path).get_trials()]
    assert states == ["PRUNED", "FAIL", "COMPLETE"]
    assert [each["number"] for each in best_of(results, search.objectives)] == [2]


def test_a_full_disk_puts_the_trial_back(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(trials=1)

    def full(*args: Any, **options: Any) -> Any:
        raise MachineError("No space left on the disk.")

    with monkeypatch.context() as patched, pytest.raises(MachineError, match="No space left"):
        patched.setattr(trial_module, "train", full)
        run(search)
    assert read_status(search_folder(search.name)).put_back == [0]
    _, results = run(search)
    assert [each["state"] for each in results] == ["complete"]
    assert results[0]["attempts"] == 2


def test_a_result_that_was_not_told_is_told_and_not_computed_again(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(trials=2)

    def lost(self: Any, result: Any) -> None:
        raise SystemExit(143)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(trial_module.Trial, "_tell", lost)
        run(search)
    folder = search_folder(search.name)
    before = folder.results()
    assert len(before) == 1
    assert open_study(search, folder.path).get_trials()[0].state.name == "RUNNING"
    _, results = run(search)
    assert results[0] == before[0]
    assert results[0]["attempts"] == 1
    assert [each.state.name for each in open_study(search, folder.path).get_trials()] == [
        "COMPLETE" if each["state"] == "complete" else "PRUNED" for each in results
    ]


def test_a_trial_that_another_worker_has_is_left_to_it(make_search: MakeSearch) -> None:
    search = make_search(trials=2)
    folder = search_folder(search.name)
    begin(search, folder)
    open_study(search, folder.path).ask()
    with claim(folder.claim_of(0)) as mine:
        assert mine
        take_trials(search, folder)
        assert [each["number"] for each in folder.results()] == [1]
    take_trials(search, folder)
    assert [each["number"] for each in folder.results()] == [0, 1]


def test_a_storage_that_is_lost_is_asked_again_and_nothing_is_computed_twice(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(trials=2)
    calls = 0
    original = trial_module.Trial._tell

    def tell(self: Any, result: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 2):
            raise StorageError("The storage of the search does not answer.")
        original(self, result)

    monkeypatch.setattr(trial_module.Trial, "_tell", tell)
    monkeypatch.setattr(work_module, "LONGEST_WAIT", 0.01)
    _, results = run(search)
    assert [each["attempts"] for each in results] == [1, 1]
    monkeypatch.setattr(
        trial_module.Trial, "_tell", lambda self, result: (_ for _ in ()).throw(StorageError("no"))
    )
    with pytest.raises(StorageError):
        run(make_search(trials=3))


def test_a_line_that_a_killed_machine_left_in_the_journal_is_dropped(
    make_search: MakeSearch,
) -> None:
    search = make_search(trials=1)
    folder, _ = run(search)
    journal = folder.path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"wor')
    _, results = run(make_search(trials=2))
    assert len(results) == 2
    assert journal.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_the_weights_of_a_run_know_their_architecture(make_search: MakeSearch) -> None:
    folder, results = run(make_search(trials=1, prune=False))
    path = folder.trial(0).run / f"{results[0]['model']}.safetensors"
    described = json.loads(read_weights(path)[1]["architecture"])
    assert described == results[0]["architecture"]
    built = architecture_of(described).build(seed=0)
    assert weights_sha256(built) != ""


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"storage": "sqlite:///search.db"}, "storage: SQLite is refused. Its locks do not hold"),
    ({"storage": "mysql://a/b"}, "storage must be empty for a journal file"),
    ({"objectives": "accuracy"}, "objectives must be a list"),
    ({"objectives": ["accuracy", "predictivity"]}, "predictivity is refused"),
    ({"objectives": ["accuracy", "size"]}, "Unknown objective 'size'"),
    ({"objectives": ["parameters"]}, "objectives begin with accuracy"),
    ({"objectives": ["accuracy", "parameters"], "prune": True}, "prune = true needs one objective"),
    ({"training": {"lr": 0.1}}, "training.lr is a dimension of the space: set space.lr"),
    ({"training": {"epoch": 3}}, r"Unknown field of \[training\] 'epoch'"),
    ({"training": {"epochs": 0}}, "epochs must be at least 1"),
    ({"sampler": "grid"}, "Unknown sampler 'grid'"),
    ({"trials": 0}, "trials must be at least 1"),
    ({"name": "../up"}, "The name of a study has letters"),
    ({"space": {"depth": 99}}, "space.depth must lie between 3 and 32"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_wrong_study_is_refused_in_a_sentence(
    make_search: MakeSearch, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(NeurofitError, match=message):
        make_search(**changes)


def test_a_study_file_is_read_and_an_unknown_field_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('trials = 7\n[space]\ncell = "gru"\n[pruning]\nfactor = 4\n')
    found = read_search(path)
    assert (found.name, found.trials, found.pruning.factor) == ("mine", 7, 4)
    assert found.searched().cells == ("gru",)
    path.write_text("[pruning]\nfactors = 4\n")
    with pytest.raises(NeurofitError, match=r"Unknown field of \[pruning\] of .* 'factors'"):
        read_search(path)


def test_a_study_of_another_definition_is_refused(make_search: MakeSearch) -> None:
    run(make_search(trials=1))
    with pytest.raises(NeurofitError, match="another name"):
        begin(make_search(space={"cell": "lstm"}), search_folder("small"))
    other = make_search(seed=4)
    with pytest.raises(NeurofitError, match="was begun with another seed"):
        search_folder("small").begin(other)


def test_images_that_are_ordered_by_class_are_refused(make_search: MakeSearch) -> None:
    def ordered(name: str) -> Any:
        import numpy as np

        from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages

        images = np.zeros((40, 12, 12, 3), np.uint8)
        part = LabelledImages(images=images, labels=np.arange(40) // 10)
        return ImageSet(name=name, classes=("a", "b", "c", "d"), train=part, test=part)

    with pytest.raises(NeurofitError, match="have 2 of 4 classes"):
        load_search_images(make_search(), ordered)


def test_without_optuna_a_line_says_how_to_install_it(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search()
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(NeurofitError, match=r"pip install 'neurofit\[search\]'"):
        create_study(search, Path())

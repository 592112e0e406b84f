"""A study is a grid of choices, from a file or from Python, and says what is wrong with it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurofit.analyses.analysis import analysis_of
from neurofit.analyses.identity import result_key
from neurofit.analyses.run import RunConfig
from neurofit.analyses.sweeps import suites
from neurofit.analyses.sweeps.plan import make_cells
from neurofit.analyses.sweeps.study import CHOICES, Study, read_study, with_machine
from neurofit.data_loaders import load_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.models import create_model, list_models, save_weights
from neurofit.recordings.recording import Recording
from tests.analyses.sweeps.conftest import make_study

STUDY = """
models = ["rgc_tiny", "*decay_tiny"]
regions = ["V4", "IT"]
mappings = ["ridge", "pls", "ridge,pls"]
layers = ["auto", "conv3,conv4"]
seeds = [0, 1]
subjects = ["M1"]
exclude = [{model = "rgc*", region = "V4"}]

[options]
n_splits = 3

[selection]
min_reliability = 0.2

[machine]
workers = 2

[slurm]
partition = "gpu"
options = {account = "lab"}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


def test_every_choice_is_combined_with_every_other(tmp_path: Path) -> None:
    study = read_study(write(tmp_path, STUDY))
    grid = study.grid()
    assert study.name == "mine"
    expected = {
        (model, region, mapping, layers, seed)
        for model, region, mapping, layers, seed in itertools.product(
            ("rgc_tiny", "timedecay_tiny"),
            ("V4", "IT"),
            ("ridge", "pls", "ridge,pls"),
            ("auto", "conv3,conv4"),
            ("0", "1"),
        )
        if (model, region) != ("rgc_tiny", "V4")
    }
    names = ("model", "region", "mapping", "layers", "seed")
    assert {tuple(choices[name] for name in names) for choices, _ in grid} == expected
    assert len(grid) == len(expected)
    for choices, config in grid:
        assert tuple(choices) == CHOICES
        assert analysis_of(config.analysis).name == "score"
        assert (config.model, config.selection.region) == (choices["model"], choices["region"])
        assert ",".join(config.analysis.mapping_names) == choices["mapping"]
        layers = config.analysis.layers
        assert (layers if layers == "auto" else ",".join(layers)) == choices["layers"]
        assert str(config.analysis.seed) == choices["seed"]
        assert (config.analysis.n_splits, config.selection.min_reliability) == (3, 0.2)
        assert config.selection.subject == "M1"
    assert (study.machine.workers, study.slurm.partition) == (2, "gpu")
    assert study.slurm.options == {"account": "lab"}


def test_only_what_is_included_is_left() -> None:
    study = Study(
        name="s",
        models=["*_tiny"],
        regions=["V4", "IT"],
        include=[{"model": "gru*"}, {"model": "rgc_tiny", "region": "IT"}],
    )
    found = {(choices["model"], choices["region"]) for choices, _ in study.grid()}
    assert found == {("gru_tiny", "V4"), ("gru_tiny", "IT"), ("rgc_tiny", "IT")}
    every = Study(name="s", models=["*_tiny"], regions=["IT"]).grid()
    assert [choices["model"] for choices, _ in every] == list_models("*_tiny")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('models = ["a"]\nregion = ["IT"]', "Did you mean 'regions'"),
        ("models = [", "not valid TOML"),
        ('models = "rgc_tiny"\nregions = ["IT"]', "models of a study must be a list"),
        ('models = ["rgc_tiny"]', "needs areas"),
        ('regions = ["IT"]', "models"),
        ('models = ["nothing_*"]\nregions = ["IT"]', "No registered model matches 'nothing_"),
        ('models = ["rgc_tiny"]\nregions = ["IT"]\nexclude = [{modle = "x"}]', "'model'"),
        ('models = ["rgc_tiny"]\nregions = ["IT"]\nmappings = ["rigde"]', "'ridge'"),
        ('models = ["rgc_tiny"]\nregions = ["IT"]\nname = "../x"', "letters, digits"),
        (
            'models = ["rgc_tiny"]\nregions = ["IT"]\n[machine]\nworkers = 0',
            r"\[machine\] of .*mine.toml: workers must be at least 1; got 0",
        ),
        ('models = ["rgc_tiny"]\nregions = ["IT"]\n[machine]\nworker = 1', "'workers'"),
        ('models = ["rgc_tiny"]\nregions = ["IT"]\nexclude = [{model = "*"}]', "no cells"),
        ('models = ["rgc_tiny"]\nregions = ["IT"]\nsuite = "ventral"', "ventral-time-v1"),
        ('models = ["rgc_tiny"]\nregions = ["IT"]\n[options]\nn_split = 1', "n_split"),
    ],
)
def test_what_is_wrong_with_a_study_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(NeurofitError, match=said):
        read_study(write(tmp_path, text)).grid()


def test_too_many_cells_are_refused_by_their_number() -> None:
    study = Study(name="s", models=["rgc_tiny"], regions=["IT"], seeds=range(200_000))
    with pytest.raises(NeurofitError, match=r"has 200,000 cells; at most 100,000"):
        study.grid()


def test_a_suite_states_everything_but_the_models() -> None:
    study = Study(name="s", models=["rgc_tiny"], suite="ventral-time-v1")
    grid = study.grid()
    models = {choices["model"] for choices, _ in grid}
    assert models == {"rgc_tiny", "baseline:pixels", "baseline:gabor"}
    assert {config.selection.window for _, config in grid} == {(70, 260)}
    with pytest.raises(NeurofitError, match="The suite ventral-time-v1 states regions"):
        Study(name="s", models=["rgc_tiny"], suite="ventral-time-v1", regions=["IT"])


@pytest.mark.parametrize("name", suites.SUITES)
def test_a_changed_definition_of_a_suite_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    original = (suites.FOLDER / f"{name}.toml").read_text()
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    (tmp_path / f"{name}.toml").write_text(original)
    expected = suites.read_suite(name)
    (tmp_path / f"{name}.toml").write_bytes(original.replace("\n", "\r\n").encode())
    assert suites.read_suite(name) == expected
    (tmp_path / f"{name}.toml").write_text(original.replace("260", "270"))
    with pytest.raises(NeurofitError, match="has changed"):
        suites.read_suite(name)


def test_the_command_line_changes_the_machine_only() -> None:
    study = Study(name="s", models=["rgc_tiny"], regions=["IT"])
    changes: dict[str, Any] = {"workers": 3, "partition": "gpu", "gpus": None, "time": 10}
    found = with_machine(study, **changes)
    assert (found.machine.workers, found.slurm.partition, found.slurm.time) == (3, "gpu", 10)
    assert found.slurm.gpus == study.slurm.gpus
    assert replace(found, machine=study.machine, slurm=study.slurm) == study


def test_a_network_of_ones_own_is_a_model_whose_code_is_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("def make(width=4): ...\n")
    names = ["net.py:make?width=8", "timm:resnet18?pretrained=false", "rgc_tiny"]
    text = f"models = {json.dumps(names)}\nregions = ['IT']"
    grid = read_study(write(tmp_path, text)).grid()
    assert [choices["model"] for choices, _ in grid] == names
    before = [result_key(config, "sha256") for _, config in grid]
    assert len(set(before)) == 3
    (tmp_path / "net.py").write_text("def make(width=6): ...\n")
    after = [result_key(config, "sha256") for _, config in grid]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]


def test_how_images_were_shown_is_part_of_a_cell(study: Study, tmp_path: Path) -> None:
    """A sidecar says it beside an array, whose own hash stays the same."""
    responses = np.random.default_rng(0).normal(size=(3, 24, 1))
    np.savez(
        tmp_path / "shown.npz",
        responses=responses,
        stimulus_id=np.tile([f"s{i:02d}" for i in range(12)], 2),
        repetition=np.repeat([0, 1], 12),
        neuroid_id=["a", "b", "c"],
        time_bin_start=[70],
        time_bin_end=[100],
    )
    (tmp_path / "stimuli").mkdir()
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / "stimuli" / f"s{i:02d}.png")
    stated = {"region": "IT", "subject": "m", "visual_degrees": 8.0}
    keys = set()
    for duration in (100, 200):
        sidecar = json.dumps({**stated, "duration_ms": duration})
        (tmp_path / "shown.json").write_text(sidecar)
        given = make_study(recordings=["shown.npz"], regions=["IT"], windows=[])
        keys |= {cell.key for cell in make_cells(given)}
    assert len(keys) == 2 * 4


def test_areas_that_are_excluded_are_not_asked_of_a_recording(
    evoked: Callable[[], Recording], tmp_path: Path
) -> None:
    whole = evoked()
    it = whole.responses.region.values == "IT"
    path = tmp_path / "it.nc"
    write_recording(replace(whole, responses=whole.responses[:, it]), path)
    with pytest.raises(NeurofitError, match="V4"):
        make_cells(make_study(recordings=[str(path)], windows=[]))
    cells = make_cells(make_study(recordings=[str(path)], windows=[], exclude=[{"region": "V4"}]))
    assert {cell.choices["region"] for cell in cells} == {"IT"}


def test_a_folder_of_a_network_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_text("{}")
    config = RunConfig(model=f"hf:{tmp_path / 'net'}")
    before = result_key(config, "sha256")
    assert result_key(config, "sha256") == before
    (tmp_path / "net" / "model.safetensors").write_bytes(b"trained again")
    assert result_key(config, "sha256") != before


def test_the_key_of_a_cell_is_that_of_the_weights_that_it_uses(tmp_path: Path) -> None:
    """The name of a file changes nothing."""
    trained = RunConfig(model="rgc_tiny")
    random = RunConfig(model="rgc_tiny", weights="random")
    save_weights(create_model("rgc_tiny", weights="random", seed=1), tmp_path / "one.safetensors")
    (tmp_path / "two.safetensors").write_bytes((tmp_path / "one.safetensors").read_bytes())
    files = [RunConfig(model="rgc_tiny", weights=path) for path in sorted(tmp_path.glob("*.s*"))]
    keys = [result_key(config, "sha256") for config in (trained, random, *files)]
    assert keys[2] == keys[3]
    assert len(set(keys)) == 3


def test_a_width_of_images_enters_the_key_of_a_cell_only_if_it_is_given(
    study: Study, tmp_path: Path
) -> None:
    stated = make_cells(study)
    given = make_cells(replace(study, visual_degrees=8.0))  # as the recording states
    assert {cell.key for cell in stated}.isdisjoint(cell.key for cell in given)
    with pytest.raises(NeurofitError, match="states 8 degrees"):
        make_cells(replace(study, visual_degrees=4.0))
    recording = load_recording(study.recordings[0])
    silent = replace(recording, stimuli=replace(recording.stimuli, assumed=("visual_degrees",)))
    write_recording(silent, tmp_path / "silent.nc")
    mine = replace(study, recordings=[str(tmp_path / "silent.nc")])
    with pytest.raises(NeurofitError, match="does not state how wide its images were shown"):
        make_cells(mine)
    cells = make_cells(replace(mine, visual_degrees=4.0))
    assert {cell.config.visual_degrees for cell in cells} == {4.0}
    text = "models = ['rgc_tiny']\nregions = ['IT']\nvisual_degrees = -1.0"
    with pytest.raises(NeurofitError, match="visual_degrees"):
        read_study(write(tmp_path, text)).grid()

"""`neurofit search` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from neurofit.training.search.study import Search

Command = Callable[..., tuple[int, str, str]]

STUDY = """
data = "shards:{shards}"
validation = 16
input_size = 12
trials = 2
[training]
epochs = 1
batch_size = 16
[space]
cell = ["gru", "timedecay"]
depth = 3
channels = 4
first_channels = 4
timesteps = 6
image_on = 6
[machine]
device = "cpu"
threads = 1
"""


@pytest.fixture
def study(make_search: Callable[..., Search], neurofit: Command, shards: Path) -> str:
    """Write a study file into an empty folder."""
    make_search()
    Path("mine.toml").write_text(STUDY.format(shards=shards))
    return "mine.toml"


def test_a_study_is_run_by_its_file_and_goes_on(study: str, neurofit: Command) -> None:
    code, printed, said = neurofit("search", study)
    assert code == 0, printed + said
    assert "2 trials: 2 complete" in printed
    lines = sorted(Path("neurofit-searches/mine/trials").glob("*/trial.json"))
    before = [path.read_text() for path in lines]
    code, printed, _ = neurofit("search", study, "--trials", "3")
    assert code == 0
    assert "3 trials: 3 complete" in printed
    assert [path.read_text() for path in lines] == before
    assert neurofit("search", "resume", "neurofit-searches/mine")[0] == 0
    numbers = [
        json.loads(path.read_text())["number"]
        for path in sorted(Path("neurofit-searches/mine/trials").glob("*/trial.json"))
    ]
    assert numbers == [0, 1, 2]


def test_a_dry_run_prints_the_space_and_writes_nothing(study: str, neurofit: Command) -> None:
    code, printed, _ = neurofit("search", study, "--dry-run")
    assert code == 0
    assert "gru, timedecay" in printed
    assert not Path("neurofit-searches").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("depth = 12", "space.timesteps: with depth 12"),
        ("feedback = 0.5", "space.feedback: no cell of the space takes feedback"),
        ("depht = 4", "Unknown dimension of the space 'depht'"),
    ],
)
def test_an_impossible_space_is_refused_before_anything_is_written(
    study: str, neurofit: Command, line: str, message: str
) -> None:
    path = Path(study)
    text = path.read_text().replace(
        "depth = 3\n", "" if line.startswith("depth") else "depth = 3\n"
    )
    path.write_text(text.replace("[space]\n", f"[space]\n{line}\n"))
    code, _, said = neurofit("search", study)
    assert code == 2
    assert message in said.replace("\n", " ")
    assert not Path("neurofit-searches").exists()


def test_a_search_that_was_never_begun_cannot_be_resumed(study: str, neurofit: Command) -> None:
    code, _, said = neurofit("search", "resume", study)
    assert code == 2
    assert "There is no search in" in said

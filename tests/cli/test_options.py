"""Options of the command line: given twice, given for several, and shown in the help."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurofit.analyses import ANALYSES
from neurofit.cli.analyses import SHORT_NAMES, analysis_command
from neurofit.config.compute import Compute
from neurofit.config.options import options_of
from neurofit.mapping import MAPPINGS
from neurofit.recordings.recording import Recording
from neurofit.recordings.selection import Selection

FEW = ("--mapping", "ridge", "--n-splits", "2", "--n-halves", "2", "--n-bootstraps", "5")
SCORE = ("score", "--recording", "small", *FEW)
V4 = (*SCORE, "--model", "timedecay_tiny", "--region", "V4")

PANELS = {
    "Model": ("--model", "--weights", "--presentation"),
    "Recording": ("--recording", "--region", "--bins", "--shuffle-stimuli"),
    "Mapping": (
        "--mapping",
        "--layers",
        "--time-mode",
        "--intercept",
        "--ridge-select",
        "--pls-n-components",
    ),
    "Splits and halves": ("--splits", "--n-splits", "--groups", "--n-halves"),
    "Statistics": ("--preset", "--formula", "--min-z", "--interval-over", "--seed"),
    "Output": ("--out", "--json"),
    "Machine": ("--device", "--n-jobs", "--keep-grams", "--offline"),
}
"""Headings in the help of `neurofit score`, with some of the options under each."""


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ((*V4, "--n-splits", "3"), "--n-splits"),
        ((*V4, "--seed=1", "--seed=2"), "--seed"),
        ((*V4, "--seed", "1", "--seed=1"), "--seed"),
        ((*V4, "--stratified", "--no-stratified"), "--stratified"),
        ((*V4, "--json", "--json"), "--json"),
        ((*V4, "--out", "one", "--out", "two"), "--out"),
        ((*V4, "--ridge-select", "loo", "--ridge-select", "gcv"), "--ridge-select"),
        (("ceiling", "--recording", "small", "--recording", "small"), "--recording"),
        (("analyse", "similarity", "--measure", "rsa", "--measure", "cka"), "--measure"),
        (("train", "--epochs", "1", "--epochs", "2"), "--epochs"),
        (("describe", "small", "--images", "one", "--images", "two"), "--images"),
        (("data", "convert", "a", "b", "--layout", "x", "--layout", "y"), "--layout"),
    ],
)
def test_an_option_given_twice_is_refused(
    neurofit: Any, registered: Any, tmp_path: Path, arguments: tuple[str, ...], option: str
) -> None:
    code, out, err = neurofit(*arguments)
    assert (code, out) == (2, "")
    assert err.strip() == f"{option} is given 2 times; give it once."
    assert list(tmp_path.iterdir()) == []


def test_several_models_and_regions_give_a_result_each(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    models = ("--model", "timedecay_tiny", "--model", "feedforward_tiny")
    code, out, err = neurofit(*SCORE, *models, "--region", "V4,IT")
    assert code == 0, err
    folders = {path.name for path in (tmp_path / "neurofit-results").iterdir()}
    rest = "small_ridge_n_splits=2_n_halves=2_n_bootstraps=5"
    pairs = [(m, r) for m in models[1::2] for r in ("V4", "IT")]
    assert folders == {f"{model}_{region}_{rest}" for model, region in pairs}
    assert out.count("Written: ") == 4
    summaries = json.loads(
        neurofit(*SCORE, *models, "--region", "V4", "--region", "IT", "--json")[1]
    )
    assert [(each["model"], each["region"]) for each in summaries] == pairs
    code, _, err = neurofit(
        *SCORE, "--model", ",".join(models[1::2]), "--region", "V4", "--out", "x"
    )
    assert code == 0, err
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        f"{model}_V4_{rest}" for model in models[1::2]
    }
    alone = json.loads(neurofit(*V4, "--json")[1])
    assert alone == summaries[0]


def test_several_subjects_give_a_result_each(
    neurofit: Any, registered: Any, evoked: Callable[[], Recording], tmp_path: Path
) -> None:
    recording = evoked()
    subjects = ["A", "B", "B"] * 4
    told = recording.responses.assign_coords(subject=("neuroid", subjects))
    registered(replace(recording, responses=told))
    for call in (V4, ("ceiling", "--recording", "small", "--region", "V4")):
        both = json.loads(neurofit(*call, "--subject", "A,B", "--json")[1])
        assert [each["selection"] for each in both] == [{"subject": "A"}, {"subject": "B"}]
        single = [json.loads(neurofit(*call, "--subject", who, "--json")[1]) for who in "AB"]
        assert both == single
        assert json.loads(neurofit(*call, "--subject", "A", "--subject", "B", "--json")[1]) == both
    ceilings = both
    assert [each["n_neuroids"] for each in ceilings] == [[2] * 4, [4] * 4]
    assert len(list((tmp_path / "neurofit-results").iterdir())) == 4


def test_neurofit_alone_shows_the_help_once(neurofit: Any) -> None:
    code, out, err = neurofit()
    assert (code, err) == (0, "")
    assert out.count("Usage: ") == 1
    for command in (*SHORT_NAMES, "analyse", "list", "describe", "check", "train", "eval"):
        assert f"│ {command} " in out
    code, by_option, _ = neurofit("--help")
    assert (code, by_option.split()) == (0, out.split())


def test_a_group_alone_shows_its_help_once(neurofit: Any) -> None:
    for group, command in (("analyse", "similarity"), ("data", "convert"), ("cache", "ls")):
        code, out, _ = neurofit(group)
        assert code == 0
        assert out.count("Usage: ") == 1
        assert f"│ {command} " in out


def test_the_version_is_that_of_the_package(neurofit: Any) -> None:
    from neurofit import __version__

    assert neurofit("--version") == (0, f"neurofit {__version__}\n", "")


def panels(out: str) -> dict[str, str]:
    """Return heading -> text of each panel of a help."""
    found: dict[str, str] = {}
    for part in out.split("╭─ ")[1:]:
        heading, _, text = part.partition(" ─")
        found[heading] = text
    return found


def test_the_help_has_a_panel_for_each_part_of_the_work(neurofit: Any) -> None:
    code, out, _ = neurofit("score", "--help")
    assert code == 0
    shown = panels(out)
    assert set(shown) - {"Options"} == set(PANELS)
    for heading, options in PANELS.items():
        for option in options:
            assert f"│ {option} " in shown[heading], (heading, option)
    assert max(len(line) for line in out.splitlines()) <= 80
    shown = panels(neurofit("ceiling", "--help")[1])
    assert set(shown) - {"Options"} == {"Recording", "Statistics", "Output", "Machine"}
    shown = panels(neurofit("analyse", "similarity", "--help")[1])
    assert set(shown) - {"Options"} == set(PANELS) - {"Mapping", "Splits and halves"}


def test_every_field_that_is_an_option_has_its_flag_and_its_help() -> None:
    params = {param.opts[0]: param for param in analysis_command("score").params}
    configs: list[tuple[Any, str]] = [(ANALYSES["score"].config, ""), (Selection, "")]
    configs += [(Compute, ""), *((MAPPINGS[name], f"{name}-") for name in MAPPINGS)]
    for config, prefix in configs:
        for option in options_of(config):
            param = params[f"--{prefix}{option.name.replace('_', '-')}"]
            assert param.help.startswith(option.metadata["help"])


def test_the_list_of_commands_says_of_an_analysis_what_its_docstring_says() -> None:
    assert {name: ANALYSES[name].summary for name in SHORT_NAMES} == SHORT_NAMES

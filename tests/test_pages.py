"""The commands and programs that pages print: commands exist with their options, programs run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import typer

import neurofit
from neurofit.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "models" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))

# Pages whose programs are run by a test of their own, or need what is not here.
ELSEWHERE = {
    "CONTRIBUTING.md": "tests/test_docs.py",
    "models/README.md": "tests/models/test_readme.py",
    "docs/presets.md": "tests/test_presets_page.py",
    "docs/figures.md": "tests/results/figures/test_figures.py",
    "docs/brainscore.md": "tests/brainscore/test_installed.py",
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each block of code, indented ones included."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.S | re.M)
    for found in re.findall(
        r"(?:^    .*\n)+", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M
    ):
        yield "", re.sub(r"^    ", "", found, flags=re.M)


def commands(page: Path) -> Iterator[str]:
    """Yield the commands of neurofit in a page, each with its continuation lines joined."""
    for language, text in blocks(page):
        if language in ("", "bash", "console"):
            joined = text.replace("\\\n", " ")
            yield from re.findall(
                r"^(?:[\w/.-]*torchrun [^\n]*-m )?neurofit (\S[^\n]*)", joined, re.M
            )
    inline = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for found in re.findall(r"`neurofit ([^`]+)`", inline):
        yield " ".join(found.split())


@cache
def root() -> Any:
    return typer.main.get_command(app)


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and the words that follow it."""
    command, context = root(), typer.Context(root(), info_name="neurofit")
    while words and hasattr(command, "resolve_command"):
        _, found, words = command.resolve_command(context, words)
        assert found is not None, words
        command = found
    return command, words


CASES = [
    (name_of(page), line)
    for page in PAGES
    for line in commands(page)
    # without a placeholder, and without the analysis of CONTRIBUTING.md, which has its own test
    if not re.search("mean_response|COMMAND", line)
]


def test_pages_print_commands() -> None:
    assert len(CASES) > 150


@pytest.mark.parametrize(("page", "line"), CASES, ids=[f"{p}: {c[:60]}" for p, c in CASES])
def test_a_printed_command_exists_with_its_options(page: str, line: str) -> None:
    line = line.replace("analyse NAME", "analyse geometry").replace("describe|check", "describe")
    words = shlex.split(re.sub(r"\.\.\.|[|{}]", " ", line), comments=True)
    while words[:1] in (["--plugin"], ["--debug"]):
        words = words[2:] if words[0] == "--plugin" else words[1:]
    command, rest = find_command(words)
    known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
    flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
    own = {
        f"--{name}" for name in ("help", "version", "plugin", "debug", "mean-response-statistic")
    }
    plugins = {flag for flag in flags if flag.startswith("--enet") or flag == "--statistic"}
    assert flags - own - plugins <= known, (page, line)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the files that the programs of pages read."""
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(2)}, "resnet18-f37072fd.pth")
    load = neurofit.load_recording
    monkeypatch.setattr(  # fewer time bins, to save time
        neurofit,
        "load_recording",
        partial(load, window=(100, 130)),
    )
    return tmp_path


@pytest.fixture(scope="module")
def scored() -> list[Any]:
    """Return the scores of two models on three time bins."""
    recording = neurofit.load_recording("hvm-sim", region="IT", window=(100, 130))
    config = neurofit.ScoreConfig(layers=("conv5",), n_splits=2, n_halves=2)
    results = []
    for name in ("rgc_tiny", "timedecay_tiny"):
        activations = neurofit.extract(
            neurofit.create_model(name), recording.stimuli, layers=["conv5"],
            time_bins=recording.time_bins,
        )  # fmt: skip
        results.append(neurofit.score(activations, recording, config))
    return results


PROGRAMS = [
    (name_of(page), number)
    for page in PAGES
    if name_of(page) not in ELSEWHERE
    for number, (language, _) in enumerate(blocks(page))
    if language == "python"
]
TESTED = ("Activations(", 'open_dataset("features.nc")', "class Net")
"""Programs that tests of what they show run."""


@pytest.mark.parametrize(("page", "number"), PROGRAMS)
def test_a_printed_program_runs(page: str, number: int, folder: Path, scored: list[Any]) -> None:
    code = list(blocks(ROOT / page))[number][1]
    if any(part in code for part in TESTED):
        return
    if "bins=" in code:
        code = code.replace("70:250:20", "110:130:20")
    for result in scored:
        path = Path("neurofit-results") / f"{result.attrs['model']}_IT_hvm-sim_ridge"
        path.mkdir(parents=True)
        neurofit.save_result(result, path / "result.nc")
    names: dict[str, Any] = {"one": scored[0], "other": scored[1], "neurofit": neurofit}
    exec(compile(code, f"{page}, block {number}", "exec"), names)
    if "comparison" in names:
        assert names["comparison"].attrs["analysis"] == "compare"
    if "weights" in names:
        assert safetensors.torch.load_file("resnet18.safetensors")["weight"].tolist() == [0, 0]
    if "write_report" in code:
        assert Path("report.html").stat().st_size > 10_000
    if "config" in names:
        assert np.isfinite(names["result"].curve.sel(time_bin=slice(100, 130)).values).all()


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_programs_of_other_pages_have_a_test(page: str, test: str) -> None:
    source = (ROOT / test).read_text(encoding="utf-8")
    assert all(f'"{part}"' in source or f"/{part}" in source for part in page.split("/"))

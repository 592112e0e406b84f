"""Commands end well whatever reads their output, and print nothing but text."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from neurofit import load_result
from neurofit.cli.app import main
from neurofit.cli.console import harmless
from neurofit.data_loaders import write_recording
from neurofit.recordings.recording import Recording

Command = Callable[..., tuple[int, str, str]]

FEW = ("--n-splits", "2", "--n-halves", "2", "--min-z", "0", "--mapping", "ridge")
MODELS = "timedecay_tiny,feedforward_tiny"
EVIL = "I\x1b[31mT\x07\x9b2J\u202eTI"


def test_control_characters_are_shown_and_do_nothing() -> None:
    assert harmless("a\x1b[2J\x07\r\x7f\x9b\u202eb\t\n") == "a␛[2J␇␍␡\ufffd\ufffdb\t\n"
    assert harmless("V4 日本 é \U0001f600") == "V4 日本 é \U0001f600"


@pytest.fixture
def evil(registered: Callable[[Recording], None], evoked: Callable[[], Recording]) -> Recording:
    """Register a recording whose names contain escapes of terminals."""
    made = evoked()
    responses = made.responses
    regions = ["V4" if region == "V4" else EVIL for region in responses.region.values]
    ids = [f"{each}\x1b]0;title\x07[/bold]" for each in responses.neuroid_id.values]
    changed = responses.assign_coords(region=("neuroid", regions), neuroid_id=("neuroid", ids))
    made = replace(made, responses=changed)
    registered(made)
    return made


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize(
    "command",
    [
        ("score", "--model", "feedforward_tiny", "--recording", "small", "--region", EVIL, *FEW),
        ("score", "--model", "feedforward_tiny", "--recording", "small", *FEW),
        ("score", "--model", EVIL, "--recording", "small", "--region", "V4", *FEW),
        ("score", "--model", "feedforward_tiny", "--recording", f"{EVIL}.nc", "--region", "V4"),
        ("ceiling", "--recording", "small", "--region", "V4"),
        ("ceiling", "--recording", "small", "--region", f"x{EVIL}"),
        ("check", "small"),
        ("describe", EVIL),
        ("compare", EVIL, EVIL),
        ("report", f"{EVIL}/result.nc"),
        ("table", EVIL),
        ("plot", EVIL),
        ("verify", EVIL),
        ("sweep", f"{EVIL}.toml"),
        ("cache", "rm", EVIL),
        ("data", "get", EVIL),
        ("weights", "get", EVIL),
        ("list", EVIL),
    ],
    ids=lambda command: " ".join(command[:1]),
)
def test_names_move_no_cursor(neurofit: Command, command: tuple[str, ...]) -> None:
    code, out, err = neurofit(*command)
    printed = out + err
    assert code in (0, 2), err
    assert "bug" not in printed
    for character in ("\x1b", "\x07", "\x9b", "\u202e", "\x00"):
        assert character not in printed


@pytest.mark.usefixtures("evil")
def test_files_of_the_cache_are_listed_as_text(neurofit: Command, own_home: Path) -> None:
    (own_home / "grams" / f"{EVIL}[/bold]").mkdir(parents=True)
    code, out, _ = neurofit("cache", "ls")
    assert code == 0
    assert "␛[31mT" in "".join(out.split())
    assert "\x1b" not in out


def test_a_console_of_ascii_prints_everything(
    registered: Callable[[Recording], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording_study(tmp_path)
    score = ("score", "--model", MODELS, "--recording", "small", "--region", "IT", *FEW)
    results = [
        str(Path("neurofit-results") / f"{model}_IT_small_ridge_n_splits=2_n_halves=2_min_z=0.0")
        for model in MODELS.split(",")
    ]
    commands = (
        score,
        ("compare", *results, "--out", "both"),
        ("report", *results, "--out", "report.html"),
        ("table", *results),
        ("sweep", "study.toml", "--dry-run"),
        ("list", "models"),
    )
    for command in commands:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        monkeypatch.setattr(sys, "argv", ["neurofit", *command])
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        else:
            code = 0
        for stream in streams:
            stream.flush()
        printed = [stream.buffer.getvalue() for stream in streams]
        assert not code, (command, printed)
        assert printed[0], command


def write_recording_study(folder: Path) -> None:
    (folder / "study.toml").write_text(
        f'models = {MODELS.split(",")}\nrecordings = ["small"]\nregions = ["IT"]\n'
    )


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["table", "json"])
def test_a_reader_that_has_seen_enough_costs_no_result(
    tmp_path: Path, evoked: Callable[[], Recording], more: tuple[str, ...]
) -> None:
    write_recording(evoked(), tmp_path / "small.nc")
    command = [sys.executable, "-m", "neurofit", "score", "--model", "feedforward_tiny", *more]
    process = subprocess.Popen(
        [*command, "--recording", "small.nc", "--region", "IT", *FEW, "--out", "here"],
        cwd=tmp_path,
        env={**os.environ, "NEUROFIT_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # before the first line, as if it were read by true
    error = process.stderr.read().decode()
    assert process.wait() == 0, error
    assert "BrokenPipe" not in error
    assert load_result(tmp_path / "here").attrs["model"] == "feedforward_tiny"

"""What is registered, the weights, and the help of every command."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurofit.models.cells import CELLS

DECAYS = ["conv1", "conv2", "imnetds"]
"""Layers whose decays are not 0 in the checkpoint, though they have no memory."""

KNOWN = {
    "models": "rgc_shallow",
    "recordings": "hvm-sim",
    "analyses": "similarity",
    "mappings": "ridge",
    "cells": "lstm",
    "presets": "brainscore",
    "images": "cifar10",
    "recipes": "cifar10-tiny",
}


@pytest.mark.parametrize("kind", KNOWN)
def test_lists_are_complete_and_80_columns_wide(neurofit: Any, kind: str) -> None:
    from neurofit.cli.catalogue import LISTED

    assert set(KNOWN) == set(LISTED)
    code, out, _ = neurofit("list", kind)
    assert code == 0
    assert KNOWN[kind] in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_lists_mark_the_default(neurofit: Any) -> None:
    assert "pooled (default)" in neurofit("list", "presets")[1]
    assert "ridge (default)" in neurofit("list", "mappings")[1]


def test_an_equation_in_brackets_is_printed_as_it_stands(
    neurofit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bracketed:
        """[i; j; f; o] = LN(W * [x; h] + b), not [bold]."""

    monkeypatch.setattr(CELLS, "_entries", {**CELLS._entries, "bracketed": Bracketed})
    _, out, _ = neurofit("list", "cells")
    assert "[i; j; f; o] = LN(W * [x; h] + b), not [bold]." in out


@pytest.mark.parametrize(
    ("name", "said"), [("rgc_tiny", "219,482"), ("hvm-sim", "SIMULATED"), ("cowley2023", "V4")]
)
def test_describe_says_what_it_is(neurofit: Any, name: str, said: str) -> None:
    code, out, _ = neurofit("describe", name)
    assert code == 0
    assert said in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gru_5layer_32", "none published: neurofit train --model gru_5layer_32 ..., or --weights"),
        ("gru_tiny", "bundled"),
        ("baseline:pixels", "none"),
    ],
)
def test_describe_says_where_weights_are_or_how_to_get_them(
    neurofit: Any, name: str, said: str
) -> None:
    assert f"weights {said}" in " ".join(neurofit("describe", name)[1].split())


def row(table: str, name: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(f"{name} "))


def test_weights_are_brought_from_the_mirror_once(
    neurofit: Any, own_home: Path, shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def files() -> list[str]:
        every = [path for path in own_home.rglob("*") if path.is_file()]
        # this process says what it reads until it ends
        return [path.name for path in every if not path.name.startswith("reading-")]

    monkeypatch.setenv("NEUROFIT_MIRROR", str(shared("golden/ckpt")))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "")
    code, _, err = neurofit("weights", "get", "simplernn_shallow", "--offline")
    assert code == 2, "this checkpoint has decays that are not 0 where they should"
    assert "simplernn_shallow fixes the decays of layers without memory at 0; got" in err
    assert re.findall(r"tnn_model/(\w+)/memory_decay -?0\.0[0-9]+", err) == DECAYS
    assert files() == []
    assert "published" in row(neurofit("list", "models")[1], "simplernn_shallow")
    described = " ".join(neurofit("describe", "simplernn_shallow")[1].split())
    assert "published: neurofit weights get simplernn_shallow" in described
    get = ("weights", "get", "simplernn_shallow", "--offline", "--zero-fixed-decays")
    code, out, err = neurofit(*get)
    assert (code, err) == (0, "")
    assert str(own_home / "weights" / "simplernn_shallow.safetensors") in out
    assert files() == ["simplernn_shallow.safetensors"]
    assert "downloaded" in row(neurofit("list", "models")[1], "simplernn_shallow")


def test_a_checkpoint_is_converted_to_a_file(
    neurofit: Any, shared: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = str(shared("golden/ckpt/simplernn_shallow") / "model.ckpt")
    command = ("weights", "convert", checkpoint, "--out", "w.safetensors", "--model")
    for model, message in (
        ("simplernn_shallow", "--zero-fixed-decays"),
        ("lstm_shallow", "not those of lstm_shallow"),
    ):
        code, _, err = neurofit(*command, model)
        assert (code, message in err, len(err.splitlines()) <= 2) == (2, True, True)
        assert list(tmp_path.iterdir()) == []
    code, out, _ = neurofit(*command, "simplernn_shallow", "--zero-fixed-decays")
    assert code == 0
    decays = ", ".join(f"tnn_model/{name}/memory_decay" for name in DECAYS)
    assert f"Set to 0: {decays}." in out
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_every_command_has_help_with_an_example(neurofit: Any) -> None:
    for command in (
        ("score",),
        ("ceiling",),
        ("analyse", "similarity"),
        ("list",),
        ("describe",),
        ("check",),
        ("train",),
        ("eval",),
        ("data", "get"),
        ("data", "convert"),
        ("weights", "get"),
        ("weights", "convert"),
        ("cache", "ls"),
        ("cache", "rm"),
        ("brainscore", "export"),
        ("brainscore", "score"),
    ):
        code, out, _ = neurofit(*command, "--help")
        assert code == 0
        assert "Example: neurofit" in out, command


@pytest.mark.parametrize(
    "command", [(), ("score",), ("ceiling",), ("list",), ("analyse",), ("train",)]
)
def test_help_does_not_wait_for_torch(command: tuple[str, ...]) -> None:
    program = f"""
import sys
from neurofit.cli.app import main
sys.argv = ["neurofit", *{command!r}, "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
assert "torch" not in sys.modules
"""
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        env={**os.environ, "COLUMNS": "80"},
    )

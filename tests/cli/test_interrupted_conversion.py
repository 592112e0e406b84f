"""A conversion that is interrupted or killed leaves what was there, and no file for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PLUGIN = """
import os, signal, time
{imports}
whole, calls = {where}, []

def interrupted(*args, **more):
    calls.append(0)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep({wait})
    return whole(*args, **more)

{where} = interrupted
"""

PLACES = {
    "responses": ("from neurofit.recordings.recording import Recording", "Recording.block", 2),
    "images": ("from PIL import Image", "Image.Image.save", 2),
    "table": ("import pandas", "pandas.DataFrame.to_csv", 1),
}
"""Part of the conversion -> import, function that is interrupted, and its call."""


def write_source(folder: Path) -> None:
    arrays: dict[str, Any] = {"stimulus_id": np.repeat(list("abc"), 2), "region": np.array("IT")}
    bins: dict[str, Any] = {"time_bin_start": [0, 10, 20, 30], "time_bin_end": [10, 20, 30, 40]}
    dims = np.array(["presentation", "neuroid", "time_bin"])
    held = np.random.default_rng(0).poisson(3, (6, 4, 4)).astype("f4")
    np.savez(folder / "in.npz", responses=held, dims=dims, **arrays, **bins)
    (folder / "stimuli").mkdir()
    for level, name in enumerate("abc"):
        Image.new("RGB", (4, 4), (level, 0, 0)).save(folder / "stimuli" / f"{name}.png")


def convert(folder: Path, plugin: str, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "plugin.py").write_text(plugin)
    command = [sys.executable, "-m", "neurofit", "--plugin", "plugin.py", "data", "convert"]
    return subprocess.run(
        [*command, "in.npz", "made/out.nc", *more],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "NEUROFIT_HOME": str(folder / "home")},
        check=False,
    )


def contents(folder: Path) -> dict[str, bytes]:
    files = (each for each in folder.rglob("*") if each.is_file() and each.name != "plugin.py")
    return {str(each.relative_to(folder)): each.read_bytes() for each in files}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("replaced", [False, True])
def test_ctrl_c_leaves_what_was_there(tmp_path: Path, place: str, replaced: bool) -> None:
    write_source(tmp_path)
    if replaced:
        assert convert(tmp_path, "").returncode == 0
    before = contents(tmp_path)
    imports, where, call = PLACES[place]
    plugin = PLUGIN.format(imports=imports, where=where, call=call, wait=5)
    done = convert(tmp_path, plugin, *["--overwrite"] * replaced)
    assert done.returncode == 130, done.stderr
    assert "Interrupted; partial files were removed." in done.stderr
    assert contents(tmp_path) == before
    assert (tmp_path / "made").exists() == replaced


@pytest.mark.parametrize("call", [2, 3, 4])
def test_ctrl_c_while_files_get_their_names_leaves_all_of_them(tmp_path: Path, call: int) -> None:
    """The first call renames responses that are written one bin at a time."""
    write_source(tmp_path)
    plugin = PLUGIN.format(imports="", where="os.replace", call=call, wait=0)
    done = convert(tmp_path, plugin)
    assert done.returncode == 130, done.stderr
    names = sorted(each.name for each in (tmp_path / "made").iterdir())
    assert names == ["out.nc", "out.stimuli.csv", "out.stimuli.zip"]


@pytest.mark.skipif(os.name == "nt", reason="there, what runs is not asked for")
@pytest.mark.parametrize("place", PLACES)
def test_the_next_conversion_removes_what_a_killed_one_left(tmp_path: Path, place: str) -> None:
    write_source(tmp_path)
    imports, where, call = PLACES[place]
    plugin = PLUGIN.format(imports=imports, where=where, call=call, wait=5)
    done = convert(tmp_path, plugin.replace("SIGINT", "SIGKILL"))
    assert done.returncode == -signal.SIGKILL
    made = tmp_path / "made"
    left = [each.name for each in made.iterdir()]
    assert left
    assert all(each.startswith(".") for each in left)
    of_running = (
        f".out-{os.getpid()}.{left[0].partition('.out-')[2].split('-')[0][-8:]}-abcdefgh.nc"
    )
    foreign = [of_running, ".out-notes.nc", ".out-abcdefgh.nc", ".other-1.00000000-abcdefgh.nc"]
    for name in foreign:
        (made / name).write_text("kept")
    assert convert(tmp_path, "").returncode == 0
    assert sorted(each.name for each in made.iterdir()) == sorted(
        [*foreign, "out.nc", "out.stimuli.csv", "out.stimuli.zip"]
    )

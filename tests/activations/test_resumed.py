"""A process that was killed has not worked in vain: its batches and Gram matrices are used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.activations import grams as module
from neurofit.activations.activations import Activations
from neurofit.activations.extract import extract, extract_lazily
from neurofit.activations.grams import GramStore
from neurofit.data_loaders import load_recording, write_recording
from neurofit.mapping.gram_building import gram_of
from neurofit.models import create_model
from neurofit.recordings.recording import Recording
from neurofit.storage.home import home

BINS = [(70, 80), (80, 90), (90, 110)]
OPTIONS: dict[str, Any] = {"layers": ["conv3", "conv5"], "time_bins": BINS, "batch_size": 8}

KILLED = """
import os, signal, sys
from neurofit.activations import grams
from neurofit.activations.extract import extract_lazily
from neurofit.data_loaders import load_recording
from neurofit.models import create_model

def stop(done, at):
    if done >= at:
        os.kill(os.getpid(), signal.SIGKILL)

build, n_built = grams.gram_of, 0
def counted(*blocks, **options):
    global n_built
    stop(n_built, int(sys.argv[2]))
    n_built += 1
    return build(*blocks, **options)
grams.gram_of = counted

found = extract_lazily(
    create_model(sys.argv[3]),
    load_recording("small.nc").stimuli,
    layers=["conv3", "conv5"],
    time_bins=[(70, 80), (80, 90), (90, 110)],
    batch_size=8,
    progress=lambda label, done, total: stop(done, int(sys.argv[1])),
)
store = grams.GramStore(found, [(70, 80), (80, 90), (90, 110)])
for layer in found.layers:
    for time_bin in store.time_bins:
        store.gram(layer, [time_bin])
"""


@pytest.fixture(autouse=True)
def _small(
    own_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    evoked: Callable[[], Recording],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording(evoked(), tmp_path / "small.nc")


def kill(*, at_image: int = 999, at_gram: int = 999, model: str = "rgc_tiny") -> None:
    """Kill a process after so many images or Gram matrices."""
    command = [sys.executable, "-c", KILLED, str(at_image), str(at_gram), model]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def lazily(shown: list[int], model: str = "rgc_tiny", **changes: Any) -> Activations:
    return extract_lazily(
        create_model(model),
        load_recording("small.nc").stimuli,
        progress=lambda label, done, total: shown.append(done),
        **{**OPTIONS, **changes},
    )


@pytest.mark.parametrize("model", ["rgc_tiny", "feedforward_tiny"])  # the latter shares arrays
def test_batches_that_were_written_are_not_extracted_again(model: str) -> None:
    kill(at_image=24, model=model)
    shown: list[int] = []
    found = lazily(shown, model)
    whole = extract(create_model(model), load_recording("small.nc").stimuli, **OPTIONS)
    for key in whole.blocks:
        np.testing.assert_array_equal(found.blocks[key], whole.blocks[key])
    # the callback of the third batch killed the process after it had been noted
    assert shown == [32, 40, 48, 56, 60]
    n_arrays = len({id(whole.blocks[key]) for key in whole.blocks})
    assert len({id(found.blocks[key]) for key in found.blocks}) == n_arrays
    del found, whole
    assert list((home() / "unfinished").iterdir()) == []


def test_whole_activations_are_not_extracted_again() -> None:
    kill(at_gram=0)
    shown: list[int] = []
    found = lazily(shown)
    assert np.isfinite(found.blocks["conv5", 7]).all()
    assert shown == []


def test_gram_matrices_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = grams(lazily([]))
    kill(at_gram=4)
    names: list[str] = []

    def noted(*blocks: Any, **options: Any) -> Any:
        names.append(options["name"])
        return gram_of(*blocks, **options)

    monkeypatch.setattr(module, "gram_of", noted)
    found = grams(lazily([]))
    assert names == ["rgc_tiny, conv5 at 80-90 ms", "rgc_tiny, conv5 at 90-110 ms"]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def grams(activations: Activations) -> list[np.ndarray]:
    store = GramStore(activations, BINS)
    made = [store.gram(layer, [each]) for layer in activations.layers for each in BINS]
    return [np.asarray(each.factor if each.dense is None else each.dense) for each in made]


@pytest.mark.parametrize("change", ["model", "layers", "bins", "batch", "damage", "start"])
def test_what_belongs_to_something_else_is_not_continued(change: str) -> None:
    kill(at_image=24)
    (folder,) = (each for each in (home() / "unfinished").iterdir() if each.is_dir())
    state = folder / "state.json"
    if change == "damage":
        (folder / "1.npy").write_bytes(b"half")
    if change == "start":  # of the machine, after which files may not be whole
        text = state.read_text()
        state.write_text(text.replace('"machine": "', '"machine": "earlier '))
    changes: dict[str, dict[str, Any]] = {
        "model": {"model": "gru_tiny"},
        "layers": {"layers": ["conv3"]},
        "bins": {"time_bins": BINS[:2]},
        "batch": {"batch_size": 4},
    }
    shown: list[int] = []
    found = lazily(shown, **changes.get(change, {}))
    assert np.isfinite(found.blocks["conv3", 7]).all()
    assert shown[0] in (4, 8)
    assert os.path.exists(folder) is (change not in ("damage", "start")) or found.folder == folder

"""What is cached is listed with its owners, removed if nobody uses it, and verified."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurofit.activations.extract import extract_lazily
from neurofit.activations.grams import GramStore
from neurofit.data_loaders.hvm_sim import storage as hvm_sim
from neurofit.data_loaders.hvm_sim.fingerprint import PINNED
from neurofit.data_loaders.hvm_sim.recipe import Recipe, recipe_hash
from neurofit.errors import NeurofitError
from neurofit.models import create_model, save_weights
from neurofit.recordings.recording import Recording
from neurofit.storage.cache import clear_cache, list_cache
from neurofit.storage.home import home, sha256_of

Command = Callable[..., tuple[int, str, str]]

SMALL = Recipe(
    objects_per_category=2,
    images_per_object=4,
    calibration_images=16,
    image_size=48,
    supersample=1,
    min_repetitions=20,
    max_repetitions=24,
    n_sites={"V4": 6, "IT": 8},
)

READ = """
import sys, time
from pathlib import Path
from neurofit.storage.home import home
from neurofit.storage.unfinished import Unfinished, read_until_exit
work = Unfinished("a" * 24)
(work.path / "1.npy").write_bytes(b"1")
read_until_exit(home() / "recordings" / "set" / "a.bin")
print("reading", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _own(own_home: Path) -> None:
    pass


def make(*names: str) -> None:
    for name in names:
        path = home() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)


def reading() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", READ], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    return process


def listed() -> list[tuple[str, int, int]]:
    return [(each.name, each.n_files, each.n_bytes) for each in list_cache()]


def removed(*patterns: str, days: float = 0.0) -> list[str]:
    return [each.name for each in clear_cache(patterns, days=days)[0]]


def test_what_is_kept_is_listed_and_removed() -> None:
    assert listed() == []
    make("grams/a/1.bin", "grams/a/2.bin", "grams/b/1.bin", "weights/m.safetensors", "cells/ab/c")
    assert listed() == [
        ("cells", 1, 10),
        ("grams/a", 2, 20),
        ("grams/b", 1, 10),
        ("weights/m.safetensors", 1, 10),
    ]
    assert {each.owner for each in list_cache()} == {getpass.getuser()}
    assert removed("weights/m.safetensors") == ["weights/m.safetensors"]
    assert removed("grams/[b-z]", "grams/b") == ["grams/b"]
    for wrong in ("gram", "../outside", ""):
        with pytest.raises(NeurofitError, match="Unknown cache entry"):
            clear_cache([wrong])
    assert removed("*") == ["cells", "grams/a"]
    assert listed() == []


def test_age_and_dry_run_choose(neurofit: Command) -> None:
    make("grams/old/1", "grams/new/1")
    then = time.time() - 5 * 86400
    os.utime(home() / "grams/old/1", (then, then))
    assert removed("grams", days=6.0) == []
    code, out, _ = neurofit("cache", "rm", "grams", "--older-than", "4", "--dry-run")
    assert (code, out) == (0, "grams/old: 0.0 MB\nWould remove grams: 1 file, 0.0 MB.\n")
    assert len(listed()) == 2
    assert removed("grams", days=4.0) == ["grams/old"]
    assert [each[0] for each in listed()] == ["grams/new"]


def test_a_name_is_listed_on_one_line_as_it_can_be_given_to_rm(neurofit: Command) -> None:
    name = f"grams/feedforward_deep_wide_intermediate-{'0123456789abcdef' * 3}"
    make(f"{name}/1")
    code, out, _ = neurofit("cache", "ls")
    assert code == 0
    (line,) = (line for line in out.splitlines() if name in line)
    size, _, files, _, listed = line.split(maxsplit=4)
    assert (float(size), int(files), listed) == (0.0, 1, name)
    assert out.splitlines()[0].split() == ["size", "files", "owner", "cached"]


def test_what_a_living_process_uses_is_not_removed(neurofit: Command) -> None:
    make("recordings/set/a.bin", "recordings/other/a.bin")
    process = reading()
    by = f"process {process.pid} on "
    code, out, _ = neurofit("cache", "ls")
    assert (code, out.count(by)) == (0, 2), out
    code, out, err = neurofit("cache", "rm", "*")
    assert code == 0
    assert err.count(by) == 2
    assert "Not removed: recordings/set, which" in err
    assert [each[0] for each in listed()] == ["recordings/set", f"unfinished/{'a' * 24}"]
    process.kill()
    process.wait()
    assert "left by a killed process" in " ".join(neurofit("cache", "ls")[1].split())
    assert removed("*")[:2] == ["recordings/set", f"unfinished/{'a' * 24}"]
    assert [path for path in home().rglob("*") if path.is_file()] == []


@pytest.fixture
def gram(evoked: Callable[[], Recording]) -> Path:
    """Cache two Gram matrices, and return the path of the first."""
    found = extract_lazily(create_model("rgc_tiny"), evoked().stimuli, layers=["conv5"])
    store = GramStore(found, [(80, 90), (90, 100)], keep=True)
    for time_bin in store.time_bins:
        store.gram("conv5", [time_bin])
    return sorted((home() / "grams").rglob("*.safetensors"))[0]


def test_a_damaged_gram_and_a_copied_one_are_found(gram: Path, neurofit: Command) -> None:
    assert neurofit("cache", "verify")[0] == 0
    other = sorted(gram.parent.iterdir())[1]
    whole = gram.read_bytes()
    cases = (
        (other.read_bytes(), "it was made for another model, layer or time bin"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "do not match the sha256"),
        (whole[:-9], "not a whole Gram matrix"),
    )
    for content, said in cases:
        gram.write_bytes(content)
        code, out, err = neurofit("cache", "verify")
        assert code == 1
        assert out.startswith(f"{gram}: ")
        assert said in out
        assert out.count("\n") == 1
        assert "Remove 1 file: what needs it next makes it again" in err


def test_damaged_weights_records_and_pinned_files_are_found(neurofit: Command) -> None:
    weights = home() / "weights" / "rgc_tiny.safetensors"
    save_weights(create_model("rgc_tiny"), weights)
    assert neurofit("cache", "verify")[0] == 0
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    make("extractions/abc.json", "recordings/cowley2023/stimulus_set.h5")
    from neurofit.storage.download import _PINNED

    name = next(name for name, files in _PINNED.items() if files[0].sha256)
    make(f"recordings/some/{name}")
    code, out, _ = neurofit("cache", "verify")
    assert code == 1
    assert "rgc_tiny.safetensors: damaged: its weights do not match the sha256" in out
    assert "abc.json: not the record of an extraction" in out
    assert f"{name}: not the published file of this name" in out


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Build a small recording by a recipe whose values are pinned."""
    hvm_sim.load_or_build(recipe=SMALL)
    where = hvm_sim.folder(SMALL)
    values = json.loads((where / "manifest.json").read_text())["values_sha256"]
    monkeypatch.setitem(PINNED, recipe_hash(SMALL), values)
    return where


def test_a_manifest_that_vouches_for_itself_is_found(simulated: Path, neurofit: Command) -> None:
    assert neurofit("cache", "verify")[0] == 0
    images = np.load(simulated / "images.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(simulated / "images.npy", images)
    code, out, _ = neurofit("cache", "verify")
    assert code == 1
    assert "images.npy is not the file that was built" in out
    manifest = json.loads((simulated / "manifest.json").read_text())
    manifest["files"]["images.npy"]["sha256"] = sha256_of(simulated / "images.npy")
    (simulated / "manifest.json").write_text(json.dumps(manifest))
    hvm_sim.load(simulated)  # its files are those of the manifest
    code, out, _ = neurofit("cache", "verify")
    assert code == 1
    assert "the values of images are not those of hvm-sim" in out

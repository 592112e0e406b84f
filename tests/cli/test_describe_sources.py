"""`neurofit describe` says where each fact was read from, or that it is assumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., tuple[int, str, str]]

SPIKES = "stimulus_id,repetition,neuroid_id,region,time_ms\n" + "".join(
    f"{stimulus},{repetition},n0,IT,{10 * repetition + 5}\n"
    for stimulus in "abc"
    for repetition in range(2)
)


def write_arrays(folder: Path, **changed: Any) -> Path:
    arrays = {
        "responses": np.random.default_rng(0).poisson(3, (6, 2, 4)),
        "dims": np.array(["presentation", "neuroid", "time_bin"]),
        "stimulus_id": np.repeat(list("abc"), 2),
        "region": np.array(["IT", "IT"]),
        "time_bin_start": np.arange(0, 40, 10),
        "time_bin_end": np.arange(10, 50, 10),
    }
    np.savez(folder / "r.npz", **arrays | changed)
    return folder / "r.npz"


def rows(said: str) -> dict[str, str]:
    """Return key -> value of the lines of a description."""
    pairs = (line.partition("  ") for line in said.splitlines() if "  " in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def test_what_arrays_do_not_state_is_assumed(neurofit: Run, tmp_path: Path) -> None:
    code, said, _ = neurofit("describe", str(write_arrays(tmp_path)))
    assert code == 0
    assert max(map(len, said.splitlines())) <= 80
    found = rows(said)
    expected = {
        "areas": "IT (in the file)",
        "animals": "not stated",
        "sessions": "not stated; taken as one",
        "units": "spikes per bin (assumed)",
        "time bins": "4 of 10 ms from 0 to 40 ms (in the file)",
        "stimulus onset": "0 ms, as its times say",
        "width of an image": "8 degrees (assumed)",
        "shown for": "100 ms (assumed)",
    }
    assert {key: found[key] for key in expected} == expected


def test_what_the_sidecar_states_is_named(neurofit: Run, tmp_path: Path) -> None:
    path = write_arrays(tmp_path, session=np.repeat(["s1", "s2"], 3))
    stated = {"subject": "m1", "region": "IT", "units": "spikes per second"}
    stated |= {"visual_degrees": 5, "duration_ms": 70}  # type: ignore[dict-item]
    (tmp_path / "r.json").write_text(json.dumps(stated))
    found = rows(neurofit("describe", str(path))[1])
    expected = {
        "areas": "IT (r.json)",  # and in the file, which it must not contradict
        "animals": "m1 (r.json)",
        "sessions": "2: s1, s2 (in the file)",
        "units": "spikes per second (r.json)",
        "width of an image": "5 degrees (r.json)",
        "shown for": "70 ms (r.json)",
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("sidecar", "bins"),
    [
        ("{}", "30 of 10 ms from 0 to 300 ms (assumed)"),
        ('{"bins": [0, 40, 20]}', "2 of 20 ms from 0 to 40 ms (r.json)"),
    ],
)
def test_bins_of_spikes_are_assumed_or_of_the_sidecar(
    neurofit: Run, tmp_path: Path, sidecar: str, bins: str
) -> None:
    (tmp_path / "r.csv").write_text(SPIKES)
    (tmp_path / "r.json").write_text(sidecar)
    found = rows(neurofit("describe", str(tmp_path / "r.csv"))[1])
    assert found["time bins"] == bins
    assert found["units"] == "spikes per bin (counted)"


def test_a_time_bin_of_the_command_is_named(neurofit: Run, tmp_path: Path) -> None:
    arrays = {"responses": np.ones((6, 2), dtype="f4"), "dims": ["presentation", "neuroid"]}
    path = write_arrays(tmp_path, **arrays, time_bin_start=np.zeros(0), time_bin_end=np.zeros(0))
    with np.load(path) as held:
        kept = {name: held[name] for name in held.files if not name.startswith("time_bin")}
    np.savez(path, **kept)
    found = rows(neurofit("describe", str(path), "--time-bin", "70:170")[1])
    assert found["time bins"] == "one, 70-170 ms (--time-bin)"

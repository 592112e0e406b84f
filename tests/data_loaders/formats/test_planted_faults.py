"""Every fault that is planted in a recording or in its tables is found, with its position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from neurofit.data_loaders import open_recording
from neurofit.data_loaders.formats.netcdf import write_netcdf
from neurofit.errors import all_faults
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import find_faults

Make = Callable[..., Recording]


Planter = Callable[[xr.DataArray, int], str]


# `at` is a number that says where; each planter returns what has to be said.


def repeat_a_neuroid(responses: xr.DataArray, at: int) -> str:
    ids = responses.neuroid_id.values
    ids[at % 2] = ids[2]
    return f"neuroid_id {str(ids[2])!r} occurs 2 times, at neuroid {at % 2}, 2; ids must be unique."


def silence_a_neuroid(responses: xr.DataArray, at: int) -> str:
    responses.values[:, 3 + at % 3] = np.nan
    name = str(responses.neuroid_id.values[3 + at % 3])
    return f"neuroid {name!r} is NaN in every trial and bin. Drop it"


def make_a_response_infinite(responses: xr.DataArray, at: int) -> str:
    responses.values[at % 24, 2, 0] = -np.inf if at % 2 else np.inf
    name = str(responses.neuroid_id.values[2])
    return f"1 infinite values, the first at presentation {at % 24}, neuroid {name!r}, time_bin "


def show_a_stimulus_once(responses: xr.DataArray, at: int) -> str:
    ids = responses.stimulus_id.values
    alone = f"s{at % 5}"
    ids[np.flatnonzero(ids == alone)[1:]] = "s5"
    return f"stimulus {alone!r} (1 of 6) has only one repetition"


def give_a_bin_no_width(responses: xr.DataArray, at: int) -> str:
    position = at % 5
    responses.time_bin_end.values[position] = start = responses.time_bin_start.values[position]
    return f"time_bin {position} ({start} to {start} ms) has no positive width"


def repeat_a_bin(responses: xr.DataArray, at: int) -> str:
    position = 1 + at % 4
    for edge in (responses.time_bin_start.values, responses.time_bin_end.values):
        edge[position] = edge[position - 1]
    start, end = responses.time_bin_start.values[position], responses.time_bin_end.values[position]
    return f"time_bin {position} ({start}-{end} ms) occurs twice"


def bring_a_bin_forward(responses: xr.DataArray, at: int) -> str:
    position = 1 + at % 4
    responses.time_bin_start.values[position] = 0
    responses.time_bin_end.values[position] = 10
    before = responses.time_bin_start.values[position - 1]
    return f"time_bin {position} (0-10 ms) comes after {before}-"


ANYWHERE: list[Planter] = [
    repeat_a_neuroid,
    silence_a_neuroid,
    make_a_response_infinite,
    show_a_stimulus_once,
]


IN_TIME: list[Planter] = [give_a_bin_no_width, repeat_a_bin, bring_a_bin_forward]


@given(
    planted=st.lists(st.sampled_from(ANYWHERE), unique=True),
    in_time=st.lists(st.sampled_from(IN_TIME), max_size=1),  # of several, one may hide another
    at=st.integers(0, 1000),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_planted_fault_is_found_with_its_position(
    make_recording: Make, tmp_path: Path, planted: list[Planter], in_time: list[Planter], at: int
) -> None:
    whole = make_recording()
    responses = whole.responses.copy(deep=True)
    said = [plant(responses, at + number) for number, plant in enumerate([*planted, *in_time])]
    write_netcdf(replace(whole, responses=responses), tmp_path / "r.nc")
    faults = find_faults(open_recording(tmp_path / "r.nc"))
    assert len(faults) == len(said)
    for expected in said:
        assert sum(expected in fault for fault in faults) == 1, (expected, faults)


@given(
    broken=st.sampled_from([70.5, np.nan, np.inf, -np.inf]),
    at=st.integers(0, 4),
    edge=st.sampled_from(["start", "end"]),
)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_edge_that_is_no_whole_number_is_found_beside_the_other_faults(
    make_recording: Make, tmp_path: Path, broken: float, at: int, edge: str
) -> None:
    whole = make_recording()
    edges = whole.responses[f"time_bin_{edge}"].values.astype(float)
    edges[at] = broken
    responses = whole.responses.assign_coords({f"time_bin_{edge}": ("time_bin", edges)})
    second = silence_a_neuroid(responses, 0)
    write_netcdf(replace(whole, responses=responses), tmp_path / "r.nc")
    faults = find_faults(open_recording(tmp_path / "r.nc"))
    assert len(faults) == 2
    assert f"time_bin_{edge} {at} is {broken}. Give whole numbers" in faults[0]
    assert second in faults[1]


Tables = dict[str, pd.DataFrame]


def say_a_time_in_words(tables: Tables, at: int) -> str:
    tables["spikes"].loc[at % 60, "time_ms"] = "late"
    return f"time_ms is not a number in row {at % 60}, counted from 0 (1 in all)."


def record_from_a_ghost(tables: Tables, at: int) -> str:
    tables["spikes"].loc[60 + at % 60, "neuroid_id"] = f"ghost{at}"
    return f"spikes of a neuroid that is missing from the neuroids: ghost{at} (1 in all)."


def record_in_no_presentation(tables: Tables, at: int) -> str:
    tables["spikes"].loc[120 + at % 60, "presentation"] = 100 + at
    return (
        f"spikes of a presentation that is missing from the presentations: {100 + at} (1 in all)."
    )


def list_a_presentation_twice(tables: Tables, at: int) -> str:
    trials = tables["presentations"]
    tables["presentations"] = pd.concat([trials, trials.iloc[[at % 12]]], ignore_index=True)
    return f"presentations.csv: a presentation must have one row; there are several for {at % 12}."


def forget_a_name_of_a_neuroid(tables: Tables, at: int) -> str:
    tables["neuroids"].loc[3, "neuroid_id"] = None  # which has no spike
    return (
        "neuroids.csv: every row needs a neuroid_id; "
        "it is missing in row 3, counted from 0 (1 in all)."
    )


def show_a_stimulus_that_has_no_row(tables: Tables, at: int) -> str:
    tables["stimuli"] = tables["stimuli"].drop(index=at % 4)
    return f"stimuli.csv lacks 1 of the 4 stimuli that were shown: s{at % 4}."


def give_a_stimulus_two_pictures(tables: Tables, at: int) -> str:
    row = tables["stimuli"].iloc[[0]].assign(filename="another.png")
    tables["stimuli"] = pd.concat([tables["stimuli"], row], ignore_index=True)
    name = row.stimulus_id.iloc[0]
    return f"stimuli.csv: a stimulus must have one row; there are different rows for {name}."


def name_a_picture_that_is_not_there(tables: Tables, at: int) -> str:
    tables["stimuli"].iloc[1, 1] = (
        f"lost{at}.png"  # the row of a stimulus that is shown whatever else is planted
    )
    return f"images: lost{at}.png."


IN_TABLES = [
    say_a_time_in_words,
    record_from_a_ghost,
    record_in_no_presentation,
    list_a_presentation_twice,
    forget_a_name_of_a_neuroid,
]


OF_STIMULI = [
    show_a_stimulus_that_has_no_row,
    give_a_stimulus_two_pictures,
    name_a_picture_that_is_not_there,
]


@given(
    planted=st.lists(st.sampled_from(IN_TABLES), unique=True),
    of_stimuli=st.sampled_from([None, *OF_STIMULI]),
    at=st.integers(0, 1000),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_fault_that_is_planted_in_tables_is_found_with_its_position(
    tmp_path_factory: pytest.TempPathFactory, planted: list[Any], of_stimuli: Any, at: int
) -> None:
    folder = tmp_path_factory.mktemp("session")
    (folder / "stimuli").mkdir()
    rng = np.random.default_rng(at)
    spikes = {
        "neuroid_id": rng.choice(["n0", "n1", "n2"], 300),
        "presentation": rng.integers(0, 12, 300),
    }
    tables: Tables = {
        "spikes": pd.DataFrame(spikes | {"time_ms": rng.uniform(0, 300, 300)}).astype(
            {"time_ms": object}
        ),
        "presentations": pd.DataFrame(
            {"presentation": range(12), "stimulus_id": [f"s{i % 4}" for i in range(12)]}
        ),
        "neuroids": pd.DataFrame({"neuroid_id": ["n0", "n1", "n2", "n3"], "region": "IT"}),
        "stimuli": pd.DataFrame(
            {
                "stimulus_id": [f"s{i}" for i in range(4)],
                "filename": [f"s{i}.png" for i in range(4)],
            }
        ),
    }
    for i in range(4):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(folder / "stimuli" / f"s{i}.png")
    said = [plant(tables, at) for plant in [*planted, *([of_stimuli] if of_stimuli else [])]]
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    with all_faults() as faults:
        recording = open_recording(folder)
    nameless = (
        ["neuroid 3 has no neuroid_id (1 in all)."] if forget_a_name_of_a_neuroid in planted else []
    )
    assert find_faults(recording) == nameless  # the same, at another place
    assert len(faults) == len(said)
    for expected in said:
        assert sum(expected in fault for fault in faults) == 1, (expected, faults)

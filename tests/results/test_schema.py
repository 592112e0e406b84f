"""The contract of results: every fault is named with its repair, and a valid result survives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses.analysis import score_variable, variable
from neurofit.errors import NeurofitError
from neurofit.results.io import load_result, save_result
from neurofit.results.schema import (
    ATTRIBUTES,
    CONTRACT,
    JSON_ATTRIBUTES,
    axes,
    columns,
    count_flags,
    describe_selection,
    find_faults,
    headline,
    like,
    series,
    time_coords,
    validate_result,
    with_role,
)

LAYERS, N_BINS, N_NEUROIDS = ["conv1", "conv2"], 4, 5


@pytest.fixture
def result() -> xr.Dataset:
    """Return a result of two layers, four bins and five neuroids, with a variable of each role."""
    rng = np.random.default_rng(0)
    starts = 50 * np.arange(N_BINS)
    curve = rng.uniform(0.2, 0.8, (len(LAYERS), N_BINS))
    curve[1, 0] = np.nan
    dims = ("layer", "time_bin")
    made = xr.Dataset(
        {
            "curve": score_variable(
                dims,
                curve,
                long_name="agreement",
                formula="agreement = r, median over neuroids",
                low="curve_low",
                high="curve_high",
                interval="95%, 100 bootstraps over neuroids",
                bound="ceiling",
                count="n_neuroids",
                reason="reason",
                samples="r",
                column="score",
            ),
            "curve_low": variable(dims, curve - 0.1, "interval", "low end"),
            "curve_high": variable(dims, curve + 0.1, "interval", "high end"),
            "ceiling": variable(
                ("time_bin",), np.full(N_BINS, 0.9), "bound", "reliability", column="ceiling"
            ),
            "n_neuroids": variable(dims, np.full((2, N_BINS), 3), "count", "number of neuroids"),
            "r": variable(
                ("layer", "neuroid", "time_bin"),
                rng.uniform(-1, 1, (2, N_NEUROIDS, N_BINS)),
                "detail",
                "r of each neuroid",
            ),
            "reason": variable(
                ("layer", "neuroid", "time_bin"),
                np.arange(2 * N_NEUROIDS * N_BINS, dtype=np.int8).reshape(2, N_NEUROIDS, N_BINS)
                % 3,
                "detail",
                "why a neuroid is scored or not",
                flag_values=np.arange(3, dtype=np.int8),
                flag_meanings="scored missing unreliable",
            ),
        },
        coords={"layer": LAYERS, **time_coords(starts, starts + 50)},
    )
    made.attrs = {
        "contract": CONTRACT,
        "analysis": "agreement",
        "model": "small_net",
        "recording": "planted",
        "recording_sha256": "0" * 64,
        "region": "IT",
        "simulated": 1,
        "control": "",
        "seed": 0,
        "config": json.dumps({"n_splits": 2}),
        "selection": json.dumps({"subject": "Tito", "stimuli": ["a", "b", "c", "d", "e"]}),
        "activations": "{}",
        "versions": "{}",
    }
    return made


def test_a_result_that_keeps_the_contract_has_no_fault(result: xr.Dataset) -> None:
    assert find_faults(result) == []
    validate_result(result)


@pytest.mark.parametrize("name", [*ATTRIBUTES, *JSON_ATTRIBUTES])
def test_a_missing_attribute_is_named(result: xr.Dataset, name: str) -> None:
    del result.attrs[name]
    assert find_faults(result) == [f"attribute {name!r} is missing: set result.attrs[{name!r}]"]


@pytest.mark.parametrize("name", JSON_ATTRIBUTES)
def test_an_attribute_that_is_no_json_is_named(result: xr.Dataset, name: str) -> None:
    result.attrs[name] = "{'n_splits': 2}"
    assert find_faults(result) == [f"attribute {name!r} must be an object in JSON: use json.dumps"]


@pytest.mark.parametrize("name", ["role", "long_name", "units"])
def test_a_variable_without_a_required_attribute_is_named(result: xr.Dataset, name: str) -> None:
    del result.r.attrs[name]
    assert find_faults(result) == [f"variable 'r' lacks {name!r}: set result['r'].attrs[{name!r}]"]


Change = Callable[[xr.Dataset], xr.Dataset | None]

FAULTS: dict[str, tuple[Change, str]] = {
    "another contract": (
        lambda r: r.attrs.update(contract="neurofit/0"),
        "attribute 'contract' must be 'neurofit/1': 'neurofit/0'",
    ),
    "no score": (
        lambda r: r.curve.attrs.update(role="detail"),
        "no variable has the role 'score': give the main quantity this role",
    ),
    "an unknown role": (
        lambda r: r.r.attrs.update(role="value"),
        "variable 'r' has the role 'value': use one of "
        "score, bound, interval, p_value, count, detail",
    ),
    "a score without a formula": (
        lambda r: r.curve.attrs.pop("formula"),
        "score 'curve' lacks 'formula': say how it is computed",
    ),
    "a score without the best value": (
        lambda r: r.curve.attrs.pop("best"),
        "score 'curve' lacks 'best': give the value of a perfect model, or NaN",
    ),
    "a count of samples": (
        lambda r: r.r.attrs.update(role="count"),
        "count 'r' has the dimension 'neuroid': average over it, or use the role 'detail'",
    ),
    "a pointer to nothing": (
        lambda r: r.curve.attrs.update(bound="celing"),
        "'bound' of 'curve' names 'celing', which is not in the result",
    ),
    "half an interval": (
        lambda r: r.curve.attrs.pop("high"),
        "variable 'curve' has only one end of its interval: give 'low' and 'high'",
    ),
    "half a band": (
        lambda r: r.curve.attrs.update(band_low="curve_low"),
        "variable 'curve' has only one end of its band: give 'band_low' and 'band_high'",
    ),
    "a band of nothing": (
        lambda r: r.curve.attrs.update(band_low="curve_low", band_high="curve_hihg"),
        "'band_high' of 'curve' names 'curve_hihg', which is not in the result",
    ),
    "a band of other dimensions": (
        lambda r: r.curve.attrs.update(band_low="curve_low", band_high="ceiling"),
        "'band_high' of 'curve' names 'ceiling', which must have the dimensions layer, time_bin; "
        "it has time_bin",
    ),
    "flags without meanings": (
        lambda r: r.reason.attrs.pop("flag_meanings"),
        "variable 'reason' needs both 'flag_values' and 'flag_meanings'",
    ),
    "too few meanings": (
        lambda r: r.reason.attrs.update(flag_meanings="scored missing"),
        "variable 'reason' needs as many 'flag_meanings' as 'flag_values'",
    ),
    "time without its bounds": (
        lambda r: r.drop_vars(["time_bin", "time_bin_end"]),
        "dimension 'time_bin' lacks the coordinates time_bin, time_bin_end (ms)",
    ),
    "a dimension without names": (
        lambda r: r.drop_vars("layer"),
        "dimension 'layer' has no coordinate: assign one with the names or values along it",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_repair(result: xr.Dataset, fault: str) -> None:
    change, message = FAULTS[fault]
    changed = change(result)
    broken = changed if isinstance(changed, xr.Dataset) else result
    assert find_faults(broken) == [message]
    with pytest.raises(NeurofitError) as caught:
        validate_result(broken)
    assert caught.value.faults == (message,)
    assert str(caught.value) == (
        f"The result breaks the contract of results (docs/results.md):\n- {message}"
    )


def test_all_faults_are_listed_at_once_up_to_twenty(result: xr.Dataset) -> None:
    result.attrs = {}
    for name in result.data_vars:
        result[name].attrs = {}
    with pytest.raises(NeurofitError) as caught:
        validate_result(result)
    n_faults = len(ATTRIBUTES) + len(JSON_ATTRIBUTES) + 3 * len(result.data_vars) + 1
    assert len(caught.value.faults) == n_faults > 20
    _, *listed, more = str(caught.value).splitlines()
    assert listed == [f"- {each}" for each in caught.value.faults[:20]]
    assert more == f"... and {n_faults - 20} more"


def test_a_saved_result_is_loaded_as_it_was(result: xr.Dataset, tmp_path: Path) -> None:
    save_result(result, tmp_path / "result.nc")
    for path in (tmp_path, tmp_path / "result.nc", str(tmp_path)):
        xr.testing.assert_identical(load_result(path), result)
    loaded = load_result(tmp_path)
    for name in result.data_vars:
        assert loaded[name].dtype == result[name].dtype
        assert set(loaded[name].attrs) == set(result[name].attrs)


def test_a_broken_result_is_neither_saved_nor_loaded(result: xr.Dataset, tmp_path: Path) -> None:
    broken = result.drop_vars("curve_low")
    message = "'low' of 'curve' names 'curve_low', which is not in the result"
    with pytest.raises(NeurofitError, match=message):
        save_result(broken, tmp_path / "result.nc")
    assert list(tmp_path.iterdir()) == []
    broken.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with pytest.raises(NeurofitError, match=message):
        load_result(tmp_path)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeurofitError, match=r"There is no result at .*result\.nc"):
        load_result(tmp_path)
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(NeurofitError, match=r"text\.nc is not a readable netCDF file"):
        load_result(tmp_path / "text.nc")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(NeurofitError, match=r"other\.nc is not a result of neurofit"):
        load_result(tmp_path / "other.nc")


def test_time_bins_are_found_by_their_time(result: xr.Dataset) -> None:
    assert result.time_bin.values.tolist() == [25.0, 75.0, 125.0, 175.0]
    found = result.sel(time_bin=slice(100, 150))
    assert found.time_bin_start.values.tolist() == [100]
    assert found.time_bin_end.values.tolist() == [150]
    np.testing.assert_array_equal(found.curve.values, result.curve.values[:, 2:3])
    nearest = result.sel(time_bin=140, method="nearest")
    assert (int(nearest.time_bin_start), int(nearest.time_bin_end)) == (100, 150)


def test_narrow_bins_inside_a_window_are_found_and_no_other() -> None:
    starts = np.arange(70, 260, 10)
    curve = xr.Dataset(coords=time_coords(starts, starts + 10))
    found = curve.sel(time_bin=slice(100, 150))
    assert found.time_bin_start.values.tolist() == [100, 110, 120, 130, 140]
    assert int(found.time_bin_end.max()) == 150
    assert curve.time_bin_start.dtype == curve.time_bin_end.dtype == np.int64


def test_a_second_time_has_coordinates_of_its_own(result: xr.Dataset) -> None:
    starts = np.array([0, 20])
    coords = time_coords(starts, starts + 20, dim="time_bin_test")
    assert list(coords) == ["time_bin_test", "time_bin_test_start", "time_bin_test_end"]
    square = result.assign(
        matrix=score_variable(
            ("layer", "time_bin", "time_bin_test"),
            np.zeros((2, N_BINS, 2)),
            long_name="generalisation",
            formula="r",
        )
    )
    assert find_faults(square) == [
        "dimension 'time_bin_test' lacks the coordinates "
        "time_bin_test, time_bin_test_start, time_bin_test_end (ms)"
    ]
    validate_result(square.assign_coords(coords))
    assert axes(square, "matrix") == ("time_bin", "time_bin_test")


def test_roles_tell_what_is_shown(result: xr.Dataset) -> None:
    assert headline(result) == "curve"
    assert with_role(result, "interval") == ["curve_low", "curve_high"]
    assert with_role(result, "detail") == ["r", "reason"]
    assert columns(result) == ["curve", "ceiling"]
    assert axes(result, "curve") == ("time_bin",)


def test_each_series_has_its_names_and_values(result: xr.Dataset) -> None:
    found = list(series(result, "curve"))
    assert [names for names, _ in found] == [{"layer": "conv1"}, {"layer": "conv2"}]
    for row, (names, values) in enumerate(found):
        np.testing.assert_array_equal(values.values, result.curve.values[row])
        low = like(result, "curve_low", names)
        np.testing.assert_array_equal(low.values, result.curve_low.values[row])
        shared = like(result, "ceiling", names)
        np.testing.assert_array_equal(shared.values, result.ceiling.values)
    ((names, values),) = series(result, "ceiling")
    assert (names, values.dims) == ({}, ("time_bin",))


def test_flags_are_counted_by_their_meaning(result: xr.Dataset) -> None:
    values = result.reason.values
    assert count_flags(result) == {
        "reason": {
            "scored": int((values == 0).sum()),
            "missing": int((values == 1).sum()),
            "unreliable": int((values == 2).sum()),
        }
    }


def test_a_selection_is_described_in_words(result: xr.Dataset) -> None:
    assert describe_selection(result) == "subject Tito, stimuli a, b, c and 2 more"
    result.attrs["selection"] = "{}"
    assert describe_selection(result) == ""

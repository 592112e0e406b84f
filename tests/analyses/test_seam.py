"""An analysis that the package has never heard of goes all the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neurofit
from neurofit.analyses.analysis import (
    ANALYSES,
    analysis_of,
    register_analysis,
    score_variable,
    variable,
)
from neurofit.cli import analyses as commands
from neurofit.cli.console import out
from neurofit.config.compute import Compute
from neurofit.config.options import check_fields, option
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.results.io import load_result, write_result
from neurofit.results.report import write_report
from neurofit.results.schema import time_coords, validate_result
from neurofit.results.summary import summarise
from neurofit.results.tables import marks, result_tables

KINDS = ("point", "curve", "matrix")


@dataclass(frozen=True, kw_only=True)
class UnknownConfig:
    """Options of an analysis that neurofit does not know."""

    kind: str = option("curve", choices=KINDS, help="What the analysis returns.")
    gain: float = option(1.0, above=0, help="Factor of every value.")

    def __post_init__(self) -> None:
        check_fields(self)


def unknown(
    recording: Recording,
    config: UnknownConfig = UnknownConfig(),
    *,
    compute: Compute = Compute(),
    progress: Any = None,
) -> xr.Dataset:
    """Return a quantity that no other analysis computes."""
    del compute, progress
    bins = recording.time_bins
    mean = config.gain * np.array([recording.block(b).mean() for b in range(len(bins))])
    dims = {"point": (), "curve": ("time_bin",), "matrix": ("time_bin", "time_bin_test")}
    values = {"point": mean.mean(), "curve": mean, "matrix": np.multiply.outer(mean, mean)}
    own, found = dims[config.kind], values[config.kind]
    ends = {
        "low": variable(own, found - 1, "interval", "low end"),
        "high": variable(own, found + 1, "interval", "high end"),
    }
    every = {**time_coords(*np.array(bins).T)}
    every |= time_coords(*np.array(bins).T, dim="time_bin_test")
    return xr.Dataset(
        {
            "quantity": score_variable(
                own,
                found,
                long_name="quantity",
                formula="gain * mean",
                units="spikes",
                best=float("nan"),
                low="low",
                high="high",
                interval="plus or minus 1",
                column="quantity",
            ),
            **ends,
        },
        coords={name: coord for name, coord in every.items() if coord[0] in own},
    )


@pytest.fixture
def registered() -> Iterator[None]:
    """Register the analysis for one test."""
    register_analysis(UnknownConfig, models=0)(unknown)
    yield
    del ANALYSES._entries["unknown"]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Return a recording of one area: 6 stimuli x 2 repetitions, 3 neuroids, 4 time bins."""
    rng = np.random.default_rng(0)
    ids = np.repeat([f"s{i}" for i in range(6)], 2)
    responses = xr.DataArray(
        rng.poisson(4.0, (12, 3, 4)).astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids),
            "repetition": ("presentation", np.tile([0, 1], 6)),
            "neuroid_id": ("neuroid", ["a", "b", "c"]),
            "region": ("neuroid", ["IT"] * 3),
            "time_bin_start": ("time_bin", [100, 110, 120, 130]),
            "time_bin_end": ("time_bin", [110, 120, 130, 140]),
        },
    )
    images = rng.integers(0, 255, (6, 8, 8, 3)).astype(np.uint8)
    table = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(6)]})
    stimuli = StimulusSet(
        name="six", table=table, images=images, visual_degrees=8.0, duration_ms=100.0
    )
    return Recording(name="planted", responses=responses, stimuli=stimuli, sha256="0" * 64)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_analysis_is_run_saved_loaded_tabled_drawn_and_summarised(
    kind: str, registered: None, recording: Recording, tmp_path: Path
) -> None:
    config = UnknownConfig(kind=kind, gain=2.0)
    result = ANALYSES["unknown"].function(recording, config)
    mean = 2 * np.asarray(recording.responses.values, dtype=np.float64).mean(axis=(0, 1))
    truth = {"point": mean.mean(), "curve": mean, "matrix": np.outer(mean, mean)}[kind]
    np.testing.assert_allclose(result.quantity.values, truth, rtol=1e-6)
    assert json.loads(result.attrs["config"]) == {"kind": kind, "gain": 2.0}
    assert (result.attrs["analysis"], result.attrs["region"]) == ("unknown", "IT")

    assert not write_result(result, tmp_path / "here")
    loaded = load_result(tmp_path / "here")
    xr.testing.assert_identical(loaded, result)
    assert (tmp_path / "here" / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "here" / "summary.json").read_text()) == summarise(result)

    ((title, table),) = result_tables(loaded)
    assert "IT of planted" in title
    with out.capture() as captured:
        out.print(table)
    shown = captured.get()
    assert "quantity" in shown
    assert f"{np.max(truth):.2f}" in shown

    write_report([loaded, result], tmp_path / "report.html", title="Two <results>")
    page = (tmp_path / "report.html").read_text()
    assert page.count(f"<td>{np.max(truth):.2f}</td>") >= 2
    assert page.count('role="img"') == (2 if kind == "matrix" else 1), "curves share a chart"
    assert "Two &lt;results&gt;" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_analysis_is_a_command(
    kind: str,
    registered: None,
    recording: Recording,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    neurofit.write_recording(recording, tmp_path / "mine.nc")
    command = commands.analysis_command("unknown")
    given = ["--recording", "mine.nc", "--kind", kind, "--gain", "3", "--window", "100:120"]
    command(args=given, standalone_mode=False)
    shown = capsys.readouterr().out
    assert "quantity" in shown
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert folder.name.startswith("unknown_IT_mine")
    result = load_result(folder)
    mean = 3 * np.asarray(recording.responses.values, dtype=np.float64)[..., :2].mean(axis=(0, 1))
    truth = {"point": mean.mean(), "curve": mean, "matrix": np.outer(mean, mean)}[kind]
    np.testing.assert_allclose(result.quantity.values, truth, rtol=1e-6)


def test_a_result_that_breaks_the_contract_is_refused_with_every_fault(
    recording: Recording,
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class BadConfig:
        pass

    @register_analysis(BadConfig, models=0)
    def bad(recording: Recording, config: BadConfig, **_: Any) -> xr.Dataset:
        """Return a variable without a role."""
        return xr.Dataset({"x": ("time_bin", np.zeros(4))})

    try:
        with pytest.raises(NeurofitError) as raised:
            bad(recording, BadConfig())
    finally:
        del ANALYSES._entries["bad"]
    listed = "\n".join(raised.value.faults)
    for said in ("lacks 'role'", "lacks 'long_name'", "lacks 'units'", "no variable has the role"):
        assert said in listed
    assert "time_bin_start" in listed


def test_a_configuration_belongs_to_one_analysis(registered: None) -> None:
    assert analysis_of(UnknownConfig()).name == "unknown"
    with pytest.raises(NeurofitError, match="which is that of unknown"):
        register_analysis(UnknownConfig, models=0)(lambda recording, config: xr.Dataset())
    with pytest.raises(NeurofitError, match="No analysis has a configuration"):
        analysis_of(object())


def test_run_does_what_the_command_does(
    registered: None, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    neurofit.write_recording(recording, tmp_path / "mine.nc")
    command = commands.analysis_command("unknown")
    command(args=["--recording", "mine.nc", "--out", "there"], standalone_mode=False)
    result = neurofit.run(neurofit.RunConfig(recording="mine.nc", analysis=UnknownConfig()))
    xr.testing.assert_identical(load_result(tmp_path / "there"), result)


def valid() -> xr.Dataset:
    """Return a valid result with a curve of two layers."""
    dims = ("layer", "time_bin")
    result = xr.Dataset(
        {
            "found": score_variable(
                dims,
                np.ones((2, 3)),
                long_name="found",
                formula="1",
                low="low",
                high="high",
                count="n",
                column="found",
            ),
            "low": variable(dims, np.zeros((2, 3)), "interval", "low"),
            "high": variable(dims, np.ones((2, 3)), "interval", "high"),
            "n": variable(("time_bin",), np.array([1.0, np.nan, 3.0]), "count", "number"),
            "distance": score_variable(
                (), 3.0, long_name="distance", formula="d", best=0.0, column="distance"
            ),
        },
        coords={"layer": ["a", "b"], **time_coords(np.arange(3) * 10, np.arange(3) * 10 + 10)},
    )
    texts = dict.fromkeys(("model", "recording", "recording_sha256", "region", "control"), "x")
    objects = dict.fromkeys(("config", "selection", "activations", "versions"), "{}")
    own = {"contract": "neurofit/1", "analysis": "odd", "simulated": 1, "seed": 0}
    result.attrs = {**texts, **objects, **own}
    return result


def test_an_odd_but_valid_result_is_written_and_shown(tmp_path: Path) -> None:
    result = valid()
    result.found[0, 1] = np.inf
    result.found[1] = np.nan
    result.found.attrs["best"] = 0.0
    write_result(result, tmp_path)
    write_report([load_result(tmp_path)], tmp_path / "report.html")
    assert len(list(result_tables(result))) == 2
    assert "inf" not in marks(result.found.values[0], 0.0)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda r: r.attrs.update(notes="a sentence"), "'notes' must be a list of sentences"),
        (lambda r: r.attrs.update(selection="null"), "'selection' must be an object"),
        (lambda r: r.attrs.update(simulated=True), "'simulated' is a boolean"),
        (lambda r: r.assign_coords(layer=["a", "a"]), "'layer' needs different names"),
        (lambda r: r.assign_coords(layer=[1, 2]), "'layer' needs different names"),
        (lambda r: r.assign(low=r.low.isel(time_bin=0, drop=True)), "must have the dimensions"),
        (lambda r: r.rename(found="config"), "has the name of a key of summaries"),
        (lambda r: r.found.attrs.update(reason="n"), "'reason' of 'found' must name a variable"),
        (lambda r: r.found.attrs.update(bound="ceiling"), "names 'ceiling', which is not in"),
    ],
)
def test_what_a_consumer_would_stumble_over_is_refused(damage: Any, said: str) -> None:
    result = valid()
    made = damage(result)
    with pytest.raises(NeurofitError, match=said):
        validate_result(result if made is None else made)


def test_options_of_numpy_types_are_recorded_as_numbers(
    registered: None, recording: Recording
) -> None:
    gain: Any = np.float32(0.5)
    result = ANALYSES["unknown"].function(recording, UnknownConfig(gain=gain))
    assert json.loads(result.attrs["config"])["gain"] == 0.5


def test_an_option_that_every_analysis_has_is_refused_with_its_name() -> None:
    @dataclass(frozen=True, kw_only=True)
    class WindowConfig:
        window: int = option(3, help="Width of a window.")

    @register_analysis(WindowConfig, models=0)
    def windowed(recording: Recording, config: WindowConfig, **_: Any) -> xr.Dataset:
        """Nothing."""
        return xr.Dataset()

    try:
        with pytest.raises(NeurofitError, match="windowed has an option 'window'"):
            commands.analysis_command("windowed")
    finally:
        del ANALYSES._entries["windowed"]

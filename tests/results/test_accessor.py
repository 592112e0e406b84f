"""`result.neurofit`: the table, the figure and the data of a result in one word each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurofit
from neurofit.errors import NeurofitError

Make = Callable[..., xr.Dataset]


def test_the_data_are_those_of_the_result(make_result: Make) -> None:
    result = make_result("net")
    table = result.neurofit.to_dataframe()
    assert table.columns[0] == "curve"
    assert np.allclose(table.curve, result.curve.values.ravel(), equal_nan=True)
    assert np.allclose(table.curve_low, result.curve_low.values.ravel(), equal_nan=True)
    assert table.time_bin_start.tolist() == result.time_bin_start.values.tolist()
    assert table.index.names == list(result.curve.dims)


def test_a_result_prints_its_table_and_draws_its_curve(make_result: Make, tmp_path: Path) -> None:
    result = make_result("net")
    assert "70-80" in repr(result.neurofit)
    assert "0.28" in repr(result.neurofit)
    result.neurofit.plot(tmp_path / "curve.png", width="85mm")
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert "<svg" in result.neurofit._repr_html_()
    assert result.neurofit.summary()["model"] == "net"


def test_names_in_a_page_are_text(make_result: Make) -> None:
    html = make_result("<script>net").neurofit._repr_html_()
    assert "<script>" not in html


def test_another_dataset_is_no_result() -> None:
    with pytest.raises(NeurofitError, match="contract"):
        _ = xr.Dataset({"x": 1}).neurofit


def test_objects_print_in_a_line_and_as_a_table(evoked: Callable[[], neurofit.Recording]) -> None:
    recording = evoked()
    model = neurofit.create_model("rgc_tiny", weights="random")
    for shown in (recording, recording.stimuli, model):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 200
        assert "<table>" in shown._repr_html_()
    assert "219,482 parameters" in repr(model)
    assert f"{len(recording.stimuli):,} stimuli" in repr(recording)


def test_a_configuration_prints_what_is_not_the_default() -> None:
    assert repr(neurofit.ScoreConfig()) == "ScoreConfig()"
    config = neurofit.ScoreConfig(n_splits=3, layers=("conv3",))
    assert repr(config) == "ScoreConfig(layers=('conv3',), n_splits=3)"
    assert eval(repr(config), {"ScoreConfig": neurofit.ScoreConfig}) == config
    assert "Number of splits" in config._repr_html_()
    run = neurofit.RunConfig(model="rgc_tiny", selection=neurofit.Selection(region="V4"))
    assert repr(run) == "RunConfig(model='rgc_tiny', selection=Selection(region='V4'))"


def test_progress_reaches_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    for done in range(4):
        neurofit.show_progress("bins", done, 3)
    neurofit.show_progress("images", 1, 1)
    printed = capsys.readouterr()
    assert "3/3" in printed.out + printed.err
    assert "1/1" in printed.out + printed.err

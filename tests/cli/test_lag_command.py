"""The command `neurofit analyse lag`: it needs timesteps beyond the recorded bins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from neurofit.analyses.lag.config import LagConfig
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.run import RunConfig, run
from neurofit.config.compute import Compute
from neurofit.recordings.selection import Selection

FEW: dict[str, Any] = {"n_splits": 2, "n_halves": 1}


@pytest.mark.parametrize("kept", [False, True])
def test_a_run_extracts_the_timesteps_that_lags_reach(
    registered: Any, own_home: Path, kept: bool
) -> None:
    """The bins end at 110 ms; also if only their timesteps were extracted before."""
    options: dict[str, Any] = {
        "model": "timedecay_tiny",
        "recording": "small",
        "selection": Selection(region="V4"),
        "compute": Compute(keep_grams=kept, n_jobs=1),
    }
    if kept:
        run(RunConfig(analysis=ScoreConfig(**FEW), **options))
    config = LagConfig(lags=(-30, 30), paces=(1, 1), **FEW)
    result = run(RunConfig(analysis=config, **options))
    assert result.compared.values.all()
    assert result.time_bin_model_end.values.max() >= 105 + 30
    again = run(RunConfig(analysis=config, **options))
    xr.testing.assert_equal(result, again)


def test_the_command_writes_a_table_and_a_picture(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    call = ("--model", "timedecay_tiny", "--recording", "small", "--region", "V4")
    few = ("--n-splits", "2", "--n-halves", "1", "--lags", "-20:20", "--paces", "1:1")
    code, out, err = neurofit("analyse", "lag", *call, *few)
    assert code == 0, err
    assert "lag (ms)" in out
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert "lags=-20.0+20.0_paces=1.0+1.0" in folder.name
    assert {each.name for each in folder.iterdir()} >= {"result.nc", "plot.png", "summary.json"}
    code, _, err = neurofit("analyse", "lag", *call, "--lags", "20:-20")
    assert code != 0
    assert "--lags must be a range START:END within -1000:1000 that holds 0" in err

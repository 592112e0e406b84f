"""Variance partitioning by names: what a model is compared with, repeated and as a command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import neurofit
from neurofit.analyses.repeat import command_of, run_config_of
from neurofit.errors import NeurofitError
from neurofit.mapping.ridge import RidgeMapping

CONFIG = neurofit.RunConfig(
    model="timedecay_tiny",
    recording="small",
    selection=neurofit.Selection(region="IT"),
    analysis=neurofit.PartitionConfig(n_splits=2, n_halves=2, min_z=0.0),
)


@pytest.mark.parametrize(
    ("options", "part", "words"),
    [
        ({}, "last-step", ""),
        ({"against": "layers-over-time"}, "layers-over-time", "--against layers-over-time "),
        ({"against": "rgc_tiny"}, "rgc_tiny", "--against rgc_tiny "),
        (
            {"against": "other-layers", "layers": ("conv5",), "against_layers": ("conv3",)},
            "other layers",
            "--against other-layers --against-layers conv3 ",
        ),
        (
            {"against_layers": ("conv4",), "mapping": RidgeMapping(alphas=(0.1, 10.0))},
            "last-step",
            "--against-layers conv4 ",
        ),
    ],
)
def test_a_run_finds_what_a_model_is_compared_with(
    registered: Any, options: dict[str, Any], part: str, words: str
) -> None:
    config = replace(CONFIG, analysis=replace(CONFIG.analysis, **options))
    found = neurofit.run(config)
    assert found.part.values.tolist()[1] == f"unique to {part}"
    assert np.isfinite(found.total.values).any()
    alphas = " --ridge-alphas 0.1,10.0" if "mapping" in options else ""
    layers = "--layers conv5 " if "layers" in options else ""
    assert command_of(run_config_of(found)) == (
        "neurofit analyse partition --model timedecay_tiny --recording small --region IT "
        f"{layers}--n-splits 2 --n-halves 2 {words}--min-z 0.0{alphas}"
    )
    assert neurofit.verify(found).verdict == "equal to the bit"


def test_an_unknown_second_model_is_an_error_with_its_name(registered: Any) -> None:
    config = replace(CONFIG, analysis=replace(CONFIG.analysis, against="last_step"))
    with pytest.raises(NeurofitError, match="last_step"):
        neurofit.run(config)


def test_it_is_a_command(neurofit: Any, registered: Any) -> None:
    code, out, err = neurofit(
        *("analyse", "partition", "--model", "timedecay_tiny", "--recording", "small"),
        *("--region", "IT", "--n-splits", "2", "--n-halves", "2", "--against", "mean-over-time"),
    )
    assert code == 0, err
    assert "unique to mean-over-time" in out
    assert (
        "partition_timedecay_tiny_IT_small_ridge_n_splits=2_n_halves=2_against=mean-over-time/"
        in out
    )

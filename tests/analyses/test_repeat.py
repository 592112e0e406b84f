"""A result knows the configuration and the command that made it."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from neurofit import CeilingConfig, RunConfig, ScoreConfig, Selection, SimilarityConfig, make_config
from neurofit.analyses.analysis import analysis_of
from neurofit.analyses.generalisation.config import GeneralisationConfig
from neurofit.analyses.identity import weights_identity
from neurofit.analyses.lag.config import LagConfig
from neurofit.analyses.repeat import command_of, run_config_of
from neurofit.analyses.run import run
from neurofit.cli import analyses as commands
from neurofit.config.compute import Compute
from neurofit.errors import NeurofitError
from neurofit.mapping import PLSMapping, RidgeMapping
from neurofit.mapping.contract import describe_mapping
from neurofit.recordings.recording import Recording
from neurofit.results.provenance import RUN, to_json


def stored(config: RunConfig) -> xr.Dataset:
    """Return a Dataset with the attributes of a result of a configuration."""
    own = config.analysis
    values = (
        own.as_attrs()
        if hasattr(own, "as_attrs")
        else {each.name: getattr(own, each.name) for each in fields(own)}
    )
    name = analysis_of(own).name
    attrs = {"analysis": name, "config": to_json(values), RUN: to_json(config.as_attrs())}
    return xr.Dataset(attrs=attrs)


def comparable(config: RunConfig) -> RunConfig:
    """Return a configuration whose equality is that of the numbers it makes."""
    own = config.analysis
    if hasattr(own, "mappings"):
        described = tuple(describe_mapping(each) for each in own.mappings)
        own = {**vars(own), "mapping": described}
    else:
        own = vars(own)
    object.__setattr__(config := replace(config, compute=Compute()), "analysis", own)
    return config


def parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Return the configuration that the command line makes of a command."""
    found: list[RunConfig] = []
    monkeypatch.setattr(commands, "run_and_show", lambda config, **output: found.append(config))
    words = shlex.split(command)[1:]
    words = words[1:] if words[0] == "analyse" else words
    commands.analysis_command(words[0]).main(words[1:], standalone_mode=False)
    return found[0]


BINS = st.sampled_from([None, "70:260:10", ((70, 90), (90, 110)), ((70, 80), (95, 130))])
SELECTIONS = st.builds(
    Selection,
    region=st.sampled_from([None, "IT", "V4"]),
    subregion=st.sampled_from([None, ("aIT",), ("aIT", "cIT")]),
    subject=st.sampled_from([None, "Chabo"]),
    stimuli=st.sampled_from([None, "category=a,b", ("s1", "s 2")]),
    window=st.sampled_from([None, (70, 260)]),
    bins=BINS,
    min_reliability=st.sampled_from([None, 0.3]),
    exclude_trials=st.sampled_from([None, "z>6"]),
    detrend=st.booleans(),
)
MAPPINGS = st.sampled_from(
    [
        "ridge",
        "pls",
        ("pls", "ridge"),
        PLSMapping(n_components=7, convergence="sklearn"),
        RidgeMapping(alphas=(0.1, 10.0), select="gcv"),
        (RidgeMapping(select="gcv"), PLSMapping(choose_components=True)),
    ]
)
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "mapping": MAPPINGS,
    "layers": st.sampled_from(["auto", "all", ("conv4", "conv5")]),
    "time_mode": st.sampled_from(["per-bin", "fixed"]),
    "reduce": st.sampled_from(["none", "srp:64"]),
    "n_splits": st.integers(1, 20),
    "train_size": st.floats(0.1, 0.9),
    "stratified": st.booleans(),
    "groups": st.sampled_from([None, "object name"]),
    "learning_curve": st.booleans(),
    "seed": st.integers(0, 9),
}
POOLED = st.builds(
    make_config,
    min_z=st.sampled_from([0.0, 4.0]),
    jackknife=st.sampled_from([0, 20]),
    **COMMON,
)
PRESETS = st.builds(
    make_config, preset=st.sampled_from(["nayebi2022", "brainscore", "mouse", "kar2019"]), **COMMON
)
OTHERS = st.one_of(
    st.builds(CeilingConfig, n_halves=st.integers(1, 9), seed=st.integers(0, 9)),
    st.builds(
        SimilarityConfig,
        measure=st.sampled_from(["rsa", "cka"]),
        layers=st.sampled_from([None, ("conv4",)]),
    ),
    st.builds(
        GeneralisationConfig, windows=st.sampled_from([None, ((70, 90),), ((70, 90), (90, 130))])
    ),
    st.builds(
        LagConfig,
        lags=st.sampled_from([(-40.0, 40.0), (-7.5, 20.0)]),
        paces=st.sampled_from([(0.67, 1.5), (1.0, 1.0)]),
    ),
)
CONFIGS = st.builds(
    RunConfig,
    model=st.sampled_from(["rgc_tiny", "baseline:pixels"]),
    recording=st.sampled_from(["hvm-sim", "data/mine.nc"]),
    selection=SELECTIONS,
    analysis=st.one_of(POOLED, PRESETS, OTHERS),
    weights=st.sampled_from(["auto", "random", "runs/a b.safetensors"]),
    model_seed=st.integers(0, 3),
    presentation=st.sampled_from(["neural", "constant"]),
    precision=st.sampled_from(["float32", "bfloat16"]),
    shuffle_stimuli=st.booleans(),
    images=st.sampled_from([None, "images.zip"]),
    time_bin=st.sampled_from([None, (70, 170)]),
)


@given(config=CONFIGS)
def test_the_configuration_of_a_result_is_the_one_that_made_it(config: RunConfig) -> None:
    assert comparable(run_config_of(stored(config))) == comparable(config)


@settings(max_examples=40)
@given(config=CONFIGS)
def test_the_command_of_a_configuration_makes_it(config: RunConfig) -> None:
    if not analysis_of(config.analysis).models:  # a ceiling has no options of a model
        usual = RunConfig()
        names = ["model", "weights", "model_seed", "presentation", "precision", "shuffle_stimuli"]
        config = replace(config, **{name: getattr(usual, name) for name in names})
    if config.selection.bins == ((70, 80), (95, 130)):
        with pytest.raises(NeurofitError, match="no option for bins"):
            command_of(config)
        return
    with pytest.MonkeyPatch.context() as patch:
        made = parsed(command_of(config), patch)
    chosen = config.selection
    if isinstance(chosen.bins, tuple):  # the same bins, in the words of the command line
        chosen = replace(chosen, bins="70:110:20")
    if isinstance(chosen.stimuli, tuple):
        chosen = replace(chosen, stimuli="stimulus_id=s1,s 2")
    assert comparable(replace(made, selection=made.selection.each()[0])) == comparable(
        replace(config, selection=chosen.each()[0], model=made.model)
    )
    assert "".join(made.model) == config.model


def test_a_command_has_only_what_differs_from_the_defaults() -> None:
    config = RunConfig(
        model="rgc_tiny", selection=Selection(region="IT"), analysis=ScoreConfig(n_splits=5)
    )
    assert command_of(config) == "neurofit score --model rgc_tiny --region IT --n-splits 5"
    assert command_of(replace(config, analysis=make_config("nayebi2022"))) == (
        "neurofit score --model rgc_tiny --region IT --preset nayebi2022"
    )
    assert command_of(replace(config, analysis=SimilarityConfig(measure="cka"))) == (
        "neurofit analyse similarity --model rgc_tiny --region IT --measure cka"
    )


FEW = ScoreConfig(n_splits=2, n_halves=2, min_z=None)
RUNS = [
    RunConfig(model="timedecay_tiny", selection=Selection(region="IT"), analysis=FEW),
    RunConfig(
        model="timedecay_tiny",
        weights="random",
        model_seed=3,
        shuffle_stimuli=True,
        presentation="constant",
        selection=Selection(region="V4", window=(70, 100), exclude_trials="z>6"),
        analysis=replace(FEW, mapping=("ridge", PLSMapping(n_components=3)), groups="object"),
    ),
    RunConfig(
        model="timedecay_tiny",
        selection=Selection(region="V4", stimuli="object=o1,o2,o3", bins="70:110:20"),
        analysis=SimilarityConfig(layers=("conv2",), n_groups=5),
    ),
    RunConfig(
        selection=Selection(subject="B", min_reliability=0.0),
        analysis=CeilingConfig(n_halves=3, interval_over="neuroids", n_bootstraps=20),
    ),
]


@pytest.mark.parametrize("config", RUNS)
def test_a_run_stores_what_repeats_it(with_objects: None, config: RunConfig) -> None:
    config = replace(config, recording="small")
    result = run(config)
    again = run_config_of(result)
    assert comparable(again) == comparable(config)
    xr.testing.assert_identical(run(again), result)


def test_stimuli_of_a_file_are_stored_themselves(with_objects: None, tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    ids = [f"s{i}" for i in range(20)]
    listed.write_text("\n".join(ids))
    config = RunConfig(
        recording="small",
        selection=Selection(region="IT", stimuli=listed),
        analysis=CeilingConfig(),
    )
    result = run(config)
    listed.unlink()
    assert run_config_of(result).selection.stimuli == tuple(ids)
    xr.testing.assert_equal(run(run_config_of(result)), result)


def test_what_cannot_be_repeated_is_said() -> None:
    config = RunConfig(model="rgc_tiny", analysis=ScoreConfig(mapping=LinearRegression()))
    with pytest.raises(NeurofitError, match="mapping 'LinearRegression' is not registered"):
        run_config_of(stored(config))
    with pytest.raises(NeurofitError, match="no name for the mapping LinearRegression"):
        command_of(config)
    result = stored(replace(config, analysis=ScoreConfig()))
    for name in ("analysis", "config", RUN):
        lacking: Any = result.copy()
        del lacking.attrs[name]
        with pytest.raises(NeurofitError, match=f"attribute '{name}' is missing"):
            run_config_of(lacking)
    with pytest.raises(NeurofitError, match="'oracle' is not registered"):
        run_config_of(result.assign_attrs(analysis="oracle"))
    newer = result.attrs["config"].replace('"n_splits"', '"n_splats"')
    with pytest.raises(NeurofitError, match="Did you mean 'n_splits'"):
        run_config_of(result.assign_attrs(config=newer))


def test_published_weights_that_are_not_here_are_an_error_also_where_random_ones_are_recorded(
    own_home: Path, with_objects: Recording
) -> None:
    config = RunConfig(
        model="resnet18", recording="small", selection=Selection(region="IT"), weights="random"
    )
    assert weights_identity(config) == "resnet18 random 0"
    assert weights_identity(replace(config, weights="auto")) == ""
    with pytest.raises(
        NeurofitError, match=r"resnet18 are not downloaded. Run: neurofit weights g"
    ):
        run(replace(config, weights="auto"))

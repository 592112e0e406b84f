"""The programs of docs/presets.md give neurofit's curves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import PRESETS, make_config
from neurofit.analyses.predictivity.score import score
from neurofit.mapping import PLSMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet

N_STIMULI, N_UNITS, N_NEUROIDS, N_REPETITIONS, N_COMPONENTS = 100, 20, 25, 7, 5
MOST_LINES = 30

Program = Callable[..., float]


@pytest.fixture(scope="module")
def blocks(repository: Path) -> list[str]:
    """Return the programs of the page: shared functions first, then a preset each."""
    page = (repository / "docs" / "presets.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)


@pytest.fixture(scope="module")
def programs(blocks: list[str]) -> dict[str, Program]:
    """Return the functions that the programs define."""
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/presets.md", "exec"), names)
    return names


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, trials (repetition stimulus neuroid) and categories.

    A stimulus has 3 to 7 presentations, at repetitions in no order; some neuroids lack trials of
    their own, and some are hardly reliable.
    """
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N_STIMULI, N_UNITS))
    rates = features @ rng.standard_normal((N_UNITS, N_NEUROIDS)) / np.sqrt(N_UNITS)
    rates += rng.standard_normal(rates.shape)
    noise = np.geomspace(0.5, 8, N_NEUROIDS) * rng.standard_normal(
        (N_REPETITIONS, N_STIMULI, N_NEUROIDS)
    )
    trials = (rates + noise).astype(np.float32)
    for stimulus, n in enumerate(rng.integers(0, 5, N_STIMULI)):
        trials[rng.permutation(N_REPETITIONS)[:n], stimulus] = np.nan
    for stimulus in range(0, N_STIMULI, 5):  # one more of a stimulus that keeps at least two
        present = np.flatnonzero(~np.isnan(trials[:, stimulus, 0]))
        trials[present[0], stimulus, ::3] = np.nan
    return features.astype(np.float32), trials, np.repeat(["cat", "dog", "owl", "pig"], 25)


def wrap(
    features: np.ndarray, trials: np.ndarray, category: np.ndarray
) -> tuple[Activations, Recording]:
    """Return the arrays as activations and a recording without what was never shown."""
    ids = np.array([f"s{i}" for i in range(N_STIMULI)])
    repetition, stimulus = np.nonzero(~np.isnan(trials).all(axis=2))
    responses = xr.DataArray(
        trials[repetition, stimulus][..., None],
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids[stimulus]),
            "repetition": ("presentation", repetition),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(N_NEUROIDS)]),
            "region": ("neuroid", ["IT"] * N_NEUROIDS),
            "time_bin_start": ("time_bin", [0]),
            "time_bin_end": ("time_bin", [10]),
        },
    )
    stimuli = StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids, "category": category}),
        images=np.zeros((N_STIMULI, 2, 2, 3), np.uint8),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    activations = Activations(
        model="planted",
        stimulus_ids=ids,
        blocks={("layer", 0): features},
        first_timestep={"layer": 0},
        ms_per_timestep=10,
        n_timesteps=1,
        region_layers={"IT": ("layer",)},
    )
    recording = Recording(name="planted", responses=responses, stimuli=stimuli, simulated=True)
    return activations, recording


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_program_of_a_preset_gives_its_curve(
    preset: str,
    programs: dict[str, Program],
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    features, trials, category = arrays
    counts = (~np.isnan(trials)).sum(axis=0)
    assert set(np.unique(counts)) == {2, 3, 4, 5, 6, 7}, "even and odd numbers of trials"
    sizes: dict[str, Any] = {"n_splits": 3, "n_halves": 4}
    changes = dict(sizes)
    if preset != "pooled":
        sizes["n_components"] = N_COMPONENTS
        rule = "sklearn" if preset == "brainscore" else "exact"
        changes |= {
            "mapping": PLSMapping(n_components=N_COMPONENTS, convergence=rule),
            "n_bootstraps": 2,
        }
    result = score(*wrap(features, trials, category), make_config(preset, **changes))
    program = programs[preset]
    if "category" in inspect.signature(program).parameters:
        sizes["category"] = category
    with np.errstate(all="raise"):
        value = program(features.astype(float), trials.astype(float), **sizes)
    assert abs(value) > 0.01
    np.testing.assert_allclose(result.curve.values[0, 0], value, rtol=1e-6)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_defaults_of_a_program_are_those_of_the_preset(
    preset: str, programs: dict[str, Program]
) -> None:
    config = make_config(preset)
    parameters = inspect.signature(programs[preset]).parameters
    for name in set(parameters) - {"features", "trials", "category", "n_components"}:
        assert parameters[name].default == getattr(config, name), name
    assert ("category" in parameters) == config.stratified
    assert "train_size" in parameters or config.splits == "folds"
    if preset != "pooled":
        mapping = PLSMapping() if config.mapping == "pls" else config.mapping
        assert parameters["n_components"].default == mapping.n_components


def test_each_preset_has_a_short_program_without_neurofit(blocks: list[str]) -> None:
    _, *presets = blocks
    assert [block[len("def ") : block.index("(")] for block in presets] == [
        "pooled",
        "nayebi2022",
        "streams2018",
        "mouse",
        "kar2019",
        "brainscore",
    ]
    assert all(len(block.splitlines()) <= MOST_LINES for block in presets)
    assert not any("neurofit" in block for block in blocks)

"""The default folder of a result differs for every choice that changes its numbers."""

import re
from collections.abc import Callable
from dataclasses import Field, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses import ANALYSES
from neurofit.analyses.naming import folder_words
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.run import RunConfig
from neurofit.config.options import options_of
from neurofit.errors import NeurofitError
from neurofit.mapping import MAPPINGS, RidgeMapping, register_mapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.selection import Selection
from neurofit.results.folder import result_folder

OTHER: dict[str, Any] = {
    "mapping": "pls",
    "layers": ("conv2",),
    "against": "rgc_tiny",
    "against_layers": ("conv2",),
    "reduce": "pca:5",
    "labels": "kind",
    "n_sites": 5,
    "threshold": 1.0,
    "strata": "kind",
    "groups": "kind",
    "preset": "mouse",
    "formula": "explained_variance",
    "alphas": (1.0, 2.0),
    "model": "rgc_tiny",
    "recording": "another",
    "weights": "random",
    "presentation": "default",
    "time_bin": (0, 10),
    "region": "V4",
    "subregion": "pIT",
    "subject": "B",
    "stimuli": "stimulus_id=s0,s1,s2",
    "window": (70, 90),
    "windows": ((70, 90), (90, 110)),
    "bins": "70:110:20",
    "min_reliability": 0.01,
    "exclude_trials": "z>5",
    "jackknife": 20,
    "lags": (-20.0, 20.0),
    "paces": (1.0, 1.0),
    "source": "V4",
    "n_units": 5,
    "visual_degrees": 4.0,
    "ms_per_timestep": 20,
}
"""Values for options whose type and choices do not give another one."""

WITH = {
    "fit_halves": {"formula": "explained_variance"},
    "intercept": {"time_mode": "fixed"},
}
"""What an option needs beside it."""


def other_value(option: Field[Any]) -> Any:
    """Return a permitted value of an option that is not its default."""
    if option.name in OTHER:
        return OTHER[option.name]
    if choices := [each for each in option.metadata["choices"] if each != option.default]:
        return choices[0]
    default: Any = option.default
    if isinstance(default, bool):
        return not default
    return default + 1 if isinstance(default, int) else default / 2


@pytest.fixture
def folder(evoked: Callable[[], Recording]) -> Callable[[RunConfig], str]:
    """Return the name of the default folder of a run on a small recording."""
    recording = evoked()
    neuroids = {
        "subregion": ("neuroid", ["aIT", "pIT"] * 6),
        "subject": ("neuroid", ["A", "A", "B"] * 4),
    }
    known = replace(recording, responses=recording.responses.assign_coords(neuroids))
    return lambda config: result_folder(folder_words(config, config.selection.apply(known))).name


def test_every_option_of_an_analysis_tells_folders_apart(
    folder: Callable[[RunConfig], str],
) -> None:
    configs: list[Any] = []
    for analysis in map(ANALYSES.__getitem__, ANALYSES):
        configs.append(analysis.make_config())
        for option in options_of(analysis.config):
            given = {option.name: other_value(option), **WITH.get(option.name, {})}
            configs.append(analysis.make_config(**given))
    names = {folder(RunConfig(model="m", analysis=config)) for config in configs}
    assert len(names) == len(configs) > 30


def test_every_option_of_a_mapping_tells_folders_apart(folder: Callable[[RunConfig], str]) -> None:
    given: list[Any] = []
    for name in MAPPINGS:
        beside = "ridge" if name == "pls" else "pls"
        given += [name, (name, beside)]
        for option in options_of(MAPPINGS[name]):
            made = MAPPINGS[name](**{option.name: other_value(option)})
            given += [made, (made, beside)]
    configs = [ANALYSES["score"].make_config(mapping=mapping) for mapping in given]
    names = {folder(RunConfig(model="m", analysis=config)) for config in configs}
    assert len(names) == len(configs) > 10


def test_every_option_of_a_run_and_of_a_selection_tells_folders_apart(
    folder: Callable[[RunConfig], str], tmp_path: Path
) -> None:
    configs = [RunConfig(model="m")]
    for option in options_of(RunConfig):
        # The hash of a recording given by path covers its images; baselines have own folders.
        if option.name not in ("images", "baselines"):
            configs.append(RunConfig(**{"model": "m", option.name: other_value(option)}))
    for option in options_of(Selection):
        selection = Selection(**{option.name: other_value(option)})
        configs.append(RunConfig(model="m", selection=selection))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.safetensors").write_text(name)
        configs.append(RunConfig(model="m", weights=tmp_path / name / "w.safetensors"))
    names = {folder(config) for config in configs}
    assert len(names) == len(configs)


def test_what_does_not_change_numbers_changes_no_folder(folder: Callable[[RunConfig], str]) -> None:
    from neurofit.config.compute import Compute

    plain = RunConfig(model="m")
    for compute in (Compute(n_jobs=1), Compute(batch_size=3), Compute(keep_grams=True)):
        assert folder(replace(plain, compute=compute)) == folder(plain)


def test_the_command_writes_each_choice_into_a_folder_of_its_own(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    few = {"--n-splits": "2", "--n-halves": "1", "--n-bootstraps": "5"}
    base = {"--model": "timedecay_tiny", "--recording": "small", "--region": "V4", **few}
    choices: list[dict[str, str]] = [
        {"--mapping": "ridge"},
        {"--mapping": "pls"},
        {"--mapping": "ridge", "--preset": "mouse"},
        {"--mapping": "ridge", "--time-mode": "fixed"},
        {"--mapping": "ridge", "--weights": "random"},
        {"--mapping": "ridge", "--window": "80:110"},
        {"--mapping": "ridge", "--reduce": "pca:5"},
        {"--mapping": "ridge", "--ridge-select": "gcv"},
        {"--mapping": "pls", "--pls-n-components": "3"},
    ]
    calls = [[part for pair in (base | more).items() for part in pair] for more in choices]
    calls.append([*calls[0], "--shuffle-stimuli"])
    for call in calls:
        code, out, err = neurofit("score", *call)
        assert code == 0, err
        assert "Written: neurofit-results/timedecay_tiny_V4_small_" in out
    folders = list((tmp_path / "neurofit-results").iterdir())
    assert len(folders) == len(calls)
    assert all((each / "summary.json").is_file() for each in folders)
    results = [xr.load_dataset(each / "result.nc", engine="h5netcdf") for each in folders]
    correlations = {result.r_xy.values.tobytes() for result in results}
    assert len(correlations) == len(calls)  # and the numbers do differ
    plain = "neurofit-results/timedecay_tiny_V4_small_ridge_n_splits=2_n_halves=1_n_bootstraps=5"
    assert f"Replaced: {plain}/result.nc" in neurofit("score", *calls[0])[1]


def test_a_long_name_ends_in_what_tells_it_from_others_that_begin_alike(
    folder: Callable[[RunConfig], str],
) -> None:
    names = []
    for last in (49, 48):
        shown = "stimulus_id=" + ",".join(f"s{i}" for i in [*range(48), last])
        selection = Selection(region="V4", bins="70:110:20", stimuli=shown)
        config = ANALYSES["score"].make_config(mapping="ridge")
        run = RunConfig(model="m", recording="small", selection=selection, analysis=config)
        names.append(folder(run))
    first, second = names
    begin = re.escape("m_V4_small_ridge_stimuli=stimulus_id=s0,s1,")
    assert re.match(begin, first)
    assert len(first) == len(second) == 120
    assert first[:-8] == second[:-8]
    assert first != second
    assert np.unique([len(each.encode()) for each in names]).tolist() == [120]


def test_long_lists_of_stimuli_and_missing_weights_have_folders_of_their_own(
    folder: Callable[[RunConfig], str], evoked: Callable[[], Recording]
) -> None:
    every = ",".join(map(str, evoked().stimuli.ids)) + ",0" * 150
    chosen = Selection(region="V4", stimuli=f"stimulus_id={every}")
    with pytest.raises(NeurofitError, match="Unknown stimulus_id"):  # and no OSError of a path
        folder(RunConfig(model="m", selection=chosen))
    config = RunConfig(model="m", selection=Selection(region="V4"))
    recording = config.selection.apply(evoked())
    assert folder_words(config, recording) != folder_words(config, recording, untrained=True)


def test_a_subclass_of_a_mapping_has_its_own_name(folder: Callable[[RunConfig], str]) -> None:
    @register_mapping("zridge")
    @dataclass(frozen=True, kw_only=True)
    class Z(RidgeMapping):
        pass

    try:
        runs = [
            RunConfig(model="m", selection=Selection(region="V4"), analysis=ScoreConfig(mapping=m))
            for m in (Z(alphas=(1.0,)), RidgeMapping(alphas=(1.0,)))
        ]
        assert len({folder(each) for each in runs}) == 2
        assert runs[0].analysis.as_attrs()["mapping"]["name"] == "zridge"
    finally:
        del MAPPINGS._entries["zridge"]

"""The named configurations of the field: functions that return a `ScoreConfig`.

All say "noise-corrected" and mean different numbers; each output prints its formula, and
docs/presets.md has a program for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.config.registry import Registry
from neurofit.mapping import PLSMapping

PRESETS: Registry[Callable[[], ScoreConfig]] = Registry("preset")


def make_config(preset: str = "pooled", **changes: Any) -> ScoreConfig:
    """Return a preset's configuration with changes.

    Parameters
    ----------
    preset
        "pooled", "nayebi2022", "brainscore", "streams2018", "mouse" or "kar2019" (docs/presets.md
        gives their sources).
    **changes
        Fields of `ScoreConfig`. A mapping given by its name has the preset's options, if the preset
        names it too.

    Returns
    -------
    ScoreConfig
        Configuration of a score, which says in `preset` where its values come from.

    Raises
    ------
    NeurofitError
        If the preset is unknown (the nearest is named), or an option is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> config = neurofit.make_config("nayebi2022", n_splits=5)
    >>> config.mapping, config.formula, config.n_splits
    ('pls', 'noise_corrected_r', 5)
    """
    config = PRESETS[preset]()
    if "mapping" in changes:
        own = dict(zip(config.mapping_names, config.mappings, strict=True))
        given = replace(config, mapping=changes["mapping"]).mappings
        made = tuple(own.get(each, each) if isinstance(each, str) else each for each in given)
        changes["mapping"] = made[0] if len(made) == 1 else made
    return replace(config, **changes)


def describe_preset(config: ScoreConfig) -> str:
    """Return the name of a configuration's preset, and its formula if that is another one."""
    own = config.preset in PRESETS and PRESETS[config.preset]().formula == config.formula
    return config.preset if own else f"{config.preset} with {config.formula}"


@PRESETS.register()
def pooled() -> ScoreConfig:
    """10 stratified 75/25 splits, 10 trial halves, ridge; r pooled over neuroids, then divided."""
    return ScoreConfig()


@PRESETS.register()
def nayebi2022() -> ScoreConfig:
    """10 stratified 75/25 splits, 10 trial halves, PLS; r_xy / sqrt(r_xx r_yy), median."""
    return ScoreConfig(mapping="pls", formula="noise_corrected_r", preset="nayebi2022")


@PRESETS.register()
def brainscore() -> ScoreConfig:
    """10 stratified 90/10 splits (seed 1), PLS; median(r_xy)^2 / ceiling, all neuroids."""
    return ScoreConfig(
        mapping=PLSMapping(convergence="sklearn"),
        train_size=0.9,
        strata="object_name",
        halves_by="repetition",
        fit_halves=False,
        ceiling_stimuli="all",
        formula="explained_variance",
        average="terms",
        reliability_floor=None,
        false_discovery_rate=1.0,
        min_neuroids=1,
        seed=1,
        preset="brainscore",
    )


@PRESETS.register()
def streams2018() -> ScoreConfig:
    """10 stratified 75/25 splits, 10 trial halves, PLS; r_xy |r_xy| / (r_xx r_yy), median."""
    return replace(nayebi2022(), formula="noise_corrected_r2", preset="streams2018")


@PRESETS.register()
def mouse() -> ScoreConfig:
    """10 random 50/50 splits, 100 trial halves, PLS; mean of r_xy / sqrt(r_xx r_yy), median."""
    return replace(
        nayebi2022(),
        train_size=0.5,
        stratified=False,
        n_halves=100,
        average="ratios",
        preset="mouse",
    )


@PRESETS.register()
def kar2019() -> ScoreConfig:
    """10 folds, 10 trial halves, PLS; r_xy |r_xy| / (r_xx r_yy) in % within folds, median."""
    return replace(
        nayebi2022(),
        splits="folds",
        stratified=False,
        formula="percent_explained_variance",
        preset="kar2019",
    )

"""The named configurations of the field: functions that return a `ScoreConfig`.

Five dialects say "noise-corrected" and mean different numbers; each output prints its formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.config.registry import Registry

PRESETS: Registry[Callable[[], ScoreConfig]] = Registry("preset")


def make_config(preset: str = "nayebi2022", **changes: Any) -> ScoreConfig:
    """Return a preset's configuration with changes.

    Raises
    ------
    NeurofitError
        For an unknown preset; the nearest is named.
    """
    return replace(PRESETS[preset](), **changes)


@PRESETS.register()
def nayebi2022() -> ScoreConfig:
    """10 stratified 75/25 splits, 10 trial halves, mean terms, r_xy / sqrt(r_xx r_yy), median."""
    return ScoreConfig()


@PRESETS.register()
def brainscore() -> ScoreConfig:
    """Brain-Score: 10 stratified 90/10 splits (seed 1), median(r)^2 / ceiling, all neuroids."""
    return ScoreConfig(
        train_size=0.9,
        strata="object_name",
        halves_by="repetition",
        fit_halves=False,
        ceiling_stimuli="all",
        formula="explained_variance",
        reliability_floor=None,
        false_discovery_rate=1.0,
        min_neuroids=1,
        seed=1,
        preset="brainscore",
    )


@PRESETS.register()
def streams2018() -> ScoreConfig:
    """10 stratified 75/25 splits, 10 trial halves, mean terms, r_xy^2 / (r_xx r_yy), median."""
    return ScoreConfig(formula="noise_corrected_r2", preset="streams2018")


@PRESETS.register()
def mouse() -> ScoreConfig:
    """10 random 50/50 splits, 100 trial halves, mean of r_xy / sqrt(r_xx r_yy), median."""
    return ScoreConfig(
        train_size=0.5, stratified=False, n_halves=100, average="ratios", preset="mouse"
    )


@PRESETS.register()
def kar2019() -> ScoreConfig:
    """10 folds scored together, 10 trial halves, 100 (r_xy / sqrt(r_xx r_yy))^2 in %, median."""
    return ScoreConfig(
        splits="folds", stratified=False, formula="percent_explained_variance", preset="kar2019"
    )

"""Options of a noise-corrected score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.metrics.bootstrap import RESAMPLED
from neurofit.metrics.predictivity import AVERAGES, FORMULAS


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(EncodingConfig):
    """Everything that decides the numbers of a score; for the fits see `EncodingConfig`.

    Parameters
    ----------
    preset
        Name of the preset that the values come from; see `make_config`.
    formula
        Formula of the curve (`neurofit.metrics.predictivity.FORMULAS`); all are always computed.
    average
        Where the mean over splits and halves is taken. "terms": r_xy and the Spearman-Brown
        corrected r_xx and r_yy are averaged, then divided. "correlations": averaged before the
        correction. "ratios": averaged after the division.
    reliability_floor, false_discovery_rate
        A bin is scored if at least `min_neuroids` are significantly reliable at this false
        discovery rate; in it, a neuroid is scored if its r_yy, and the r_xx of its map, exceed the
        floor. A floor of None scores every neuroid of such a bin, a rate of 1 every bin.
    n_bootstraps, interval, bootstrap_over
        Number of bootstrap samples, coverage of the interval, and what is resampled: "neuroids"
        (other neuroids of the area), test "stimuli" with their trials (other images), or "both".
        Maps are not fitted again.
    """

    preset: str = option(
        "nayebi2022", help="How to split, correct and average (neurofit list presets)."
    )
    formula: str = option(
        "noise_corrected_r", choices=FORMULAS, help="Formula of the curve (docs/results.md)."
    )
    average: str = option(
        "terms",
        choices=AVERAGES,
        help="Where splits and halves are averaged: terms, correlations or ratios.",
    )
    reliability_floor: float | None = option(
        0.1, below=1, help="Minimum r_yy and r_xx of a scored neuroid."
    )
    false_discovery_rate: float = option(
        0.01, help="False discovery rate at which neuroids count as reliable."
    )
    n_bootstraps: int = option(1000, least=1, help="Number of bootstrap samples.")
    interval: float = option(0.95, above=0, below=1, help="Coverage of the confidence interval.")
    bootstrap_over: str = option(
        "both",
        choices=RESAMPLED,
        help="What to resample for the confidence interval: neuroids, stimuli or both.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.fit_halves and self.formula != "explained_variance":
            raise NeurofitError(
                f"fit_halves must be on for {self.formula}, which corrects for noise of the maps.",
                option="fit_halves",
            )
        if not 0 < self.false_discovery_rate <= 1:
            raise NeurofitError(
                f"false_discovery_rate must lie between 0 and 1; got {self.false_discovery_rate}.",
                option="false_discovery_rate",
            )

    @classmethod
    def from_options(cls, *, preset: str = "nayebi2022", **changes: Any) -> ScoreConfig:
        """Return a preset's configuration with changes, for the command line."""
        from neurofit.analyses.predictivity.presets import make_config

        return make_config(preset, **changes)

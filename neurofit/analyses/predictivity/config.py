"""Options of a noise-corrected score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.metrics.predictivity import AVERAGES, FORMULAS
from neurofit.metrics.two_way import RESAMPLED


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(EncodingConfig):
    """Everything that decides the numbers of a score.

    The options of the fits (mapping, layers, splits, trial halves) are those of
    `neurofit.analyses.encoding.config.EncodingConfig`.

    Parameters
    ----------
    preset
        Name of the preset that the values come from; see `make_config`.
    formula
        Formula of the curve (`neurofit.metrics.predictivity.FORMULAS`); all are always computed.
        "pooled_r" averages correlations over neuroids before it divides
        (`neurofit.metrics.pooled`); the others divide for each neuroid and take the median.
    min_z
        With "pooled_r", a bin has a score if both the pooled reliability of the recording and the
        pooled consistency of the maps lie at least so many standard errors (over stimuli) above 0;
        None scores every bin whose denominator is positive.
    average
        With the other formulas, where the mean over splits and halves is taken. "correlations":
        before the Spearman-Brown correction. "terms": r_xy and the corrected r_xx and r_yy are
        averaged, then divided, which is too high where reliabilities are low. "ratios": after the
        division.
    reliability_floor, false_discovery_rate
        With the other formulas, a bin is scored if at least `min_neuroids` are significantly
        reliable at this false discovery rate; in it, a neuroid is scored if its r_yy exceeds the
        floor. An r_xx below the floor counts as the floor, so that no neuroid is left out for the
        model's sake. A floor of None scores every neuroid of such a bin, a rate of 1 every bin.
    learning_curve
        Whether the curve is also computed with 1/4, 1/2 and 3/4 of the training stimuli (nested
        random subsets of them, or of their groups), so that it shows what more stimuli would add.
        Test stimuli, halves, layers, strata and the neuroids that count are the same; maps take
        nearly four times as long.
    jackknife
        Number of random groups of stimuli without each of which the whole score is computed again,
        so that intervals over stimuli include that other stimuli would train other maps; 20, for
        example. Ridge with one map for each time bin needs none (0). Maps take so many times as
        long. Influences of stimuli in results are then those of groups.
    interval, interval_over
        Coverage of the confidence interval, and what it is over: other "neuroids" of the area,
        other "stimuli" with their trials, or "both".
    n_bootstraps
        Number of bootstrap samples for the intervals of formulas other than "pooled_r", which has
        intervals from influences (`neurofit.metrics.two_way`).

    Raises
    ------
    NeurofitError
        If an option is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.ScoreConfig(mapping="pls", time_mode="fixed", n_splits=20)
    ScoreConfig(mapping='pls', time_mode='fixed', n_splits=20)
    """

    preset: str = option(
        "pooled", help="How to split, correct and average (neurofit list presets)."
    )
    formula: str = option(
        "pooled_r", choices=FORMULAS, help="Formula of the curve (docs/results.md)."
    )
    min_z: float | None = option(
        4.0,
        least=0,
        only_with=("formula", "pooled_r"),
        help="Standard errors by which pooled denominators must exceed 0 (pooled_r).",
    )
    average: str = option(
        "correlations",
        choices=AVERAGES,
        help="Where splits and halves are averaged: correlations, terms or ratios.",
    )
    reliability_floor: float | None = option(
        0.1, below=1, help="Minimum r_yy of a scored neuroid, and least r_xx (not pooled_r)."
    )
    false_discovery_rate: float = option(
        0.01, help="False discovery rate at which neuroids count as reliable (not pooled_r)."
    )
    learning_curve: bool = option(
        False, help="Compute the curve also with 1/4, 1/2 and 3/4 of the training stimuli."
    )
    jackknife: int = option(
        0,
        least=0,
        only_with=("formula", "pooled_r"),
        help="Number of groups of stimuli that are left out in turn for intervals over stimuli of "
        "mappings other than ridge (pooled_r).",
    )
    n_bootstraps: int = option(1000, least=1, help="Number of bootstrap samples (not pooled_r).")
    interval: float = option(0.95, above=0, below=1, help="Coverage of the confidence interval.")
    interval_over: str = option(
        "both",
        choices=RESAMPLED,
        help="What the confidence interval is over: neuroids, stimuli or both.",
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
        if self.jackknife == 1:
            raise NeurofitError("jackknife must be 0 or at least 2; got 1.", option="jackknife")
        if self.formula == "pooled_r" and self.splits == "folds-together":
            raise NeurofitError(
                'pooled_r needs correlations of each fold: give splits="folds" or another formula.',
                option="splits",
            )

    @property
    def pools(self) -> bool:
        """Whether pooled scores can be computed: from halves, in separate splits."""
        return self.fit_halves and self.splits != "folds-together"

    @classmethod
    def from_options(cls, *, preset: str = "pooled", **changes: Any) -> ScoreConfig:
        """Return a preset's configuration with changes, for the command line."""
        from neurofit.analyses.predictivity.presets import make_config

        return make_config(preset, **changes)

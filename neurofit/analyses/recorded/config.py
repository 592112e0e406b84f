"""Options of every analysis whose maps start from recorded responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.config.options import option, parse_names
from neurofit.errors import NeurofitError
from neurofit.mapping import RidgeMapping
from neurofit.metrics.two_way import RESAMPLED

FIXED = (
    *("time_mode", "intercept", "reduce", "gram_precision", "fit_halves", "ceiling_stimuli"),
    *("halves_by", "min_neuroids"),
)
"""Options of `EncodingConfig` that cannot be changed."""


@dataclass(frozen=True, kw_only=True)
class RecordedConfig(EncodingConfig):
    """Options of maps from recorded responses; for the fits see `EncodingConfig`.

    Parameters
    ----------
    mapping
        One mapping; by default ridge with penalties by generalised cross-validation, as there are
        as many maps as pairs of bins.
    time_mode, intercept, reduce, gram_precision, fit_halves, ceiling_stimuli, halves_by,
    min_neuroids
        As in `EncodingConfig`, and not to be changed: each pair of bins has maps of its own, fitted
        to trial halves.
    splits
        "folds" or "random".
    min_z
        A map has a score if its pooled consistency is this many standard errors above 0, on
        responses whose pooled reliability is; None scores every map.
    interval, interval_over
        Coverage of intervals and bands, and what they are over: other "neuroids" of the predicted
        area, other "stimuli", or "both".
    """

    mapping: Any = option(
        RidgeMapping(select="gcv"),
        parse=parse_names,
        metavar="NAME",
        panel="Mapping",
        help="Mapping: ridge, pls, or one registered by a plugin.",
        default_text="ridge with --ridge-select gcv",
    )
    layers: Any = field(default="all")  # these are no options of the command line
    time_mode: str = field(default="per-bin")
    intercept: str = field(default="per-bin")
    reduce: str = field(default="none")
    gram_precision: str = field(default="float64")
    fit_halves: bool = field(default=True)
    ceiling_stimuli: str = field(default="test")
    halves_by: str = field(default="stimulus")
    min_neuroids: int = field(default=3)
    splits: str = option(
        "folds",
        choices=("folds", "random"),
        panel="Splits and halves",
        help="Cross-validation: folds, or random splits.",
    )
    n_splits: int = option(5, least=2, panel="Splits and halves", help="Number of folds or splits.")
    n_halves: int = option(
        5, least=1, panel="Splits and halves", help="Number of random halvings of the trials."
    )
    min_z: float | None = option(
        4.0, least=0, help="Standard errors by which pooled denominators must exceed 0."
    )
    interval: float = option(0.95, above=0, below=1, help="Coverage of the confidence interval.")
    interval_over: str = option(
        "both",
        choices=RESAMPLED,
        help="What the confidence interval is over: neuroids, stimuli or both.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mappings) > 1:
            raise NeurofitError(
                f"Maps from recorded responses take one mapping; got "
                f"{', '.join(self.mapping_names)}.",
                option="mapping",
            )
        self.need_defaults("Maps from recorded responses have", FIXED)

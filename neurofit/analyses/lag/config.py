"""Options of a lag and a pace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.windows import need_bins
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.mapping.ridge import RidgeMapping
from neurofit.metrics.two_way import RESAMPLED
from neurofit.recordings.recording import Recording
from neurofit.recordings.time_bins import TimeBin

FIXED = ("time_mode", "intercept", "fit_halves", "min_neuroids", "reduce")
"""Options of the fits that are not to be changed."""

MIN_BINS = 3
"""Smallest number of time bins in which maps are compared."""

Range = tuple[float, float]


def parse_range(text: str, *, name: str) -> Range:
    """Return START:END as two numbers.

    Raises
    ------
    NeurofitError
        If the text does not have this form.
    """
    start, _, end = text.partition(":")
    try:
        return float(start), float(end)
    except ValueError:
        raise NeurofitError(f"{name} takes START:END; got {text!r}.", option=name) from None


@dataclass(frozen=True, kw_only=True)
class LagConfig(EncodingConfig):
    """Options of a lag and a pace; for the fits see `EncodingConfig`.

    Parameters
    ----------
    time_mode, intercept, fit_halves, min_neuroids, reduce
        As in `EncodingConfig`, and not to be changed: each time bin has a map of its own, fitted to
        all features, and r is corrected for the noise of maps.
    mapping
        "ridge" or a `neurofit.mapping.RidgeMapping`. The predictions that choose the lag and the
        pace have penalties by generalised cross-validation, whatever `select` is.
    layers
        As in `EncodingConfig`; each layer has a lag, and "auto" takes all that stand for the area.
    splits
        "random" or "folds".
    lags
        Range of the lags (start, end) in ms; it holds 0.
    paces
        Range of the paces in ms of the recording per ms of the model; it holds 1, and (1, 1)
        estimates the lag alone.
    min_z
        A time bin is scored if the pooled reliability of its responses and the pooled consistency
        of both maps are this many standard errors above 0; None scores every bin.
    interval, interval_over
        Coverage of intervals, and what they are over: other "neuroids" of the area, other
        "stimuli", or "both".

    Examples
    --------
    >>> import neurofit
    >>> neurofit.LagConfig(lags=(-20, 20), paces=(1, 1), n_splits=5)
    LagConfig(n_splits=5, lags=(-20.0, 20.0), paces=(1.0, 1.0))
    """

    time_mode: str = field(default="per-bin")  # these are no options of the command line
    intercept: str = field(default="per-bin")
    fit_halves: bool = field(default=True)
    min_neuroids: int = field(default=3)
    reduce: str = field(default="none")
    mapping: Any = field(default="ridge")
    splits: str = option(
        "random",
        choices=("random", "folds"),
        panel="Splits and halves",
        help="Cross-validation: random splits, or folds.",
    )
    lags: Any = option(
        (-40.0, 40.0),
        parse=partial(parse_range, name="lags"),
        metavar="START:END",
        default_text="-40:40",
        help="Range of lags (ms) by which the recording may follow the model.",
    )
    paces: Any = option(
        (0.67, 1.5),
        parse=partial(parse_range, name="paces"),
        metavar="START:END",
        default_text="0.67:1.5",
        help="Range of paces (ms of the recording per ms of the model); 1:1 estimates lags alone.",
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
        self.need_defaults("A lag has", FIXED)
        if len(self.mappings) > 1 or not (
            self.mapping_names == ("ridge",) or isinstance(self.mappings[0], RidgeMapping)
        ):
            raise NeurofitError(
                f"A lag takes the mapping ridge; got {', '.join(self.mapping_names)}.",
                option="mapping",
            )
        for name, least, inside, most in (("lags", -1000, 0, 1000), ("paces", 0.1, 1, 10)):
            given = getattr(self, name)
            if not (
                isinstance(given, Sequence)
                and len(given) == 2
                and all(isinstance(each, int | float) for each in given)
                and least <= given[0] <= inside <= given[1] <= most
            ):
                raise NeurofitError(
                    f"{name} must be a range START:END within {least:g}:{most:g} that holds "
                    f"{inside:g}, the value of the one-to-one map; got {_shown(given)}.",
                    option=name,
                )
            object.__setattr__(self, name, (float(given[0]), float(given[1])))

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if a recording has too few time bins, or lacks a column."""
        need_bins(recording, MIN_BINS, "A lag")
        super().check_recording(recording)

    @property
    def ridge(self) -> RidgeMapping:
        """The mapping."""
        given = self.mappings[0]
        return given if isinstance(given, RidgeMapping) else RidgeMapping()

    def model_bins(self, recording: Recording) -> list[TimeBin]:
        """Return the model's time that the lags and paces reach from a recording's time bins."""
        middles = [(start + end) / 2 for start, end in recording.time_bins]
        pivot = (middles[0] + middles[-1]) / 2
        latest = pivot - self.lags[0] + (middles[-1] - pivot) / self.paces[0]
        width = max(end - start for start, end in recording.time_bins)
        return [(0, max(math.ceil(latest) + 2 * width, recording.time_bins[-1][1]))]


def _shown(given: Any) -> str:
    """Return a range as it is written on the command line, anything else as Python writes it."""
    if isinstance(given, Sequence) and all(isinstance(each, int | float) for each in given):
        return ":".join(f"{each:g}" for each in given)
    return repr(given)

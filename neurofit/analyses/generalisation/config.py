"""Options of a generalisation over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.windows import check_windows, need_bins, parse_windows
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.metrics.two_way import RESAMPLED
from neurofit.recordings.recording import Recording


@dataclass(frozen=True, kw_only=True)
class GeneralisationConfig(EncodingConfig):
    """Options of a generalisation over time.

    The options of the fits (mapping, layers, splits, trial halves) are those of
    `neurofit.analyses.encoding.config.EncodingConfig`.

    Parameters
    ----------
    time_mode, intercept, fit_halves, min_neuroids
        As in `EncodingConfig`, and not to be changed: each time bin has a map of its own, and r is
        corrected for the noise of maps.
    splits
        "random" or "folds".
    windows
        Windows (start, end) in ms between which the mean difference is tested. None takes 70-130
        and 130-260 ms, as far as the recording has time bins in them.
    min_z
        A map is tested if its pooled consistency is this many standard errors above 0, on responses
        whose pooled reliability is; None tests every map.
    interval, interval_over
        Coverage of intervals and bands, and what they are over: other "neuroids" of the area, other
        "stimuli", or "both".

    Raises
    ------
    NeurofitError
        If an option is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.GeneralisationConfig(layers=("conv3",), windows=[(70, 130), (130, 260)])
    GeneralisationConfig(layers=('conv3',), windows=((70, 130), (130, 260)))
    """

    time_mode: str = field(default="per-bin")  # these are no options of the command line
    intercept: str = field(default="per-bin")
    fit_halves: bool = field(default=True)
    min_neuroids: int = field(default=3)
    splits: str = option(
        "random",
        choices=("random", "folds"),
        panel="Splits and halves",
        help="Cross-validation: random splits, or folds.",
    )
    windows: Any = option(
        None,
        parse=parse_windows,
        metavar="START:END,...",
        default_text="early,late",
        help="Windows (ms) between which the code is compared; early is 70:130, late 130:260.",
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
        object.__setattr__(self, "windows", check_windows(self.windows))
        if len(self.mappings) > 1:
            raise NeurofitError(
                f"A generalisation takes one mapping; got {', '.join(self.mapping_names)}.",
                option="mapping",
            )
        fixed = ("time_mode", "intercept", "fit_halves", "min_neuroids")
        self.need_defaults("A generalisation has", fixed)

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if there are no two time bins, or `windows` hold none."""
        need_bins(recording, 2, "A generalisation over time")
        super().check_recording(recording)

"""Options of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurofit.analyses.windows import check_windows, parse_windows
from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option
from neurofit.errors import NeurofitError
from neurofit.metrics.two_way import N_DRAWS, RESAMPLED

MAX_LEVEL = 0.999
"""Largest coverage that `N_DRAWS` draws resolve."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Configuration):
    """Everything that decides a comparison, beside the results.

    Parameters
    ----------
    over
        What the claim is about: "stimuli" (these neuroids, other stimuli), "neuroids" (other
        neuroids of the area, these stimuli) or "both".
    windows
        Windows (start, end) in ms, in each of which the mean difference is tested; differences
        between neighbouring windows are tested too. None takes 70-130 and 130-260 ms, as far as the
        recording has time bins in them.
    reference
        Label of a result that all others are compared with; "" compares all pairs.
    layer, mapping
        Layer and mapping to compare, of results that have several.
    level
        Coverage of intervals and bands, at most 0.999; 1 - level is the level of the tests.
    clusters
        Whether clusters of neighbouring time bins are tested by their mass too.
    seed
        Random seed of the signs that bands and adjusted p values come from.

    Raises
    ------
    NeurofitError
        If an option is out of its range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.CompareConfig(over="stimuli", windows=[(70, 130), (130, 260)])
    CompareConfig(over='stimuli', windows=((70, 130), (130, 260)))
    """

    over: str = option(
        "both",
        choices=RESAMPLED,
        help="What the claim is about: other stimuli, other neuroids, or both.",
    )
    windows: Any = option(
        None,
        parse=parse_windows,
        metavar="START:END,...",
        default_text="early,late",
        help="Windows (ms) whose means are compared; early is 70:130, late 130:260.",
    )
    reference: str = option(
        "",
        metavar="NAME",
        default_text="all pairs",
        help="Model that all others are compared with.",
    )
    layer: str = option("", metavar="NAME", help="Layer to compare, of results with several.")
    mapping: str = option("", metavar="NAME", help="Mapping to compare, of results with several.")
    level: float = option(0.95, above=0, below=1, help="Coverage of intervals and bands.")
    clusters: bool = option(False, help="Test clusters of neighbouring time bins as well.")
    seed: int = option(0, least=0, help="Random seed of bands and adjusted p values.")

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "windows", check_windows(self.windows))
        if self.level > MAX_LEVEL:
            raise NeurofitError(
                f"level must be at most {MAX_LEVEL}: {N_DRAWS:,} draws of signs show no smaller p; "
                f"got {self.level}.",
                option="level",
            )

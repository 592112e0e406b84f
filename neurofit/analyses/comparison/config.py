"""Options of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any

from neurofit.config.options import check_fields, option, parse_names
from neurofit.errors import NeurofitError
from neurofit.metrics.two_way import N_DRAWS, RESAMPLED

Window = tuple[int, int]

PHASES: dict[str, Window] = {"early": (70, 130), "late": (130, 260)}
"""Names of windows (ms from image onset): the feedforward sweep, and what follows it."""


MAX_LEVEL = 0.999
"""Largest coverage that `N_DRAWS` draws resolve."""


def parse_windows(text: str) -> tuple[Window, ...]:
    """Return the windows of "70:130,130:260"; "early" and "late" stand for these two.

    Raises
    ------
    NeurofitError
        If one is neither of these names nor START:END in whole ms.
    """
    return tuple(map(_parse_window, parse_names(text)))


def _parse_window(text: str) -> Window:
    if text in PHASES:
        return PHASES[text]
    start, _, end = text.partition(":")
    try:
        return int(start), int(end)
    except ValueError:
        raise NeurofitError(
            f"windows takes START:END in ms, early or late; got {text!r}.", option="windows"
        ) from None


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
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
        named: Any = self.windows
        if isinstance(named, list | tuple):
            made = (_parse_window(each) if isinstance(each, str) else each for each in named)
            object.__setattr__(self, "windows", tuple(made))
        if self.level > MAX_LEVEL:
            raise NeurofitError(
                f"level must be at most {MAX_LEVEL}: {N_DRAWS:,} draws of signs show no smaller p; "
                f"got {self.level}.",
                option="level",
            )
        check_windows(self.windows)


def check_windows(windows: Any) -> None:
    """Check that windows are different pairs of whole ms.

    Raises
    ------
    NeurofitError
        If they are not.
    """
    try:
        pairs = [(index(start), index(end)) for start, end in windows or ()]
    except (TypeError, ValueError):
        raise NeurofitError(
            f"windows must be pairs (START, END) of whole ms; got {windows!r}.", option="windows"
        ) from None
    for i, (start, end) in enumerate(pairs):
        if not start < end:
            raise NeurofitError(
                f"windows must have START before END; got {start}:{end}.", option="windows"
            )
        if (start, end) in pairs[:i]:
            raise NeurofitError(f"windows must differ; got {start}:{end} twice.", option="windows")

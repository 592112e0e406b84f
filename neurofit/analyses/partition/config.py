"""Options of a variance partitioning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from neurofit.activations.baselines import BASELINES
from neurofit.analyses.encoding.config import EncodingConfig, parse_layers
from neurofit.analyses.windows import check_windows, parse_windows
from neurofit.config.options import option
from neurofit.errors import NeurofitError
from neurofit.mapping.banded import CHOICES
from neurofit.mapping.contract import find_mapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.metrics.two_way import RESAMPLED

OTHER_LAYERS = "other-layers"
"""What a layer is compared with if it is compared with other layers of its model."""


@dataclass(frozen=True, kw_only=True)
class PartitionConfig(EncodingConfig):
    """Options of a variance partitioning; for splits and halves see `EncodingConfig`.

    Parameters
    ----------
    mapping, time_mode, intercept, fit_halves, min_neuroids
        As in `EncodingConfig`, and not to be changed, but that a `RidgeMapping` may have other
        penalties: each time bin has a ridge of its own.
    layers
        "auto": the layers of the region, together as one source. Names, or "all": each layer on its
        own, a row of the result.
    against
        The second source: a baseline of the model (`neurofit.activations.baselines`), by default
        "last-step", what the model would be without its dynamics; "other-layers" of the same model;
        or the name of another model. In Python the second activations are given, and this says only
        whether a layer is left out of those it is compared with ("other-layers").
    against_layers
        Layers of the second source, together: names, "all", or "auto", the layers of the region.
        Other layers of the same model are by default those of `layers` but the one they are
        compared with.
    choice
        "area": one share of the sources and one penalty for all neuroids, chosen as for responses
        without trial noise. "neuroid": one for each, chosen by cross-validation on the responses as
        they are (`neurofit.mapping.banded`).
    splits, n_splits
        "folds" or "random".
    windows
        Windows (start, end) in ms whose means are given. None takes 70-130 and 130-260 ms, as far
        as the recording has time bins in them.
    min_z
        A time bin has values if the signal variance of the recording is this many standard errors
        above 0; None gives them everywhere.
    interval, interval_over
        Coverage of intervals and bands, and what they are over: other "neuroids" of the area, other
        "stimuli", or "both".

    Examples
    --------
    >>> import neurofit
    >>> neurofit.PartitionConfig(against="timedecay_tiny", n_splits=3)
    PartitionConfig(n_splits=3, against='timedecay_tiny')
    """

    mapping: Any = field(default="ridge")  # these are no options of the command line
    time_mode: str = field(default="per-bin")
    intercept: str = field(default="per-bin")
    fit_halves: bool = field(default=True)
    min_neuroids: int = field(default=3)
    layers: str | tuple[str, ...] = option(
        "auto",
        parse=parse_layers,
        metavar="NAME,...",
        panel="Mapping",
        help="Layers: auto (those of the area, together), or each of: all, or names and patterns "
        "such as layer3.*, joined by commas.",
    )
    against: str = option(
        "last-step",
        metavar="MODEL",
        panel="Mapping",
        help="What the model is compared with: "
        f"{', '.join(BASELINES)} (baselines of it), {OTHER_LAYERS}, or another model.",
    )
    against_layers: str | tuple[str, ...] = option(
        "auto",
        parse=parse_layers,
        metavar="NAME,...",
        panel="Mapping",
        help="Layers of what the model is compared with, together: auto, all, or names.",
    )
    choice: str = option(
        "area",
        choices=CHOICES,
        panel="Mapping",
        help="Weights of the two sources and penalty: one for the area, or for each neuroid.",
    )
    splits: str = option(
        "folds",
        choices=("random", "folds"),
        panel="Splits and halves",
        help="Cross-validation: random splits, or folds.",
    )
    n_splits: int = option(5, least=2, panel="Splits and halves", help="Number of splits or folds.")
    windows: Any = option(
        None,
        parse=parse_windows,
        metavar="START:END,...",
        default_text="early,late",
        help="Windows (ms) whose means are given; early is 70:130, late 130:260.",
    )
    min_z: float | None = option(
        4.0, least=0, help="Standard errors by which the signal variance must exceed 0."
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
        fixed = ("time_mode", "intercept", "fit_halves", "min_neuroids")
        self.need_defaults("A variance partitioning has", fixed)
        if len(self.mappings) != 1 or not isinstance(find_mapping(self.mapping), RidgeMapping):
            named = ", ".join(self.mapping_names)
            raise NeurofitError(
                f"A variance partitioning takes a ridge; got {named}.", option="mapping"
            )

    @property
    def ridge(self) -> RidgeMapping:
        """Penalties to choose from."""
        (mapping,) = self.mappings
        found = find_mapping(mapping)
        assert isinstance(found, RidgeMapping)
        return found

    @property
    def first(self) -> PartitionConfig:
        """The configuration that chooses the layers of the first source only."""
        return replace(self, against="", against_layers="auto")

    @property
    def second(self) -> PartitionConfig:
        """The configuration that chooses the layers of the second source."""
        return replace(self, layers=self.against_layers)

    def rows(self, source: Any, region: str) -> list[tuple[str, ...]]:
        """Return the layers of each row of the result, of activations or a model (`source`)."""
        layers = super().layers_for(source, region)
        apart = self.layers != "auto" or self.against == OTHER_LAYERS
        return [(each,) for each in layers] if apart else [layers]

    def others(self, source: Any, region: str, row: tuple[str, ...]) -> tuple[str, ...]:
        """Return the layers that a row is compared with, of the second source.

        Raises
        ------
        NeurofitError
            If a layer has no other to be compared with.
        """
        if self.against != OTHER_LAYERS:
            return EncodingConfig.layers_for(self.second, source, region)
        found = EncodingConfig.layers_for(
            self if self.against_layers == "auto" else self.second, source, region
        )
        if not (others := tuple(each for each in found if each not in row)):
            raise NeurofitError(
                f"A layer is compared with others; {', '.join(row)} is the only one named.",
                option="against_layers",
            )
        return others

    def layers_for(self, source: Any, region: str) -> tuple[str, ...]:
        """Return all layers of the model that are needed; see `EncodingConfig.layers_for`."""
        layers = super().layers_for(source, region)
        if self.against != OTHER_LAYERS and self.against not in BASELINES:
            return layers
        others = (self.others(source, region, row) for row in self.rows(source, region))
        return tuple(dict.fromkeys([*layers, *(each for some in others for each in some)]))

"""Which layers an analysis without a map takes, and their kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from neurofit.activations.activations import find_names, region_layers
from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option, parse_names
from neurofit.errors import NeurofitError
from neurofit.mapping.gram_building import gram_of

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class LayersConfig(Configuration):
    """Options of every analysis of layers without a map.

    Parameters
    ----------
    layers
        Names of layers; None takes the layers that stand for the region.
    interval
        Coverage of the interval.

    Raises
    ------
    NeurofitError
        If an option is out of its range, or no layer is named.
    """

    layers: tuple[str, ...] | None = option(
        None,
        parse=parse_names,
        metavar="NAME,...",
        help="Layer names joined by commas.",
        default_text="the layers of the region",
    )
    interval: float = option(0.95, above=0, below=1, help="Coverage of the confidence interval.")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.layers is not None and not self.layers:
            raise NeurofitError("layers must name at least one layer.", option="layers")

    def layers_for(self, source: Any, region: str) -> tuple[str, ...]:
        """Return the layers to analyse, of activations or a model (`source`)."""
        if self.layers is None:
            return region_layers(source, region)
        return find_names(source, self.layers)


def kernel_of(
    features: Float[np.ndarray, "stimulus unit"],
) -> Float[np.ndarray, "stimulus stimulus"]:
    """Return the inner products of the stimuli's features, in float64."""
    gram = gram_of([features], precision="float64")
    return gram.features @ gram.features.T if gram.dense is None else gram.dense

"""The eight families of objects of HvM (Majaj et al. 2015), made of solids in the unit ball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from neurofit.data_loaders.hvm_sim import artificial, natural
from neurofit.data_loaders.hvm_sim.renderer import Part
from neurofit.errors import check_option


def make_object(category: str, rng: np.random.Generator, *, variant: int = 0) -> list[Part]:
    """Draw one object of a family.

    Parameters
    ----------
    category
        One of `CATEGORIES`.
    rng
        Random generator for proportions and colours.
    variant
        Number of the object within its family, which selects its kind (such as which fruit).

    Returns
    -------
    list of Part
        Parts, centred and scaled to the unit ball.

    Raises
    ------
    NeurofitError
        If the category is unknown.
    """
    parts = _FAMILIES[check_option("category of hvm-sim", category, CATEGORIES)](rng, variant)
    half = [
        np.abs(part.frame).sum(axis=1)
        if part.solid == "box"
        else np.linalg.norm(part.frame, axis=1)
        for part in parts
    ]
    low = np.min([part.centre - h for part, h in zip(parts, half, strict=True)], axis=0)
    high = np.max([part.centre + h for part, h in zip(parts, half, strict=True)], axis=0)
    scale = 2 / float(np.linalg.norm(high - low))
    return [
        replace(part, frame=scale * part.frame, centre=scale * (part.centre - (low + high) / 2))
        for part in parts
    ]


_FAMILIES: dict[str, Callable[[np.random.Generator, int], list[Part]]] = {
    "animal": natural.animal,
    "boat": artificial.boat,
    "car": artificial.car,
    "chair": artificial.chair,
    "face": natural.face,
    "fruit": natural.fruit,
    "plane": artificial.plane,
    "table": artificial.table,
}
CATEGORIES = tuple(_FAMILIES)
"""Families of objects, in alphabetical order."""

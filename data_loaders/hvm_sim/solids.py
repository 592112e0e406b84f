"""Solids that the objects of `hvm-sim` are made of, and their colours."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurofit.data_loaders.hvm_sim.renderer import Part

Colour = tuple[float, float, float]
Point = Sequence[int | float]


def ball(centre: Point, radii: Point, albedo: Colour, **options: Any) -> Part:
    """Return an ellipsoid with given radii along the axes."""
    return Part(
        solid="ball",
        frame=np.diag(np.array(radii, dtype=float)),
        centre=np.array(centre),
        albedo=albedo,
        **options,
    )


def box(centre: Point, half: Point, albedo: Colour, *, turn: float = 0.0, **options: Any) -> Part:
    """Return a box with given half sides, rotated about z by `turn` degrees."""
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    frame = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(np.array(half, dtype=float))
    return Part(solid="box", frame=frame, centre=np.array(centre), albedo=albedo, **options)


def sheared_box(
    centre: Point, half: Point, albedo: Colour, shear: tuple[float, int], **options: Any
) -> Part:
    """Return a box whose x shifts by `shear[0]` per unit along axis `shear[1]`, such as a wing."""
    frame = np.diag(np.array(half, dtype=float))
    frame[0, shear[1]] = shear[0] * half[shear[1]]
    return Part(solid="box", frame=frame, centre=np.array(centre), albedo=albedo, **options)


def tube(
    start: Point, end: Point, radius: float, end_radius: float, albedo: Colour, **options: Any
) -> Part:
    """Return a conical frustum between two points."""
    p, q = np.array(start, dtype=float), np.array(end, dtype=float)
    axis = (q - p) / 2
    along = axis / np.linalg.norm(axis)
    across = np.cross(along, (1.0, 0.0, 0.0) if abs(along[0]) < 0.9 else (0.0, 1.0, 0.0))
    across /= np.linalg.norm(across)
    frame = np.stack([radius * across, radius * np.cross(along, across), axis], axis=1)
    return Part(
        solid="tube",
        frame=frame,
        centre=(p + q) / 2,
        albedo=albedo,
        taper=end_radius / radius,
        **options,
    )


def draw_paint(rng: np.random.Generator) -> Colour:
    """Draw a saturated colour of random hue."""
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.55, 0.9), rng.uniform(0.55, 0.95))


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a colour multiplied by a factor, at most 1 per channel."""
    red, green, blue = (min(1.0, factor * c) for c in colour)
    return red, green, blue

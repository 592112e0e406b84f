"""Render shaded solids on natural backgrounds with orthographic rays.

Solids are ellipsoids, boxes and cones, each an affine transformation of a unit solid. A ray
p(s) = (x, y, 0) - s z meets part A q + c where q(s) = A^-1 (p(s) - c) enters the unit solid; the
colour at that point is albedo (ambient + diffuse max(0, n . l)) + specular max(0, n . h)^20.

The image has the same bits on every machine (`exact`): what is drawn and computed outside (frames,
centres, colours, light) is rounded, and from there on only operations that IEEE 754 fixes are used.
Surfaces that coincide make this necessary: the last bit decides which of them is seen.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from neurofit.data_loaders.hvm_sim import exact

Cut = tuple[Sequence[int | float], int | float]
"""Half-space n . q <= offset, in the unit coordinates of a part."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Convex solid: a unit solid under the affine map q -> frame q + centre, reduced by cuts.

    Parameters
    ----------
    solid
        "ball" (|q| <= 1), "box" (|q_i| <= 1) or "tube" (|q_z| <= 1, radius 1 at q_z = -1 and
        `taper` at q_z = 1).
    frame, centre
        Axes as columns (3, 3), and centre (3); x to the right, y up, z towards the viewer.
    albedo
        Red, green and blue in [0, 1].
    taper
        Radius of a tube at its far end: 1 is a cylinder, 0 a cone.
    cuts
        Half-spaces whose intersection with the solid remains.
    gloss
        Strength of the highlight.
    pattern
        Amplitude and spatial frequency of spots in the albedo.
    """

    solid: Literal["ball", "box", "tube"]
    frame: np.ndarray
    centre: np.ndarray
    albedo: tuple[float, float, float]
    taper: float = 1.0
    cuts: tuple[Cut, ...] = ()
    gloss: float = 0.15
    pattern: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Pose of an object: angles in degrees, position and radius in half image widths, and light."""

    yaw: float
    pitch: float
    roll: float
    x: float
    y: float
    radius: float
    light: tuple[float, float, float]


def draw_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose: seen from the front, from slightly below to well above, mostly in the image."""
    yaw, pitch, roll = rng.uniform((-65, -10, -25), (65, 45, 25))
    radius = rng.uniform(0.6, 1.1)
    reach = 1.1 - 0.75 * radius
    x, y = rng.uniform(-reach, reach, 2)
    light = rng.normal((-0.2, 0.7, 1.0), (0.5, 0.3, 0.2))
    light /= np.linalg.norm(light)
    return Pose(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        x=x,
        y=y,
        radius=radius,
        light=(light[0], light[1], light[2]),
    )


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a random crop of one of scikit-learn's photographs, with random flips and contrast.

    Returns
    -------
    np.ndarray
        Background (height width channel) in [0, 1], height = width = `size`.
    """
    photograph = _photographs()[rng.integers(2)]
    height, width, _ = photograph.shape
    side = int(rng.integers(96, 320))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    crop = photograph[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < 0.25:
        crop = crop[::-1]
    resized = np.asarray(
        Image.fromarray(np.ascontiguousarray(crop)).resize((size, size), Image.Resampling.BILINEAR)
    )
    contrast, level = exact.round_off(
        np.array([rng.uniform(0.45, 0.9), rng.uniform(0.38, 0.58)]), _GRID
    )
    # a mean of whole numbers is exact up to its one division
    centred = (resized - resized.mean(dtype=np.float64)) / 255
    return np.asarray(np.clip(level + contrast * centred, 0, 1))


def render(
    parts: Sequence[Part], pose: Pose, background: np.ndarray, *, supersample: int = 2
) -> np.ndarray:
    """Render an object at a pose on a background.

    Parameters
    ----------
    parts
        Parts of the object, in its own coordinates, inside the unit ball.
    pose
        Pose of the object and direction of the light.
    background
        Background (height width channel) in [0, 1].
    supersample
        Rays per pixel along each side.

    Returns
    -------
    np.ndarray
        Image, uint8 (height width channel).
    """
    size = len(background)
    canvas = _Canvas(size * supersample)
    turn = pose.radius * _rotation(pose)
    shift = np.array([pose.x, pose.y, 0.0])
    for part in parts:
        constants = np.array([*part.albedo, part.taper])
        red, green, blue, taper = exact.round_off(constants, _GRID).tolist()
        canvas.cast(
            replace(
                part,
                frame=exact.round_off(turn @ part.frame, _GRID),
                centre=exact.round_off(turn @ part.centre + shift, _GRID),
                albedo=(red, green, blue),
                taper=taper,
            )
        )
    colour, covered = canvas.shade(exact.round_off(np.array(pose.light), _GRID))
    coverage = _pixel_means(covered[..., None].astype(np.float64), supersample)
    mixed = _pixel_means(colour, supersample) + (1 - coverage) * background
    return np.asarray(np.round(np.clip(mixed, 0, 1) * 255), dtype=np.uint8)


def to_gray(picture: np.ndarray) -> np.ndarray:
    """Return a uint8 image (height width channel) with the luma of ITU-R BT.601 in each channel."""
    red, green, blue = np.moveaxis(picture.astype(np.int64), -1, 0)
    luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return np.repeat(luma.astype(np.uint8)[..., None], 3, axis=2)


def _pixel_means(rays: np.ndarray, supersample: int) -> np.ndarray:
    """Return the means over the rays (row column channel) of each pixel; their sums are exact."""
    steps = range(supersample)
    total = sum(rays[row::supersample, column::supersample] for row in steps for column in steps)
    return np.asarray(total / supersample**2)


@functools.cache
def _photographs() -> list[np.ndarray]:
    return list(load_sample_images().images)


def _rotation(pose: Pose) -> np.ndarray:
    (cy, cp, cr), (sy, sp, sr) = (
        f(np.deg2rad([pose.yaw, pose.pitch, pose.roll])) for f in (np.cos, np.sin)
    )
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ pitch @ yaw)


_Window = tuple[slice, slice]
"""Rows and columns of a rectangle of rays."""


class _Canvas:
    """Distance and number of the nearest surface on each ray so far."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.middles = (np.arange(size) + 0.5) * 2 / size - 1
        self.distance = np.full((size, size), np.inf)
        self.nearest = np.full((size, size), -1)
        self.surfaces: list[tuple[_Window, _Surface]] = []

    def cast(self, part: Part) -> None:
        """Intersect the rays in the bounding rectangle of a part with it."""
        window = self._window(part)
        surface = _Surface(part, x=self.middles[window[1]], y=-self.middles[window[0]])
        distance = self.distance[window]
        closer = surface.entry < distance
        np.copyto(distance, surface.entry, where=closer)
        np.copyto(self.nearest[window], len(self.surfaces), where=closer)
        self.surfaces.append((window, surface))

    def shade(self, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return colours (height width channel), 0 without a surface, and the mask of surfaces.

        Colours are multiples of `_GRID`, so that their sum over the rays of a pixel is exact.
        """
        colour = np.zeros((self.size, self.size, 3))
        for number, (window, surface) in enumerate(self.surfaces):
            seen = self.nearest[window] == number
            if seen.any():
                colour[window][seen] = surface.shade(seen, light)
        return colour, self.nearest >= 0

    def _window(self, part: Part) -> _Window:
        extent = (
            np.linalg.norm(part.frame, axis=1)
            if part.solid == "ball"
            else np.abs(part.frame).sum(axis=1)
        )
        middle = np.array([-part.centre[1], part.centre[0]])
        reach = np.array([extent[1], extent[0]])
        first = np.floor((middle - reach + 1) * self.size / 2)
        last = np.ceil((middle + reach + 1) * self.size / 2)
        (top, left), (bottom, right) = np.clip([first, last], 0, self.size).astype(int).tolist()
        return slice(top, bottom), slice(left, right)


class _Surface:
    """Surface of a part, as the rays at positions x (columns) and y (rows) see it.

    `entry` has the distances (row column) at which rays enter the part, inf if they miss it, and
    `plane` the number of the plane that is crossed last, -1 for the curved surface.
    """

    def __init__(self, part: Part, *, x: np.ndarray, y: np.ndarray) -> None:
        self.part = part
        self.inverse = exact.inverse(part.frame)
        across = self.inverse[:, :1] * (x - part.centre[0])
        up = self.inverse[:, 1:2] * (y - part.centre[1])
        self.origins = across[:, None, :] + up[:, :, None]
        self.origins -= self.inverse[:, 2:, None] * part.centre[2]
        self.direction = -self.inverse[:, 2]
        self.cuts = (*_FACES[part.solid], *part.cuts)
        near, far = _curved(part, self.origins, self.direction)
        self.plane = np.full(near.shape, -1)
        for index, (normal, offset) in enumerate(self.cuts):
            towards = float(exact.weighted_sum(np.array(normal), self.direction))
            room = offset - exact.weighted_sum(np.array(normal), self.origins)
            if towards > 1e-12:
                far = np.minimum(far, room / towards)
            elif towards < -1e-12:
                crossing = room / towards
                later = crossing > near
                near = np.where(later, crossing, near)
                self.plane[later] = index
            else:
                far = np.where(room < 0, -np.inf, far)
        self.entry = np.where(near < far, near, np.inf)

    def shade(self, seen: np.ndarray, light: np.ndarray) -> np.ndarray:
        """Return the colours (ray channel) of the rays of a mask (row column)."""
        points = self.origins[:, seen] + self.entry[seen] * self.direction[:, None]
        unit_normal = self._normals(points, self.plane[seen])
        normal = np.stack([exact.weighted_sum(axis, unit_normal) for axis in self.inverse.T])
        normal /= np.sqrt(exact.weighted_sum(normal, normal))
        half = light + np.array([0.0, 0.0, 1.0])
        half /= np.sqrt(exact.weighted_sum(half, half))
        sky = 0.24 + 0.1 * normal[1]
        lit = sky + 0.85 * np.clip(exact.weighted_sum(light, normal), 0, None)
        fourth = (np.clip(exact.weighted_sum(half, normal), 0, None) ** 2) ** 2
        highlight = self.part.gloss * ((fourth**2) ** 2 * fourth)
        amplitude, frequency = self.part.pattern
        spots = np.ones(points.shape[1])
        if amplitude:
            u, v, w = _wave((frequency * points + 0.7) / (2 * math.pi))
            spots += amplitude * (u * v * w)
        albedo = np.array(self.part.albedo) * spots[:, None]
        shaded = albedo * lit[:, None] + highlight[:, None]
        return exact.on_grid(np.clip(shaded, 0, 1), _GRID)

    def _normals(self, points: np.ndarray, plane: np.ndarray) -> np.ndarray:
        """Return outward normals in unit coordinates (3, ray) at points (3, ray)."""
        normal = points.copy()
        if self.part.solid == "tube":
            slope = (self.part.taper - 1) / 2
            normal[2] = -slope * ((1 + self.part.taper) / 2 + slope * normal[2])
        flat = plane >= 0
        planes = np.array([direction for direction, _ in self.cuts]).reshape(-1, 3)
        normal[:, flat] = planes[plane[flat]].T
        return normal


def _curved(
    part: Part, origins: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of s inside the curved surface, a s^2 + 2 b s + c <= 0; all for a box."""
    if part.solid == "box":
        return np.full(origins.shape[1:], -np.inf), np.full(origins.shape[1:], np.inf)
    weight = np.ones(3)
    offset = 1.0
    slope = (part.taper - 1) / 2
    if part.solid == "tube":  # x^2 + y^2 - (m + k z)^2, a double cone cut by the end planes
        weight[2] = -(slope**2)
        offset = (1 + part.taper) / 2
    shifted = slope * offset if part.solid == "tube" else 0.0
    a = float(exact.weighted_sum(weight, direction**2))
    a = a if abs(a) > 1e-9 else 1e-9
    b = exact.weighted_sum(weight, origins * direction[:, None, None]) - shifted * direction[2]
    c = exact.weighted_sum(weight, origins**2) - 2 * shifted * origins[2] - offset**2
    discriminant = b**2 - a * c
    root = np.sqrt(np.clip(discriminant, 0, None)) / abs(a)
    low, high = -b / a - root, -b / a + root
    if a > 0:
        return np.where(discriminant > 0, low, np.inf), np.where(discriminant > 0, high, -np.inf)
    forever = np.full(low.shape, np.inf)
    return (high, forever) if slope * direction[2] > 0 else (-forever, low)


def _wave(turns: np.ndarray) -> np.ndarray:
    """Return sin(2 pi turns) approximated by parabolas, which differs from it by at most 0.06."""
    phase = turns - np.round(turns)
    return np.asarray(16 * phase * (0.5 - np.abs(phase)))


_GRID = 2.0**-16
"""Spacing of coordinates, in half image widths, and of colours."""
_FACES: dict[str, tuple[Cut, ...]] = {
    "ball": (),
    "box": (
        ((1, 0, 0), 1),
        ((-1, 0, 0), 1),
        ((0, 1, 0), 1),
        ((0, -1, 0), 1),
        ((0, 0, 1), 1),
        ((0, 0, -1), 1),
    ),
    "tube": (((0, 0, 1), 1), ((0, 0, -1), 1)),
}

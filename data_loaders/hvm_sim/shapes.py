"""The eight families of objects of HvM (Majaj et al. 2015), each a function from random draws to solids inside the unit ball."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from neurofit.data_loaders.hvm_sim.renderer import Cut, Part
from neurofit.errors import check_option

Colour = tuple[float, float, float]
Point = Sequence[int | float]


def make_object(category: str, rng: np.random.Generator, *, variant: int = 0) -> list[Part]:
    """Draw one object of a family.

    Parameters
    ----------
    category
        One of `CATEGORIES`.
    rng
        Draws its proportions and colours.
    variant
        Number of the object within its family; picks the kind (which fruit, which boat) where a family has kinds.

    Returns
    -------
    Its parts, centred and scaled to the unit ball.

    Raises
    ------
    NeurofitError
        If there is no such family.
    """
    parts = _FAMILIES[check_option("category of hvm-sim", category, CATEGORIES)](rng, variant)
    half = [np.abs(part.frame).sum(axis=1) if part.solid == "box" else np.linalg.norm(part.frame, axis=1) for part in parts]
    low = np.min([part.centre - h for part, h in zip(parts, half, strict=True)], axis=0)
    high = np.max([part.centre + h for part, h in zip(parts, half, strict=True)], axis=0)
    scale = 2 / float(np.linalg.norm(high - low))
    return [replace(part, frame=scale * part.frame, centre=scale * (part.centre - (low + high) / 2)) for part in parts]


def _animal(rng: np.random.Generator, variant: int) -> list[Part]:
    fur = [(0.55, 0.36, 0.2), (0.62, 0.62, 0.64), (0.85, 0.78, 0.66), (0.3, 0.22, 0.17), (0.8, 0.48, 0.2)][variant % 5]
    skin: dict[str, Any] = {"gloss": 0.05, "pattern": ((0.0, 0.5)[variant % 2], 5.0)}
    girth, leg, neck, ear = rng.uniform((0.26, 0.35, 0.15, 0.1), (0.4, 0.62, 0.5, 0.24))
    dark = _scaled(fur, 0.55)
    shoulder: Point = (0.5, 0.1, 0)
    head: Point = (0.72 + 0.12 * neck, 0.3 + neck, 0)
    parts = [
        _ball((0, 0, 0), (0.68, girth, 0.8 * girth), fur, **skin),
        _tube(shoulder, head, 0.8 * girth, 0.14, fur, **skin),
        _ball(head, (0.24, 0.18, 0.16), fur, **skin),
        _ball((head[0] + 0.22, head[1] - 0.05, 0), (0.17, 0.1, 0.1), _scaled(fur, 1.15), gloss=0.05),
        _ball((head[0] + 0.37, head[1] - 0.03, 0), (0.045, 0.045, 0.06), (0.06, 0.05, 0.05)),
        _tube((-0.6, 0.1, 0), (-0.95, rng.uniform(-0.3, 0.5), 0), 0.07, 0.03, dark, gloss=0.05),
    ]
    for side in (-1, 1):
        parts += [
            _ball((head[0] + 0.12, head[1] + 0.07, 0.12 * side), (0.045, 0.045, 0.04), (0.03, 0.03, 0.03), gloss=0.7),
            _tube(
                (head[0] - 0.08, head[1] + 0.1, 0.09 * side),
                (head[0] - 0.12, head[1] + 0.16 + ear, 0.14 * side),
                0.08,
                0.01,
                dark,
                gloss=0.05,
            ),
        ]
        for x in (-0.45, 0.42):
            foot: Point = (x + rng.uniform(-0.12, 0.12), -girth - leg, 0.55 * girth * side)
            parts += [
                _tube((x, -0.1, 0.5 * girth * side), foot, 0.15, 0.08, fur, **skin),
                _ball((foot[0] + 0.03, foot[1], foot[2]), (0.12, 0.06, 0.09), dark, gloss=0.05),
            ]
    return parts


def _boat(rng: np.random.Generator, variant: int) -> list[Part]:
    paint, stripe = _paint(rng), _paint(rng)
    depth, beam = rng.uniform((0.3, 0.24), (0.42, 0.36))
    deck: tuple[Cut, ...] = (((0, 1, 0), 0.0),)
    parts = [
        _ball((0, 0, 0), (1, depth, beam), paint, cuts=deck, gloss=0.3),
        _ball((0, 0.03, 0), (1.03, 0.1, beam + 0.03), stripe, cuts=(((0, 1, 0), 0.2), ((0, -1, 0), 0.5))),
        _ball((0, 0.05, 0), (0.97, 0.06, beam - 0.02), (0.62, 0.45, 0.28), cuts=deck, gloss=0.05),
    ]
    if variant % 2 == 0:  # under sail: triangles are boxes cut along the diagonal
        height = rng.uniform(1.0, 1.35)
        cloth: Colour = (0.95, 0.94, 0.9) if variant % 4 else stripe
        main: tuple[Cut, ...] = (((-1, 1, 0), 0.0),)
        jib: tuple[Cut, ...] = (((1, 1, 0), 0.0),)
        parts += [
            _tube((0.1, 0, 0), (0.1, height + 0.1, 0), 0.035, 0.02, (0.45, 0.3, 0.18)),
            _box((-0.33, 0.12 + height / 2, 0), (0.4, height / 2, 0.012), cloth, cuts=main, gloss=0.02),
            _box((0.47, 0.1 + 0.4 * height, 0), (0.33, 0.4 * height, 0.012), (0.95, 0.94, 0.9), cuts=jib, gloss=0.02),
        ]
        return parts
    length, floors = rng.uniform(0.3, 0.5), int(rng.integers(1, 4))
    for floor in range(floors):
        size = (length - 0.08 * floor, 0.11, (0.72 - 0.1 * floor) * beam)
        parts.append(_box((-0.15, 0.13 + 0.22 * floor, 0), size, (0.93, 0.93, 0.92)))
        parts.append(_box((-0.15, 0.16 + 0.22 * floor, 0), (size[0] + 0.012, 0.045, size[2] + 0.012), (0.12, 0.17, 0.25), gloss=0.6))
    top = 0.22 * floors
    parts.append(_tube((-0.22, top, 0), (-0.25, top + rng.uniform(0.3, 0.5), 0), 0.11, 0.1, stripe))
    parts.append(_tube((0.45, 0, 0), (0.45, rng.uniform(0.5, 0.8), 0), 0.025, 0.015, (0.3, 0.3, 0.3)))
    return parts


def _car(rng: np.random.Generator, variant: int) -> list[Part]:
    paint = _paint(rng)
    width, roof, wheel = rng.uniform((0.36, 0.2, 0.17), (0.44, 0.3, 0.22))
    back, slant = [(-0.35, 0.35), (-0.55, 0.15), (-0.2, 0.5), (-0.45, 0.3)][variant % 4]
    glass: Colour = (0.1, 0.14, 0.2)
    windows: tuple[Cut, ...] = (((1, 0.5, 0), 0.75), ((-1, slant, 0), 0.8))
    cabin_x = (back + 0.3) / 2 + 0.05
    length = 0.5 + (0.15 if variant % 4 == 1 else 0)
    parts = [
        _box((0, 0, 0), (0.98, 0.16, width), paint, cuts=(((1, 0.25, 0), 1.08), ((-1, 0.25, 0), 1.08)), gloss=0.5),
        _box((cabin_x, 0.16 + roof, 0), (length, roof, 0.9 * width), glass, cuts=windows, gloss=0.7),
        _box((cabin_x, 0.16 + 1.9 * roof, 0), (0.62 * length, 0.12 * roof + 0.02, 0.86 * width), paint, gloss=0.5),
        _box((cabin_x - 0.02, 0.16 + roof, 0), (0.03, 0.98 * roof, 0.92 * width), paint),
        _box((0, -0.14, 0), (1.0, 0.04, width + 0.01), (0.15, 0.15, 0.16)),
        _box((0.99, -0.02, 0), (0.02, 0.06, 0.5 * width), (0.1, 0.1, 0.1)),
    ]
    for side in (-1, 1):
        parts += [
            _ball((0.97, 0.03, 0.75 * width * side), (0.05, 0.07, 0.08), (1.0, 0.97, 0.8), gloss=0.8),
            _ball((-0.97, 0.03, 0.75 * width * side), (0.05, 0.06, 0.08), (0.8, 0.08, 0.05), gloss=0.5),
        ]
        for x in (-0.58, 0.6):
            rim = width * side
            parts += [
                _tube((x, -0.17, rim - 0.1 * side), (x, -0.17, rim + 0.05 * side), wheel, wheel, (0.07, 0.07, 0.07), gloss=0.05),
                _tube((x, -0.17, rim), (x, -0.17, rim + 0.06 * side), 0.55 * wheel, 0.5 * wheel, (0.75, 0.75, 0.78), gloss=0.5),
            ]
    return parts


def _chair(rng: np.random.Generator, variant: int) -> list[Part]:
    wood: Colour = [(0.55, 0.34, 0.16), (0.25, 0.14, 0.08), (0.85, 0.84, 0.8), (0.75, 0.55, 0.32)][variant % 4]
    cushion = _paint(rng) if variant % 2 else wood
    width, height, tall, thick = rng.uniform((0.42, 0.65, 0.75, 0.035), (0.52, 0.9, 1.1, 0.06))
    parts = [
        _box((0, 0, 0), (width, 0.055, width), wood),
        _box((0, 0.07, 0.02), (0.92 * width, 0.04, 0.9 * width), cushion, gloss=0.05),
    ]
    for x in (-1, 1):
        parts += [
            _tube((0.9 * x * width, 0, 0.9 * width), (0.95 * x * width, -height, 0.95 * width), thick, 0.8 * thick, wood),
            _tube((0.9 * x * width, 0, -0.9 * width), (0.95 * x * width, -height, -1.0 * width), thick, 0.8 * thick, wood),
            _tube((0.9 * x * width, 0, -0.9 * width), (0.9 * x * width, tall, -1.1 * width), thick, thick, wood),
        ]
        if variant % 3 == 0:
            parts.append(_box((0.95 * x * width, 0.33, -0.05), (0.05, 0.03, 0.9 * width), wood))
            parts.append(_tube((0.95 * x * width, 0, 0.75 * width), (0.95 * x * width, 0.33, 0.75 * width), thick, thick, wood))
    if variant % 2:
        parts.append(_box((0, 0.6 * tall, -1.05 * width), (0.9 * width, 0.38 * tall, 0.04), cushion, gloss=0.05))
    else:
        heights = np.linspace(0.35, 0.95, 2 + variant // 2 % 3) * tall
        parts += [_box((0, float(h), -1.05 * width), (0.9 * width, 0.07, 0.03), wood) for h in heights]
    return parts


def _face(rng: np.random.Generator, variant: int) -> list[Part]:
    skin: Colour = [(0.9, 0.72, 0.6), (0.8, 0.58, 0.44), (0.5, 0.33, 0.23), (0.95, 0.8, 0.7)][variant % 4]
    hair: Colour = [(0.12, 0.08, 0.06), (0.45, 0.26, 0.12), (0.85, 0.7, 0.35), (0.06, 0.06, 0.07), (0.6, 0.6, 0.6)][variant % 5]
    width, jaw, eyes, nose, mouth = rng.uniform((0.66, 0.5, 0.25, 0.1, 0.2), (0.8, 0.66, 0.33, 0.15, 0.3))
    length = rng.uniform(0.0, 0.9) if variant % 2 else 0.0
    fringe: tuple[Cut, ...] = (((0, -1, 0.55), -0.12),)
    parts = [
        _ball((0, 0.1, 0), (width, 0.9, 0.78), skin, gloss=0.1),
        _ball((0, -0.45, 0.12), (jaw, 0.5, 0.55), skin, gloss=0.1),
        _ball((0, 0.16, -0.07), (width + 0.07, 0.96, 0.86), hair, cuts=fringe, gloss=0.25),
        _tube((0, -0.6, -0.1), (0, -1.25, -0.15), 0.36, 0.4, _scaled(skin, 0.9), gloss=0.05),
        _tube((0, 0.2, 0.68), (0, -0.17, 0.9), 0.04, nose, _scaled(skin, 0.97), gloss=0.1),
        _ball((0, -0.17, 0.83), (1.15 * nose, 0.09, 0.13), _scaled(skin, 0.96), gloss=0.1),
        _ball((0, -0.5, 0.62), (mouth, 0.075, 0.09), (0.68, 0.2, 0.2), gloss=0.2),
        _box((0, -0.5, 0.66), (0.8 * mouth, 0.01, 0.06), (0.25, 0.05, 0.05)),
    ]
    if length:
        parts.append(_ball((0, -0.25, -0.3), (width + 0.1, 0.75 + 0.4 * length, 0.5), hair, gloss=0.25))
    for side in (-1, 1):
        parts += [
            _ball((eyes * side, 0.2, 0.64), (0.135, 0.085, 0.1), (0.97, 0.97, 0.95), gloss=0.4),
            _ball((eyes * side, 0.2, 0.72), (0.06, 0.065, 0.05), (0.12, 0.15, 0.2), gloss=0.8),
            _box((eyes * side, 0.37, 0.68), (0.15, 0.025, 0.05), _scaled(hair, 0.7), turn=-8.0 * side),
            _ball(((width + 0.02) * side, 0.05, 0), (0.09, 0.2, 0.14), _scaled(skin, 0.93), gloss=0.05),
        ]
    return parts


def _fruit(rng: np.random.Generator, variant: int) -> list[Part]:
    stem: Colour = (0.3, 0.2, 0.1)
    leaf: Colour = (0.25, 0.5, 0.15)
    kind = variant % 8
    if kind in (0, 5):  # apples
        skin: Colour = (0.8, 0.12, 0.1) if kind == 0 else (0.5, 0.72, 0.15)
        parts = [_ball((0.16 * x, 0, 0.16 * z), (0.62, 0.66, 0.62), skin, gloss=0.4) for x in (-1, 1) for z in (-1, 1)]
        parts += [_tube((0, 0.4, 0), (0.1, 0.95, 0), 0.04, 0.05, stem), _ball((0.3, 0.82, 0), (0.25, 0.05, 0.12), leaf)]
    elif kind == 1:  # bananas
        skin = (0.93, 0.8, 0.15)
        parts = []
        for offset in (-0.22, 0.0, 0.22):
            angles = np.linspace(-2.5, -0.6, 10)
            points = np.stack([np.cos(angles), 0.9 * np.sin(angles), offset * np.sin(angles * 0.9 + 0.6)], axis=1)
            radii = 0.17 * np.sin(np.linspace(0.35, np.pi - 0.35, 10))
            for (p, q), (r, t) in zip(pairwise(points.tolist()), pairwise(radii.tolist()), strict=True):
                parts += [_tube(p, q, r, t, skin), _ball(q, (t, t, t), skin)]
            parts.append(_ball(points[0].tolist(), (0.06, 0.06, 0.06), stem))
    elif kind == 2:  # grapes
        skin = (0.38, 0.12, 0.42) if rng.random() < 0.5 else (0.55, 0.7, 0.25)
        parts = [_tube((0, 0.5, 0), (0.05, 0.95, 0), 0.04, 0.05, stem), _ball((0.25, 0.72, 0), (0.3, 0.06, 0.2), leaf)]
        for layer, (count, radius) in enumerate([(7, 0.42), (6, 0.36), (5, 0.28), (3, 0.17), (1, 0.0)]):
            for angle in np.arange(count) * 2 * np.pi / count + layer:
                parts.append(_ball((radius * np.cos(angle), 0.45 - 0.27 * layer, radius * np.sin(angle)), (0.2,) * 3, skin, gloss=0.6))
    elif kind == 3:  # pear
        skin = (0.72, 0.75, 0.2)
        parts = [
            _ball((0, -0.35, 0), (0.6, 0.58, 0.6), skin, gloss=0.3),
            _tube((0, -0.25, 0), (0, 0.45, 0), 0.56, 0.3, skin, gloss=0.3),
            _ball((0, 0.42, 0), (0.32, 0.3, 0.32), skin, gloss=0.3),
            _tube((0, 0.6, 0), (0.08, 1.0, 0), 0.035, 0.045, stem),
        ]
    elif kind == 4:  # strawberry
        skin = (0.85, 0.1, 0.12)
        parts = [
            _tube((0, 0.25, 0), (0, -0.75, 0), 0.62, 0.15, skin, gloss=0.3, pattern=(0.35, 9.0)),
            _ball((0, 0.25, 0), (0.64, 0.32, 0.64), skin, gloss=0.3, pattern=(0.35, 9.0)),
            _ball((0, -0.72, 0), (0.17, 0.15, 0.17), skin, gloss=0.3),
        ]
        for angle in np.arange(6) * np.pi / 3:
            parts.append(_tube((0, 0.6, 0), (0.62 * np.cos(angle), 0.45, 0.62 * np.sin(angle)), 0.14, 0.01, leaf))
    elif kind == 6:  # orange or lemon
        skin = (0.95, 0.52, 0.08) if rng.random() < 0.5 else (0.95, 0.85, 0.2)
        parts = [
            _ball((0, 0, 0), (0.75, 0.72, 0.75), skin, gloss=0.3, pattern=(0.12, 30.0)),
            _tube((0, 0.66, 0), (0, 0.74, 0), 0.12, 0.06, (0.3, 0.45, 0.15)),
            _ball((0.2, 0.75, 0), (0.28, 0.04, 0.13), leaf),
        ]
    else:  # pineapple
        parts = [_ball((0, -0.2, 0), (0.48, 0.68, 0.48), (0.8, 0.55, 0.15), gloss=0.1, pattern=(0.6, 14.0))]
        for ring, (count, lean) in enumerate([(7, 0.5), (6, 0.3), (4, 0.1)]):
            for angle in np.arange(count) * 2 * np.pi / count + 0.5 * ring:
                tip: Point = (lean * np.cos(angle), 0.85 + 0.15 * ring, lean * np.sin(angle))
                parts.append(_tube((0.12 * np.cos(angle), 0.4, 0.12 * np.sin(angle)), tip, 0.1, 0.01, leaf))
    return parts


def _plane(rng: np.random.Generator, variant: int) -> list[Part]:
    body: Colour = (0.9, 0.9, 0.92) if variant % 2 else _paint(rng)
    accent = _paint(rng)
    girth, span, sweep, chord = rng.uniform((0.12, 0.8, 0.1, 0.15), (0.17, 1.05, 0.5, 0.22))
    high = girth * (0.7 if variant % 3 == 0 else -0.3)
    parts = [
        _ball((0, 0, 0), (1, girth, girth), body, gloss=0.4),
        _ball((0.72, 0.4 * girth, 0), (0.12, 0.75 * girth, 0.7 * girth), (0.1, 0.14, 0.2), gloss=0.7),
        _sheared((-0.85, 0.24, 0), (0.14, 0.22, 0.02), accent, (-0.5, 1)),
    ]
    for side in (-1, 1):
        parts += [
            _sheared((0.05 - sweep * span / 2, high, side * span / 2), (chord, 0.022, span / 2), body, (-sweep * side, 2), gloss=0.4),
            _sheared((-0.88, 0.05, side * 0.2), (0.1, 0.018, 0.2), accent, (-0.4 * side, 2)),
            _box((0, 0.25 * girth, side * 0.93 * girth), (0.5, 0.025, 0.06 * girth), (0.15, 0.2, 0.3), gloss=0.6),
        ]
        if variant % 3 != 2:
            z, x = 0.42 * span * side, 0.12 - 0.42 * sweep * span
            parts.append(_tube((x + 0.18, high - 0.09, z), (x - 0.15, high - 0.09, z), 0.075, 0.05, accent, gloss=0.4))
    if variant % 3 == 2:  # a propeller on the nose
        parts += [
            _ball((0.99, 0, 0), (0.08, 0.05, 0.05), (0.2, 0.2, 0.2)),
            _box((1.03, 0, 0), (0.012, 0.34, 0.035), (0.2, 0.2, 0.22)),
            _box((1.03, 0, 0), (0.012, 0.035, 0.34), (0.2, 0.2, 0.22)),
        ]
    return parts


def _table(rng: np.random.Generator, variant: int) -> list[Part]:
    wood: Colour = [(0.6, 0.38, 0.18), (0.3, 0.17, 0.09), (0.88, 0.87, 0.84), (0.78, 0.58, 0.36)][variant % 4]
    metal: Colour = (0.5, 0.5, 0.54)
    length, depth, height, thick = rng.uniform((0.8, 0.45, 0.45, 0.04), (1.0, 0.65, 0.85, 0.07))
    grain = (0.25, 12.0)
    if variant % 4 == 1:  # round, on one foot
        return [
            _tube((0, 0.06, 0), (0, -0.04, 0), 0.85, 0.83, wood, gloss=0.3, pattern=grain),
            _tube((0, 0, 0), (0, -height, 0), 0.08, 0.1, wood),
            _tube((0, -height + 0.06, 0), (0, -height - 0.03, 0), 0.3, 0.45, wood),
        ]
    legs: Colour = metal if variant % 4 == 2 else _scaled(wood, 0.85)
    parts = [_box((0, 0, 0), (length, 0.05, depth), wood, gloss=0.3, pattern=grain)]
    if variant % 2:
        parts.append(_box((0, -0.12, 0), (0.9 * length, 0.08, 0.85 * depth), _scaled(wood, 0.85)))
    if variant % 8 == 4:  # a desk: drawers on one side
        parts.append(_box((0.65 * length, -0.4 * height, 0), (0.28 * length, 0.4 * height, 0.85 * depth), _scaled(wood, 0.9)))
        for level in (0.2, 0.5):
            parts.append(_box((0.65 * length, -level * height - 0.05, 0.87 * depth), (0.1, 0.02, 0.02), metal))
    for x in (-1, 1):
        for z in (-1, 1):
            corner = (0.88 * x * length, 0.86 * z * depth)
            parts.append(_tube((corner[0], 0, corner[1]), (1.03 * corner[0], -height, 1.03 * corner[1]), thick + 0.02, thick, legs))
    return parts


def _ball(centre: Point, radii: Point, albedo: Colour, **options: Any) -> Part:
    return Part(solid="ball", frame=np.diag(np.array(radii, dtype=float)), centre=np.array(centre), albedo=albedo, **options)


def _box(centre: Point, half: Point, albedo: Colour, *, turn: float = 0.0, **options: Any) -> Part:
    """Make a box of given half sides, turned about z by `turn` degrees."""
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    frame = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(np.array(half, dtype=float))
    return Part(solid="box", frame=frame, centre=np.array(centre), albedo=albedo, **options)


def _sheared(centre: Point, half: Point, albedo: Colour, shear: tuple[float, int], **options: Any) -> Part:
    """Make a box of given half sides whose x moves by `shear[0]` per unit along axis `shear[1]`: a swept wing."""
    frame = np.diag(np.array(half, dtype=float))
    frame[0, shear[1]] = shear[0] * half[shear[1]]
    return Part(solid="box", frame=frame, centre=np.array(centre), albedo=albedo, **options)


def _tube(start: Point, end: Point, radius: float, end_radius: float, albedo: Colour, **options: Any) -> Part:
    """Make a cone frustum between two points."""
    p, q = np.array(start, dtype=float), np.array(end, dtype=float)
    axis = (q - p) / 2
    along = axis / np.linalg.norm(axis)
    across = np.cross(along, (1.0, 0.0, 0.0) if abs(along[0]) < 0.9 else (0.0, 1.0, 0.0))
    across /= np.linalg.norm(across)
    frame = np.stack([radius * across, radius * np.cross(along, across), axis], axis=1)
    return Part(solid="tube", frame=frame, centre=(p + q) / 2, albedo=albedo, taper=end_radius / radius, **options)


def _paint(rng: np.random.Generator) -> Colour:
    """Draw a strong colour of any hue."""
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.55, 0.9), rng.uniform(0.55, 0.95))


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(1.0, factor * c) for c in colour)
    return red, green, blue


_FAMILIES: dict[str, Callable[[np.random.Generator, int], list[Part]]] = {
    "animal": _animal,
    "boat": _boat,
    "car": _car,
    "chair": _chair,
    "face": _face,
    "fruit": _fruit,
    "plane": _plane,
    "table": _table,
}
CATEGORIES = tuple(_FAMILIES)
"""The families, in alphabetical order."""

"""Natural objects of `hvm-sim`: animals, faces and fruits, drawn as solids."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from neurofit.data_loaders.hvm_sim.renderer import Cut, Part
from neurofit.data_loaders.hvm_sim.solids import Colour, Point, ball, box, scaled, tube


def animal(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw an animal with random fur and proportions."""
    fur = [
        (0.55, 0.36, 0.2),
        (0.62, 0.62, 0.64),
        (0.85, 0.78, 0.66),
        (0.3, 0.22, 0.17),
        (0.8, 0.48, 0.2),
    ][variant % 5]
    skin: dict[str, Any] = {"gloss": 0.05, "pattern": ((0.0, 0.5)[variant % 2], 5.0)}
    girth, leg, neck, ear = rng.uniform((0.26, 0.35, 0.15, 0.1), (0.4, 0.62, 0.5, 0.24))
    dark = scaled(fur, 0.55)
    shoulder: Point = (0.5, 0.1, 0)
    head: Point = (0.72 + 0.12 * neck, 0.3 + neck, 0)
    parts = [
        ball((0, 0, 0), (0.68, girth, 0.8 * girth), fur, **skin),
        tube(shoulder, head, 0.8 * girth, 0.14, fur, **skin),
        ball(head, (0.24, 0.18, 0.16), fur, **skin),
        ball((head[0] + 0.22, head[1] - 0.05, 0), (0.17, 0.1, 0.1), scaled(fur, 1.15), gloss=0.05),
        ball((head[0] + 0.37, head[1] - 0.03, 0), (0.045, 0.045, 0.06), (0.06, 0.05, 0.05)),
        tube((-0.6, 0.1, 0), (-0.95, rng.uniform(-0.3, 0.5), 0), 0.07, 0.03, dark, gloss=0.05),
    ]
    for side in (-1, 1):
        parts += [
            ball(
                (head[0] + 0.12, head[1] + 0.07, 0.12 * side),
                (0.045, 0.045, 0.04),
                (0.03, 0.03, 0.03),
                gloss=0.7,
            ),
            tube(
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
                tube((x, -0.1, 0.5 * girth * side), foot, 0.15, 0.08, fur, **skin),
                ball((foot[0] + 0.03, foot[1], foot[2]), (0.12, 0.06, 0.09), dark, gloss=0.05),
            ]
    return parts


def face(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw a head with random skin, hair and proportions."""
    skin: Colour = [(0.9, 0.72, 0.6), (0.8, 0.58, 0.44), (0.5, 0.33, 0.23), (0.95, 0.8, 0.7)][
        variant % 4
    ]
    hair: Colour = [
        (0.12, 0.08, 0.06),
        (0.45, 0.26, 0.12),
        (0.85, 0.7, 0.35),
        (0.06, 0.06, 0.07),
        (0.6, 0.6, 0.6),
    ][variant % 5]
    width, jaw, eyes, nose, mouth = rng.uniform(
        (0.66, 0.5, 0.25, 0.1, 0.2), (0.8, 0.66, 0.33, 0.15, 0.3)
    )
    length = rng.uniform(0.0, 0.9) if variant % 2 else 0.0
    fringe: tuple[Cut, ...] = (((0, -1, 0.55), -0.12),)
    parts = [
        ball((0, 0.1, 0), (width, 0.9, 0.78), skin, gloss=0.1),
        ball((0, -0.45, 0.12), (jaw, 0.5, 0.55), skin, gloss=0.1),
        ball((0, 0.16, -0.07), (width + 0.07, 0.96, 0.86), hair, cuts=fringe, gloss=0.25),
        tube((0, -0.6, -0.1), (0, -1.25, -0.15), 0.36, 0.4, scaled(skin, 0.9), gloss=0.05),
        tube((0, 0.2, 0.68), (0, -0.17, 0.9), 0.04, nose, scaled(skin, 0.97), gloss=0.1),
        ball((0, -0.17, 0.83), (1.15 * nose, 0.09, 0.13), scaled(skin, 0.96), gloss=0.1),
        ball((0, -0.5, 0.62), (mouth, 0.075, 0.09), (0.68, 0.2, 0.2), gloss=0.2),
        box((0, -0.5, 0.66), (0.8 * mouth, 0.01, 0.06), (0.25, 0.05, 0.05)),
    ]
    if length:
        parts.append(
            ball((0, -0.25, -0.3), (width + 0.1, 0.75 + 0.4 * length, 0.5), hair, gloss=0.25)
        )
    for side in (-1, 1):
        parts += [
            ball((eyes * side, 0.2, 0.64), (0.135, 0.085, 0.1), (0.97, 0.97, 0.95), gloss=0.4),
            ball((eyes * side, 0.2, 0.72), (0.06, 0.065, 0.05), (0.12, 0.15, 0.2), gloss=0.8),
            box(
                (eyes * side, 0.37, 0.68), (0.15, 0.025, 0.05), scaled(hair, 0.7), turn=-8.0 * side
            ),
            ball(
                ((width + 0.02) * side, 0.05, 0), (0.09, 0.2, 0.14), scaled(skin, 0.93), gloss=0.05
            ),
        ]
    return parts


def fruit(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw a fruit; `variant` selects its kind."""
    stem: Colour = (0.3, 0.2, 0.1)
    leaf: Colour = (0.25, 0.5, 0.15)
    kind = variant % 8
    if kind in (0, 5):  # apples
        skin: Colour = (0.8, 0.12, 0.1) if kind == 0 else (0.5, 0.72, 0.15)
        parts = [
            ball((0.16 * x, 0, 0.16 * z), (0.62, 0.66, 0.62), skin, gloss=0.4)
            for x in (-1, 1)
            for z in (-1, 1)
        ]
        parts += [
            tube((0, 0.4, 0), (0.1, 0.95, 0), 0.04, 0.05, stem),
            ball((0.3, 0.82, 0), (0.25, 0.05, 0.12), leaf),
        ]
    elif kind == 1:  # bananas
        skin = (0.93, 0.8, 0.15)
        parts = []
        for offset in (-0.22, 0.0, 0.22):
            angles = np.linspace(-2.5, -0.6, 10)
            points = np.stack(
                [np.cos(angles), 0.9 * np.sin(angles), offset * np.sin(angles * 0.9 + 0.6)], axis=1
            )
            radii = 0.17 * np.sin(np.linspace(0.35, np.pi - 0.35, 10))
            for (p, q), (r, t) in zip(
                pairwise(points.tolist()), pairwise(radii.tolist()), strict=True
            ):
                parts += [tube(p, q, r, t, skin), ball(q, (t, t, t), skin)]
            parts.append(ball(points[0].tolist(), (0.06, 0.06, 0.06), stem))
    elif kind == 2:  # grapes
        skin = (0.38, 0.12, 0.42) if rng.random() < 0.5 else (0.55, 0.7, 0.25)
        parts = [
            tube((0, 0.5, 0), (0.05, 0.95, 0), 0.04, 0.05, stem),
            ball((0.25, 0.72, 0), (0.3, 0.06, 0.2), leaf),
        ]
        for layer, (count, radius) in enumerate(
            [(7, 0.42), (6, 0.36), (5, 0.28), (3, 0.17), (1, 0.0)]
        ):
            for angle in np.arange(count) * 2 * np.pi / count + layer:
                parts.append(
                    ball(
                        (radius * np.cos(angle), 0.45 - 0.27 * layer, radius * np.sin(angle)),
                        (0.2,) * 3,
                        skin,
                        gloss=0.6,
                    )
                )
    elif kind == 3:  # pear
        skin = (0.72, 0.75, 0.2)
        parts = [
            ball((0, -0.35, 0), (0.6, 0.58, 0.6), skin, gloss=0.3),
            tube((0, -0.25, 0), (0, 0.45, 0), 0.56, 0.3, skin, gloss=0.3),
            ball((0, 0.42, 0), (0.32, 0.3, 0.32), skin, gloss=0.3),
            tube((0, 0.6, 0), (0.08, 1.0, 0), 0.035, 0.045, stem),
        ]
    elif kind == 4:  # strawberry
        skin = (0.85, 0.1, 0.12)
        parts = [
            tube((0, 0.25, 0), (0, -0.75, 0), 0.62, 0.15, skin, gloss=0.3, pattern=(0.35, 9.0)),
            ball((0, 0.25, 0), (0.64, 0.32, 0.64), skin, gloss=0.3, pattern=(0.35, 9.0)),
            ball((0, -0.72, 0), (0.17, 0.15, 0.17), skin, gloss=0.3),
        ]
        for angle in np.arange(6) * np.pi / 3:
            parts.append(
                tube(
                    (0, 0.6, 0),
                    (0.62 * np.cos(angle), 0.45, 0.62 * np.sin(angle)),
                    0.14,
                    0.01,
                    leaf,
                )
            )
    elif kind == 6:  # orange or lemon
        skin = (0.95, 0.52, 0.08) if rng.random() < 0.5 else (0.95, 0.85, 0.2)
        parts = [
            ball((0, 0, 0), (0.75, 0.72, 0.75), skin, gloss=0.3, pattern=(0.12, 30.0)),
            tube((0, 0.66, 0), (0, 0.74, 0), 0.12, 0.06, (0.3, 0.45, 0.15)),
            ball((0.2, 0.75, 0), (0.28, 0.04, 0.13), leaf),
        ]
    else:  # pineapple
        parts = [
            ball(
                (0, -0.2, 0), (0.48, 0.68, 0.48), (0.8, 0.55, 0.15), gloss=0.1, pattern=(0.6, 14.0)
            )
        ]
        for ring, (count, lean) in enumerate([(7, 0.5), (6, 0.3), (4, 0.1)]):
            for angle in np.arange(count) * 2 * np.pi / count + 0.5 * ring:
                tip: Point = (lean * np.cos(angle), 0.85 + 0.15 * ring, lean * np.sin(angle))
                parts.append(
                    tube((0.12 * np.cos(angle), 0.4, 0.12 * np.sin(angle)), tip, 0.1, 0.01, leaf)
                )
    return parts

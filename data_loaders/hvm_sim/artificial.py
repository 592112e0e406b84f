"""Artificial objects of `hvm-sim`: boats, cars, chairs, planes and tables, drawn as solids."""

from __future__ import annotations

import numpy as np

from neurofit.data_loaders.hvm_sim.renderer import Cut, Part
from neurofit.data_loaders.hvm_sim.solids import (
    Colour,
    ball,
    box,
    draw_paint,
    scaled,
    sheared_box,
    tube,
)


def boat(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw a sailing boat (even variants) or a motor ship."""
    paint, stripe = draw_paint(rng), draw_paint(rng)
    depth, beam = rng.uniform((0.3, 0.24), (0.42, 0.36))
    deck: tuple[Cut, ...] = (((0, 1, 0), 0.0),)
    parts = [
        ball((0, 0, 0), (1, depth, beam), paint, cuts=deck, gloss=0.3),
        ball(
            (0, 0.03, 0),
            (1.03, 0.1, beam + 0.03),
            stripe,
            cuts=(((0, 1, 0), 0.2), ((0, -1, 0), 0.5)),
        ),
        ball((0, 0.05, 0), (0.97, 0.06, beam - 0.02), (0.62, 0.45, 0.28), cuts=deck, gloss=0.05),
    ]
    if variant % 2 == 0:  # under sail: triangles are boxes cut along the diagonal
        height = rng.uniform(1.0, 1.35)
        cloth: Colour = (0.95, 0.94, 0.9) if variant % 4 else stripe
        main: tuple[Cut, ...] = (((-1, 1, 0), 0.0),)
        jib: tuple[Cut, ...] = (((1, 1, 0), 0.0),)
        parts += [
            tube((0.1, 0, 0), (0.1, height + 0.1, 0), 0.035, 0.02, (0.45, 0.3, 0.18)),
            box(
                (-0.33, 0.12 + height / 2, 0),
                (0.4, height / 2, 0.012),
                cloth,
                cuts=main,
                gloss=0.02,
            ),
            box(
                (0.47, 0.1 + 0.4 * height, 0),
                (0.33, 0.4 * height, 0.012),
                (0.95, 0.94, 0.9),
                cuts=jib,
                gloss=0.02,
            ),
        ]
        return parts
    length, floors = rng.uniform(0.3, 0.5), int(rng.integers(1, 4))
    for floor in range(floors):
        size = (length - 0.08 * floor, 0.11, (0.72 - 0.1 * floor) * beam)
        parts.append(box((-0.15, 0.13 + 0.22 * floor, 0), size, (0.93, 0.93, 0.92)))
        parts.append(
            box(
                (-0.15, 0.16 + 0.22 * floor, 0),
                (size[0] + 0.012, 0.045, size[2] + 0.012),
                (0.12, 0.17, 0.25),
                gloss=0.6,
            )
        )
    top = 0.22 * floors
    parts.append(tube((-0.22, top, 0), (-0.25, top + rng.uniform(0.3, 0.5), 0), 0.11, 0.1, stripe))
    parts.append(
        tube((0.45, 0, 0), (0.45, rng.uniform(0.5, 0.8), 0), 0.025, 0.015, (0.3, 0.3, 0.3))
    )
    return parts


def car(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw a car; `variant` selects its silhouette."""
    paint = draw_paint(rng)
    width, roof, wheel = rng.uniform((0.36, 0.2, 0.17), (0.44, 0.3, 0.22))
    back, slant = [(-0.35, 0.35), (-0.55, 0.15), (-0.2, 0.5), (-0.45, 0.3)][variant % 4]
    glass: Colour = (0.1, 0.14, 0.2)
    windows: tuple[Cut, ...] = (((1, 0.5, 0), 0.75), ((-1, slant, 0), 0.8))
    cabin_x = (back + 0.3) / 2 + 0.05
    length = 0.5 + (0.15 if variant % 4 == 1 else 0)
    parts = [
        box(
            (0, 0, 0),
            (0.98, 0.16, width),
            paint,
            cuts=(((1, 0.25, 0), 1.08), ((-1, 0.25, 0), 1.08)),
            gloss=0.5,
        ),
        box((cabin_x, 0.16 + roof, 0), (length, roof, 0.9 * width), glass, cuts=windows, gloss=0.7),
        box(
            (cabin_x, 0.16 + 1.9 * roof, 0),
            (0.62 * length, 0.12 * roof + 0.02, 0.86 * width),
            paint,
            gloss=0.5,
        ),
        box((cabin_x - 0.02, 0.16 + roof, 0), (0.03, 0.98 * roof, 0.92 * width), paint),
        box((0, -0.14, 0), (1.0, 0.04, width + 0.01), (0.15, 0.15, 0.16)),
        box((0.99, -0.02, 0), (0.02, 0.06, 0.5 * width), (0.1, 0.1, 0.1)),
    ]
    for side in (-1, 1):
        parts += [
            ball(
                (0.97, 0.03, 0.75 * width * side), (0.05, 0.07, 0.08), (1.0, 0.97, 0.8), gloss=0.8
            ),
            ball(
                (-0.97, 0.03, 0.75 * width * side), (0.05, 0.06, 0.08), (0.8, 0.08, 0.05), gloss=0.5
            ),
        ]
        for x in (-0.58, 0.6):
            rim = width * side
            parts += [
                tube(
                    (x, -0.17, rim - 0.1 * side),
                    (x, -0.17, rim + 0.05 * side),
                    wheel,
                    wheel,
                    (0.07, 0.07, 0.07),
                    gloss=0.05,
                ),
                tube(
                    (x, -0.17, rim),
                    (x, -0.17, rim + 0.06 * side),
                    0.55 * wheel,
                    0.5 * wheel,
                    (0.75, 0.75, 0.78),
                    gloss=0.5,
                ),
            ]
    return parts


def chair(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw a chair; `variant` selects arms, back and cushion."""
    wood: Colour = [(0.55, 0.34, 0.16), (0.25, 0.14, 0.08), (0.85, 0.84, 0.8), (0.75, 0.55, 0.32)][
        variant % 4
    ]
    cushion = draw_paint(rng) if variant % 2 else wood
    width, height, tall, thick = rng.uniform((0.42, 0.65, 0.75, 0.035), (0.52, 0.9, 1.1, 0.06))
    parts = [
        box((0, 0, 0), (width, 0.055, width), wood),
        box((0, 0.07, 0.02), (0.92 * width, 0.04, 0.9 * width), cushion, gloss=0.05),
    ]
    for x in (-1, 1):
        parts += [
            tube(
                (0.9 * x * width, 0, 0.9 * width),
                (0.95 * x * width, -height, 0.95 * width),
                thick,
                0.8 * thick,
                wood,
            ),
            tube(
                (0.9 * x * width, 0, -0.9 * width),
                (0.95 * x * width, -height, -1.0 * width),
                thick,
                0.8 * thick,
                wood,
            ),
            tube(
                (0.9 * x * width, 0, -0.9 * width),
                (0.9 * x * width, tall, -1.1 * width),
                thick,
                thick,
                wood,
            ),
        ]
        if variant % 3 == 0:
            parts.append(box((0.95 * x * width, 0.33, -0.05), (0.05, 0.03, 0.9 * width), wood))
            parts.append(
                tube(
                    (0.95 * x * width, 0, 0.75 * width),
                    (0.95 * x * width, 0.33, 0.75 * width),
                    thick,
                    thick,
                    wood,
                )
            )
    if variant % 2:
        parts.append(
            box(
                (0, 0.6 * tall, -1.05 * width),
                (0.9 * width, 0.38 * tall, 0.04),
                cushion,
                gloss=0.05,
            )
        )
    else:
        heights = np.linspace(0.35, 0.95, 2 + variant // 2 % 3) * tall
        parts += [
            box((0, float(h), -1.05 * width), (0.9 * width, 0.07, 0.03), wood) for h in heights
        ]
    return parts


def plane(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw an aeroplane; `variant` selects its engines."""
    body: Colour = (0.9, 0.9, 0.92) if variant % 2 else draw_paint(rng)
    accent = draw_paint(rng)
    girth, span, sweep, chord = rng.uniform((0.12, 0.8, 0.1, 0.15), (0.17, 1.05, 0.5, 0.22))
    high = girth * (0.7 if variant % 3 == 0 else -0.3)
    parts = [
        ball((0, 0, 0), (1, girth, girth), body, gloss=0.4),
        ball(
            (0.72, 0.4 * girth, 0), (0.12, 0.75 * girth, 0.7 * girth), (0.1, 0.14, 0.2), gloss=0.7
        ),
        sheared_box((-0.85, 0.24, 0), (0.14, 0.22, 0.02), accent, (-0.5, 1)),
    ]
    for side in (-1, 1):
        parts += [
            sheared_box(
                (0.05 - sweep * span / 2, high, side * span / 2),
                (chord, 0.022, span / 2),
                body,
                (-sweep * side, 2),
                gloss=0.4,
            ),
            sheared_box((-0.88, 0.05, side * 0.2), (0.1, 0.018, 0.2), accent, (-0.4 * side, 2)),
            box(
                (0, 0.25 * girth, side * 0.93 * girth),
                (0.5, 0.025, 0.06 * girth),
                (0.15, 0.2, 0.3),
                gloss=0.6,
            ),
        ]
        if variant % 3 != 2:
            z, x = 0.42 * span * side, 0.12 - 0.42 * sweep * span
            parts.append(
                tube(
                    (x + 0.18, high - 0.09, z),
                    (x - 0.15, high - 0.09, z),
                    0.075,
                    0.05,
                    accent,
                    gloss=0.4,
                )
            )
    if variant % 3 == 2:  # a propeller on the nose
        parts += [
            ball((0.99, 0, 0), (0.08, 0.05, 0.05), (0.2, 0.2, 0.2)),
            box((1.03, 0, 0), (0.012, 0.34, 0.035), (0.2, 0.2, 0.22)),
            box((1.03, 0, 0), (0.012, 0.035, 0.34), (0.2, 0.2, 0.22)),
        ]
    return parts


def table(rng: np.random.Generator, variant: int) -> list[Part]:
    """Draw a table; `variant` selects its kind."""
    wood: Colour = [(0.6, 0.38, 0.18), (0.3, 0.17, 0.09), (0.88, 0.87, 0.84), (0.78, 0.58, 0.36)][
        variant % 4
    ]
    metal: Colour = (0.5, 0.5, 0.54)
    length, depth, height, thick = rng.uniform((0.8, 0.45, 0.45, 0.04), (1.0, 0.65, 0.85, 0.07))
    grain = (0.25, 12.0)
    if variant % 4 == 1:  # round, on one foot
        return [
            tube((0, 0.06, 0), (0, -0.04, 0), 0.85, 0.83, wood, gloss=0.3, pattern=grain),
            tube((0, 0, 0), (0, -height, 0), 0.08, 0.1, wood),
            tube((0, -height + 0.06, 0), (0, -height - 0.03, 0), 0.3, 0.45, wood),
        ]
    legs: Colour = metal if variant % 4 == 2 else scaled(wood, 0.85)
    parts = [box((0, 0, 0), (length, 0.05, depth), wood, gloss=0.3, pattern=grain)]
    if variant % 2:
        parts.append(box((0, -0.12, 0), (0.9 * length, 0.08, 0.85 * depth), scaled(wood, 0.85)))
    if variant % 8 == 4:  # a desk: drawers on one side
        parts.append(
            box(
                (0.65 * length, -0.4 * height, 0),
                (0.28 * length, 0.4 * height, 0.85 * depth),
                scaled(wood, 0.9),
            )
        )
        for level in (0.2, 0.5):
            parts.append(
                box((0.65 * length, -level * height - 0.05, 0.87 * depth), (0.1, 0.02, 0.02), metal)
            )
    for x in (-1, 1):
        for z in (-1, 1):
            corner = (0.88 * x * length, 0.86 * z * depth)
            parts.append(
                tube(
                    (corner[0], 0, corner[1]),
                    (1.03 * corner[0], -height, 1.03 * corner[1]),
                    thick + 0.02,
                    thick,
                    legs,
                )
            )
    return parts

"""Hands, left and right, of three to five fingers, open to closed.

Lengths are shares of about the hand's length before normalisation; +Y towards the fingers, the
back of the hand faces +Z.
"""

from __future__ import annotations

import numpy as np

from geoflow_datasets.figures.figure import Builder, Figure, turn

_UP = np.array([0.0, 1.0, 0.0])


def hand(rng: np.random.Generator) -> Figure:
    """One random hand of 10 to 16 joints."""
    made, fingers = Builder(), int(rng.choice([2, 3, 4], p=[0.1, 0.2, 0.7]))
    side, palm = rng.choice([-1.0, 1.0]), rng.uniform(0.36, 0.48)
    width, thick = rng.uniform(0.3, 0.4), rng.uniform(0.042, 0.058)
    wrist = made.joint("wrist", -1, np.zeros(3), 1.25 * thick)
    arm = rng.uniform(0.1, 0.35)
    bent = turn("xz", rng.normal(0, 18), rng.normal(0, 12))
    made.flesh(np.zeros(3), -arm * bent.apply(_UP), 1.25 * thick, 1.35 * thick)
    closed, spread = rng.uniform(0, 65), rng.uniform(2, 13)
    for i in range(fingers):
        across = i / (fingers - 1) - 0.5
        knuckle = np.array([side * across * width, palm * (1 - 0.45 * across**2), 0.0])
        knuckle[2] = -0.08 * across**2
        curl = np.clip(closed + rng.normal(0, 14), 0, 85)
        turns = [
            turn("zx", -side * across * 2 * spread + rng.normal(0, 2), -curl),
            turn("x", -np.clip(curl + rng.normal(0, 10), 0, 90)),
        ]
        length = rng.uniform(0.38, 0.46) * (1 - 0.5 * (across - 0.05) ** 2)
        # From the base of the palm, whose parts close the gaps between the fingers.
        lengths = length * np.array([0.48, 0.3, 0.22])
        radii = [1.05 * thick, 0.95 * thick, 0.85 * thick]
        names = [f"finger{i} {part}" for part in ("knuckle", "middle", "end")]
        last, pose = made.chain(names, wrist, knuckle, _UP, lengths[:2].tolist(), radii, turns)
        tip = made.joints[last] + lengths[2] * (pose * turn("x", -0.5 * curl)).apply(_UP)
        made.flesh(made.joints[last], tip, 0.85 * thick, 0.75 * thick)
    for i in range(fingers - 1):  # Webs make the palm one plate.
        a, b = (made.joints[1 + 3 * j] for j in (i, i + 1))
        made.flesh(a * 0.92, b * 0.92, 1.05 * thick, 1.05 * thick)
        made.flesh(np.zeros(3), (a + b) * 0.45, 1.25 * thick, 1.1 * thick)
    _thumb(made, rng, wrist, side, palm, thick)
    return made.build()


def _thumb(
    made: Builder, rng: np.random.Generator, wrist: int, side: float, palm: float, thick: float
) -> None:
    start = np.array([-side * 0.3 * palm, 0.28 * palm, -0.02])
    turns = [
        turn("zx", side * rng.uniform(25, 60), -rng.uniform(0, 45)),
        turn("zx", -side * rng.uniform(0, 30), -rng.uniform(0, 25)),
    ]
    lengths = palm * np.array([rng.uniform(0.4, 0.5), rng.uniform(0.32, 0.4), 0.26])
    names = ["thumb base", "thumb knuckle", "thumb end"]
    radii = [1.2 * thick, thick, 0.95 * thick]
    last, pose = made.chain(names, wrist, start, _UP, lengths[:2].tolist(), radii, turns)
    end = made.joints[last]
    made.flesh(end, end + lengths[2] * pose.apply(_UP), 0.95 * thick, 0.8 * thick)

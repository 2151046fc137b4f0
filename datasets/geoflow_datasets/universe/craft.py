"""Cars, airplanes and helicopters; noses along +Z, lengths in units of the hull's half length."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.details import Rng, wheel, wing
from geoflow_datasets.universe.forms import (
    Array,
    Solid,
    around,
    ball,
    block,
    both_sides,
    curve,
    cut,
    join,
    lathe,
    loft,
    plate,
    ring,
    rod,
    tube,
)


def car(rng: Rng) -> Solid:
    """A saloon, estate, van, pick-up, bus, lorry, or an open car."""
    kind = rng.choice(["saloon", "estate", "van", "pickup", "bus", "lorry", "open"],
                      p=[0.26, 0.18, 0.13, 0.12, 0.08, 0.11, 0.12])  # fmt: skip
    half, low = rng.uniform(0.33, 0.46), rng.uniform(0.08, 0.16)
    deck = rng.uniform(0.36, 0.46) if kind not in ("bus", "van") else rng.uniform(0.4, 0.5)
    roof = deck + rng.uniform(0.22, 0.34) + (0.25 if kind in ("bus", "lorry", "van") else 0)
    radius, width = rng.uniform(0.14, 0.2), rng.uniform(0.05, 0.09)
    nose, rear = deck - rng.uniform(0.02, 0.1), deck - rng.uniform(0.0, 0.06)
    body = np.array([[-1, low], [1, low], [1, nose - 0.06], [0.9, nose], [0.4, deck], [-0.6, deck],
                     [-0.96, rear], [-1, rear - 0.08]])  # fmt: skip
    lower = _hull(body, half, rng.uniform(0.86, 1.0))
    back, slope = {"saloon": (-0.6, 0.25), "estate": (-0.9, 0.12), "van": (-0.96, 0.03),
                   "pickup": (-0.15, 0.06), "bus": (-0.97, 0.02), "lorry": (0.25, 0.02),
                   "open": (-0.55, 0.2)}[str(kind)]  # fmt: skip
    front = 0.94 if kind == "bus" else rng.uniform(0.3, 0.55) if kind != "lorry" else 0.85
    rake = 0.05 if kind in ("bus", "lorry") else rng.uniform(0.18, 0.42)
    cabin = np.array([[back, deck - 0.05], [front, deck - 0.05], [front - rake, roof - 0.02],
                      [front - rake - 0.08, roof], [back + slope + 0.05, roof],
                      [back + slope, roof - 0.02]])  # fmt: skip
    upper = _hull(cabin, 0.9 * half, rng.uniform(0.72, 0.95))
    parts = [lower]
    if kind == "open":
        pit = block((0.78 * half, 0.2, 0.34), 0.05).translate((0, deck, -0.1))
        seat = block((0.3 * half, 0.14, 0.06), 0.03).translate((0.38 * half, deck - 0.08, -0.2))
        screen = (
            block((0.8 * half, 0.1, 0.012)).rotate((-35, 0, 0)).translate((0, deck + 0.05, 0.28))
        )
        parts = [cut(lower, pit), both_sides(seat), screen]
    else:
        parts.append(upper)
    if kind == "pickup":
        parts = [
            cut(join(parts), block((0.82 * half, 0.2, 0.36)).translate((0, deck + 0.05, -0.56)))
        ]
    if kind == "lorry":
        box = block((half, 0.32, 0.58), 0.02).translate((0, deck + 0.22, -0.38))
        parts.append(box)
    axles = [rng.uniform(0.5, 0.68), -rng.uniform(0.5, 0.68)]
    if kind == "lorry" or (kind == "bus" and rng.random() < 0.4):
        axles.append(axles[1] + 2.3 * radius)
    solid = join(parts)
    for z in axles:
        arch = lathe(np.array([[1.15 * radius, -width], [1.15 * radius, width]])).rotate((0, 0, 90))
        tyre = wheel(rng, radius, width) if rng.random() < 0.2 else _tyre(rng, radius, width)
        place = (half - 0.8 * width, radius, z)
        axle = block((half - width, 0.03, 0.03)).translate((0, radius, z))
        if rng.random() < 0.7:
            solid = cut(solid, both_sides(arch.translate((half, radius, z))))
        solid = join([solid, both_sides(tyre.translate(place)), axle])
    if rng.random() < 0.4:
        mirror = block((0.05, 0.03, 0.02), 0.015).translate(
            (0.93 * half, deck + 0.05, front - rake)
        )
        solid = join([solid, both_sides(mirror)]) if kind != "open" else solid
    if rng.random() < 0.12 and kind != "lorry":
        spoiler = block((0.8 * half, 0.012, 0.06)).translate((0, deck + 0.12, -0.9))
        stay = block((0.02, 0.1, 0.03)).translate((0.5 * half, deck + 0.05, -0.9))
        solid = join([solid, spoiler, both_sides(stay)])
    return solid


def airplane(rng: Rng) -> Solid:
    """An airliner, a jet, a propeller plane, a biplane, a glider or a seaplane."""
    kind = rng.choice(["liner", "jet", "light", "biplane", "glider", "sea"],
                      p=[0.34, 0.2, 0.18, 0.1, 0.08, 0.1])  # fmt: skip
    slim = {"liner": 0.11, "jet": 0.09, "light": 0.12, "biplane": 0.13, "glider": 0.07, "sea": 0.13}
    radius = slim[str(kind)] * rng.uniform(0.85, 1.25)
    parts = [_fuselage(rng, radius, sharp=kind == "jet")]
    span = rng.uniform(0.7, 1.1) * (1.4 if kind == "glider" else 0.75 if kind == "jet" else 1.0)
    root = rng.uniform(0.22, 0.4) * (1.8 if kind == "jet" else 0.6 if kind == "glider" else 1.0)
    tip = root * (rng.uniform(0.05, 0.5) if kind == "jet" else rng.uniform(0.35, 0.95))
    back = {"liner": (0.25, 0.55), "jet": (0.3, 0.7), "glider": (0, 0.06)}.get(
        str(kind), (0.0, 0.12)
    )
    sweep = rng.uniform(*back) * span
    thick = rng.uniform(0.018, 0.028)
    level = rng.choice([-0.5, 0.0, 0.7]) * radius if kind != "sea" else 0.8 * radius
    place, rise = rng.uniform(0.0, 0.25) - 0.1 * (kind == "jet"), rng.uniform(-3, 7)
    one = wing(root, tip, span, sweep, thick).rotate((0, 0, rise)).translate((0, level, place))
    parts.append(both_sides(one))
    if kind == "biplane":
        gap = rng.uniform(0.25, 0.4)
        strut = rod((0.6 * span, 0, 0), (0.6 * span, gap, 0), 0.014 * ring(6))
        stays = join([strut, rod((0.1, 0, 0), (0.1, gap, 0), 0.014 * ring(6))])
        parts.append(both_sides(one).translate((0, gap, 0)))
        parts.append(both_sides(stays).translate((0, level + 0.02, place)))
    parts.append(_tail(rng, radius, thick, jet=kind == "jet"))
    if kind in ("light", "biplane", "sea", "glider") and rng.random() < 0.9 - 0.7 * (
        kind == "glider"
    ):
        parts.append(_propeller(rng, radius * rng.uniform(1.4, 2.2)).translate((0, 0, 0.99)))
    num = int(rng.integers(1, 3)) if kind == "liner" else int(rng.random() < 0.15)
    for i in range(num):
        x = span * (0.3 + 0.27 * i)
        z = place - sweep * x / span + 0.25 * root
        y = level + np.tan(np.radians(rise)) * x - 0.06
        parts.append(both_sides(_engine(0.05, 0.14).translate((x, y, z))))
    if kind == "jet" and rng.random() < 0.5:
        parts.append(both_sides(_engine(0.05, 0.4).translate((radius, -0.2 * radius, -0.5))))
    if kind in ("light", "jet", "glider", "biplane") and rng.random() < 0.8:
        parts.append(
            ball((0.5 * radius, 0.7 * radius, 2.2 * radius)).translate((0, 0.75 * radius, 0.35))
        )
    if kind == "sea":
        float_ = ball((0.06, 0.06, rng.uniform(0.4, 0.7))).translate((0.3, -radius - 0.2, 0.15))
        stay = [
            rod((0.0, -0.5 * radius, z), (0.3, -radius - 0.2, z), 0.018 * ring(6))
            for z in (0.0, 0.35)
        ]
        parts.append(both_sides(join([float_, *stay])))
    elif rng.random() < 0.35:
        stay = rod((0.5 * radius, 0, 0.1), (1.6 * radius, -radius - 0.13, 0.1), 0.016 * ring(6))
        tyre = _tyre(rng, 0.06, 0.025).translate((1.6 * radius, -radius - 0.13, 0.1))
        front = rod((0, 0, 0.7), (0, -radius - 0.13, 0.7), 0.016 * ring(6))
        parts += [
            both_sides(join([stay, tyre])),
            front,
            _tyre(rng, 0.05, 0.025).translate((0, -radius - 0.13, 0.7)),
        ]
    return join(parts)


def helicopter(rng: Rng) -> Solid:
    """A cabin with a boom, a rotor above, one at the tail, and skids or wheels."""
    wide, tall, long = rng.uniform(0.16, 0.26), rng.uniform(0.18, 0.3), rng.uniform(0.3, 0.5)
    cabin = ball((wide, tall, long), powers=(rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0)))
    end = np.array([0, rng.uniform(0.0, 0.25), -rng.uniform(0.8, 1.1)])
    boom = tube([(0, 0.3 * tall, -0.5 * long), tuple(end)], rng.uniform(0.05, 0.1), num=4, tip=0.5)
    fin = plate(np.array([[0.12, -0.08], [-0.1, 0.25], [-0.2, 0.25], [-0.1, -0.12]]), 0.03)
    fin = fin.rotate((0, -90, 0)).translate(tuple(end))
    tail = (
        _propeller(rng, rng.uniform(0.12, 0.2))
        .rotate((0, 90, 0))
        .translate((0.04, end[1] + 0.1, end[2]))
    )
    hub = join([rod((0, 0.5 * tall, 0), (0, tall + 0.14, 0), 0.04 * ring(10)),
                ball((0.1, 0.08, 0.25)).translate((0, 0.95 * tall, -0.05))])  # fmt: skip
    blade = block((0.035, 0.012, rng.uniform(0.35, 0.55))).translate((0, tall + 0.13, 0.45))
    rotor = around(blade, int(rng.integers(2, 6)), start=rng.uniform(0, 90))
    parts = [
        cabin,
        boom,
        fin,
        tail,
        hub,
        rotor,
        block((0.06, 0.02, 0.06)).translate((0, tall + 0.13, 0)),
    ]
    if rng.random() < 0.75:
        skid = tube(
            [
                (wide, -tall - 0.12, -long),
                (wide, -tall - 0.12, 0.8 * long),
                (wide, -tall - 0.04, long),
            ],
            0.02,
        )
        stays = [rod((0.4 * wide, -0.5 * tall, z), (wide, -tall - 0.12, z), 0.018 * ring(6))
                 for z in (-0.4 * long, 0.4 * long)]  # fmt: skip
        parts.append(both_sides(join([skid, *stays])))
    else:
        stay = rod((0.3 * wide, 0, -0.1), (1.1 * wide, -tall - 0.05, -0.1), 0.02 * ring(6))
        parts.append(
            both_sides(
                join([stay, _tyre(rng, 0.07, 0.03).translate((1.1 * wide, -tall - 0.05, -0.1))])
            )
        )
    if rng.random() < 0.4:
        parts.append(
            both_sides(wing(0.15, 0.1, 0.25, 0.03, 0.025)).translate((0, end[1], end[2] + 0.25))
        )
    return join(parts)


def _hull(profile: Array, half: float, narrow: float) -> Solid:
    """A profile of z and y, extruded across, its upper corners drawn in."""
    solid = plate(profile, 2 * half).rotate((0, -90, 0))
    low, high = profile[:, 1].min(), profile[:, 1].max()
    fine = solid.refine_to_length(0.25)

    def drawn_in(points: Array) -> Array:
        points = np.array(points)
        share = np.clip((points[:, 1] - low) / (high - low), 0, 1)
        points[:, 0] *= 1 - (1 - narrow) * share**1.5
        points[:, 0] *= 1 - 0.1 * np.clip(np.abs(points[:, 2]) - 0.6, 0, 1)
        return points

    return fine.warp_batch(drawn_in)


def _tyre(rng: Rng, radius: float, half: float) -> Solid:
    """A round-edged wheel about x with a sunk disc."""
    profile = np.array([[0.85, -half], [1.0, -0.6 * half], [1.0, 0.6 * half], [0.85, half]])
    solid = lathe(profile * [radius, 1])
    sunk = lathe(np.array([[0.6 * radius, 0.6 * half], [0.6 * radius, 2 * half]]))
    solid = cut(solid, sunk, sunk.mirror((0, 1, 0))) if rng.random() < 0.6 else solid
    return solid.rotate((0, 0, 90))


def _fuselage(rng: Rng, radius: float, *, sharp: bool) -> Solid:
    along = np.linspace(-1, 1, 22)
    nose, tail = rng.uniform(0.2, 0.5) * (1.7 if sharp else 1.0), rng.uniform(0.5, 0.9)
    front = np.clip((1 - along) / nose, 0, 1)
    rear = np.clip((along + 1) / tail, 0, 1)
    power = 0.85 if sharp else 0.5
    size = radius * np.maximum(front**power, 0.06) * (0.2 + 0.8 * np.sin(rear * np.pi / 2))
    lift = 0.6 * radius * (1 - rear) ** 2 * rng.uniform(0, 1)
    flat = ring(18, rng.uniform(0.6, 1.0)) * [1, rng.uniform(0.9, 1.25)]
    rings = np.stack([np.stack([s * flat[:, 0], s * flat[:, 1] + up, np.full(len(flat), z)], -1)
                      for z, s, up in zip(along, size, lift, strict=True)])  # fmt: skip
    return loft(rings)


def _tail(rng: Rng, radius: float, thick: float, *, jet: bool) -> Solid:
    high, reach = rng.uniform(0.2, 0.38), rng.uniform(0.22, 0.4)
    chord, back = rng.uniform(0.16, 0.28), rng.uniform(0.08, 0.25)
    fin = wing(chord, 0.55 * chord, high, back, thick).rotate((0, 0, 90))
    fin = fin.translate((0, 0.2 * radius, -0.8))
    if jet and rng.random() < 0.5:
        fin = both_sides(fin.rotate((0, 0, -18)).translate((0.7 * radius, 0, 0.05)))
    up = high + 0.1 * radius if rng.random() < 0.25 and not jet else 0.25 * radius
    shift = -0.8 - (back if up > high else 0.0)
    level = both_sides(wing(0.8 * chord, 0.5 * chord, reach, 0.7 * back, thick))
    return join([fin, level.translate((0, up, shift))])


def _engine(radius: float, half: float) -> Solid:
    """A nacelle along z, open in front, on a pylon."""
    flat = curve(
        np.array([[0.6, -half], [1.0, 0.0], [1.05, 0.7 * half], [0.9, half]]) * [radius, 1], 10
    )
    hole = lathe(np.array([[0.65 * radius, 0.5 * half], [0.75 * radius, 2 * half]]))
    solid = cut(lathe(flat), hole).rotate((90, 0, 0))
    return join([solid, block((0.014, 0.06, 0.4 * half)).translate((0, 0.05, 0))])


def _propeller(rng: Rng, radius: float) -> Solid:
    """Blades and a spinner about z."""
    blade = (
        block((0.12 * radius + 0.012, radius / 2, 0.012))
        .rotate((0, 20, 0))
        .translate((0, radius / 2, 0))
    )
    num = int(rng.integers(2, 5))
    blades = join(blade.rotate((0, 0, 360 * i / num)) for i in range(num))
    return join([blades, ball((0.05, 0.05, 0.08))])

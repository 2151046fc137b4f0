"""Things to sit and lie on: chairs, benches, sofas, beds.

The sitter looks along +Z; lengths are metres before normalisation.
"""

from __future__ import annotations

import itertools

import numpy as np

from geoflow_datasets.universe.details import Rng, bars, cushion, leg, turned, wheel
from geoflow_datasets.universe.forms import (
    Array,
    Solid,
    around,
    block,
    both_sides,
    curve,
    join,
    plate,
    ring,
    row,
    sheet,
    sweep,
    tube,
)


def chair(rng: Rng) -> Solid:
    """A seat and a back on legs, a shell, a bent tube, or a sling; with arms or none."""
    x, z, height = rng.uniform(0.19, 0.3), rng.uniform(0.18, 0.28), rng.uniform(0.35, 0.55)
    rise, board = rng.uniform(0.3, 0.65), rng.uniform(0.02, 0.07)
    kind = rng.choice(["built", "shell", "tubes", "soft"], p=[0.5, 0.2, 0.15, 0.15])
    if kind == "tubes":
        return _cantilever(rng, x, z, height, rise)
    parts = []
    if kind == "shell":
        parts.append(_shell(rng, x, z, rise, board).translate((0, height, 0)))
    else:
        seat = _seat(rng, x, z, board if kind == "built" else rng.uniform(0.08, 0.2))
        rear = _back(rng, 0.97 * x, rise, soft=kind == "soft")
        parts += [seat.translate((0, height, 0)), rear.translate((0, height, -z + 0.02))]
    parts.append(_under(rng, x, z, height))
    if rng.random() < 0.4:
        parts.append(both_sides(_arm(rng, x, z).translate((0, height, 0))))
    return join(parts)


def bench(rng: Rng) -> Solid:
    """A long seat of a board, slats or upholstery, with a back or none."""
    x, z, height = rng.uniform(0.45, 1.1), rng.uniform(0.15, 0.3), rng.uniform(0.35, 0.5)
    kind, board = rng.integers(3), rng.uniform(0.03, 0.08)
    if kind == 0:
        seat = row(block((x, board / 2, 0.8 * z / 4)), 4, (0, 0, 2 * z / 4))
        seat = join([seat, both_sides(block((0.03, 0.03, z)).translate((0.8 * x, -board / 2, 0)))])
    else:
        seat = block((x, board / 2, z), 0.3 * board) if kind == 1 else cushion(rng, x, 0.08, z)
    parts = [seat.translate((0, height, 0)), _supports(rng, x, z, height)]
    if rng.random() < 0.55:
        parts.append(_back(rng, x, rng.uniform(0.3, 0.55), soft=False)
                     .translate((0, height, -z + 0.03)))  # fmt: skip
    if rng.random() < 0.4:
        parts.append(both_sides(_arm(rng, x, z).translate((0, height, 0))))
    return join(parts)


def sofa(rng: Rng) -> Solid:
    """A base, seats, backs and arms of upholstery or on a frame; perhaps with a corner."""
    seats, each = int(rng.integers(1, 4)), rng.uniform(0.5, 0.7)
    x, z = seats * each / 2, rng.uniform(0.35, 0.5)
    lift, base, full = rng.choice([0.0, rng.uniform(0.06, 0.2)]), rng.uniform(0.1, 0.25), 0.0
    low = lift + base
    soft = [cushion(rng, 0.5 * each - 0.004, rng.uniform(0.06, 0.1), z - 0.03) for _ in range(2)]
    seat = row(soft[0], seats, (each, 0, 0)).translate((0, low + 0.05, 0.03))
    rise, thick = rng.uniform(0.22, 0.45), rng.uniform(0.06, 0.13)
    rests = row(cushion(rng, 0.5 * each - 0.004, rise, thick), seats, (each, 0, 0))
    rests = rests.rotate((-rng.uniform(0, 16), 0, 0)).translate((0, low + rise, -z + 2.2 * thick))
    parts = [block((x, base / 2, z), 0.03).translate((0, lift + base / 2, 0)), seat, rests]
    top = low + rise * rng.uniform(1.0, 1.7)
    parts.append(block((x, (top - lift) / 2, thick), rng.uniform(0.1, 0.9) * thick)
                 .translate((0, (top + lift) / 2, -z + thick)))  # fmt: skip
    if rng.random() < 0.85:
        wide, tall = rng.uniform(0.04, 0.14), rng.uniform(0.1, 0.45)
        arm = block((wide, (low + tall - lift) / 2, z), rng.uniform(0.1, 0.95) * wide)
        arm = arm.translate((x + wide, (low + tall + lift) / 2, 0))
        if rng.random() < 0.3:  # A roll on top.
            roll = tube([(0, 0, -z), (0, 0, z)], 1.3 * wide, num=2)
            arm = join([arm, roll.translate((x + wide, low + tall, 0))])
        parts.append(both_sides(arm))
        full = 2 * wide
    if lift:
        foot = leg(rng, np.array([x + full - 0.06, lift + 0.03, z - 0.06]),
                   np.array([x + full - 0.05, 0, z - 0.05]), rng.uniform(0.018, 0.04))  # fmt: skip
        parts.append(both_sides(both_sides(foot), 2))
    if seats == 3 and rng.random() < 0.3:
        reach = rng.uniform(0.25, 0.45)
        corner = join([
            block((each / 2, base / 2, reach), 0.03).translate((0, lift + base / 2, 0)),
            cushion(rng, each / 2, 0.08, reach).translate((0, low + 0.05, 0)),
        ])  # fmt: skip
        parts.append(corner.translate((rng.choice([-1, 1]) * (x - each / 2), 0, z + reach - 0.03)))
    return join(parts)


def bed(rng: Rng) -> Solid:
    """A mattress on a frame, with a head and a foot, pillows, a cover; perhaps two storeys."""
    x, z = rng.uniform(0.4, 1.0), rng.uniform(0.9, 1.1)
    low, side, thick = rng.uniform(0.12, 0.4), rng.uniform(0.06, 0.2), rng.uniform(0.08, 0.22)
    frame = block((x, side / 2, z), 0.01).translate((0, low, 0))
    lying = join([frame, cushion(rng, 0.97 * x, thick / 2, 0.97 * z)
                  .translate((0, low + side / 2 + 0.4 * thick, 0))])  # fmt: skip
    top = low + side / 2 + thick
    extra = []
    for shift in [-0.5, 0.5] if x > 0.6 else [0.0]:
        size = (min(0.4 * x if shift else 0.7 * x, 0.35), 0.06, 0.2)
        extra.append(cushion(rng, *size).translate((shift * x, top, -z + 0.25)))
    if rng.random() < 0.5:
        fall = rng.uniform(0.1, 0.6) * top
        cover = block((x + 0.03, (fall + 0.02) / 2, rng.uniform(0.5, 0.8) * z), 0.02)
        extra.append(cover.translate((0, top + 0.02 - fall / 2, 0.25 * z)))
    rise = rng.uniform(0.2, 0.8)
    head = _back(rng, x, rise + low, soft=rng.random() < 0.2).translate((0, 0.02, -z))
    parts = [lying, *(extra if rng.random() < 0.8 else []), head]
    if rng.random() < 0.5:
        parts.append(_back(rng, x, low + rng.uniform(0.1, 0.4), soft=False).translate((0, 0.02, z)))
    foot = block((0.035, low / 2 + 0.02, 0.035)).translate((x - 0.04, low / 2, z - 0.04))
    parts.append(both_sides(both_sides(foot), 2))
    if x < 0.6 and rng.random() < 0.2:
        up = rng.uniform(0.8, 1.1)
        posts = block((0.035, (up + top) / 2, 0.035)).translate((x, (up + top) / 2, z))
        ladder = bars(rng, 0.2, up / 2, 0.018).translate((x - 0.25, up / 2 + low, z))
        parts += [lying.translate((0, up, 0)), both_sides(both_sides(posts), 2), ladder]
    return join(parts)


def _seat(rng: Rng, x: float, z: float, thickness: float) -> Solid:
    kind = rng.integers(4)
    if kind == 0:
        return block((x, thickness / 2, z), rng.uniform(0, 0.95) * thickness / 2)
    if kind == 1:
        return cushion(rng, x, max(thickness, 0.05) / 2, z)
    if kind == 2:
        narrow = rng.uniform(0.75, 1.0)
        flat = [[-x, -z], [x, -z], [narrow * x, z], [-narrow * x, z]]
        return plate(np.asarray(flat), thickness).rotate((90, 0, 0))
    return plate(ring(24, rng.uniform(0.4, 1.0)) * [x, z], thickness).rotate((90, 0, 0))


def _back(rng: Rng, x: float, rise: float, *, soft: bool) -> Solid:
    """A back of half width x from y = 0 up: a bent board, bars, a cushion, a bow or a frame."""
    lean, board = rng.uniform(-20, 0), rng.uniform(0.02, 0.05)
    kind = "cushion" if soft else rng.choice(["board", "bars", "slats", "bow", "frame"])
    if kind == "cushion":
        solid = cushion(rng, x, rise / 2 + 0.02, rng.uniform(0.03, 0.1)).translate((0, rise / 2, 0))
    elif kind == "board":
        bow, gap = rng.uniform(0, 0.35) * x, rng.choice([0.0, 0.3 * rise])
        u, v = np.meshgrid(np.linspace(-1, 1, 11), np.linspace(0, 1, 8), indexing="ij")
        narrow = 1 - rng.uniform(-0.1, 0.4) * v
        wave = rng.uniform(-0.1, 0.1) * rise * np.sin(np.pi * v)
        solid = sheet(np.stack([x * u * narrow, gap - 0.02 + (rise - gap + 0.02) * v,
                                bow * u**2 + wave], -1), board)  # fmt: skip
        if gap:
            post = block((0.018, 0.6 * gap + 0.03, 0.014)).translate((0.5 * x, 0.5 * gap, bow / 4))
            solid = join([solid, both_sides(post)])
    elif kind == "bow":
        points = [
            (-x, -0.03, 0),
            (-x, 0.6 * rise, 0),
            (0, rise, 0),
            (x, 0.6 * rise, 0),
            (x, -0.03, 0),
        ]
        size = rng.uniform(0.012, 0.022)
        num = int(rng.integers(2, 7))
        rods = [tube([(u * x, -0.03, 0), (u * x, rise * (1 - 0.4 * u * u) - 0.01, 0)], 0.01, num=2)
                for u in np.linspace(-0.7, 0.7, num)]  # fmt: skip
        solid = join([tube(points, size, num=28), *rods])
    else:
        size = rng.uniform(0.012, 0.024)
        post = leg(
            rng, np.array([x, rise, 0]), np.array([x, -0.03, 0]), size, style=int(rng.integers(3))
        )
        rail = rng.uniform(0.02, 0.09)
        parts = [
            both_sides(post),
            block((x + size, rail, size), 0.4 * size).translate((0, rise - rail / 2, 0)),
        ]
        if kind == "bars":
            num = int(rng.integers(1, 7))
            wide = rng.uniform(0.01, 0.5 * x / num + 0.01)
            one = block((wide, rise / 2 + 0.015, 0.7 * size)).translate((0, rise / 2 - 0.01, 0))
            parts.append(row(one, num, (1.7 * x / num, 0, 0)))
        elif kind == "slats":
            num = int(rng.integers(1, 6))
            parts.append(row(block((x, 0.3 * rise / num, 0.7 * size)), num, (0, rise / num, 0))
                         .translate((0, rise / 2, 0)))  # fmt: skip
        else:
            parts.append(block((x, 0.35 * rise, 0.6 * size)).translate((0, 0.6 * rise, 0)))
        solid = join(parts)
    return solid.rotate((lean, 0, 0))


def _shell(rng: Rng, x: float, z: float, rise: float, board: float) -> Solid:
    """One sheet that is seat and back, its sides turned up to arms or not."""
    profile = np.array([[0.04, z], [0.0, 0.5 * z], [0.0, -0.6 * z], [0.18 * rise, -z],
                        [0.6 * rise, -z - rng.uniform(0.02, 0.1)],
                        [rise, -z - rng.uniform(0.0, 0.22)]])  # fmt: skip
    spine = curve(profile, 22)
    u = np.linspace(-1, 1, 15)
    along = np.linspace(0, 1, 22)
    wide = x * (1 - rng.uniform(0, 0.35) * along**2)
    cup = rng.uniform(0.02, 0.3) * np.sin(np.pi * np.clip(along * rng.uniform(0.8, 1.2), 0, 1))
    lift = cup[:, None] * np.abs(u) ** rng.uniform(2, 4)
    # The sides rise across the sheet: up over the seat, forward along the back.
    turn = np.clip((along - 0.35) / 0.35, 0, 1)[:, None]
    points = np.stack([wide[:, None] * u, spine[:, :1] + lift * (1 - turn),
                       spine[:, 1:] + lift * turn], -1)  # fmt: skip
    return sheet(points, max(0.6 * board, 0.016))


def _under(rng: Rng, x: float, z: float, height: float) -> Solid:
    """What a seat of half extents stands on."""
    kind = rng.choice(["legs", "star", "column", "sled", "cross"], p=[0.58, 0.14, 0.1, 0.1, 0.08])
    size = rng.uniform(0.012, 0.03)
    if kind == "legs":
        return _supports(rng, x, z, height)
    if kind == "star":
        num, reach = int(rng.choice([3, 4, 5, 6])), rng.uniform(0.22, 0.34)
        arm = tube(
            [(0, 0.1, 0), (0, 0.08, 0.5 * reach), (0, 0.05, reach)], 0.7 * size + 0.008, num=6
        )
        caster = wheel(rng, 0.03, 0.014).translate((0, 0.03, reach)) if rng.random() < 0.6 else None
        one = arm if caster is None else join([arm, caster])
        return join([around(one, num), turned(rng, height - 0.08, 0.035).translate((0, 0.08, 0))])
    if kind == "column":
        foot = turned(rng, 0.05, rng.uniform(0.18, 0.28), least=0.6)
        return join([foot, turned(rng, height, rng.uniform(0.03, 0.08), least=0.5)])
    if kind == "sled":
        path = np.array([[0, height, 0.8 * z], [0, size, z], [0, size, -z], [0, height, -0.8 * z]])
        side = sweep(_rounded(path), size * ring(10))
        parts = [both_sides(side.translate((0.85 * x, 0, 0)))]
        parts.append(
            row(block((0.85 * x, size, size)), 2, (0, 0, 1.5 * z)).translate((0, height - 0.02, 0))
        )
        return join(parts)
    one = tube([(0.9 * x, height, z), (0.9 * x, 0, -z)], size, num=2)
    two = tube([(0.82 * x, height, -z), (0.82 * x, 0, z)], size, num=2)
    bar = block((0.86 * x, size, size)).translate((0, height / 2, 0))
    low = row(block((0.86 * x, size, size)), 2, (0, 0, 1.8 * z)).translate((0, height - 0.03, 0))
    return join([both_sides(join([one, two])), bar, low])


def _supports(rng: Rng, x: float, z: float, height: float) -> Solid:
    """Four legs of a style, or two panels, with rails between them or none."""
    if rng.random() < 0.15:
        side = block((rng.uniform(0.015, 0.04), height / 2, z)).translate((0.9 * x, height / 2, 0))
        return both_sides(side)
    size, inset = rng.uniform(0.012, 0.032), rng.uniform(0.75, 0.95)
    start = np.array([inset * x, height, inset * z])
    end = np.array(
        [min(inset * rng.uniform(0.95, 1.25), 1.2) * x, 0, inset * rng.uniform(0.95, 1.25) * z]
    )
    one = leg(rng, start, end, size)
    parts = [both_sides(both_sides(one), 2)]
    if rng.random() < 0.5:
        level = rng.uniform(0.15, 0.95)
        place = end + (start - end) * level
        thick = rng.uniform(0.5, 1.0) * size
        parts.append(both_sides(block((thick, thick, place[2])).translate((place[0], place[1], 0))))
        if rng.random() < 0.5:
            parts.append(block((place[0], thick, thick)).translate((0, place[1], 0)))
        else:
            parts.append(
                both_sides(block((place[0], thick, thick)).translate((0, place[1], place[2])), 2)
            )
    return join(parts)


def _arm(rng: Rng, x: float, z: float) -> Solid:
    """The right arm above a seat at y = 0."""
    rise, size = rng.uniform(0.14, 0.28), rng.uniform(0.012, 0.03)
    kind = rng.integers(3)
    if kind == 0:
        path = np.array([[x, -0.02, 0.7 * z], [x, rise, 0.75 * z], [x, rise, -z]])
        return sweep(_rounded(path), size * ring(10, rng.choice([1.0, 0.3])))
    rest = block((1.8 * size, size, z), 0.8 * size).translate((x, rise, 0))
    if kind == 1:
        post = leg(rng, np.array([x, rise, 0.7 * z]), np.array([x, -0.02, 0.7 * z]), size)
        return join([rest, post])
    panel = block((max(size, 0.02), rise / 2 + 0.02, 0.95 * z)).translate((x, rise / 2 - 0.01, 0))
    return join([rest, panel])


def _cantilever(rng: Rng, x: float, z: float, height: float, rise: float) -> Solid:
    """A bent tube from the back down over the seat to the floor, with slings or boards."""
    size = rng.uniform(0.011, 0.02)
    side = np.array([[0, height + rise, -z - rng.uniform(0, 0.15)], [0, height + 0.05, -z],
                     [0, height, -0.8 * z], [0, height, z], [0, height - 0.05, 1.05 * z],
                     [0, 0.05, 1.05 * z], [0, size, z], [0, size, -z]])  # fmt: skip
    path = _rounded(side)
    parts = [both_sides(sweep(path, size * ring(10)).translate((x, 0, 0)))]
    parts.append(block((x, size, size)).translate((0, size, -z)))
    u = np.linspace(-1, 1, 9)
    for low, high in ((0.04, 0.42), (0.55, 0.97)) if rng.random() < 0.8 else ((0.03, 0.97),):
        upper = curve(side[:4], 24)
        part = upper[int(low * 23) : int(high * 23) + 1]
        sag = rng.uniform(0, 0.05)
        points = part[:, None] + np.stack([x * u, -sag * (1 - u**2), 0 * u], -1)[None]
        parts.append(sheet(points, rng.uniform(0.016, 0.05)))
    if rng.random() < 0.4:
        parts.append(both_sides(_arm(rng, x, z).translate((0, height, 0))))
    return join(parts)


def _rounded(points: Array) -> Array:
    """A path with its corners rounded a little."""
    inner = [p + (q - p) * u for p, q in itertools.pairwise(points) for u in (0.12, 0.5, 0.88)]
    return curve(np.asarray([points[0], *inner, points[-1]]), 6 * len(points))

"""Parts that many things share: lumps, legs, outlines, tops, drawers, bars, wheels, leaves."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.forms import (
    Array,
    Solid,
    ball,
    block,
    curve,
    cut,
    join,
    lathe,
    loft,
    plate,
    ring,
    rod,
    row,
    sheet,
    sweep,
    tube,
)

Rng = np.random.Generator


def thin(rng: Rng) -> float:
    """Thickness of a board, rod or sheet, as real ones are spread: 0.018 to 0.12."""
    return float(np.exp(rng.uniform(np.log(0.018), np.log(0.12))))


def lump(rng: Rng, half: Array) -> Solid:
    """A compact part within half extents."""
    x, y, z = half
    kind = rng.choice(["block", "round", "ball", "turned", "prism", "wedge"],
                      p=[0.36, 0.24, 0.13, 0.12, 0.09, 0.06])  # fmt: skip
    if kind == "block":
        return block(half)
    if kind == "round":
        return block(half, rng.uniform(0.1, 0.95) * min(half))
    if kind == "ball":
        return ball(half, powers=(rng.uniform(0.2, 1.4), rng.uniform(0.2, 1.4)))
    if kind == "turned":
        return turned(rng, 1.0, 1.0).translate((0, -0.5, 0)).scale((x, 2 * y, z))
    if kind == "prism":
        solid = plate(outline(rng), 2.0).rotate((90, 0, 0))
        return solid.scale((x, y, z))
    slope = rng.uniform(0.1, 0.9)
    section = np.array([[-1, -1], [1, -1], [1, -1 + 2 * slope], [-1, 1]])
    return plate(section, 2.0).rotate((0, 90 * int(rng.integers(4)), 0)).scale((x, y, z))


def turned(rng: Rng, height: float, radius: float, *, least: float = 0.3) -> Solid:
    """A turned post from y = 0 up, its outline steps, curves or both."""
    num = int(rng.integers(2, 7))
    level = np.sort(rng.uniform(0, 1, num))
    level[0], level[-1] = 0.0, 1.0
    width = rng.uniform(least, 1.0, num)
    profile = np.stack([width / width.max(), level], -1)
    if rng.random() < 0.6:
        profile = curve(profile, 24)
        profile[:, 0] = np.clip(profile[:, 0], 0.5 * least, 1.0)
        profile[:, 1] = np.maximum.accumulate(np.clip(profile[:, 1], 0, 1)) + 1e-5 * np.arange(24)
    elif rng.random() < 0.5:  # Steps: each width holds until the next begins.
        profile = np.repeat(profile, 2, 0)[:-1]
        profile[1::2, 1] = profile[2::2, 1] - 1e-4
    power = rng.uniform(0.2, 0.5) if rng.random() < 0.2 else 1.0
    return lathe(profile * [radius, height], power=power)


def outline(rng: Rng) -> Array:
    """A simple outline within half extents of 1."""
    kind = rng.choice(["round", "regular", "blob", "star", "notch", "arch"])
    if kind == "round":
        return ring(28, float(rng.uniform(0.25, 1.3)))
    if kind == "regular":
        return ring(int(rng.integers(3, 9)))
    if kind == "blob":
        turn = np.linspace(0, 2 * np.pi, 7, endpoint=False)
        points = rng.uniform(0.5, 1.0, (7, 1)) * np.stack([np.cos(turn), np.sin(turn)], -1)
        return curve(points, 32, closed=True)
    if kind == "star":
        flat = ring(2 * int(rng.integers(4, 12)))
        flat[::2] *= rng.uniform(0.5, 0.9)
        return flat
    if kind == "notch":
        a, b = rng.uniform(-0.4, 0.6, 2)
        shape = [[-1, -1], [1, -1], [1, a], [b, a], [b, 1], [-1, 1]]
        if rng.random() >= 0.6:
            shape = [[-1, -1], [1, -1], [1, 1], [0.6, 1], [0.6, a], [-0.6, a], [-0.6, 1], [-1, 1]]
        return np.asarray(shape)
    turn = np.linspace(0, np.pi, 14)
    low, rise = rng.uniform(-0.9, 0.6), rng.uniform(0.2, 1.0)
    arch = np.stack([np.cos(turn), low + min(rise, 1 - low) * np.sin(turn)], -1)
    return np.concatenate([[[-1, -1], [1, -1]], arch])


def top(rng: Rng, x: float, z: float, thickness: float) -> Solid:
    """A flat board about the origin: square, round, free, curved or upholstered."""
    kind = rng.choice(["board", "soft", "shape", "dish", "tray"], p=[0.4, 0.2, 0.2, 0.12, 0.08])
    half = thickness / 2
    if kind == "board":
        return block((x, half, z), rng.choice([0.0, 0.5, 0.95]) * half)
    if kind == "soft":
        return cushion(rng, x, max(thickness, 0.08) / 2 * rng.uniform(1, 2), z)
    if kind == "shape":
        return plate(outline(rng), thickness).rotate((90, 0, 0)).scale((x, 1, z))
    if kind == "dish":
        deep = rng.uniform(-0.25, 0.25)
        grid = _grid(11)
        rise = deep * (grid[..., 0] ** 2 + rng.choice([0.0, 1.0]) * grid[..., 1] ** 2)
        return sheet(np.stack([x * grid[..., 0], rise, z * grid[..., 1]], -1), thickness)
    rim = rng.uniform(1.5, 4) * thickness
    hollow = block((x - thickness, rim, z - thickness)).translate((0, half + rim, 0))
    return cut(block((x, half + rim / 2, z)).translate((0, rim / 2, 0)), hollow)


def cushion(rng: Rng, x: float, y: float, z: float) -> Solid:
    """A block with full sides, as upholstery is."""
    if rng.random() < 0.4:
        return block((x, y, z), 0.95 * min(x, y, z))
    full = rng.uniform(0.1, 0.5)
    return ball((x, y, z), powers=(full + 0.2, rng.uniform(0.15, 0.4)))


def leg(rng: Rng, start: Array, end: Array, radius: float, *, style: int | None = None) -> Solid:
    """A post from start down to end: round, square, flat, tapered, turned or bent."""
    style = int(rng.integers(7)) if style is None else style
    tip = rng.uniform(0.45, 1.1)
    if style == 0:
        return rod(start, end, radius * ring(14))
    if style == 1:
        return rod(start, end, radius * ring(4) * np.sqrt(2), tip=tip)
    if style == 2:
        return rod(start, end, radius * ring(14), tip=tip)
    if style == 3:
        flat = np.array([1.0, rng.uniform(0.3, 0.6)]) * rng.permutation([1.0, 1.0])
        return rod(start, end, 1.4 * radius * ring(4) * np.sqrt(2) * flat)
    if style == 4:
        path = np.linspace(start, end, 20)
        place = np.linspace(0, 2 * np.pi * rng.uniform(0.5, 3), 20)
        return sweep(path, radius * ring(14), scale=0.8 + 0.35 * np.sin(place + rng.uniform(0, 6)))
    swing = rng.normal(0, 0.12, 3) * np.linalg.norm(end - start)
    third = start + (end - start) / 3
    points = np.stack([start, third + swing, third * 2 - start - 0.6 * swing, end])
    if style == 5:
        return tube(points, radius, tip=tip)
    return sweep(curve(points, 14), radius * ring(4) * np.sqrt(2), scale=np.linspace(1, tip, 14))


def drawers(rng: Rng, x: float, y: float, depth: float, num: int) -> Solid:
    """A column of fronts with handles in the plane z = 0, within half extents x and y."""
    gap = rng.uniform(0.01, 0.03)
    half = y / num
    out = rng.uniform(0.01, 0.03) + depth
    front = block((x - gap, half - gap, out / 2), rng.choice([0.0, 0.4]) * gap).translate(
        (0, 0, out / 2)
    )
    knob = handle(rng, min(0.6 * x, 0.25)).translate((0, 0, out))
    return row(join([front, knob]), num, (0, 2 * half, 0))


def handle(rng: Rng, half: float) -> Solid:
    """A knob, bar or bow on the plane z = 0."""
    size = rng.uniform(0.012, 0.025)
    kind = rng.integers(3)
    if kind == 0:
        return ball((1.6 * size, 1.6 * size, 1.6 * size)).translate((0, 0, 1.2 * size))
    if kind == 1:
        return block((half, size, 1.5 * size), 0.5 * size).translate((0, 0, size))
    out = 4 * size
    return tube(
        [(-half, 0, -size), (-0.9 * half, 0, out), (0.9 * half, 0, out), (half, 0, -size)], size
    )


def bars(rng: Rng, x: float, y: float, size: float) -> Solid:
    """Upright or level bars, a grille or slats, within half extents in the plane z = 0."""
    num = int(rng.integers(2, 11))
    kind = rng.integers(4)
    flat = rng.uniform(0.3, 2.5) * size
    if kind == 0:
        return row(block((size, y, flat)), num, (2 * x / num, 0, 0))
    if kind == 1:
        return row(block((x, size, flat)), num, (0, 2 * y / num, 0))
    if kind == 2:
        upright = row(block((size, y, size)), num, (2 * x / num, 0, 0))
        level = row(block((x, size, size)), int(rng.integers(2, 8)), (0, 2 * y / num, 0))
        return join([upright, level])
    rods = [leg(rng, np.array([u * x, y, 0]), np.array([u * x, -y, 0]), size, style=4)
            for u in np.linspace(-0.9, 0.9, num)]  # fmt: skip
    return join(rods)


def wheel(rng: Rng, radius: float, half: float) -> Solid:
    """A wheel about the x axis: a disc, a tyre with a hub, or spokes."""
    kind = rng.integers(3)
    if kind == 0:
        return lathe(np.array([[0.9, -half], [1.0, -0.7 * half], [1.0, 0.7 * half], [0.9, half]])
                     * [radius, 1]).rotate((0, 0, 90))  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    path = np.stack([0 * turn, np.cos(turn), np.sin(turn)], -1)
    width = min(half, 0.3 * radius)
    tyre = sweep((radius - width) * path, width * ring(10, 0.7), closed=True)
    if kind == 1:
        disc = lathe(np.array([[radius - width, -0.4 * half], [radius - width, 0.4 * half]]))
        return join([tyre, disc.rotate((0, 0, 90))])
    num, thickness = int(rng.integers(4, 11)), max(0.009, 0.06 * radius)
    spokes = [rod((0, 0, 0), (radius - width) * path[int(i)], thickness * ring(6))
              for i in np.linspace(0, 28, num, endpoint=False)]  # fmt: skip
    hub = lathe(np.array([[0.15 * radius, -half], [0.15 * radius, half]])).rotate((0, 0, 90))
    return join([tyre, hub, *spokes])


def leaf(rng: Rng, length: float, width: float, thickness: float) -> Solid:
    """A pointed, hanging sheet from the origin along +z."""
    along = np.linspace(0, 1, 8)[:, None]
    across = np.linspace(-1, 1, 4)[None]
    shape = np.sin(np.pi * np.clip(along, 0.05, 0.97)) ** rng.uniform(0.6, 1.2)
    fall = rng.uniform(0.0, 0.7)
    rise = length * (0.25 * along - fall * along**2) + 0.3 * width * shape * np.abs(across)
    points = np.stack([width * shape * across, rise, length * along + 0 * across], -1)
    return sheet(points, thickness)


def wing(root: float, tip: float, span: float, sweep_back: float, thickness: float) -> Solid:
    """A panel from x = 0 to the span, its chord along z, of a rounded section."""
    turn = 2 * np.pi * np.arange(14) / 14
    section = np.stack([0 * turn, thickness * np.sin(turn), 0.5 * np.cos(turn)], -1)
    ends = ((0.0, root, 0.0, 1.0), (span, tip, sweep_back, 0.6))
    rings = [section * [1, scale, chord] + [x, 0, -back] for x, chord, back, scale in ends]
    return loft(np.asarray(rings))


def _grid(num: int) -> Array:
    along = np.linspace(-1, 1, num)
    return np.stack(np.meshgrid(along, along, indexing="ij"), -1)

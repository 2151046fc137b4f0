"""Lamps, mugs and bottles."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.details import Rng, leg, lump, outline, turned
from geoflow_datasets.universe.forms import (
    Solid,
    around,
    ball,
    block,
    both_sides,
    curve,
    cut,
    join,
    lathe,
    plate,
    ring,
    sweep,
    tube,
)


def lamp(rng: Rng) -> Solid:
    """A standing, bent, jointed, hanging or wall lamp, or a chandelier."""
    kind = rng.choice(["stand", "arc", "desk", "hang", "wall", "arms"],
                      p=[0.35, 0.13, 0.17, 0.15, 0.08, 0.12])  # fmt: skip
    size = rng.uniform(0.016, 0.04)
    if kind == "stand":
        height = rng.uniform(0.3, 1.7)
        post = turned(
            rng, height, rng.uniform(0.03, 0.25) if height < 0.8 else 2 * size, least=0.35
        )
        shade = _shade(rng).translate((0, height - 0.02, 0))
        if rng.random() < 0.2:
            one = leg(rng, np.array([0, height, 0.02]), np.array([0, 0, 0.3]), size)
            return join([around(one, 3), shade])
        return join([post, _base(rng), shade])
    if kind == "arc":
        height, out = rng.uniform(0.8, 1.6), rng.uniform(0.4, 1.0)
        path = np.array([[0, 0], [0, 0.7], [0.5, 1], [1, 0.85]]) * [out, height]
        arc = tube(np.insert(path, 2, 0.0, axis=1), size, num=28)
        shade = _shade(rng, hangs=True).translate((out, 0.86 * height, 0))
        return join([arc, _base(rng), shade])
    if kind == "desk":
        a, b = rng.uniform(-0.3, 0.0), rng.uniform(0.25, 0.6)
        joints = np.array([[0, 0, 0], [a, 0.45, 0], [b, rng.uniform(0.55, 0.9), 0]])
        arms = [tube(joints[i : i + 2], size, num=2) for i in (0, 1)]
        knobs = [ball((2 * size,) * 3).translate(tuple(p)) for p in joints[1:]]
        head = _shade(rng, hangs=True).scale((0.6, 0.6, 0.6)).rotate((0, 0, rng.uniform(-10, 50)))
        return join([*arms, *knobs, _base(rng), head.translate(tuple(joints[2]))])
    if kind == "hang":
        drop = rng.uniform(0.3, 1.2)
        cord = tube([(0, 0, 0), (0, drop, 0)], 0.016, num=2)
        cap = turned(rng, 0.06, 0.1).translate((0, drop - 0.03, 0))
        return join([cord, cap, _shade(rng, hangs=True).translate((0, 0.02, 0))])
    if kind == "wall":
        plate_ = plate(outline(rng) * rng.uniform(0.08, 0.2, 2), 0.04)
        arm = tube([(0, 0, 0), (0, -0.05, 0.15), (0, 0.05, 0.28)], size, num=14)
        return join([plate_, arm, _shade(rng).scale((0.5, 0.5, 0.5)).translate((0, 0.03, 0.28))])
    num, reach = int(rng.integers(3, 9)), rng.uniform(0.25, 0.55)
    arm = tube([(0, 0, 0), (0, -0.12, 0.5 * reach), (0, 0.05, reach)], 0.7 * size + 0.005, num=14)
    end = _shade(rng).scale((0.35, 0.35, 0.35)).translate((0, 0.04, reach))
    stem = turned(rng, rng.uniform(0.3, 0.9), 0.06, least=0.25).translate((0, -0.1, 0))
    return join([stem, around(join([arm, end]), num)])


def mug(rng: Rng) -> Solid:
    """A cup, tumbler, jug or stemmed glass: hollow, with a handle, a saucer or a foot."""
    radius, height = rng.uniform(0.25, 0.5), rng.uniform(0.35, 1.1)
    wall = rng.uniform(0.025, 0.06)
    widths = radius * rng.uniform([0.5, 0.75, 0.8, 0.85], [1.0, 1.1, 1.1, 1.2])
    if rng.random() < 0.35:
        widths[:] = np.linspace(widths[0], widths[3], 4)
    outer = curve(np.stack([widths, np.linspace(0, height, 4)], -1), 18)
    power = rng.uniform(0.25, 0.6) if rng.random() < 0.12 else 1.0
    inner = outer - [wall, 0]
    inner[0, 1], inner[-1, 1] = rng.uniform(1, 2.5) * wall, height + 0.02
    inner = inner[inner[:, 1] >= inner[0, 1]]
    hollow = lathe(inner, power=power)
    parts = [lathe(outer, power=power)]
    if rng.random() < 0.75:
        low, high = rng.uniform(0.1, 0.35) * height, rng.uniform(0.65, 0.95) * height
        edge = np.interp([low, high], outer[:, 1], outer[:, 0]) - 0.6 * wall
        out = rng.uniform(0.14, 0.32)
        flat = np.array([1.0, rng.uniform(0.5, 1.6)])
        middle = (low + high) / 2
        path = np.array([[edge[0], low], [edge[0] + 0.8 * out, low], [edge[0] + out, middle],
                         [edge[1] + 0.7 * out, high], [edge[1], high]])  # fmt: skip
        grip = sweep(
            curve(np.insert(path, 2, 0.0, axis=1), 26), rng.uniform(0.03, 0.055) * ring(10) * flat
        )
        parts.append(grip if rng.random() < 0.88 else both_sides(grip))
    if rng.random() < 0.12:
        lip = tube(
            [(-0.8 * widths[3], 0.8 * height, 0), (-widths[3] - 0.1, height, 0)],
            0.09,
            num=6,
            tip=0.6,
        )
        parts.append(lip)
    solid = cut(join(parts), hollow)
    extra = []
    if rng.random() < 0.18:
        stem = rng.uniform(0.2, 0.6)
        foot = np.array([[0.45, 0], [0.4, 0.04], [0.06, 0.1], [0.05, stem],
                         [0.9 * widths[0], stem + 0.06]]) * [2 * radius, 1]  # fmt: skip
        extra.append(lathe(curve(foot, 20)).translate((0, -stem - 0.02, 0)))
    elif rng.random() < 0.2:
        saucer = np.array([[0.5, -0.04], [1.5, 0.05], [1.55, 0.09], [0.6, 0.02]]) * [radius, 1]
        extra.append(lathe(saucer).translate((0, -0.01, 0)))
    return join([solid, *extra])


def bottle(rng: Rng) -> Solid:
    """A bottle, flask, jar, can or spray: body, shoulder, neck and cap, round or square."""
    radius, body = rng.uniform(0.14, 0.42), rng.uniform(0.4, 1.3)
    neck, rise = rng.uniform(0.2, 0.85) * radius, rng.uniform(0.04, 0.5)
    shoulder = rng.uniform(0.03, 0.35)
    waist = radius * rng.uniform(0.75, 1.0) if rng.random() < 0.3 else radius
    profile = [[0.8 * radius, 0], [radius, 0.05], [waist, 0.5 * body], [radius, body]]
    steps = np.linspace(0, np.pi / 2, 7)[1:]
    if rng.random() < 0.6:  # A round shoulder, or a straight one.
        profile += [
            [neck + (radius - neck) * np.cos(a), body + shoulder * np.sin(a)] for a in steps
        ]
    else:
        profile += [[neck, body + shoulder]]
    profile += [[neck * rng.uniform(0.7, 1.0), body + shoulder + rise]]
    power = rng.uniform(0.15, 0.5) if rng.random() < 0.25 else 1.0
    solid = lathe(np.asarray(profile), power=power)
    flat = rng.uniform(0.35, 0.9) if rng.random() < 0.35 else 1.0
    solid = solid.scale((1, 1, flat))
    top = body + shoulder + rise
    parts = [solid]
    kind = rng.choice(["none", "cap", "cork", "pump", "ring"], p=[0.25, 0.35, 0.1, 0.15, 0.15])
    if kind == "cap":
        deep = rng.uniform(0.05, 0.25)
        cap = np.array([[1.25, -0.5 * deep], [1.25, 0.4 * deep], [1.1, 0.5 * deep]]) * [neck, 1]
        parts.append(lathe(cap).translate((0, top, 0)))
    elif kind == "cork":
        parts.append(
            lathe(np.array([[0.7, -0.1], [0.85, 0.12]]) * [neck, 1]).translate((0, top, 0))
        )
    elif kind == "pump":
        head = block((0.7 * neck + 0.05, 0.05, 0.05), 0.03).translate((0.05, 0.2, 0))
        spout = tube([(0.05, 0.2, 0), (0.3, 0.2, 0), (0.34, 0.12, 0)], 0.03, num=8)
        stem = lathe(np.array([[0.5 * neck, -0.05], [0.5 * neck, 0.18]]))
        parts.append(join([head, spout, stem]).translate((0, top, 0)))
    elif kind == "ring":
        path = np.insert(1.05 * neck * ring(24), 1, 0.0, axis=1)
        parts.append(sweep(path, 0.035 * ring(8), closed=True).translate((0, top - 0.05, 0)))
    if rng.random() < 0.12:
        path = np.array([[0.7 * radius, 0.4 * body], [radius + 0.2, 0.5 * body],
                         [radius + 0.15, 0.95 * body],
                         [0.5 * neck, body + 0.6 * shoulder]])  # fmt: skip
        parts.append(tube(np.insert(path, 2, 0.0, axis=1), 0.045, num=20))
    solid = join(parts)
    if kind == "none" and rng.random() < 0.6:
        hole = lathe(np.array([[0.5 * neck, body], [0.6 * neck, top + 0.1]]))
        solid = cut(solid, hole.scale((1, 1, flat)))
    return solid


def _base(rng: Rng) -> Solid:
    """What a lamp stands on."""
    radius, rise = rng.uniform(0.12, 0.3), rng.uniform(0.02, 0.1)
    if rng.random() < 0.7:
        return turned(rng, rise, radius, least=0.5)
    return lump(rng, np.array([radius, rise / 2, radius])).translate((0, rise / 2, 0))


def _shade(rng: Rng, *, hangs: bool = False) -> Solid:
    """A shade with its bulb about the origin: a cone, drum, dome, globe or bare bulb."""
    radius, height = rng.uniform(0.12, 0.4), rng.uniform(0.12, 0.4)
    wall = rng.uniform(0.018, 0.03)
    bulb = ball((0.07, 0.1, 0.07)).translate((0, -0.06 if hangs else 0.08, 0))
    kind = rng.choice(["cone", "drum", "dome", "globe", "bulb"], p=[0.35, 0.2, 0.22, 0.13, 0.1])
    if kind == "globe":
        return ball((radius, height, radius)).translate(
            (0, -0.8 * height if hangs else 0.8 * height, 0)
        )
    if kind == "bulb":
        return bulb
    if kind == "dome":
        turn = np.linspace(0.08, np.pi / 2, 12)
        flat = np.stack([radius * np.sin(turn), -height * (1 - np.cos(turn))], -1)
        solid = lathe(flat[::-1])
        inside = lathe((flat - [wall, wall])[::-1] - [0, 0.01])
        return join([cut(solid, inside), bulb]).translate((0, 0.0 if hangs else height, 0))
    top = radius if kind == "drum" else radius * rng.uniform(0.3, 0.75)
    power = rng.uniform(0.2, 0.5) if rng.random() < 0.15 else 1.0
    flat = np.array([[radius, 0.0], [top, height]])
    inner = np.array([[radius - wall, -0.01], [top - wall, height + 0.01]])
    solid = cut(lathe(flat, power=power), lathe(inner, power=power))
    spider = around(block((0.011, 0.011, 0.5 * (top + radius - wall))), 2)
    spider = spider.translate((0, 0.6 * height, 0))
    level = -0.6 * height if hangs else 0.0
    stem = lathe(np.array([[0.03, level - 0.05], [0.03, level + 0.62 * height]]))
    return join([solid.translate((0, level, 0)), spider.translate((0, level, 0)), stem, bulb])

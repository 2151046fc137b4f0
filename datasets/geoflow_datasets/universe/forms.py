"""Solids to build with: closed meshes of rings, outlines and sheets, joined and cut exactly.

Lengths are those of the whole, whose longest half extent is about 1; +Y up. Booleans are those of
the manifold library, which are exact up to rounding and give closed meshes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from manifold3d import CrossSection, Manifold, Mesh64, OpType

Array: TypeAlias = np.ndarray
Solid: TypeAlias = Manifold
Vector: TypeAlias = Sequence[float] | np.ndarray

SEGMENTS = 20
"""Corners of a round section."""


def join(solids: Iterable[Solid]) -> Solid:
    """The union."""
    return Manifold.batch_boolean(list(solids), OpType.Add)


def cut(solid: Solid, *tools: Solid) -> Solid:
    """What the tools leave of a solid."""
    return Manifold.batch_boolean([solid, *tools], OpType.Subtract)


def both_sides(solid: Solid, axis: int = 0) -> Solid:
    """A solid with its mirror image across the plane where a coordinate is 0."""
    normal = np.eye(3)[axis]
    return join([solid, solid.mirror(tuple(normal))])


def around(solid: Solid, num: int, *, start: float = 0.0) -> Solid:
    """Copies turned about +Y by equal angles, the first by `start` degrees."""
    return join(solid.rotate((0, start + 360 * i / num, 0)) for i in range(num))


def row(solid: Solid, num: int, step: Vector) -> Solid:
    """Copies moved by multiples of a step, their middle where the solid was."""
    shift = np.asarray(step, dtype=float)
    return join(solid.translate(tuple(shift * (i - (num - 1) / 2))) for i in range(num))


def loft(rings: Float[Array, "r s 3"], *, closed: bool = False) -> Solid:
    """A solid between rings of corners; closed, the last ring meets the first.

    Ends are fans about the middle of their ring, which must see all of it.
    """
    count, size = rings.shape[:2]
    i = np.arange(count if closed else count - 1)[:, None] * size
    a = np.arange(size)[None]
    b = (a + 1) % size
    last = count * size
    quads = np.stack([i + a, i + b, i + size + b, i + size + a], -1).reshape(-1, 4)
    if closed:
        quads %= last
    faces = [quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
    vertices = [rings.reshape(-1, 3)]
    if not closed:
        end = (count - 1) * size
        faces.append(np.stack([b[0], a[0], np.full(size, last)], -1))
        faces.append(np.stack([end + a[0], end + b[0], np.full(size, last + 1)], -1))
        vertices += [rings[:1].mean(1), rings[-1:].mean(1)]
    return _solid(np.concatenate(vertices), np.concatenate(faces))


def sheet(points: Float[Array, "u v 3"], thickness: float | Float[Array, "u v"]) -> Solid:
    """A bent plate about a grid of points, as thick as is said."""
    along, across = (np.gradient(points, axis=axis) for axis in (0, 1))
    normals = np.cross(along, across)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    half = np.broadcast_to(np.asarray(thickness) / 2, points.shape[:2])[..., None] * normals
    rows, columns = points.shape[:2]
    top = np.arange(rows * columns).reshape(rows, columns)
    cells = np.stack([top[:-1, :-1], top[1:, :-1], top[1:, 1:], top[:-1, 1:]], -1).reshape(-1, 4)
    under = rows * columns
    edge = np.concatenate([top[0, :-1], top[:-1, -1], top[-1, :0:-1], top[:0:-1, 0]])
    after = np.roll(edge, -1)
    faces = [
        cells[:, [0, 1, 2]], cells[:, [0, 2, 3]],
        under + cells[:, [0, 2, 1]], under + cells[:, [0, 3, 2]],
        np.stack([edge, after, under + after], -1),
        np.stack([edge, under + after, under + edge], -1),
    ]  # fmt: skip
    sides = np.concatenate([(points + half).reshape(-1, 3), (points - half).reshape(-1, 3)])
    return _solid(sides, np.concatenate(faces))


def sweep(
    path: Float[Array, "r 3"],
    section: Float[Array, "s 2"],
    *,
    scale: Float[Array, " r"] | float = 1.0,
    closed: bool = False,
) -> Solid:
    """A section moved along a path without turning about it."""
    frames = _frames(path, closed=closed)
    size = np.broadcast_to(np.asarray(scale, dtype=float), (len(path),))
    x, y = size[:, None] * section[:, 0], size[:, None] * section[:, 1]
    rings = path[:, None] + x[..., None] * frames[:, None, 0] + y[..., None] * frames[:, None, 1]
    return loft(rings, closed=closed)


def lathe(profile: Float[Array, "r 2"], *, segments: int = 24, power: float = 1.0) -> Solid:
    """Rings of radius and height about +Y; a power below 1 makes them square."""
    outline = ring(segments, power)
    radius, height = np.maximum(profile[:, 0], 1e-4), profile[:, 1]
    rings = np.stack(
        [radius[:, None] * outline[:, 0], np.broadcast_to(height[:, None], (len(radius), segments)),
         radius[:, None] * outline[:, 1]], -1,
    )  # fmt: skip
    return loft(rings)


def ring(num: int = SEGMENTS, power: float = 1.0) -> Float[Array, "s 2"]:
    """A round outline of half extents 1; power 0.2 is nearly square, 2 a diamond, more a star."""
    # An odd offset keeps corners off the axes, where a square would lose its sides' middles.
    turn = 2 * np.pi * (np.arange(num) + 0.5) / num
    flat = np.stack([np.cos(turn), np.sin(turn)], -1)
    return np.asarray(np.sign(flat) * np.abs(flat) ** power)


def block(half: Vector, radius: float = 0.0) -> Solid:
    """A box about the origin, its edges rounded."""
    x, y, z = (float(value) for value in half)
    if radius <= 0.02 * min(x, y, z):
        return Manifold.cube((2 * x, 2 * y, 2 * z), True)
    radius = min(radius, 0.98 * min(x, y, z))
    turn = np.linspace(0, np.pi / 2, 4)
    corner = np.stack([np.cos(turn), np.sin(turn)], -1)
    outline = np.concatenate(
        [corner @ np.array([[c, s], [-s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    )
    centres = np.repeat([[1, 1], [-1, 1], [-1, -1], [1, -1]], 4, axis=0) * [x - radius, z - radius]
    inset = radius * np.concatenate([np.cos(turn)[::-1], np.cos(turn)])
    level = np.concatenate([-(y - radius) - radius * np.sin(turn)[::-1],
                            (y - radius) + radius * np.sin(turn)])  # fmt: skip
    flat = centres + np.maximum(inset, 1e-3 * radius)[:, None, None] * outline
    rings = np.stack(
        [flat[..., 0], np.broadcast_to(level[:, None], flat.shape[:2]), flat[..., 1]], -1
    )
    return loft(rings)


def ball(half: Vector, *, powers: tuple[float, float] = (1.0, 1.0)) -> Solid:
    """A superquadric: round for powers of 1, boxes below, pointed above.

    Reference: Barr, "Superquadrics and angle-preserving transformations", 1981.
    """
    turn = np.linspace(-np.pi / 2, np.pi / 2, 15)[1:-1]
    height = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** powers[0]
    profile = np.stack([np.cos(turn) ** powers[0], height], -1)
    return lathe(profile, power=powers[1]).scale(tuple(float(value) for value in half))


def plate(
    outline: Float[Array, "v 2"], depth: float, holes: Iterable[Float[Array, "h 2"]] = ()
) -> Solid:
    """An outline in x and y with holes, extruded to |z| <= depth / 2."""
    flat = CrossSection([outline])
    tools = [CrossSection([hole]) for hole in holes]
    if tools:
        flat = flat - CrossSection.batch_boolean(tools, OpType.Add)
    return flat.extrude(depth).translate((0, 0, -depth / 2))


def curve(points: Float[Array, "k d"], num: int, *, closed: bool = False) -> Float[Array, "n d"]:
    """A smooth curve through points.

    Reference: Catmull and Rom, "A class of local interpolating splines", 1974.
    """
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        first, last = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
        padded = np.concatenate([first[None], points, last[None]])
    spans = len(padded) - 3
    where = np.linspace(0, spans, num, endpoint=not closed)
    index = np.minimum(where.astype(int), spans - 1)
    u = (where - index)[:, None]
    a, b, c, d = (padded[index + k] for k in range(4))
    return np.asarray(
        b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)))
    )


def tube(
    points: Sequence[Vector] | Array, radius: float, *, num: int = 16, tip: float = 1.0
) -> Solid:
    """A round rod along a smooth curve; `tip` is its radius at the end, of that at the start."""
    path = curve(np.asarray(points, dtype=float), num)
    scale = np.linspace(1.0, tip, num)
    return sweep(path, radius * ring(12), scale=scale)


def rod(
    start: Vector,
    end: Vector,
    section: Array,
    *,
    tip: float = 1.0,
) -> Solid:
    """A straight bar of a section."""
    path = np.linspace(np.asarray(start, dtype=float), np.asarray(end, dtype=float), 2)
    return sweep(path, section, scale=np.array([1.0, tip]))


def _solid(vertices: Array, faces: Array) -> Solid:
    corners = vertices[faces]
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    if volume < 0:
        faces = faces[:, ::-1]
    return Manifold(Mesh64(np.ascontiguousarray(vertices), np.ascontiguousarray(faces, np.uint64)))


def _frames(path: Array, *, closed: bool) -> Float[Array, "r 2 3"]:
    """Two directions across the path at each point, moved along it without turning about it."""
    step = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    step = step / np.maximum(np.linalg.norm(step, axis=-1, keepdims=True), 1e-12)
    side = np.cross(step[0], np.eye(3)[np.abs(step[0]).argmin()])
    found = []
    for ahead in step:
        side = side - (side @ ahead) * ahead
        side = side / max(float(np.linalg.norm(side)), 1e-12)
        found.append((side, np.cross(ahead, side)))
    return np.asarray(found)

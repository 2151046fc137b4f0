"""Which side of each part of a mesh is its outside, and which parts bound a solid at all.

A part is what hangs together over edges of two faces. A closed part is a solid, however it is
wound. An open one faces the light; one that is as light on both sides is a sheet, and bounds
nothing but where one side is quite dark (see mesh_light). In the dark, where light tells nothing,
one that is all but closed is a solid as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from geoflow_datasets.mesh_light import Light, mesh_areas, mesh_normals, pieces

# A part is all but closed where its own winding number is so near to 1 behind it, and to 0 ahead,
# over such a share of its area; asked at so many points, so far off. Parts of fewer faces than a
# tetrahedron has are not asked: soups have many.
_UNSURE, _ENCLOSED = 0.1, 0.9
_PLACES, _STEP, _FEWEST = 500, 1e-3, 4


@dataclass(frozen=True)
class Parts:
    """The faces of a mesh, each part turned outward.

    Attributes:
        vertices: (v, 3).
        faces: (f, 3), all of them, without those that come twice; those of sheets are split.
        bounding: (f,), the faces that bound a solid, by whose winding number it is told.
        closed: (f,), those of closed parts.
        light: what the parts leave of it.
        num_parts: parts.
        num_closed: closed ones.
        num_inward: closed ones that the file winds inward.
        num_cavities: those that are cavities: inside another part and wound against it.
    """

    vertices: np.ndarray
    faces: np.ndarray
    bounding: np.ndarray
    closed: np.ndarray
    light: Light
    num_parts: int
    num_closed: int
    num_inward: int
    num_cavities: int


def winding(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Generalised winding number at (n, 3) points; 0 without faces.

    Reference: Barill et al., "Fast winding numbers for soups and clouds", 2018.
    """
    import point_cloud_utils as pcu

    if len(faces) == 0 or len(points) == 0:
        return np.zeros(len(points))
    # point-cloud-utils misreads a single point (as of 0.34), so that one is asked for twice.
    asked = np.repeat(points, 2, 0) if len(points) == 1 else points
    found = pcu.triangle_soup_fast_winding_number(
        vertices, np.ascontiguousarray(faces), np.ascontiguousarray(asked, dtype=np.float64)
    )
    return np.asarray(found)[: len(points)]


def orient(mesh: trimesh.Trimesh, *, keep_cavities: bool = False) -> Parts:
    """Turn each part of a mesh outward.

    Args:
        mesh: merged and normalised to a longest half extent of 1.
        keep_cavities: leave a closed part that is a cavity of another facing inward.
    """
    import point_cloud_utils as pcu

    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    given = _once(np.asarray(mesh.faces, dtype=np.int64))
    faces, part = pcu.orient_mesh_faces(np.ascontiguousarray(given))
    faces, part = np.array(faces, dtype=np.int64), np.unique(part, return_inverse=True)[1].ravel()
    num = int(part.max()) + 1
    closed = _closed(faces, part, num)
    corners = vertices[faces]
    volume = np.bincount(part, _volumes(corners), num)
    faces = _flipped(faces, (closed & (volume < 0))[part])
    # Turning by two corners keeps a face's first; the file's way is that of most of the area.
    same = np.where(_is_same_way(given, faces), 1.0, -1.0)
    inward = closed & (np.bincount(part, same * mesh_areas(corners), num) < 0)
    cavities = _cavities(vertices, faces, part, closed, inward, np.abs(volume))
    if keep_cavities:
        faces = _flipped(faces, cavities[part])
    light = Light(vertices, faces)
    vertices, faces, sheets, of_closed = _face_the_light(light, part, closed)
    return Parts(
        vertices, np.ascontiguousarray(faces), ~sheets, of_closed, light, num, int(closed.sum()),
        int(inward.sum()), int(cavities.sum()),
    )  # fmt: skip


def _once(faces: np.ndarray) -> np.ndarray:
    """Faces with three corners, each set of corners once: one of a sheet's two sides."""
    ordered = np.sort(faces, axis=1)
    proper = (ordered[:, 0] < ordered[:, 1]) & (ordered[:, 1] < ordered[:, 2])
    faces, ordered = faces[proper], ordered[proper]
    return faces[np.sort(np.unique(ordered, axis=0, return_index=True)[1])]


def _flipped(faces: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(chosen[:, None], faces[:, ::-1], faces)


def _is_same_way(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether faces of the same corners go round the same way."""
    turned = np.stack([np.roll(second, k, axis=1) for k in range(3)])
    return np.asarray((turned == first).all(-1).any(0))


def _volumes(corners: np.ndarray) -> np.ndarray:
    """Signed volumes of the tetrahedra from the origin."""
    return np.asarray(
        np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    )


def _closed(faces: np.ndarray, part: np.ndarray, num: int) -> np.ndarray:
    """Parts each of whose edges is met as often in one direction as in the other."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    forward = np.where(edges[:, 0] < edges[:, 1], 1, -1)
    keys = np.column_stack([np.repeat(part, 3), np.sort(edges, axis=1)])
    unique, which = np.unique(keys, axis=0, return_inverse=True)
    balance = np.bincount(which.ravel(), forward, len(unique))
    return np.bincount(unique[:, 0], balance != 0, num) == 0


def _split(faces: np.ndarray, part: np.ndarray) -> list[np.ndarray]:
    """The faces of each part."""
    by_part = np.argsort(part, kind="stable")
    return np.split(faces[by_part], np.cumsum(np.bincount(part))[:-1])


def _cavities(
    vertices: np.ndarray, faces: np.ndarray, part: np.ndarray, closed: np.ndarray,
    inward: np.ndarray, volume: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Closed parts inside a larger one that the file winds the other way."""
    found = np.zeros(len(closed), dtype=bool)
    order = [i for i in np.argsort(-volume, kind="stable") if closed[i]]
    if len({bool(inward[i]) for i in order}) < 2:
        return found
    of_part = _split(faces, part)
    inner = np.stack([vertices[of[0]].mean(0) for of in of_part])
    low = np.stack([vertices[of_part[i]].min((0, 1)) for i in order])
    high = np.stack([vertices[of_part[i]].max((0, 1)) for i in order])
    for rank, i in enumerate(order):
        around = np.flatnonzero(((low[:rank] <= inner[i]) & (inner[i] <= high[:rank])).all(1))
        # The smallest part around it tells.
        for j in (order[k] for k in around[::-1]):
            if winding(vertices, of_part[j], inner[i : i + 1])[0] > 0.5:
                found[i] = inward[i] != inward[j] and not found[j]
                break
    return found


def _face_the_light(
    light: Light, part: np.ndarray, closed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices and faces with open parts turned to the lighter side.

    Sheets are split into pieces. And which faces bound nothing, and which are of closed parts.
    """
    vertices, faces = light.vertices, light.faces
    side, sheet, dark = light.of_parts(part, ~closed)
    of_part = _split(faces, part)
    for i in np.flatnonzero(dark):
        outward = _nearly_closed(vertices, of_part[i])
        if outward:
            side[i], sheet[i] = outward, False
    faces = _flipped(faces, (side < 0)[part])
    if not sheet.any():
        return vertices, faces, np.zeros(len(faces), dtype=bool), closed[part]
    split = pieces(vertices[faces[sheet[part]]])
    turned = light.of_pieces(split)
    split[turned < 0] = split[turned < 0, ::-1]
    kept = ~sheet[part]
    whole = faces[kept]
    added = len(vertices) + np.arange(3 * len(split)).reshape(-1, 3)
    return (
        np.concatenate([vertices, split.reshape(-1, 3)]),
        np.concatenate([whole, added]),
        np.concatenate([np.zeros(len(whole), dtype=bool), turned == 0]),
        np.concatenate([closed[part[kept]], np.zeros(len(split), dtype=bool)]),
    )


def _nearly_closed(vertices: np.ndarray, faces: np.ndarray) -> int:
    """1 for a part all but closed and wound outward, -1 for one wound inward, else 0."""
    corners = vertices[faces]
    areas = mesh_areas(corners)
    if len(faces) < _FEWEST or areas.sum() <= 0:
        return 0
    rng = np.random.default_rng(3)
    chosen = corners[rng.choice(len(corners), _PLACES, p=areas / areas.sum())]
    points = (rng.dirichlet([1, 1, 1], _PLACES)[:, :, None] * chosen).sum(1)
    step = _STEP * mesh_normals(chosen)
    ahead, behind = winding(
        vertices, faces, np.concatenate([points + step, points - step])
    ).reshape(2, -1)
    for side, room, rest in ((1, behind, ahead), (-1, -ahead, -behind)):
        if np.mean((np.abs(room - 1) < _UNSURE) & (np.abs(rest) < _UNSURE)) > _ENCLOSED:
            return side
    return 0

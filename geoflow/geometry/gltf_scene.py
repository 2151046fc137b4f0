"""The scene of a glTF as a list: each mesh of it once for each place where it stands.

trimesh leaves out meshes whose node has a camera, knows no file without scenes, and takes hours
for deep trees. A node's place is the product of the transforms above it.

Reference: glTF 2.0, 3.5 "Scenes",
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from trimesh.transformations import quaternion_matrix

Header = dict[str, Any]


def flattened(header: Header) -> Header:
    """The header with one node for each mesh in the scene, where it stands.

    Raises:
        ValueError: if its nodes are no trees, stand nowhere, or hold no mesh.
    """
    nodes = header.get("nodes", [])
    world = places(nodes)
    flat = []
    for i in _reached(header):
        if "mesh" in nodes[i]:
            if not np.isfinite(world[i]).all():
                raise ValueError("the transform of a node is not finite")
            flat.append({"mesh": nodes[i]["mesh"], "matrix": world[i].T.ravel().tolist()})
    if not flat:
        raise ValueError("its scene holds no meshes")
    kept = {name: value for name, value in header.items() if name not in ("cameras", "skins")}
    return {**kept, "nodes": flat, "scene": 0, "scenes": [{"nodes": list(range(len(flat)))}]}


def places(nodes: Sequence[Header]) -> Float[np.ndarray, "n 4 4"]:
    """Where each node is, in the scene.

    Raises:
        ValueError: if a node is in two others, or in itself.
    """
    parents: dict[int, int] = {}
    for i, node in enumerate(nodes):
        for child in node.get("children", []):
            if parents.setdefault(child, i) != i:
                raise ValueError(f"its node {child} stands in two others")
    world = np.full((len(nodes), 4, 4), np.nan)
    known: set[int] = set()
    for i in range(len(nodes)):
        way = [i]
        while way[-1] not in known and way[-1] in parents:
            way.append(parents[way[-1]])
            if len(way) > len(nodes):
                raise ValueError("its nodes stand in a circle")
        for at in reversed(way):
            if at not in known:
                own = _own(nodes[at])
                world[at] = world[parents[at]] @ own if at in parents else own
                known.add(at)
    return world


def check_indices(header: Header) -> None:
    """Raise ValueError for an index of what is not there; one below zero would count back."""
    for what, index, name in _indices(header):
        num = len(header.get(name, []))
        if not 0 <= index < num:
            raise ValueError(f"{what} names {index} of its {name}, which are {num}")


def _indices(header: Header) -> Iterator[tuple[str, int, str]]:
    """Who names which of what."""
    if "scene" in header:
        yield "it", header["scene"], "scenes"
    for scene in header.get("scenes", []):
        yield from (("a scene", node, "nodes") for node in scene.get("nodes", []))
    for node in header.get("nodes", []):
        yield from (("a node", child, "nodes") for child in node.get("children", []))
        for key, name in (("mesh", "meshes"), ("skin", "skins")):
            if key in node:
                yield "a node", node[key], name
    for mesh in header.get("meshes", []):
        for part in mesh["primitives"]:
            used = [*part["attributes"].values()]
            used += [part["indices"]] if "indices" in part else []
            used += [i for target in part.get("targets", []) for i in target.values()]
            yield from (("a mesh", i, "accessors") for i in used)
    for accessor in header.get("accessors", []):
        if "bufferView" in accessor:
            yield "an accessor", accessor["bufferView"], "bufferViews"


def _reached(header: Header) -> list[int]:
    """The nodes of the scene; of a file without scenes, all."""
    nodes = header.get("nodes", [])
    if not header.get("scenes"):
        return list(range(len(nodes)))
    todo = list(header["scenes"][header.get("scene", 0)].get("nodes", []))[::-1]
    found = []
    while todo:
        at = todo.pop()
        found.append(at)
        todo += nodes[at].get("children", [])[::-1]
    return list(dict.fromkeys(found))


def _own(node: Header) -> Float[np.ndarray, "4 4"]:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    matrix = np.array(quaternion_matrix([w, x, y, z]))
    matrix[:3, :3] *= np.asarray(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix

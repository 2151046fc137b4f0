"""A mesh bound to joints: weights by distance to bones, and the skinned mesh as a binary glTF.

A joint moves its bones, the segments to its children; one without children moves what is near
itself. With d_j a vertex's distance to the nearest bone of joint j,

    w_j = d_j^-4 / sum_k d_k^-4        over the four nearest joints.

Distance knows nothing of what lies between: limbs that touch share weights.

Format: glTF 2.0, "Skins", https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html#skins
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int
from trimesh.exchange.gltf import export_glb

from geoflow.geometry.mesh import with_material

_PER_VERTEX = 4
_POWER = 4
# Of the joints' greatest distance from their mean: nearer counts as so near.
_NEAREST = 1e-4
_UNSIGNED_SHORT, _FLOAT = 5123, 5126


def bone_weights(
    vertices: Float[np.ndarray, "v 3"],
    joints: Float[np.ndarray, "j 3"],
    parents: Sequence[int],
) -> tuple[Int[np.ndarray, "v 4"], Float[np.ndarray, "v 4"]]:
    """For each vertex four joints, the nearest first, and their weights, which sum to 1.

    Where there are fewer joints the rest are joint 0 with weight 0.

    Raises:
        ValueError: if parents are not those of a tree of these joints.
    """
    _check_tree(parents, len(joints))
    distance = np.stack([np.linalg.norm(vertices - joint, axis=1) for joint in joints], axis=1)
    has_bones = np.isin(np.arange(len(joints)), parents)
    distance[:, has_bones] = np.inf
    for child, parent in enumerate(parents):
        if parent >= 0:
            along = _distance_to_segment(vertices, joints[parent], joints[child])
            distance[:, parent] = np.minimum(distance[:, parent], along)
    extent = float(np.linalg.norm(joints - joints.mean(0), axis=1).max()) or 1.0
    # Lengths in units of the skeleton: their powers neither vanish nor overflow.
    close = np.maximum(distance / extent, _NEAREST) ** -_POWER
    kept = min(_PER_VERTEX, len(joints))
    nearest = np.argsort(-close, axis=1, kind="stable")[:, :kept]
    weights = np.take_along_axis(close, nearest, axis=1)
    weights /= weights.sum(1, keepdims=True)
    missing = ((0, 0), (0, _PER_VERTEX - kept))
    return np.pad(nearest, missing), np.pad(weights, missing)


def skinned_glb(
    mesh: trimesh.Trimesh, joints: Float[np.ndarray, "j 3"], parents: Sequence[int]
) -> bytes:
    """A mesh, +Y up, with a skin over joints, as the content of a .glb file.

    Raises:
        ValueError: if parents are not those of a tree of these joints.
    """
    nearest, weights = bone_weights(np.asarray(mesh.vertices), joints, parents)
    weights = weights.astype(np.float32)
    # In single precision they sum to 1 again, as readers check.
    weights /= weights.sum(1, keepdims=True)
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    # Matrices are stored by columns: the last row is the translation.
    inverse[:, 3, :3] = -joints

    def add(items: dict[Any, bytes], tree: dict[str, Any]) -> None:
        """Bind the only mesh of a file, and hang the joints into its scene."""

        def stored(name: str, array: np.ndarray, kind: str, component: int) -> int:
            content = array.tobytes()
            items[name] = content + bytes(-len(content) % 4)
            accessor = {"componentType": component, "type": kind, "count": len(array)}
            place = {"bufferView": len(items) - 1, "byteOffset": 0}
            tree["accessors"][name] = accessor | place
            return len(tree["accessors"]) - 1

        (primitive,) = tree["meshes"][0]["primitives"]
        attributes = primitive["attributes"]
        attributes["JOINTS_0"] = stored(
            "joints", nearest.astype(np.uint16), "VEC4", _UNSIGNED_SHORT
        )
        attributes["WEIGHTS_0"] = stored("weights", weights, "VEC4", _FLOAT)
        first = len(tree["nodes"])
        tree["skins"] = [
            {
                "joints": [first + i for i in range(len(joints))],
                "skeleton": first + list(parents).index(-1),
                "inverseBindMatrices": stored("inverse binds", inverse, "MAT4", _FLOAT),
            }
        ]
        (body,) = [node for node in tree["nodes"] if "mesh" in node]
        body["skin"] = 0
        tree["nodes"] += _nodes(joints, parents, first)
        tree["scenes"][0]["nodes"].append(tree["skins"][0]["skeleton"])

    scene = trimesh.Scene(with_material(mesh))
    content: bytes = export_glb(scene, include_normals=True, buffer_postprocessor=add)
    return content


def _nodes(
    joints: Float[np.ndarray, "j 3"], parents: Sequence[int], first: int
) -> list[dict[str, Any]]:
    """A node for each joint, at its place from its parent; none is turned."""
    nodes = []
    for index, parent in enumerate(parents):
        origin = np.zeros(3) if parent < 0 else joints[parent]
        children = [first + child for child, its in enumerate(parents) if its == index]
        node = {"name": f"joint-{index}", "translation": (joints[index] - origin).tolist()}
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _distance_to_segment(
    points: Float[np.ndarray, "n 3"], start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " n"]:
    along = end - start
    share = np.clip((points - start) @ along / max(float(along @ along), 1e-30), 0, 1)
    return np.linalg.norm(points - start - share[:, None] * along, axis=1)


def _check_tree(parents: Sequence[int], count: int) -> None:
    """Refuse what is no tree: two roots, a joint that is not there, a circle."""
    known = len(parents) == count and all(-1 <= parent < count for parent in parents)
    reached = [parent == -1 for parent in parents]
    for _ in parents:
        reached = [parent == -1 or reached[parent] for parent in parents] if known else reached
    if not known or list(parents).count(-1) != 1 or not all(reached):
        raise ValueError(
            f"parents must make one tree of {count} joints, -1 for its root, got {list(parents)}"
        )

"""Meshes of a glTF as it poses them: moved by morph targets and skins, which trimesh passes over.

A vertex p with the targets' offsets d_k and weights w_k, bound to joints j with weights v_j, is at

    sum_j v_j G_j B_j (p + sum_k w_k d_k),

G_j where the joint is, B_j the inverse of where it was bound. The transform of a skinned mesh's own
node does not count.

Reference: glTF 2.0, 3.7.2.2 "Morph Targets" and 3.7.3 "Skins",
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from jaxtyping import Float

from geoflow.geometry.gltf_scene import places

# What 1 is as an integer that stands for a share.
NORMALISED = {5120: 127.0, 5121: 255.0, 5122: 32767.0, 5123: 65535.0}
_FLOAT = 5126
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", _FLOAT: "<f4"}
_WIDTHS = {"VEC3": 3, "VEC4": 4, "MAT4": 16}
_TRIANGLES = (4, 5)

Header = dict[str, Any]


def is_posed(header: Header) -> bool:
    """Whether any mesh is elsewhere than its positions and its node say."""
    return any(_moves(header, node) for node in header.get("nodes", []))


def posed(header: Header, binary: bytes) -> tuple[Header, bytes]:
    """The same scene with the positions where the pose has them, and no skins and weights.

    Args:
        header: of a glTF with one buffer.
        binary: that.

    Raises:
        ValueError: if what poses it is compressed, sparse, or no pose at all.
    """
    header = deepcopy(header)
    world = places(header["nodes"])
    for index, node in enumerate(header["nodes"]):
        if not _moves(header, node):
            continue
        mesh = deepcopy(header["meshes"][node["mesh"]])
        for part in mesh["primitives"]:
            if part.get("mode", 4) in _TRIANGLES:
                points = _moved(header, binary, node, part, world)
                if "skin" in node:
                    # It stays under its node, whose transform must not count.
                    points = _apply(_inverse(world[index]), points)
                binary = _put(header, binary, part, points)
        header["meshes"].append(mesh)
        node["mesh"] = len(header["meshes"]) - 1
        node.pop("skin", None)
    return header, binary


def _weights(header: Header, node: Header) -> list[float]:
    return list(node.get("weights") or header["meshes"][node["mesh"]].get("weights") or [])


def _moves(header: Header, node: Header) -> bool:
    return "mesh" in node and ("skin" in node or any(_weights(header, node)))


def _moved(
    header: Header, binary: bytes, node: Header, part: Header, world: Float[np.ndarray, "n 4 4"]
) -> Float[np.ndarray, "v 3"]:
    """Positions of a part, in the coordinates of its mesh, or of the scene where it has a skin."""
    if "KHR_draco_mesh_compression" in part.get("extensions", {}):
        raise ValueError("its skin or morph targets move Draco data: export it uncompressed")
    points = _array(header, binary, part["attributes"]["POSITION"])
    for weight, target in zip(_weights(header, node), part.get("targets", []), strict=False):
        if weight and "POSITION" in target:
            points = points + weight * _array(header, binary, target["POSITION"])
    if "skin" not in node:
        return points
    skin = header["skins"][node["skin"]]
    joints = world[skin["joints"]]
    if "inverseBindMatrices" in skin:
        bound = _array(header, binary, skin["inverseBindMatrices"])[: len(joints)]
        joints = joints @ bound.reshape(-1, 4, 4).transpose(0, 2, 1)
    if len(set(_counts(header, part))) > 1:
        raise ValueError("a skin binds another number of vertices than there are")
    total = np.zeros(len(points))
    matrices = np.zeros((len(points), 4, 4))
    for k in range(len(part["attributes"])):
        if f"JOINTS_{k}" not in part["attributes"]:
            break
        chosen = _array(header, binary, part["attributes"][f"JOINTS_{k}"]).astype(np.int64)
        shares = _array(header, binary, part["attributes"][f"WEIGHTS_{k}"])
        total += shares.sum(axis=1)
        matrices += np.einsum("vk,vkij->vij", shares, joints[chosen])
    if not (total > 0).all():
        raise ValueError(f"{int((total <= 0).sum())} vertices of a skin are bound to no joint")
    return _apply(matrices / total[:, None, None], points)


def _counts(header: Header, part: Header) -> list[int]:
    """How many vertices each attribute of a skin has."""
    return [
        header["accessors"][index]["count"]
        for name, index in part["attributes"].items()
        if name.startswith(("POSITION", "JOINTS", "WEIGHTS"))
    ]


def _apply(
    matrix: Float[np.ndarray, "*v 4 4"], points: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "v 3"]:
    return np.asarray((matrix[..., :3, :3] @ points[..., None])[..., 0] + matrix[..., :3, 3])


def _inverse(matrix: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    if not (np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 0):
        raise ValueError("the node of a skin flattens it: its transform has no inverse")
    return np.asarray(np.linalg.inv(matrix))


def _array(header: Header, binary: bytes, index: int) -> Float[np.ndarray, "n w"]:
    """An accessor's rows; integers that stand for shares as those."""
    accessor = header["accessors"][index]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise ValueError("its pose is in sparse accessors: export it without them")
    view = header["bufferViews"][accessor["bufferView"]]
    dtype, width = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
    stride = view.get("byteStride", dtype.itemsize * width)
    start = accessor.get("byteOffset", 0)
    within = binary[view.get("byteOffset", 0) :][: view["byteLength"]]
    if start + (accessor["count"] - 1) * stride + dtype.itemsize * width > len(within):
        raise ValueError("an accessor of its pose ends behind its data")
    rows = np.ndarray(
        (accessor["count"], width), dtype, within, start, (stride, dtype.itemsize)
    ).astype(np.float64)
    if accessor.get("normalized"):
        rows = np.maximum(rows / NORMALISED[accessor["componentType"]], -1)
    return rows


def _put(header: Header, binary: bytes, part: Header, points: Float[np.ndarray, "v 3"]) -> bytes:
    """The buffer with new positions behind the others, which the part names from now on."""
    binary += b"\0" * (-len(binary) % 4)
    rows = points.astype("<f4")
    view = {"buffer": 0, "byteOffset": len(binary), "byteLength": rows.nbytes}
    header["bufferViews"].append(view)
    accessor = {
        "bufferView": len(header["bufferViews"]) - 1,
        "componentType": _FLOAT,
        "count": len(rows),
        "type": "VEC3",
    }
    if np.isfinite(rows).all():
        accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
    header["accessors"].append(accessor)
    part["attributes"] = {
        name: value
        for name, value in part["attributes"].items()
        if not name.startswith(("NORMAL", "TANGENT", "JOINTS", "WEIGHTS"))
    } | {"POSITION": len(header["accessors"]) - 1}
    part.pop("targets", None)
    binary += rows.tobytes()
    header["buffers"][0]["byteLength"] = len(binary)
    return binary

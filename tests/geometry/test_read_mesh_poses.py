"""Meshes of a glTF where its pose has them; what poses them otherwise is refused by name."""

import json
import struct

import numpy as np
import pytest
import trimesh

from geoflow.geometry.read_mesh import MeshError, read_mesh_bytes

BOX = trimesh.creation.box((1, 2, 3))
LIFTED = {"translation": [0, 3, 0]}


class Scene:
    """A box in node 0, and arrays that are added to it."""

    def __init__(self, *nodes, **node):
        self.binary = b""
        self.header = {
            "asset": {"version": "2.0"}, "accessors": [], "bufferViews": [],
            "scene": 0, "scenes": [{"nodes": [0, 1, 2][: 1 + len(nodes)]}],
            "nodes": [{"mesh": 0, **node}, *nodes],
        }  # fmt: skip
        corners = self.array(BOX.vertices.astype("<f4"), 5126, "VEC3")
        faces = self.array(BOX.faces.astype("<u2").reshape(-1, 1), 5123, "SCALAR")
        self.part = {"attributes": {"POSITION": corners}, "indices": faces}
        self.header["meshes"] = [{"primitives": [self.part]}]

    def array(self, rows, component, kind, **more):
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": rows.nbytes}
        self.header["bufferViews"].append(view)
        self.binary += rows.tobytes() + b"\0" * (-rows.nbytes % 4)
        accessor = {"bufferView": len(self.header["bufferViews"]) - 1, "count": len(rows), **more}
        self.header["accessors"].append({**accessor, "componentType": component, "type": kind})
        return len(self.header["accessors"]) - 1

    def read(self):
        self.header["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.header).encode()
        text += b" " * (-len(text) % 4)
        body = struct.pack("<I4s", len(text), b"JSON") + text
        body += struct.pack("<I4s", len(self.binary), b"BIN\0") + self.binary
        # What lies behind the end is no part of the file.
        content = struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body + b"behind"
        return read_mesh_bytes(content, ".glb")


def skinned(*joints, bound=None, shares=False, **node):
    """The lower corners bound to the first joint, the upper ones to the second."""
    scene = Scene(*joints, skin=0, **node)
    chosen = np.zeros((8, 4), dtype="u1")
    chosen[:, 0] = BOX.vertices[:, 1] > 0
    weights = np.eye(4)[np.zeros(8, dtype=int)]
    scene.part["attributes"] |= {
        "JOINTS_0": scene.array(chosen, 5121, "VEC4"),
        "WEIGHTS_0": scene.array((255 * weights).astype("u1"), 5121, "VEC4", normalized=True)
        if shares
        else scene.array(weights.astype("<f4"), 5126, "VEC4"),
    }
    skin = {"joints": [1, 2]}
    if bound is not None:
        rows = np.stack([matrix.T.reshape(16) for matrix in bound]).astype("<f4")
        skin["inverseBindMatrices"] = scene.array(rows, 5126, "MAT4")
    scene.header["skins"] = [skin]
    return scene


@pytest.mark.parametrize("shares", [False, True])
def test_a_skin_moves_vertices_with_their_joints_and_not_with_its_node(shares):
    for node in ({}, {"scale": [2, 2, -2], "translation": [7, 7, 7]}):
        rest = skinned({}, {}, shares=shares, **node).read()
        np.testing.assert_allclose(rest.extents, [1, 2, 3], rtol=1e-6)
        lifted = skinned({}, LIFTED, shares=shares, **node).read()
        np.testing.assert_allclose(lifted.extents, [1, 5, 3], rtol=1e-6)
        assert lifted.is_watertight


def test_joints_count_from_where_they_were_bound():
    bound = [trimesh.transformations.translation_matrix(-at) for at in np.array([[1, 1, 1.0]] * 2)]
    bound[1][1, 3] -= 2
    root = {"translation": [1, 1, 1], "children": [2]}
    rest = skinned(root, {"translation": [0, 2, 0]}, bound=bound).read()
    np.testing.assert_allclose(rest.bounds, BOX.bounds, atol=1e-6)
    lifted = skinned(root, {"translation": [0, 5, 0]}, bound=bound).read()
    np.testing.assert_allclose(lifted.extents, [1, 5, 3], rtol=1e-6)


@pytest.mark.parametrize("holder", ["mesh", "node"])
def test_morph_targets_move_by_their_weights(holder):
    def morphed(weight):
        scene = Scene(scale=[-1, 1, 1])
        wider = BOX.vertices * [2, 0, 0]
        scene.part["targets"] = [{"POSITION": scene.array(wider.astype("<f4"), 5126, "VEC3")}]
        scene.header["meshes" if holder == "mesh" else "nodes"][0]["weights"] = [weight]
        return scene.read()

    for weight, width in ((0.0, 1.0), (0.5, 2.0), (1.0, 3.0)):
        mesh = morphed(weight)
        np.testing.assert_allclose(mesh.extents, [width, 2, 3], rtol=1e-6)
        assert mesh.volume == pytest.approx(6 * width)


def _without_joint(scene):
    scene.header["skins"][0]["joints"] = [1]


def _in_a_circle(scene):
    scene.header["nodes"][1]["children"] = [2]
    scene.header["nodes"][2]["children"] = [1]


def _unbound(scene):
    for name in ("JOINTS_0", "WEIGHTS_0"):
        del scene.part["attributes"][name]


def _fewer(scene):
    scene.header["accessors"][scene.part["attributes"]["WEIGHTS_0"]]["count"] = 4


def _longer(scene):
    for name in ("POSITION", "JOINTS_0", "WEIGHTS_0"):
        scene.header["accessors"][scene.part["attributes"][name]]["count"] = 800


def _sparse(scene):
    scene.header["accessors"][scene.part["attributes"]["WEIGHTS_0"]]["sparse"] = {"count": 1}


def _copies(scene):
    scene.header["nodes"][1]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {}}}


def _needs(scene):
    scene.header["extensionsRequired"] = ["KHR_materials_unlit", "VENDOR_shape"]


def _behind(scene):
    scene.header["bufferViews"][0]["byteOffset"] = 10**6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_joint, "it names something that it does not have"),
        (_in_a_circle, "its nodes stand in a circle"),
        (_unbound, "8 vertices of a skin are bound to no joint"),
        (_fewer, "a skin binds another number of vertices"),
        (_longer, "an accessor of its pose ends behind its data"),
        (_sparse, "its pose is in sparse accessors: export it without them"),
        (_copies, "its copies are made by EXT_mesh_gpu_instancing: export"),
        (_needs, "it needs VENDOR_shape: export it without that extension"),
        (_behind, "a view of its data ends behind the data"),
    ],
)
def test_what_poses_otherwise_is_refused_by_name(change, said):
    scene = skinned({}, LIFTED)
    change(scene)
    with pytest.raises(MeshError, match=said):
        scene.read()
    with pytest.raises(MeshError, match="flattens it"):
        skinned({}, {}, scale=[0, 1, 1]).read()

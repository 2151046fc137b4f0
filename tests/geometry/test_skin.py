"""Skins: weights by distance to bones, and files whose mesh moves as its joints do."""

import io
import json
import struct

import numpy as np
import pytest
import trimesh

from geoflow.geometry.skin import bone_weights, skinned_glb

# A stick with a bend: the root in its middle, one joint at each end, and one beyond.
JOINTS = np.array([[0.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0], [1.0, 1.0, 0]])
PARENTS = [-1, 0, 0, 2]
COMPONENTS = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def stick():
    return trimesh.creation.box([2.4, 0.3, 0.3]).subdivide().subdivide().subdivide()


def opened(content):
    """Header of a .glb, and a reader of its accessors, by the format's text alone."""
    magic, version, length, size = struct.unpack("<IIII", content[:16])
    assert (magic, version, length) == (0x46546C67, 2, len(content))
    tree, binary = json.loads(content[20 : 20 + size]), content[28 + size :]

    def read(index):
        accessor = tree["accessors"][index]
        view = tree["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        width, kind = WIDTHS[accessor["type"]], COMPONENTS[accessor["componentType"]]
        assert start % np.dtype(kind).itemsize == 0
        count = accessor["count"] * width
        assert count * np.dtype(kind).itemsize <= view["byteLength"]
        return np.frombuffer(binary, kind, count, start).reshape(-1, width)

    return tree, read


def moved(content, turns):
    """Places of the vertices by the format's own rule, joints turned about z by degrees."""
    tree, read = opened(content)
    (skin,) = tree["skins"]
    attributes = tree["meshes"][0]["primitives"][0]["attributes"]
    vertices = np.c_[read(attributes["POSITION"]), np.ones(len(read(attributes["POSITION"])))]
    poses = {}

    def place(index, before):
        node = tree["nodes"][index]
        turn = turns.get(skin["joints"].index(index), 0.0)
        own = trimesh.transformations.rotation_matrix(np.radians(turn), [0, 0, 1])
        own[:3, 3] = node["translation"]
        poses[index] = before @ own
        for child in node.get("children", []):
            place(child, poses[index])

    place(skin["skeleton"], np.eye(4))
    inverse = read(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    matrices = np.stack([poses[joint] for joint in skin["joints"]]) @ inverse
    weights, joints = read(attributes["WEIGHTS_0"]), read(attributes["JOINTS_0"])
    return np.einsum("vk,vkij,vj->vi", weights, matrices[joints], vertices)[:, :3], vertices[:, :3]


def of_joints(nearest, weights):
    whole = np.zeros((len(nearest), len(JOINTS)))
    np.add.at(whole, (np.arange(len(nearest))[:, None], nearest), weights)
    return whole


def test_a_skinned_mesh_rests_and_moves_with_its_joints():
    content = skinned_glb(stick(), JOINTS, PARENTS)
    resting, vertices = moved(content, {})
    np.testing.assert_allclose(resting, vertices, atol=1e-6)
    turned, _ = moved(content, {2: 90.0})
    left, right = vertices[:, 0] < -0.5, vertices[:, 0] > 1.1
    np.testing.assert_allclose(turned[left], vertices[left], atol=0.02)
    assert np.linalg.norm(turned[right] - vertices[right], axis=1).min() > 0.05
    # The root takes all along, stiffly.
    whole, _ = moved(content, {0: 90.0})
    np.testing.assert_allclose(whole, vertices[:, [1, 0, 2]] * [-1, 1, 1], atol=1e-5)


def test_readers_take_the_file_and_nodes_are_joints():
    content = skinned_glb(stick(), JOINTS, PARENTS)
    loaded = trimesh.load(io.BytesIO(content), file_type="glb", force="mesh")
    assert len(loaded.faces) == len(stick().faces)
    tree, read = opened(content)
    (body,) = [node for node in tree["nodes"] if "mesh" in node]
    assert body["skin"] == 0
    assert tree["skins"][0]["skeleton"] in tree["scenes"][0]["nodes"]
    weights = read(tree["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"])
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (weights >= 0).all()


def test_weights_are_of_the_nearest_bones_and_turn_with_the_figure():
    vertices = np.random.default_rng(0).normal(size=(50, 3))
    nearest, weights = bone_weights(vertices, JOINTS, PARENTS)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert (np.diff(weights, axis=1) <= 0).all()
    # On the bone between the root and the left end the root has all.
    on_bone, its = bone_weights(np.array([[-0.5, 0.0, 0.0]]), JOINTS, PARENTS)
    assert on_bone[0, 0] == 0
    assert its[0, 0] > 0.999
    turn = trimesh.transformations.random_rotation_matrix(np.array([0.1, 0.5, 0.9]))[:3, :3]
    turned = bone_weights(3 * vertices @ turn.T, 3 * JOINTS @ turn.T, PARENTS)
    # Bones that meet are equally near: whose weight stands first is chance.
    np.testing.assert_allclose(of_joints(*turned), of_joints(nearest, weights), atol=1e-9)
    few, ones = bone_weights(vertices, JOINTS[:1], [-1])
    assert not few.any()
    np.testing.assert_array_equal(ones[:, 0], 1)


@pytest.mark.parametrize("parents", [[-1, 0, 0], [-1, 0, 0, 4], [-1, -1, 0, 0], [1, 0, 0, -1]])
def test_what_is_no_tree_is_refused(parents):
    with pytest.raises(ValueError, match="one tree of 4 joints"):
        bone_weights(np.zeros((1, 3)), JOINTS, parents)

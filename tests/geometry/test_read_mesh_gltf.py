"""A glTF of either form, wherever its data lies and however its scene holds its meshes."""

import json

import numpy as np
import pytest
import trimesh
from gltf_files import gltf_parts, write_gltf

from geoflow.geometry.gltf_buffers import glb, split_glb
from geoflow.geometry.read_mesh import MeshError, mesh_content, read_mesh, read_mesh_bytes

BOX = trimesh.creation.box((1, 2, 3))


def is_the_box(mesh):
    np.testing.assert_allclose(mesh.bounds, BOX.bounds, atol=1e-6)
    return mesh.is_watertight and mesh.volume == pytest.approx(6)


def read(**changes):
    """The box in node 0 of a scene, with changes to the header."""
    header, data = split_glb(BOX.export(file_type="glb"))
    header |= {"scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}]}
    del header["scene"]
    return read_mesh_bytes(glb(header | changes, data), ".glb")


@pytest.mark.parametrize("uri", ["box.bin", "my%20box.bin", "data/K%C3%BC.bin", None])
def test_data_lies_beside_a_gltf_or_in_its_text(tmp_path, uri):
    text, data = gltf_parts(BOX, uri)
    for name in ("my box.bin", "box.bin", "data/Kü.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data + b"more")
    for content in (text, b"\xef\xbb\xbf" + text):
        (tmp_path / "box.gltf").write_bytes(content)
        assert is_the_box(read_mesh(tmp_path / "box.gltf"))
    # By its content alone, what lies beside it is not there.
    if uri is None:
        assert is_the_box(read_mesh_bytes(text, ".gltf"))
    else:
        with pytest.raises(MeshError, match=f"it names {uri}, which is not with it"):
            read_mesh_bytes(text, ".gltf")


def test_a_gltf_with_its_data_is_one_content_that_says_all(tmp_path):
    path = tmp_path / "box.gltf"
    write_gltf(BOX, path)
    whole = mesh_content(path)
    assert is_the_box(read_mesh_bytes(whole, ".gltf"))
    text = path.read_bytes()
    write_gltf(BOX.copy().apply_translation([0.0, 0.0, 0.25]), path)
    path.write_bytes(text)
    assert mesh_content(path) != whole
    # What cannot be had whole is as it lies there, to be refused by its reader.
    path.with_suffix(".bin").unlink()
    assert mesh_content(path) == text
    with pytest.raises(MeshError, match=r"it names box\.bin, which cannot be read"):
        read_mesh(path)


def test_data_that_is_short_or_missing_is_named(tmp_path):
    path = tmp_path / "box.gltf"
    write_gltf(BOX, path)
    data = path.with_suffix(".bin")
    data.write_bytes(data.read_bytes()[:-30])
    with pytest.raises(MeshError, match="its buffer 0 says 240 bytes, and holds 210"):
        read_mesh(path)
    header = json.loads(path.read_text())
    del header["buffers"][0]["uri"]
    with pytest.raises(MeshError, match="its buffer 0 has no data"):
        read_mesh_bytes(json.dumps(header).encode(), ".gltf")
    header["extensionsUsed"] = ["EXT_meshopt_compression"]
    with pytest.raises(MeshError, match="compressed by EXT_meshopt_compression, export it without"):
        read_mesh_bytes(json.dumps(header).encode(), ".gltf")


def test_a_mesh_stands_where_the_nodes_above_it_say():
    quarter = [0, 0, 0.5**0.5, 0.5**0.5]
    above = {"children": [2], "rotation": quarter}
    nodes = [{"mesh": 0, "translation": [1, 0, 0]}, above, {"children": [0], "scale": [2, 1, 1]}]
    mesh = read(nodes=nodes, scenes=[{"nodes": [1]}])
    np.testing.assert_allclose(mesh.bounds, [[-1, 1, -1.5], [1, 3, 1.5]], atol=1e-6)
    assert mesh.volume == pytest.approx(12)
    # A mesh in two places is there twice, mirrored or not; what no node of the scene has is not.
    twice = [{"mesh": 0}, {"mesh": 0, "translation": [5, 0, 0], "scale": [-1, 1, 1]}]
    mesh = read(nodes=[*twice, {"mesh": 0, "scale": [9, 9, 9]}], scenes=[{"nodes": [0, 1]}])
    assert mesh.volume == pytest.approx(12)
    deep = [{"mesh": 0}, *({"children": [i], "translation": [0, 0.01, 0]} for i in range(500))]
    mesh = read(nodes=deep, scenes=[{"nodes": [500]}])
    np.testing.assert_allclose(mesh.bounds[:, 1], [4, 6])


def test_a_camera_at_a_mesh_hides_nothing():
    camera = {"type": "perspective", "perspective": {"yfov": 1.0, "znear": 0.1}}
    nodes = [{"mesh": 0, "camera": 0}, {"mesh": 0, "translation": [5, 0, 0]}]
    mesh = read(nodes=nodes, scenes=[{"nodes": [0, 1]}], cameras=[camera])
    assert mesh.volume == pytest.approx(12)


def test_the_scene_is_the_one_that_is_named_or_else_the_first_or_all():
    nodes = [{"mesh": 0}, {"mesh": 0, "scale": [2, 2, 2]}]
    scenes = [{"nodes": [0]}, {"nodes": [1]}]
    assert read(nodes=nodes, scenes=scenes, scene=1).volume == pytest.approx(48)
    assert read(nodes=nodes, scenes=scenes).volume == pytest.approx(6)
    nodes[1]["translation"] = [9, 0, 0]
    assert read(nodes=nodes, scenes=[]).volume == pytest.approx(54)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "its nodes stand in a circle"),
        ({"nodes": [{"children": [2]}, {"children": [2]}, {"mesh": 0}]}, "stands in two others"),
        ({"nodes": [{"mesh": -1}]}, "a node names -1 of its meshes, which are 1"),
        ({"nodes": [{"mesh": 0, "children": [7]}]}, "a node names 7 of its nodes, which are 1"),
        ({"scenes": [{"nodes": [4]}]}, "a scene names 4 of its nodes, which are 1"),
        ({"scene": 3}, "it names 3 of its scenes, which are 1"),
        ({"scenes": [{}]}, "its scene holds no meshes"),
        ({"nodes": [{"mesh": 0, "translation": [float("nan")] * 3}]}, "node is not finite"),
        ({"nodes": [{"mesh": 0, "translation": [1e300, 0, 0]}]}, "it lies 1e.300 from the origin"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": -2}}]}]}, "a mesh names -2 of"),
        ({"asset": {"version": "1.0"}}, r"it is a glTF of version 1\.0, expected 2\.0"),
    ],
)
def test_a_scene_that_is_none_is_refused_by_name(changes, said):
    with pytest.raises(MeshError, match=said):
        read(**({"scene": 0} | changes))


def test_a_name_as_long_as_the_data_is_said_by_its_beginning(tmp_path):
    text, _ = gltf_parts(BOX, None)
    (tmp_path / "box.gltf").write_bytes(text.replace(b'"data:', b'"dqta:'))
    for read in (read_mesh, lambda path: read_mesh_bytes(path.read_bytes(), ".gltf")):
        with pytest.raises(MeshError, match=r"it names dqta:application\S+…") as refused:
            read(tmp_path / "box.gltf")
        assert len(str(refused.value)) < 200

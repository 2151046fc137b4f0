"""Text in mesh files as people and programs write it: read right, or refused in our words."""

import struct

import numpy as np
import pytest
import trimesh

from geoflow.geometry.mesh import SUFFIXES
from geoflow.geometry.read_mesh import MeshError, read_mesh, read_mesh_bytes
from geoflow.geometry.read_points import is_cloud_header

BOX = trimesh.creation.box((1, 2, 3))
BYTES = {"uchar": "B", "char": "b", "ushort": "H", "int": "i", "uint32": "I"}
XYZ = "property float x\nproperty float y\nproperty float z\n"


def obj(vertex="v", face="f", behind=""):
    rows = [f"{vertex} {x} {y} {z}" for x, y, z in BOX.vertices]
    rows += [f"{face} {a} {b} {c}" for a, b, c in BOX.faces + 1]
    return "\n".join([*rows, behind, ""])


def stl(name="box", end="\n"):
    rows = [f"solid {name}"]
    for triangle in BOX.triangles:
        corners = [f"vertex {x:e} {y:e} {z:e}" for x, y, z in triangle]
        rows += ["facet normal 0 0 0", "outer loop", *corners, "endloop", "endfacet"]
    return end.join([*rows, f"endsolid {name}", ""])


def off():
    return str(BOX.export(file_type="off"))


def ply(length="uchar", index="int", order="<", before="", behind=b"", faces=BOX.faces):
    """A binary file of triangles, of one count and one index type."""
    name = "little" if order == "<" else "big"
    head = f"ply\nformat binary_{name}_endian 1.0\n{before}element vertex 8\n{XYZ}"
    head += f"element face {len(faces)}\nproperty list {length} {index} vertex_index\nend_header\n"
    rows = BOX.vertices.astype(f"{order}f4").tobytes()
    row = f"{order}{BYTES[length]}{len(faces[0])}{BYTES[index]}"
    return head.encode() + rows + b"".join(struct.pack(row, len(f), *f) for f in faces) + behind


def is_the_box(content, suffix):
    content = content.encode() if isinstance(content, str) else content
    mesh = read_mesh_bytes(content, suffix)
    np.testing.assert_allclose(mesh.extents, [1, 2, 3])
    assert (mesh.is_watertight, mesh.volume) == (True, pytest.approx(6))


@pytest.mark.parametrize("write", [obj, off, stl])
def test_line_ends_and_a_mark_of_utf8_change_nothing(write):
    text, suffix = write(), f".{write.__name__}"
    for content in (text, text.replace("\n", "\r\n"), text.replace("\n", "\r")):
        is_the_box(content, suffix)
        is_the_box(b"\xef\xbb\xbf" + content.encode(), suffix)
    with pytest.raises(MeshError, match="it is text as UTF-16: save it as UTF-8"):
        read_mesh_bytes(text.encode("utf-16"), suffix)


@pytest.mark.parametrize("vertex", ["v", " v", "v\t", "v  "])
@pytest.mark.parametrize("face", ["f", "\tf", "f\t", "f  "])
def test_blanks_of_an_obj_are_blanks(vertex, face):
    is_the_box(obj(vertex, face), ".obj")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("f 1 2 99", "a face names vertex 99, there are 8"),
        ("f 1 2 99999999999999999999999", "a face names vertex 9.*, there are 8"),
        ("f 1 2 -9", "a face names vertex -1, there are 8"),
        ("f 1 2 3 99", "a face names vertex 98, there are 8"),
        ("v 1 2", "a vertex has fewer than three coordinates"),
        ("v 1,5 2 3", "could not convert"),
    ],
)
def test_what_an_obj_lacks_is_said(line, said):
    with pytest.raises(MeshError, match=said):
        read_mesh_bytes(obj(behind=line).encode(), ".obj")


@pytest.mark.parametrize("name", ["", "my endfacet facet vertex 1 2 3", "facet normal 0 0 1"])
def test_an_stl_may_have_any_name(name):
    is_the_box(stl(name), ".stl")
    is_the_box(stl(name).upper(), ".stl")
    is_the_box(f"# by hand\n{stl(name).rpartition('endsolid')[0]}", ".stl")


def test_facets_of_an_stl_are_whole():
    for broken, said in (
        (stl()[:-40], "12 facets begin, 11 end"),
        (stl().replace("endloop", "vertex 0 0 0\nendloop", 1), "with 37 vertices in all"),
        (stl().replace("vertex", "vortex", 1), "with 35 vertices in all"),
        ("solid of words\nendsolid", "no STL"),
    ):
        with pytest.raises(MeshError, match=said):
            read_mesh_bytes(broken.encode(), ".stl")


@pytest.mark.parametrize("length", BYTES)
@pytest.mark.parametrize("index", BYTES)
@pytest.mark.parametrize("order", "<>")
def test_lists_of_a_ply_are_of_any_integers(length, index, order):
    is_the_box(ply(length, index, order), ".ply")


def test_words_and_bytes_around_a_ply_are_none_of_it(tmp_path):
    is_the_box(ply(before="comment element face 9\nobj_info end_header soon\n"), ".ply")
    is_the_box(ply(behind=b"behind"), ".ply")
    with pytest.raises(MeshError, match="a face names vertex 4294967295, there are 8"):
        read_mesh_bytes(ply("uchar", "uint32", faces=[[0, 1, 2**32 - 1]]), ".ply")
    with pytest.raises(MeshError, match="vertex_index are not lists of integers"):
        read_mesh_bytes(ply().replace(b"uchar int vertex", b"uchar float vertex"), ".ply")
    pictured = tmp_path / "a.ply"
    pictured.write_bytes(ply(before="comment TextureFile gone.png\n"))
    assert read_mesh(pictured).is_watertight


@pytest.mark.parametrize("content", ["OFF\n", "OFF\n-8 12 0\n0 0 0\n", "OFF\n8\n"])
def test_an_off_without_counts_is_refused(content):
    with pytest.raises(MeshError, match="expected the numbers of vertices and faces"):
        read_mesh_bytes(content.encode(), ".off")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"\0", b"<!DOCTYPE html>", b"PK\x03\x04" + bytes(99)])
def test_what_is_no_such_file_is_refused_in_one_line(suffix, content):
    with pytest.raises(MeshError, match=r"^it cannot be read as a mesh: [^\n]+$"):
        read_mesh_bytes(content, suffix)


def test_a_surface_that_is_not_faces_is_refused_by_name():
    for line in ("surf 0 1 0 1 1 2 3 4", "  call other.obj 1"):
        with pytest.raises(MeshError, match=f"its surface is made by '{line.split()[0]}': export"):
            read_mesh_bytes(obj(behind=line).encode(), ".obj")
    # Names and comments may say it.
    is_the_box(obj(behind="o surf 1\n# call x\n#call x"), ".obj")
    strips = f"ply\nformat ascii 1.0\nelement vertex 3\n{XYZ}element tristrips 1\n"
    strips += "property list int int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    assert not is_cloud_header(strips.encode())
    with pytest.raises(MeshError, match=r"its triangles are strips \(tristrips\): export them"):
        read_mesh_bytes(strips.encode(), ".ply")


def test_a_ply_of_points_is_told_by_its_header_not_by_its_comments():
    head = "ply\nformat ascii 1.0\ncomment element face {}\nelement vertex 3\nelement  face {}\n"
    for end in ("\n", "\r\n", "\r"):
        for comment, faces in ((0, 7), (7, 0)):
            text = head.format(comment, faces).replace("\n", end)
            assert is_cloud_header(text.encode()) == (faces == 0)

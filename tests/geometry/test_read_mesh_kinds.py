"""Kinds of files that readers get wrong: read right, or refused by name."""

import json
import logging
import struct

import mapbox_earcut
import numpy as np
import pytest
import trimesh

from geoflow.geometry.polygons import corners_of, triangulate_polygons
from geoflow.geometry.read_mesh import MeshError, read_mesh, read_mesh_bytes

# A plan with notches, counterclockwise, with a straight corner on an edge: area 5.
PLAN = [(0, 0), (1, 0), (3, 0), (3, 2), (2, 2), (2, 1), (1, 1), (1, 2), (0, 2)]
PLAN_AREA = 5.0


def prism(plan=PLAN, height=3.0):
    """Corners and outward polygons of a prism over a plan, along y."""
    n = len(plan)
    corners = [(x, y, -z) for y in (0.0, height) for x, z in plan]
    sides = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return np.array(corners), [list(range(n))[::-1], [n + i for i in range(n)], *sides]


def as_obj(corners, polygons):
    lines = [f"v {x} {y} {z}" for x, y, z in corners]
    lines += ["f " + " ".join(str(i + 1) for i in polygon) for polygon in polygons]
    return ("\n".join(lines) + "\n").encode()


def as_off(corners, polygons):
    lines = ["OFF", f"{len(corners)} {len(polygons)} 0", *(" ".join(map(str, c)) for c in corners)]
    lines += [" ".join(map(str, [len(polygon), *polygon])) for polygon in polygons]
    return ("\n".join(lines) + "\n").encode()


def as_ply(corners, polygons, *, binary, big=False):
    form = ("binary_big_endian" if big else "binary_little_endian") if binary else "ascii"
    head = (
        f"ply\nformat {form} 1.0\nelement vertex {len(corners)}\nproperty float x\n"
        f"property float y\nproperty float z\nelement face {len(polygons)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    ).encode()
    if not binary:
        rows = [" ".join(map(str, c)) for c in corners]
        rows += [" ".join(map(str, [len(polygon), *polygon])) for polygon in polygons]
        return head + "\n".join([*rows, ""]).encode()
    order = ">" if big else "<"
    body = b"".join(struct.pack(f"{order}3f", *c) for c in corners)
    for polygon in polygons:
        body += struct.pack(f"{order}B{len(polygon)}i", len(polygon), *polygon)
    return head + body


WRITERS = {
    "obj": (".obj", as_obj),
    "off": (".off", as_off),
    "ply, text": (".ply", lambda c, p: as_ply(c, p, binary=False)),
    "ply, binary": (".ply", lambda c, p: as_ply(c, p, binary=True)),
    "ply, big-endian": (".ply", lambda c, p: as_ply(c, p, binary=True, big=True)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_polygons_that_are_not_convex_keep_their_notch(name):
    suffix, write = WRITERS[name]
    corners, polygons = prism()
    for scale, shift in ((1.0, 0.0), (1e-3, 0.0), (1.0, 50.0)):
        mesh = read_mesh_bytes(write(corners * scale + shift, polygons), suffix)
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(3 * PLAN_AREA * scale**3, rel=1e-3)
        assert (len(mesh.vertices), len(mesh.faces)) == (18, 2 * 7 + 9 * 2)
        # A membrane over the notch would add area.
        area = 2 * PLAN_AREA + 3 * (3 + 2 + 1 + 1 + 1 + 1 + 1 + 2)
        assert mesh.area == pytest.approx(area * scale**2, rel=1e-3)


def test_the_twin_fans_lay_a_membrane():
    corners, polygons = prism()
    fans = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    fan = trimesh.Trimesh(corners, fans, process=False)
    assert fan.area > 1.01 * read_mesh_bytes(as_obj(corners, polygons), ".obj").area


def test_random_stars_are_cut_with_every_edge_and_the_right_area():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(4, 16))
        angles = np.sort(rng.uniform(0, 2 * np.pi, n))
        if np.diff([*angles, angles[0] + 2 * np.pi]).max() > 3:
            continue
        radii = rng.uniform(0.2, 1.0, n)
        flat = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
        turn = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]
        corners = np.pad(flat, ((0, 0), (0, 1))) @ turn.T
        polygons = [list(range(n))]
        faces = corners_of(polygons, *triangulate_polygons(corners, polygons))
        edges = {(a, b) for f in faces.tolist() for a, b in zip(f, f[1:] + f[:1], strict=True)}
        assert {e for e in edges if e[::-1] not in edges} == {(i, (i + 1) % n) for i in range(n)}
        x, y = flat.T
        area = 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
        triangles = corners[faces]
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        assert (normals @ turn[:, 2] >= -1e-12).all()
        assert np.linalg.norm(normals, axis=1).sum() / 2 == pytest.approx(area, rel=1e-9)


def test_polygons_that_name_no_vertex_are_refused():
    for bad in (9, -1):
        with pytest.raises(ValueError, match=rf"a face names vertex {bad}, there are 4"):
            triangulate_polygons(np.zeros((4, 3)), [[0, 1, 2, bad]])
    assert triangulate_polygons(np.zeros((4, 3)), [[0, 0, 1], [0, 0, 1, 1]])[1] == [0]


def test_a_face_that_would_be_cut_for_minutes_is_refused_or_a_fan(monkeypatch):
    cut = []
    triangulate = mapbox_earcut.triangulate_float64

    def counted(plane, ends):
        cut.append(len(plane))
        return triangulate(plane, ends)

    monkeypatch.setattr(mapbox_earcut, "triangulate_float64", counted)
    star = np.random.default_rng(0).normal(size=(20_001, 3))
    with pytest.raises(ValueError, match=r"has 20,001 corners .* at most 20,000: cut it"):
        triangulate_polygons(star, [range(20_001)])
    # The same places again and again, by name or by vertices of their own: a fan keeps the edges.
    around = [0, 1, 2] * 200
    for vertices, polygon in ((np.eye(3), around), (np.eye(3)[around], list(range(600)))):
        triangles, _ = triangulate_polygons(vertices, [polygon])
        assert (len(triangles), triangles[-1]) == (598, (0, 598, 599))
    assert not cut
    # Twins: many places once are cut, and a hole that a wall leads to, which comes by two twice.
    assert len(triangulate_polygons(star, [range(3000)])[0]) > 0
    square = np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0]], float)
    corners = np.concatenate([square, 1 + square[[0, 3, 2, 1]] / 4])
    corners[4:, 2] = 0
    keyhole = [0, 1, 2, 3, 0, 4, 5, 6, 7, 4]
    faces = corners_of([keyhole], *triangulate_polygons(corners, [keyhole]))
    assert trimesh.Trimesh(corners, faces, process=False).area == pytest.approx(15.0)
    assert cut == [3000, 10]


@pytest.mark.parametrize("corners", ["0 1 2", "1 2 0", "3 0/1/1 2", "1 2 3 0"])
def test_an_obj_that_counts_from_zero_is_refused(corners):
    """Zeros of coordinates, of names and in numbers are none of that."""
    text = "# f 0 1 2\ng f 0\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvn 0 0 1\n"
    good = "f 1/0/1 2 3 # 0\nf 1 2 4\n"
    assert len(read_mesh_bytes((text + good).encode(), ".obj").faces) == 2
    for end in ("", "\n"):
        with pytest.raises(MeshError, match="a face names vertex 0"):
            read_mesh_bytes(f"{text}{good}f {corners}{end}".encode(), ".obj")


def test_relative_indices_count_back_from_their_own_line():
    box = trimesh.creation.box()
    lines, first = [], None
    for k, offset in enumerate((0.0, 5.0, 9.0)):
        lines += [f"o part{k}", *(f"v {x + offset} {y} {z}" for x, y, z in box.vertices)]
        lines += ["vn 0 0 1"]
        lines += ["f " + " ".join(f"{i - 8}//-1" for i in face) for face in box.faces.tolist()]
    first = read_mesh_bytes("\n".join(lines).encode(), ".obj")
    assert first.is_watertight
    assert first.body_count == 3
    assert first.volume == pytest.approx(3.0)
    np.testing.assert_allclose(first.bounds, [[-0.5] * 3, [9.5, 0.5, 0.5]])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_vertex_that_is_not_finite_is_refused_with_the_count(name, value):
    suffix, write = WRITERS[name]
    for corners, polygons in (
        prism(),
        (box := trimesh.creation.box()) and (box.vertices, box.faces),
    ):
        broken = np.array(corners, dtype=float)
        broken[[1, 2], 0] = value
        with pytest.raises(MeshError, match="2 of its vertices are not finite"):
            read_mesh_bytes(write(broken, [list(p) for p in polygons]), suffix)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".off", ".stl", ".glb"])
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0, 1e5])
def test_a_shape_keeps_its_form_in_any_unit(suffix, size):
    ball = trimesh.creation.icosphere(subdivisions=3, radius=size)
    if suffix in (".obj", ".off"):
        content = (as_obj if suffix == ".obj" else as_off)(ball.vertices, ball.faces.tolist())
    else:
        content = ball.export(file_type=suffix[1:])
    mesh = read_mesh_bytes(content, suffix)
    assert (len(mesh.vertices), len(mesh.faces), mesh.is_watertight) == (642, 1280, True)
    assert mesh.volume == pytest.approx(ball.volume, rel=1e-4)


@pytest.mark.parametrize("size", [1e-200, 1e-70, 1e70, 1e200])
def test_a_size_whose_volume_is_no_number_is_refused(size):
    corners, polygons = prism()
    with pytest.raises(MeshError, match=r"expected (1e-60 to|at most) 1e\+60"):
        read_mesh_bytes(as_obj(corners * size, polygons), ".obj")
    with pytest.raises(MeshError, match=r"its largest extent is .*, expected 1e-60 to 1e\+60"):
        read_mesh_bytes(as_obj(trimesh.creation.box().vertices * size, [(0, 1, 3)]), ".obj")
    for extreme in (size**0.25, size**-0.25):
        if not 1e-60 < extreme < 1e60:
            continue
        mesh = read_mesh_bytes(as_obj(corners * extreme, polygons), ".obj")
        assert mesh.volume == pytest.approx(3 * PLAN_AREA * extreme**3, rel=1e-6)


@pytest.mark.parametrize(("far", "is_read"), [(1e6, True), (1e9, True), (1e11, False)])
def test_a_shape_far_from_the_origin_is_read_while_its_coordinates_tell_it(far, is_read):
    corners, polygons = prism()
    content = as_obj(corners + far, polygons)
    if is_read:
        mesh = read_mesh_bytes(content, ".obj")
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(3 * PLAN_AREA, rel=1e-5)
    else:
        with pytest.raises(MeshError, match=r"it lies 1e\+11 from the origin"):
            read_mesh_bytes(content, ".obj")


def glb(header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    data += b"\0" * (-len(data) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    body += struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def box_glb(
    positions, component, *, normalized, scale=1.0, extension="KHR_mesh_quantization", **changes
):
    """A box of stored integers, in a node that scales it."""
    faces = trimesh.creation.box().faces.astype("<u2")
    low, high = positions.min(axis=0).tolist(), positions.max(axis=0).tolist()
    position = {
        "bufferView": 0, "componentType": component, "normalized": normalized, "count": 8,
        "type": "VEC3", "min": low, "max": high, **changes,
    }  # fmt: skip
    data = positions.tobytes()
    data += b"\0" * (-len(data) % 4)
    header = {
        "asset": {"version": "2.0"},
        "extensionsUsed": [extension], "extensionsRequired": [extension],
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "scale": [scale] * 3}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            position,
            {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": positions.nbytes},
            {"buffer": 0, "byteOffset": len(data), "byteLength": faces.nbytes},
        ],
        "buffers": [{"byteLength": len(data) + faces.nbytes}],
    }  # fmt: skip
    return glb(header, data + faces.tobytes())


@pytest.mark.parametrize(
    ("component", "dtype", "most"),
    [(5120, "i1", 127), (5121, "u1", 255), (5122, "<i2", 32767), (5123, "<u2", 65535)],
)
def test_integers_for_positions_are_worth_what_the_file_says(component, dtype, most):
    corners = (trimesh.creation.box().vertices > 0) * most
    stored = corners.astype(dtype)
    share = read_mesh_bytes(box_glb(stored, component, normalized=True, scale=3.0), ".glb")
    np.testing.assert_allclose(share.extents, [3, 3, 3], rtol=1e-6)
    plain = read_mesh_bytes(box_glb(stored, component, normalized=False), ".glb")
    np.testing.assert_allclose(plain.extents, [most] * 3, rtol=1e-6)
    assert share.is_watertight
    assert plain.is_watertight


def test_what_a_glb_says_otherwise_is_refused():
    stored = ((trimesh.creation.box().vertices > 0) * 100).astype("u1")
    sparse = {"sparse": {"count": 1}}
    for changes, said in (
        ({"max": [50, 50, 50]}, r"it says a box from \(0, 0, 0\) to \(50, 50, 50\)"),
        (sparse, "sparse accessors"),
    ):
        with pytest.raises(MeshError, match=said):
            read_mesh_bytes(box_glb(stored, 5121, normalized=False, **changes), ".glb")
    packed = box_glb(stored, 5121, normalized=False, extension="EXT_meshopt_compression")
    with pytest.raises(MeshError, match="it needs EXT_meshopt_compression: export it without"):
        read_mesh_bytes(packed, ".glb")


def test_draco_is_decoded_or_named(monkeypatch, capsys):
    ball = trimesh.creation.icosphere(subdivisions=2)
    content = ball.export(file_type="glb", extension_draco=True)
    assert b"KHR_draco_mesh_compression" in content
    mesh = read_mesh_bytes(content, ".glb")
    assert len(mesh.faces) == len(ball.faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(ball.volume, rel=1e-2)
    at = content.index(b"DRACO")
    # As in a process without handlers of logs, where trimesh's warnings would reach the terminal.
    monkeypatch.setattr(logging.root, "handlers", [])
    with pytest.raises(MeshError, match="Draco"):
        read_mesh_bytes(content[:at] + b"xxxxx" + content[at + 5 :], ".glb")
    assert capsys.readouterr().err == ""


def test_damaged_indices_of_a_glb_are_refused_with_the_count():
    ball = trimesh.creation.icosphere(subdivisions=1)
    content = bytearray(ball.export(file_type="glb"))
    (length,) = struct.unpack("<I", content[12:16])
    content[28 + length : 32 + length] = b"\xff\xff\xff\xff"
    with pytest.raises(MeshError, match="1 faces name vertices that it does not have"):
        read_mesh_bytes(bytes(content), ".glb")


def test_an_stl_goes_by_its_count():
    box = trimesh.creation.box([1, 2, 3])
    content = box.export(file_type="stl")
    assert read_mesh_bytes(content + b"made by hand", ".stl").volume == pytest.approx(6)
    assert read_mesh_bytes(b"solid" + content[5:], ".stl").volume == pytest.approx(6)
    with pytest.raises(MeshError, match="it says 12 triangles, and holds 11"):
        read_mesh_bytes(content[:-10], ".stl")
    text = box.export(file_type="stl_ascii").encode()
    assert read_mesh_bytes(text, ".stl").volume == pytest.approx(6)


def test_rows_of_an_off_may_have_colours():
    box = trimesh.creation.box([1, 2, 3])
    content = box.export(file_type="off")
    rows = content.splitlines()
    for colour in (" 255 0 0", " 1.0 0.5 0.0"):
        coloured = [row + colour if row.startswith("3 ") else row for row in rows]
        for text in ("\n".join(coloured), "\n".join([*coloured[:-1], rows[-1]])):
            mesh = read_mesh_bytes(text.encode(), ".off")
            assert (len(mesh.faces), mesh.is_watertight) == (12, True)
            assert mesh.volume == pytest.approx(6)


def test_an_off_that_ends_early_is_refused():
    content = as_off(*prism())
    with pytest.raises(MeshError, match="it says 18 vertices and 11 faces, and holds 28"):
        read_mesh_bytes(content.rsplit(b"\n", 2)[0], ".off")
    with pytest.raises(MeshError, match="4OFF"):
        read_mesh_bytes(b"4" + content, ".off")


@pytest.mark.parametrize("picture", [None, b"no picture"])
def test_a_mesh_whose_picture_is_missing_or_damaged_is_read(tmp_path, picture):
    (tmp_path / "a.mtl").write_text("newmtl a\nKd 1 0 0\nmap_Kd gone.png\nnewmtl b\nKd 0 1 0\n")
    lines = ["mtllib a.mtl", "usemtl a", *(f"v {x} {y} {z}" for x, y, z in np.eye(4, 3).tolist())]
    lines += ["vt 0 0", "vt 1 1", "f 1/1 2/2 3/1", "f 1/1 4/1 2/1", "usemtl b"]
    lines += ["f 2/1 4/2 3/1", "f 3/1 4/1 1/1"]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    if picture is not None:
        (tmp_path / "gone.png").write_bytes(picture)
    mesh = read_mesh(tmp_path / "a.obj")
    assert (len(mesh.vertices), len(mesh.faces), mesh.is_watertight) == (4, 4, True)
    assert mesh.metadata["missing"] == (("gone.png",) if picture is None else ())

"""One reader: what it gives, and that every command and viewer gives the same."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
from gltf_files import write_gltf

from geoflow.geometry.mesh import SUFFIXES
from geoflow.geometry.read_mesh import MeshError, read_mesh, read_mesh_bytes
from geoflow.models.joints import Rig, Rigger
from geoflow_cli import main
from geoflow_datasets.folder import load_reports, prepare_folder
from geoflow_datasets.mesh_folder import MESHES, MeshOptions
from geoflow_datasets.mesh_surface import MeshSurface
from geoflow_tools.evaluation.pairs import Pair, PairSettings, measure_pair

ROOT = Path(__file__).parents[2]
CORNERS = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
# Corners of each side, counterclockwise from outside, and its normal.
SIDES = {
    (-1, 0, 0): (1, 2, 4, 3),
    (1, 0, 0): (5, 7, 8, 6),
    (0, -1, 0): (1, 5, 6, 2),
    (0, 1, 0): (3, 4, 8, 7),
    (0, 0, -1): (1, 3, 7, 5),
    (0, 0, 1): (2, 6, 8, 4),
}


def is_closed_cube(mesh):
    return (len(mesh.vertices), len(mesh.faces), mesh.is_watertight) == (8, 12, True)


@pytest.fixture
def cube(tmp_path):
    """A cube whose sides have their own normals, as programs write it."""
    lines = [f"v {x} {y} {z}" for x, y, z in CORNERS]
    lines += [f"vn {x} {y} {z}" for x, y, z in SIDES]
    for i, corners in enumerate(SIDES.values(), start=1):
        lines.append("f " + " ".join(f"{corner}//{i}" for corner in corners))
    path = tmp_path / "meshes" / "cube.obj"
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n")
    # The twin: read plainly, it is six sheets.
    assert not is_closed_cube(trimesh.load_mesh(path))
    return path


def test_a_file_and_its_content_are_one_closed_cube(cube):
    for mesh in (read_mesh(cube), read_mesh(str(cube)), read_mesh_bytes(cube.read_bytes(), ".OBJ")):
        assert is_closed_cube(mesh)
        assert mesh.volume == pytest.approx(8.0)


def test_training_reads_the_closed_cube(cube, tmp_path):
    options = MeshOptions(num_surface=16, num_queries=16)
    prepared = prepare_folder(MESHES, cube.parent, options, cache=tmp_path / "c", num_workers=1)
    (report,) = load_reports(MESHES, prepared)
    assert report.watertight_input
    assert report.components == 1
    assert len(MeshSurface.read(cube).corners) == 12


def test_evaluation_reads_the_closed_cube(cube):
    settings = PairSettings(str(cube.parent), str(cube.parent), points=64, emd_points=0)
    numbers = measure_pair(settings, Pair("cube", 0, cube, cube))
    assert numbers["volume_iou"] == 1.0


def test_rig_reads_the_closed_cube(cube, tmp_path, monkeypatch):
    seen = []

    def rig(self, mesh, **options):
        seen.append(mesh)
        raise ValueError("seen")

    monkeypatch.setattr(Rigger, "rig", rig)
    assert main(["rig", "--mesh", str(cube), "--out", str(tmp_path / "a.json")]) == 2
    assert is_closed_cube(seen[0])


def test_joints_are_in_the_coordinates_of_a_file_that_points_up_elsewhere(tmp_path, monkeypatch):
    """Joints of what points up: the corners themselves."""
    box = trimesh.creation.box([1.0, 2.0, 3.0])
    box.export(tmp_path / "box.ply")

    def rig(self, mesh, **options):
        assert mesh.extents == pytest.approx([1, 3, 2])
        return Rig(np.asarray(mesh.vertices), [-1] * 8, np.asarray(mesh.vertices), 5)

    monkeypatch.setattr(Rigger, "rig", rig)
    out = tmp_path / "a.json"
    assert main(["rig", "--mesh", str(tmp_path / "box.ply"), "--up", "z", "--out", str(out)]) == 0
    joints = np.array(json.loads(out.read_text())["joints"])
    assert sorted(joints.round(6).tolist()) == sorted(box.vertices.tolist())


def test_the_viewer_turns_a_file_that_points_up_elsewhere(tmp_path):
    trimesh.creation.box([1.0, 2.0, 3.0]).export(tmp_path / "box.ply")
    out = tmp_path / "out.ply"
    assert main(["view", str(tmp_path / "box.ply"), "--up", "z", "--out", str(out)]) == 0
    extents = trimesh.load_mesh(out).extents
    np.testing.assert_allclose(extents / extents[0], [1, 3, 2], rtol=1e-5)


def test_the_viewer_reads_the_closed_cube(cube, tmp_path):
    out = tmp_path / "out.ply"
    assert main(["view", str(cube), "--out", str(out)]) == 0
    assert is_closed_cube(trimesh.load_mesh(out, process=False))


def test_no_other_place_reads_meshes():
    """Downloaded archives are read to be joined; the benchmark of solids asks another reader."""
    found = {
        path.name
        for folder in ("geoflow", "datasets", "tools", "viewer")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"trimesh\.load", path.read_text())
    }
    assert found == {"read_mesh.py", "sweethome3d.py", "solids.py"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_read_and_turned(tmp_path, suffix):
    box = trimesh.creation.box(extents=[1.0, 2.0, 3.0]).apply_translation([0.0, 0.0, 5.0])
    path = tmp_path / f"box{suffix}"
    write_gltf(box, path) if suffix == ".gltf" else box.export(path)
    plain, turned = read_mesh(path), read_mesh(path, up="z")
    assert is_closed_cube(plain)
    np.testing.assert_allclose(plain.centroid, [0, 0, 5], atol=1e-6)
    np.testing.assert_allclose(turned.centroid, [0, 5, 0], atol=1e-6)
    np.testing.assert_allclose(turned.extents, [1, 3, 2], atol=1e-6)
    assert turned.volume == pytest.approx(6.0)
    with pytest.raises(ValueError, match="up must be 'y' or 'z', got 'x'"):
        read_mesh(path, up="x")


def test_modelnets_header_is_read_with_either_line_end(tmp_path):
    text = trimesh.creation.box().export(file_type="off")
    first, rest = text.split("\n", 1)
    assert first.strip() == "OFF"
    for content in ("OFF" + rest, ("OFF" + rest).replace("\n", "\r\n"), text):
        assert is_closed_cube(read_mesh_bytes(content.encode(), ".off"))


def test_colours_come_with_the_file_that_lies_beside(tmp_path):
    (tmp_path / "red.mtl").write_text("newmtl red\nKd 1 0 0\n")
    (tmp_path / "a.obj").write_text(
        "mtllib red.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl red\nf 1 2 3\n"
    )
    material = read_mesh(tmp_path / "a.obj").visual.material
    assert json.loads(json.dumps(material.main_color.tolist()))[:3] == [255, 0, 0]


def test_what_is_no_mesh_is_refused_with_the_reason(tmp_path):
    for name, content in (("a.ply", b"nothing"), ("a.zzz", b"a"), ("a", b"a")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MeshError, match="it cannot be read as a mesh: "):
            read_mesh(tmp_path / name)
    for missing in (tmp_path / "none.obj", tmp_path):
        with pytest.raises(MeshError, match="it cannot be read as a mesh: "):
            read_mesh(missing)
    with pytest.raises(MeshError, match="it cannot be read as a mesh"):
        read_mesh_bytes(b"nothing", ".ply")

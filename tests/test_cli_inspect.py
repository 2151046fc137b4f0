"""`geoflow inspect`: numbers, signs, refusals, and exit codes, through the command."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from geoflow_cli import main


def box(extents=(1.0, 2.0, 3.0), at=(0.0, 0.0, 0.0), *, inward=False):
    mesh = trimesh.creation.box(extents).apply_translation(at)
    if inward:
        mesh.invert()
    return mesh


def save(path, *meshes):
    trimesh.util.concatenate(meshes).export(path)
    return str(path)


def inspected(capsys, *words):
    code = main(["inspect", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_a_box_is_what_it_is(tmp_path, capsys):
    code, (found,) = inspected(capsys, save(tmp_path / "box.ply", box()))
    assert code == 0
    assert found["refused"] is None
    assert (found["vertices"], found["faces"], found["parts"]) == (8, 12, 1)
    np.testing.assert_allclose(found["extents"], [1, 2, 3], rtol=1e-6)
    assert found["area"] == pytest.approx(22)
    assert found["volume"] == pytest.approx(6)
    assert found["watertight"]
    assert found["manifold"]
    assert found["winding_consistent"]
    assert (found["inward_parts"], found["hidden_cavities"]) == (0, 0)
    assert found["signed"]["method"] == "winding"
    assert found["signed"]["ray_agreement"] == pytest.approx(1.0, abs=0.01)


def test_parts_that_face_inward_and_cavities_are_told_apart(tmp_path, capsys):
    path = save(
        tmp_path / "parts.ply", box(), box((0.5, 0.5, 0.5), inward=True),
        box((1.0, 1.0, 1.0), (4.0, 0.0, 0.0), inward=True),
    )  # fmt: skip
    _, (found,) = inspected(capsys, path)
    assert (found["parts"], found["inward_parts"], found["hidden_cavities"]) == (3, 1, 1)
    _, (alone,) = inspected(capsys, save(tmp_path / "a.ply", box(inward=True)))
    assert (alone["inward_parts"], alone["hidden_cavities"]) == (1, 0)


def test_two_sides_of_a_sheet_are_no_inward_part(tmp_path, capsys):
    _, (found,) = inspected(capsys, save(tmp_path / "a.ply", box((1.0, 0.0, 3.0))))
    assert (found["watertight"], found["inward_parts"]) == (True, 0)


def test_faces_wound_differently_are_said(tmp_path, capsys):
    mesh = box()
    mesh.faces[3] = mesh.faces[3, ::-1]
    path = save(tmp_path / "mixed.ply", mesh)
    _, (found,) = inspected(capsys, path)
    assert not found["winding_consistent"]
    assert main(["inspect", path]) == 0
    assert "faces wound differently" in capsys.readouterr().out


def test_open_and_branching_surfaces_are_named(tmp_path, capsys):
    mesh = box()
    mesh.update_faces(np.arange(12) > 1)
    _, (found,) = inspected(capsys, save(tmp_path / "open.ply", mesh))
    assert (found["watertight"], found["manifold"]) == (False, True)
    fin = trimesh.Trimesh(
        [*mesh.vertices, [3.0, 3.0, 3.0]], [*mesh.faces, [*mesh.face_adjacency_edges[0], 8]]
    )
    fin.export(tmp_path / "fin.ply")
    _, (found,) = inspected(capsys, str(tmp_path / "fin.ply"))
    assert (found["faces"], found["manifold"]) == (11, False)


def test_refused_files_are_named_and_the_rest_goes_on(tmp_path, capsys):
    good = save(tmp_path / "b.obj", box())
    bad = tmp_path / "a.obj"
    bad.write_text(Path(good).read_text().replace("v ", "v nan ", 1))
    flat = tmp_path / "flat.obj"
    flat.write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    code, found = inspected(capsys, str(bad), good, str(flat), str(tmp_path / "none.obj"))
    assert code == 1
    assert [each["refused"] is None for each in found] == [False, True, False, False]
    assert "not finite" in found[0]["refused"]
    assert found[0]["vertices"] is None
    assert "area" in found[2]["refused"]
    assert found[2]["vertices"] == 3
    assert main(["inspect", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "b.obj:\n  8 vertices, 12 faces, 1 parts, 1 x 2 x 3, area 22, volume 6" in said.out
    assert "signed as winding (it has a clear inside)" in said.out
    assert "refused: it cannot be read as a mesh: 1 of its vertices are not finite" in said.out
    assert "2 of 3 files refused, first " in said.err


def test_a_missing_picture_is_named(tmp_path, capsys):
    path = save(tmp_path / "a.obj", box())
    assert inspected(capsys, path)[1][0]["missing"] == []
    Path(path).write_text("mtllib gone.mtl\n" + Path(path).read_text())
    assert inspected(capsys, path)[1][0]["missing"] == ["gone.mtl"]
    assert main(["inspect", path]) == 0
    said = capsys.readouterr().out
    assert "  files that it names and that cannot be read: gone.mtl\n" in said


def test_a_name_that_is_no_text_is_printed_all_the_same(tmp_path, capsys):
    path = os.path.join(tmp_path, os.fsdecode(b"St\xfchl.ply"))
    save(tmp_path / "a.ply", box())
    os.rename(tmp_path / "a.ply", path)
    assert main(["inspect", path]) == 0
    assert "hl.ply:\n  8 vertices" in capsys.readouterr().out


def test_wrong_usage_is_two(tmp_path, capsys):
    assert main(["inspect"]) == 2
    assert main(["inspect", str(tmp_path)]) == 2
    assert "holds no meshes" in capsys.readouterr().err

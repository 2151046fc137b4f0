"""Files of folders as they come: links, loops, what macOS leaves, names that are not UTF-8."""

import json
import os

import pytest
import trimesh
from gltf_files import gltf_parts, write_gltf

from geoflow_datasets.files import files_in
from geoflow_datasets.folder import load_reports, prepare_folder
from geoflow_datasets.layouts import category_of, find_files, split_of
from geoflow_datasets.mesh_folder import MESHES, MeshOptions
from geoflow_datasets.mesh_surface import MeshSurface

NO_TEXT = os.fsdecode(b"St\xfchl.obj")


def write_box(path, extents=(1.0, 2.0, 3.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(trimesh.creation.box(extents).export(file_type="obj"))
    return path


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    write_box(tmp_path / "elsewhere" / "deep" / "a.obj")
    data = tmp_path / "data"
    data.mkdir()
    (data / "chair").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "root").symlink_to(data)
    (tmp_path / "elsewhere" / "nowhere.obj").symlink_to(tmp_path / "none.obj")
    (path,) = find_files(data, "chair", suffixes=(".obj",), kind="meshes")
    assert path == data / "chair" / "deep" / "a.obj"
    assert category_of(data, path) == "chair"


def test_apple_double_files_are_left_out(tmp_path):
    write_box(tmp_path / "a.obj")
    (tmp_path / "._a.obj").write_bytes(b"\0\5\x16\7")
    (tmp_path / "._folder").mkdir()
    write_box(tmp_path / "._folder" / "b.obj")
    write_box(tmp_path / "._").rename(tmp_path / "_.obj")
    assert [path.name for path in files_in(tmp_path)] == ["_.obj", "a.obj"]


def test_names_that_are_no_text_are_read_as_any_other(tmp_path):
    write_box(tmp_path / "data" / NO_TEXT)
    write_box(tmp_path / "data" / "b.obj", (1.0, 1.0, 1.0))
    options = MeshOptions(num_surface=16, num_queries=16)
    prepared = prepare_folder(
        MESHES, tmp_path / "data", options, cache=tmp_path / "c", num_workers=1
    )
    reports = load_reports(MESHES, prepared)
    assert sorted(report.name for report in reports) == sorted([NO_TEXT, "b.obj"])
    assert MESHES.bank.load(prepared).names == tuple(report.name for report in reports)
    assert not any(report.refused for report in reports)
    assert split_of(NO_TEXT, 20) in ("train", "val", "test")


def test_one_bad_file_never_ends_a_folders_run(tmp_path, monkeypatch):
    data = tmp_path / "data"
    write_box(data / "good.obj")
    good = (data / "good.obj").read_text()
    (data / "nan.obj").write_text(good.replace("v ", "v nan ", 1))
    (data / "empty.obj").write_text("")
    (data / "torn.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 8\n")
    (data / "odd.glb").write_bytes(b"glTF" + bytes(100))
    options = MeshOptions(num_surface=16, num_queries=16)
    prepared = prepare_folder(MESHES, data, options, cache=tmp_path / "c", num_workers=1)
    reports = {report.name: report.refused for report in load_reports(MESHES, prepared)}
    assert reports.pop("good.obj") is None
    assert sorted(reports) == ["empty.obj", "nan.obj", "odd.glb", "torn.ply"]
    assert all(reports.values())
    assert "not finite" in reports["nan.obj"]


def test_a_gltf_is_prepared_anew_when_its_data_changes(tmp_path):
    data, options = tmp_path / "data", MeshOptions(num_surface=16, num_queries=16)
    data.mkdir()
    banks = []
    for extents in ((1.0, 2.0, 3.0), (1.0, 1.0, 3.0), (1.0, 1.0, 3.0)):
        write_gltf(trimesh.creation.box(extents), data / "box.gltf")
        # The text is the same: what it names is not.
        (data / "box.gltf").write_bytes(gltf_parts(trimesh.creation.box(), "box.bin")[0])
        strip_box(data / "box.gltf")
        banks.append(prepare_folder(MESHES, data, options, cache=tmp_path / "c", num_workers=1))
    assert banks[0] != banks[1] == banks[2]
    assert all(load_reports(MESHES, bank)[0].refused is None for bank in banks)


def strip_box(path):
    """Leave out what a glTF says of its box."""
    header = json.loads(path.read_text())
    for accessor in header["accessors"]:
        accessor.pop("min", None)
        accessor.pop("max", None)
    path.write_text(json.dumps(header))


def test_an_error_that_nobody_foresaw_is_a_refusal_too(tmp_path):
    from dataclasses import replace

    write_box(tmp_path / "data" / "good.obj")
    write_box(tmp_path / "data" / "odd.obj")

    def process(path, options, rng):
        if path.name == "odd.obj":
            raise IndexError("out of bounds")
        return MESHES.process(path, options, rng)

    odd = replace(MESHES, process=process)
    options = MeshOptions(num_surface=16, num_queries=16)
    prepared = prepare_folder(odd, tmp_path / "data", options, cache=tmp_path / "c", num_workers=1)
    _, report = load_reports(odd, prepared)
    assert report.refused == "it cannot be processed: IndexError: out of bounds"


def test_a_surface_whose_picture_is_missing_has_no_colours(tmp_path):
    lines = ["mtllib a.mtl", "usemtl a", "v 0 0 0", "v 1 0 0", "v 0 1 0", "vt 0 0", "vt 1 1"]
    (tmp_path / "a.obj").write_text("\n".join([*lines, "f 1/1 2/2 3/1"]))
    (tmp_path / "a.mtl").write_text("newmtl a\nKd 1 0 0\nmap_Kd gone.png\n")
    assert MeshSurface.read(tmp_path / "a.obj").channels == ("position", "normal")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused_by_name(tmp_path):
    write_box(tmp_path / "data" / "good.obj")
    write_box(tmp_path / "data" / "shut.obj").chmod(0)
    options = MeshOptions(num_surface=16, num_queries=16)
    prepared = prepare_folder(
        MESHES, tmp_path / "data", options, cache=tmp_path / "c", num_workers=1
    )
    _, report = load_reports(MESHES, prepared)
    assert "Permission denied" in report.refused

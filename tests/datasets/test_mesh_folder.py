"""Folders of meshes: every suffix and layout, reports, cache, splits; nothing half-written."""

import numpy as np
import pytest
import trimesh
from gltf_files import write_gltf

from geoflow.geometry.mesh import SUFFIXES
from geoflow.geometry.sdf import RoundBox
from geoflow_datasets import load
from geoflow_datasets.folder import (
    load_folder,
    load_reports,
    prepare_folder,
    summarise_reports,
)
from geoflow_datasets.layouts import split_of
from geoflow_datasets.mesh_folder import MESHES, MeshOptions

SMALL = MeshOptions(num_surface=300, num_queries=600)
HALF = np.array([1.0, 0.7, 0.4])


def load_meshes(folder, *, options=SMALL, num_workers=1, **settings):
    return load_folder(MESHES, folder, options, num_workers=num_workers, **settings)


def prepare_meshes(folder, *, options=SMALL, **settings):
    return prepare_folder(MESHES, folder, options, num_workers=1, **settings)


def write_box(path, scale=1.0, shift=0.0):
    mesh = trimesh.creation.box(extents=2 * HALF * scale).apply_translation([shift, 0, 2 * shift])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gltf(mesh, path) if path.suffix == ".gltf" else mesh.export(path)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """The same box in all formats, sizes and places."""
    folder = tmp_path_factory.mktemp("boxes")
    for i, suffix in enumerate(SUFFIXES):
        write_box(folder / f"box{suffix}", scale=3.0**i, shift=float(i))
    return folder


def test_every_suffix_gives_the_normalised_box(boxes, tmp_path):
    bank = load_meshes(boxes, cache=tmp_path)
    assert sorted(bank.names) == sorted(f"box{suffix}" for suffix in SUFFIXES)
    solid = RoundBox(np.zeros(3), HALF)
    for i in range(len(bank)):
        surface, normals = bank.surface[i].astype(float), bank.normals[i].astype(float)
        assert np.abs(solid.distance(surface)).max() < 2e-3
        assert (solid.distance(surface + 0.05 * normals) > 0.04).all()
        exact = solid.distance(bank.queries[i].astype(float))
        np.testing.assert_allclose(bank.sdf[i].astype(float), exact, atol=2e-3)


def test_uniform_queries_are_uniform(boxes, tmp_path):
    queries, _ = load_meshes(boxes, cache=tmp_path).uniform_queries(0)
    assert np.abs(queries).max() > 1.0
    np.testing.assert_allclose(queries.std(0), 1.05 / 3**0.5, atol=0.1)


def test_header_of_modelnet_is_read(tmp_path):
    write_box(tmp_path / "meshes" / "box.off")
    path = tmp_path / "meshes" / "box.off"
    first, rest = path.read_text().split("\n", 1)
    assert first.strip() == "OFF"
    path.write_text("OFF" + rest)
    assert len(load_meshes(tmp_path / "meshes", cache=tmp_path / "cache")) == 1


def test_surfaces_inside_the_solid_are_left_out(tmp_path):
    left, right = (
        trimesh.creation.box(extents=[1.2, 1, 1]).apply_translation([x, 0, 0]) for x in (-0.4, 0.4)
    )
    (tmp_path / "meshes").mkdir()
    trimesh.util.concatenate([left, right]).export(tmp_path / "meshes" / "two.obj")
    bank = load_meshes(tmp_path / "meshes", cache=tmp_path / "cache")
    union = RoundBox(np.zeros(3), np.array([1.0, 0.5, 0.5]))
    assert np.abs(union.distance(bank.surface[0].astype(float))).max() < 5e-3


def test_categories_are_folders(tmp_path):
    for name in ("chair/a", "chair/b", "table/c"):
        write_box(tmp_path / "meshes" / f"{name}.ply")
    cache = tmp_path / "cache"
    chairs = load_meshes(tmp_path / "meshes", category="chair", cache=cache)
    assert chairs.names == ("chair/a.ply", "chair/b.ply")
    every = load_meshes(tmp_path / "meshes", cache=cache)
    assert every.category_names == ("chair", "table")
    assert every.categories.tolist() == [0, 0, 1]
    both = every.with_categories(("lamp", "table", "chair"))
    assert both.categories.tolist() == [2, 2, 1]
    with pytest.raises(ValueError, match="categories are lamp; the data has chair, table"):
        every.with_categories(("lamp",))
    with pytest.raises(ValueError, match="no category 'lamp'; it has chair, table, or all"):
        load_meshes(tmp_path / "meshes", category="lamp", cache=cache)


def test_shapenet_gets_names_and_modelnet_keeps_its_splits(tmp_path):
    shapenet = tmp_path / "shapenet"
    write_box(shapenet / "03001627" / "a1b2" / "models" / "model_normalized.obj")
    write_box(shapenet / "03797390" / "c3d4" / "models" / "model_normalized.obj")
    chairs = load_meshes(shapenet, category="chair", cache=tmp_path / "cache")
    assert chairs.names == ("03001627/a1b2/models/model_normalized.obj",)
    assert chairs.category_names == ("chair",)
    for i in range(6):
        for split in ("train", "test"):
            write_box(tmp_path / "modelnet" / "desk" / split / f"desk_{split}{i}.off")
    kept = {
        split: load_meshes(
            tmp_path / "modelnet", category="desk", split=split, cache=tmp_path / "cache"
        ).names
        for split in ("train", "test")
    }
    assert {len(names) for names in kept.values()} == {6}
    assert all(f"/{split}/" in name for split, names in kept.items() for name in names)


def test_z_up_files_are_turned(tmp_path):
    cone = trimesh.creation.cone(radius=0.3, height=1.0)
    (tmp_path / "meshes").mkdir()
    cone.export(tmp_path / "meshes" / "cone.ply")
    cache = tmp_path / "cache"
    for up, axis in (("y", 2), ("z", 1)):
        surface = load_meshes(
            tmp_path / "meshes", options=MeshOptions(up, 300, 600), cache=cache
        ).surface[0]
        tip = surface[:, axis] > 0.7
        others = [i for i in range(3) if i != axis]
        assert tip.any()
        assert np.abs(surface[tip][:, others]).max() < 0.1
    with pytest.raises(ValueError, match="up must be 'y' or 'z'"):
        MeshOptions("x")


def test_refusals_are_reported_and_the_rest_is_used(tmp_path):
    folder = tmp_path / "meshes"
    write_box(folder / "good.obj")
    (folder / "broken.ply").write_bytes(b"this is no mesh")
    (folder / "flat.obj").write_text("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n")
    prepared = prepare_meshes(folder, cache=tmp_path / "cache")
    reports = {report.name: report for report in load_reports(MESHES, prepared)}
    assert reports["good.obj"].method == "winding"
    assert reports["good.obj"].watertight_input
    assert "cannot be read" in reports["broken.ply"].refused
    assert reports["flat.obj"].refused
    summary = summarise_reports(MESHES, list(reports.values()))
    assert summary.startswith("1 meshes (1 winding), 2 refused")
    assert "broken.ply: it cannot be read" in summary
    assert load_meshes(folder, cache=tmp_path / "cache").names == ("good.obj",)


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        load_meshes(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no meshes; expected files \.obj, \.ply"):
        load_meshes(tmp_path / "empty")
    (tmp_path / "empty" / "a.ply").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"all 1 meshes .* refused; a\.ply: it cannot be read"):
        load_meshes(tmp_path / "empty", cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="split must be one of"):
        load_meshes(tmp_path / "empty", split="dev")


def test_cache_is_used_until_a_file_changes(tmp_path):
    folder, cache = tmp_path / "meshes", tmp_path / "cache"
    write_box(folder / "a.obj")
    first = prepare_meshes(folder, cache=cache)
    before = (first / "bank.json").stat().st_mtime_ns
    assert prepare_meshes(folder, cache=cache) == first
    assert (first / "bank.json").stat().st_mtime_ns == before
    write_box(folder / "b.obj")
    assert prepare_meshes(folder, cache=cache) != first


def test_interrupted_preparation_leaves_nothing(tmp_path, monkeypatch):
    write_box(tmp_path / "meshes" / "a.obj")
    cache = tmp_path / "cache"

    def fail(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("numpy.save", fail)
        with pytest.raises(KeyboardInterrupt):
            load_meshes(tmp_path / "meshes", cache=cache)
    assert list((cache / "meshes").iterdir()) == []
    assert len(load_meshes(tmp_path / "meshes", cache=cache)) == 1


def test_splits_part_the_names_and_stay():
    names = [f"chair/{i}.obj" for i in range(2000)]
    splits = [split_of(name, len(names)) for name in names]
    shares = [splits.count(split) / len(names) for split in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.03)
    assert splits == [split_of(name, 500) for name in names]
    assert {split_of(name, 9) for name in names} == {"train"}


def test_workers_give_the_same_bank(boxes, tmp_path):
    one = load_meshes(boxes, cache=tmp_path / "one")
    two = load_meshes(boxes, cache=tmp_path / "two", num_workers=2)
    assert one.names == two.names
    np.testing.assert_array_equal(one.surface, two.surface)
    np.testing.assert_array_equal(one.sdf, two.sdf)


def test_load_takes_a_folder(boxes, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    bank = load(str(boxes), "chair", split="val", num=1, cache=tmp_path)
    assert len(bank) == len(SUFFIXES)
    assert bank.category_names == ("chair",)


@pytest.mark.slow
def test_thickness_and_hollows_are_asked_for_by_a_source(tmp_path):
    folder, cache = tmp_path / "meshes", tmp_path / "cache"
    folder.mkdir()
    trimesh.creation.box(extents=[2, 0.02, 2]).export(folder / "board.ply")
    hollow = trimesh.creation.box(extents=[1.2, 1.2, 1.2])
    hollow.invert()
    trimesh.util.concatenate([trimesh.creation.box(extents=[2, 2, 2]), hollow]).export(
        folder / "hollow.ply"
    )

    def inside(**options):
        bank = load(str(folder), split="train", cache=cache, **options)
        return {name: (bank.sdf[i] < 0).mean() for i, name in enumerate(bank.names)}

    plain, thick, kept = inside(), inside(thickness=0.1), inside(keep_cavities=True)
    assert thick["board.ply"] > 1.3 * plain["board.ply"]
    assert thick["hollow.ply"] == pytest.approx(plain["hollow.ply"], abs=0.03)
    assert kept["hollow.ply"] < 0.95 * plain["hollow.ply"]
    said = summarise_reports(
        MESHES, load_reports(MESHES, prepare_folder(MESHES, folder, MeshOptions(), cache=cache))
    )
    assert "1 with hidden cavities" in said
    with pytest.raises(ValueError, match=r"thickness must be in \[0, 0\.5\]"):
        MeshOptions(thickness=0.6)

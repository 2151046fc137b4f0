"""Fetched collections, from small archives of our own."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from geoflow_datasets.attribution import read_attribution
from geoflow_datasets.classes import class_of
from geoflow_datasets.furniture import read_catalogue
from geoflow_tools.fetch import pybullet
from geoflow_tools.fetch.collection import hold_out
from geoflow_tools.fetch.sweethome3d import Options, fetch

CATALOGUE = """# a comment
name#1=Dining chair
model#1=/models/dining.obj
creator#1=Ada
license#1=CC-BY
modelRotation#1=1 0 0 0 0 1 0 -1 0
name#2=Armchair
model#2=/models/arm.obj
name#3=Table
model#3=/models/table.obj
name#4=Chair of another format
model#4=/models/other.dae
license=GPL
"""
BOX = trimesh.creation.box(extents=[1, 2, 4]).export(file_type="obj")


@pytest.fixture
def archives(tmp_path):
    folder = tmp_path / "archives"
    folder.mkdir()
    with zipfile.ZipFile(folder / "Small.sh3f", "w") as file:
        file.writestr("PluginFurnitureCatalog.properties", CATALOGUE)
        file.writestr("models/dining.obj", "mtllib a.mtl\nusemtl wood\n" + BOX)
        file.writestr("models/arm.obj", BOX)
        file.writestr("models/table.obj", BOX)
    return folder


def test_catalogue_is_read_with_creators_and_the_common_licence():
    entries = {entry.name: entry for entry in read_catalogue(CATALOGUE.encode())}
    assert (entries["Dining chair"].creator, entries["Dining chair"].licence) == ("Ada", "CC-BY")
    assert (entries["Armchair"].creator, entries["Armchair"].licence) == ("unknown", "GPL")
    assert entries["Dining chair"].rotation == (1, 0, 0, 0, 0, 1, 0, -1, 0)


def test_models_are_written_upright_with_their_attributions(tmp_path, archives):
    out = tmp_path / "meshes"
    assert fetch(Options(out=out, archives=archives, category="chair")) == 1
    mesh = trimesh.load_mesh(out / "chair" / "dining-small.obj")
    np.testing.assert_allclose(mesh.extents, [1, 4, 2])
    (credit,) = read_attribution(out)
    assert (credit.file, credit.creator) == ("chair/dining-small.obj", "Ada")


def test_all_models_go_to_the_categories_of_their_names(tmp_path, archives):
    assert fetch(Options(out=tmp_path / "meshes", archives=archives)) == 3
    found = sorted(path.parent.name for path in (tmp_path / "meshes").glob("*/*.obj"))
    assert found == ["chair", "chair", "table"]
    assert set(json.loads((tmp_path / "meshes" / "splits.json").read_text())) == {
        credit.file for credit in read_attribution(tmp_path / "meshes")
    }


@pytest.mark.parametrize(
    ("name", "category"),
    [("Coffee table", "table"), ("Coffee cup", "vessel"), ("Cup cake", "thing"), ("Xyz", "thing"),
     ("Seat Leon", "car"), ("Class seat", "chair")],
)  # fmt: skip
def test_the_most_telling_word_of_a_name_decides(name, category):
    assert class_of(name) == category


def test_a_tenth_of_each_category_is_held_out_twice_and_families_stay_whole():
    names = [f"{kind}/{i:02d}.obj" for kind in ("chair", "sofa") for i in range(40)]
    families = [i // 2 for i in range(80)]
    splits = hold_out(names, families)
    assert all(splits[a] == splits[b] for a, b in zip(names[::2], names[1::2], strict=True))
    for kind in ("chair", "sofa"):
        of = [split for name, split in splits.items() if name.startswith(kind)]
        assert (of.count("train"), of.count("val"), of.count("test")) == (32, 4, 4)


def test_a_family_too_large_to_hold_out_is_for_training():
    names = [f"door/{i:02d}.obj" for i in range(20)]
    splits = hold_out(names, [0] * 17 + [1, 2, 3])
    assert {splits[name] for name in names[:17]} == {"train"}
    assert sorted(splits[name] for name in names[17:]) == ["test", "val", "val"]


def test_random_objects_come_from_a_wheel_without_the_broken(tmp_path):
    wheel = tmp_path / "pybullet.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for number in range(3):
            file.writestr(f"pybullet_data/random_urdfs/{number:03d}/{number:03d}.obj", BOX)
        file.writestr("pybullet_data/random_urdfs/003/003.obj", "v nan 0 0\nf 1 1 1\n")
        file.writestr("pybullet_data/duck.obj", BOX)
    assert pybullet.fetch(pybullet.Options(wheel, tmp_path / "out")) == 3
    assert {credit.licence for credit in read_attribution(tmp_path / "out")} == {"zlib"}
    mesh = trimesh.load_mesh(tmp_path / "out" / "lump" / "000.obj")
    np.testing.assert_allclose(mesh.extents, [1, 4, 2])
    with pytest.raises(FileNotFoundError, match="pip download pybullet"):
        pybullet.fetch(pybullet.Options(tmp_path / "no.whl", tmp_path))


def test_what_is_missing_is_named(tmp_path, archives):
    with pytest.raises(FileNotFoundError, match="apt-get install sweethome3d-furniture"):
        fetch(Options(out=tmp_path, archives=Path("nowhere")))
    with pytest.raises(ValueError, match="no model's name contains 'sofa'"):
        fetch(Options(out=tmp_path, archives=archives, category="sofa"))

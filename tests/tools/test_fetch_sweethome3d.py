"""The furniture catalogues, from a small archive of our own."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from geoflow_tools.fetch_sweethome3d import Options, fetch, read_catalogue

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
    entries = {entry.name: entry for entry in read_catalogue(CATALOGUE)}
    assert (entries["Dining chair"].creator, entries["Dining chair"].licence) == ("Ada", "CC-BY")
    assert (entries["Armchair"].creator, entries["Armchair"].licence) == ("unknown", "GPL")
    assert entries["Dining chair"].rotation == (1, 0, 0, 0, 0, 1, 0, -1, 0)


def test_models_are_written_upright_with_their_attributions(tmp_path, archives):
    out = tmp_path / "meshes"
    assert fetch(Options(out=out, archives=archives)) == 1
    mesh = trimesh.load_mesh(out / "chair" / "small-dining.obj")
    np.testing.assert_allclose(mesh.extents, [1, 4, 2])
    text = (out / "ATTRIBUTION.md").read_text()
    assert "| small-dining.obj | Dining chair | Ada | CC-BY |" in text


def test_what_is_missing_is_named(tmp_path, archives):
    with pytest.raises(FileNotFoundError, match="apt-get install sweethome3d-furniture"):
        fetch(Options(out=tmp_path, archives=Path("nowhere")))
    with pytest.raises(ValueError, match="no model's name contains 'sofa'"):
        fetch(Options(out=tmp_path, archives=archives, category="sofa"))

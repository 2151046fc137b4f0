"""The table of sources: what is recognised, given, refused at once; and keys of what is cached."""

import ast
import importlib
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import trimesh

import geoflow_datasets
from geoflow_datasets import SOURCES, check, describe, load
from geoflow_datasets.bank import CloudBank, ShapeBank
from geoflow_datasets.digest import digest
from geoflow_datasets.figure_bank import FigureBank
from geoflow_datasets.folder import load_folder, prepare_folder
from geoflow_datasets.mesh_folder import MESHES, MeshOptions
from geoflow_datasets.mesh_surface import MeshSurface
from geoflow_datasets.procedural import CATEGORIES
from geoflow_datasets.request import Request
from geoflow_datasets.sources import find_source

SMALL = MeshOptions(num_surface=32, num_queries=32)


def bank(num):
    """A bank of `num` shapes of two categories, of points at random."""
    rng = np.random.default_rng(num)
    points = rng.uniform(-1, 1, (num, 8, 3)).astype(np.float16)
    return ShapeBank(
        surface=points,
        normals=points,
        queries=points,
        sdf=points[..., 0],
        categories=np.arange(num) % 2,
        names=tuple(map(str, range(num))),
        category_names=("even", "odd"),
    )


@pytest.fixture
def given(tmp_path):
    """One of every source, by its name in the table."""
    mesh = trimesh.creation.box()
    for part in ("meshes", "clouds", "figures/obj", "figures/rig_info"):
        (tmp_path / part).mkdir(parents=True)
    mesh.export(tmp_path / "meshes" / "a.obj")
    mesh.export(tmp_path / "figures" / "obj" / "a.obj")
    (tmp_path / "figures" / "rig_info" / "a.txt").write_text("joints hip 0 0 0\nroot hip\n")
    bank(2).save(tmp_path / "banks" / "train")
    np.save(tmp_path / "clouds" / "a.npy", np.random.default_rng(0).normal(size=(300, 3)))
    return {
        "procedural shapes": "procedural",
        "procedural figures": "procedural",
        "folder of banks": str(tmp_path / "banks"),
        "folder of meshes": str(tmp_path / "meshes"),
        "folder of clouds": str(tmp_path / "clouds"),
        "RigNet's folder": str(tmp_path / "figures"),
        "mesh file": str(tmp_path / "meshes" / "a.obj"),
    }


def test_every_source_is_found_checked_loaded_and_described(given, tmp_path):
    kinds = {"fields": ShapeBank, "points": CloudBank, "figures": FigureBank}
    kinds["surface"] = MeshSurface
    for name, source in given.items():
        row = SOURCES[name]
        category = "mug" if name == "procedural shapes" else "all"
        assert find_source(source, gives=row.gives) is row
        check(source, category, gives=row.gives, num=1)
        data = load(
            source, category, gives=row.gives, split="train", num=1, cache=tmp_path / "cache"
        )
        assert isinstance(data, kinds[row.gives])
        said = describe(source, category, gives=row.gives, cache=tmp_path / "cache")
        assert bool(said) == (name in ("folder of meshes", "folder of clouds"))


def test_what_a_source_reads_is_of_a_request():
    known = {field.name for field in fields(Request)} - {"source", "category", "split"}
    assert all(set(row.reads) <= known for row in SOURCES.values())


def test_models_of_points_take_shapes_with_fields_and_not_the_other_way(given, tmp_path):
    for name in ("procedural shapes", "folder of meshes"):
        assert find_source(given[name], gives="points") is SOURCES[name]
    bank = load(given["folder of meshes"], gives="points", split="val", cache=tmp_path / "c")
    assert isinstance(bank, ShapeBank)
    with pytest.raises(ValueError, match="no signed distances"):
        check(given["folder of clouds"])


@pytest.mark.parametrize(
    ("gives", "named"),
    [
        ("fields", ["'procedural'", "an existing folder of meshes"]),
        (
            "points",
            ["'procedural'", "an existing folder of clouds", "an existing folder of meshes"],
        ),
        ("figures", ["'procedural'", "an existing folder in RigNet's layout"]),
        ("surface", ["an existing mesh file"]),
    ],
)
def test_what_nothing_recognises_is_refused_naming_what_is_expected(gives, named, unchecked):
    usable = ("points", "fields") if gives == "points" else (gives,)
    rows = [row.expects for row in SOURCES.values() if row.gives in usable]
    assert [row for row in rows if row in named] == named
    expected = re.escape(" or ".join(rows))
    for act in (check, describe, lambda source, gives: load(source, gives=gives, split="train")):
        with pytest.raises(ValueError, match=f"data must be {expected}, got 'nowhere'"):
            act("nowhere", gives=gives)
    with pytest.raises(ValueError, match=r"gives must be one of .*, got 'voxels'"):
        check("procedural", gives="voxels")


@pytest.mark.parametrize(
    ("source", "category", "gives", "message"),
    [
        ("procedural shapes", "boat", "fields", "category must be of chair"),
        ("procedural shapes", "all", "fields", r"at least \d, one shape a category, got 2"),
        ("procedural shapes", "mug,mug", "points", "different names joined by commas"),
        ("folder of meshes", "a,b", "fields", "has no category folders, expected a, b"),
        ("folder of meshes", "", "fields", "different names joined by commas"),
        ("RigNet's folder", "chair", "figures", "has no categories, got 'chair'"),
        ("folder of meshes", "all", "figures", "has not RigNet's layout"),
        ("mesh file", "chair", "surface", "has no categories, got 'chair'"),
        ("folder of meshes", "all", "surface", "data must be an existing mesh file"),
    ],
)
def test_cheap_checks_refuse_before_anything_is_read(given, source, category, gives, message):
    with pytest.raises(ValueError, match=message) as error:
        check(given[source], category, gives=gives, num=2)
    assert len(str(error.value).splitlines()) == 1


def test_checks_give_the_names_that_were_asked_for(given):
    assert check("procedural", "mug, chair", num=2) == ("mug", "chair")
    assert check("procedural", num=len(CATEGORIES)) == tuple(CATEGORIES)
    with pytest.raises(ValueError, match=f"at least {len(CATEGORIES)}, one shape"):
        check("procedural", num=len(CATEGORIES) - 1)
    assert check(given["folder of meshes"], "chair") == ("chair",)
    assert check("procedural", gives="figures", num=2) == ()


def test_a_flat_folder_has_the_category_that_is_asked_for(given, tmp_path):
    """Of the same files, each category has a bank of its own."""
    for category in ("chair", "plane", "chair"):
        bank = load(given["folder of meshes"], category, split="train", cache=tmp_path / "c")
        assert bank.category_names == (category,)


def test_every_option_and_the_place_of_a_file_are_part_of_the_key(tmp_path):
    folder, cache = tmp_path / "meshes", tmp_path / "cache"
    for name in ("chair", "table"):
        (folder / name).mkdir(parents=True)
    trimesh.creation.box().export(folder / "chair" / "a.ply")

    def key(options=SMALL, category="all"):
        return prepare_folder(
            MESHES, folder, options, category=category, cache=cache, num_workers=1
        )

    keys = [key(), key(MeshOptions("z", 32, 32)), key(MeshOptions("y", 33, 32)),
            key(MeshOptions("y", 32, 33)), key(MeshOptions("y", 32, 32, 0.03)),
            key(MeshOptions("y", 32, 32, keep_cavities=True))]  # fmt: skip
    (folder / "chair" / "a.ply").rename(folder / "table" / "a.ply")
    keys.append(key())
    trimesh.creation.box([1, 2, 3]).export(folder / "table" / "a.ply")
    keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[-1]
    bank = load_folder(MESHES, folder, SMALL, cache=cache)
    assert bank.category_names == ("table",)


def test_digests_tell_the_parts_apart():
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["a", b"b"]) == digest([b"a", "b"])
    assert digest([]) != digest([""])


def test_the_package_names_what_it_has():
    with pytest.raises(AttributeError, match="no attribute 'load_clouds'"):
        geoflow_datasets.load_clouds  # noqa: B018


def test_banks_that_were_carried_have_splits_and_no_choices(given):
    folder = given["folder of banks"]
    assert check(folder) == ("even", "odd")
    assert load(folder, split="train").names == ("0", "1")
    with pytest.raises(ValueError, match="val holds no bank of shapes"):
        load(folder, split="val")
    with pytest.raises(ValueError, match="finished banks: leave out --shape-category"):
        check(folder, "odd")


ROOT = Path(__file__).parents[2]
DATASETS = ROOT / "datasets" / "geoflow_datasets"
# Files, processes and banks carry shapes; what the shapes are does not depend on them.
CARRIERS = {"source", "bank", "bank_writer", "request", "workers", "files", "digest"}
KEYS = {
    "procedural": lambda source: source._version(),
    "universe": lambda source: source._version(),
    "figures": lambda source: source.load_procedural_figures(split="val", num=1),
}


def files_of(module):
    """The source of a module, or all of a package; none of what is a name in one."""
    place = (ROOT if module.startswith("geoflow.") else ROOT / "datasets") / Path(
        *module.split(".")
    )
    return set(place.glob("*.py")) or {file for file in [place.with_suffix(".py")] if file.exists()}


def sources_below(module):
    """The files of a module, and of what they import, but for carriers."""
    found, left = set(), files_of(module)
    while left:
        path = left.pop()
        if path in found or path.stem in CARRIERS or path == DATASETS / "__init__.py":
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("geoflow"):
                for alias in node.names:
                    left |= files_of(f"{node.module}.{alias.name}") or files_of(node.module)
    return found


@pytest.mark.parametrize("made", KEYS)
def test_what_is_made_by_seed_is_kept_by_all_that_makes_it(monkeypatch, made):
    source = importlib.import_module(f"geoflow_datasets.{made}.source")
    covered = set()

    def record(*modules):
        for module in modules:
            covered.update(files_of(module.__name__))
        raise KeyError

    monkeypatch.setattr(source, "digest_of_sources", record)
    with pytest.raises(KeyError):
        KEYS[made](source)
    below = sources_below(f"geoflow_datasets.{made}")
    assert len(below) > 4
    assert {path.relative_to(ROOT) for path in below - covered} == set()

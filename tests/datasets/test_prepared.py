"""Prepared folders: archives in place, nothing lost or done twice, streamed to the bit."""

import io
import json
import os
import tarfile
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
import trimesh
from filelock import FileLock
from gltf_files import gltf_parts, write_gltf

from geoflow.atomic import DamagedError
from geoflow_datasets import SOURCES, check, describe, load
from geoflow_datasets.attribution import read_attribution
from geoflow_datasets.bank import CloudBank, ShapeBank
from geoflow_datasets.cloud_folder import CloudOptions
from geoflow_datasets.mesh_folder import MeshOptions
from geoflow_datasets.mixture import mixture
from geoflow_datasets.prepared.collection import Collection
from geoflow_datasets.prepared.index import Index
from geoflow_datasets.prepared.limited import Limits, Pool, Refusal
from geoflow_datasets.prepared.makers import make
from geoflow_datasets.prepared.prepare import Options, kind_of, prepare
from geoflow_datasets.sources import find_source
from geoflow_datasets.splits import extend_splits, shares_of

SMALL = Options(MeshOptions(num_surface=64, num_queries=100))
CATALOGUE = """name#1=Dining chair
model#1=/models/dining.obj
creator#1=Ada
license#1=CC-BY
modelRotation#1=1 0 0 0 0 1 0 -1 0
"""


def here(jobs):
    """An engine of this process."""
    for job in jobs:
        yield [(job, make(job))]


def backwards(jobs):
    """An engine whose last job is ready first."""
    yield [(job, make(job)) for job in list(jobs)[::-1]]


def killed(jobs, *, after):
    """An engine that ends the run after so many jobs; one is at hand and lost."""
    for done, job in enumerate(jobs):
        if done == after:
            raise KeyboardInterrupt
        yield [(job, make(job))]


run = partial(prepare, options=SMALL, engine=here)


def content(i, suffix="ply"):
    """A box unlike all others."""
    extents = np.random.default_rng(i).uniform(0.2, 1.0, 3)
    made = trimesh.creation.box(extents).export(file_type=suffix)
    return made.encode() if isinstance(made, str) else made


def write(folder, **files):
    """Boxes by number, at the paths of their names."""
    for name, i in files.items():
        path = folder / name.replace("__", "/").replace("_ply", ".ply")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(i))
    return folder


@pytest.fixture
def boxes(tmp_path):
    return write(tmp_path / "src", a__x_ply=0, a__y_ply=1, b__x_ply=2, b__test__z_ply=3)


def names(folder):
    with Index(folder, is_read_only=True) as index:
        return {row.name: row for row in index.rows()}


def shards(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.npy"))}


def test_a_gltf_is_read_again_when_what_lies_beside_it_changes(tmp_path):
    source = tmp_path / "src"
    source.mkdir()
    write_gltf(trimesh.creation.box([0.3, 0.9, 1.7]), source / "c.gltf")
    write(source, x_ply=0)
    assert run(source, tmp_path / "out").made == 2
    assert run(source, tmp_path / "out").made == 0
    text = (source / "c.gltf").read_bytes()
    box = trimesh.creation.box([0.3, 0.9, 1.7])
    write_gltf(trimesh.Trimesh(box.vertices, box.faces[::-1], process=False), source / "c.gltf")
    assert (source / "c.gltf").read_bytes() == text
    assert run(source, tmp_path / "out").made == 1


def test_every_layout_and_archive_is_read_in_place(tmp_path):
    source = tmp_path / "src"
    write(source, plain__a_ply=0)
    for name, i, suffix in (
        ("02691156/m/models/model_normalized.obj", 1, "obj"),
        ("chair/test/c.off", 2, "off"),
        ("glbs/000-023/uid.glb", 3, "glb"),
    ):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_bytes(content(i, suffix))
    with zipfile.ZipFile(source / "mugs.zip", "w") as file:
        file.writestr("m.ply", content(4))
        file.writestr("__MACOSX/m.ply", content(4))
    with zipfile.ZipFile(source / "03001627.zip", "w") as file:
        file.writestr("03001627/n/models/model_normalized.obj", content(5, "obj"))
    text, data = gltf_parts(trimesh.creation.box([0.3, 0.9, 1.7]), "my%20box.bin")
    with zipfile.ZipFile(source / "cups.zip", "w") as file:
        file.writestr("cups/c.gltf", text)
        file.writestr("cups/my box.bin", data)
    with tarfile.open(source / "more.tar.gz", "w:gz") as file:
        member = tarfile.TarInfo("ball/b.ply")
        member.size = len(content(6))
        file.addfile(member, io.BytesIO(content(6)))
    with zipfile.ZipFile(source / "Small.sh3f", "w") as file:
        file.writestr("PluginFurnitureCatalog.properties", CATALOGUE)
        file.writestr(
            "models/dining.obj", "mtllib a.mtl\nusemtl wood\n" + content(7, "obj").decode()
        )
    assert run(source, tmp_path / "out").taken == 9
    found = {name: row.category for name, row in names(tmp_path / "out").items()}
    assert found == {
        "plain/a.ply": "plain",
        "02691156/m/models/model_normalized.obj": "airplane",
        "chair/test/c.off": "chair",
        "glbs/000-023/uid.glb": "thing",
        "mugs/m.ply": "mugs",
        "03001627/n/models/model_normalized.obj": "chair",
        "cups/c.gltf": "cups",
        "ball/b.ply": "ball",
        "chair/dining-small.obj": "chair",
    }
    assert names(tmp_path / "out")["chair/test/c.off"].split == "test"
    (credit,) = read_attribution(tmp_path / "out")
    assert (credit.file, credit.creator) == ("chair/dining-small.obj", "Ada")
    bank = load(str(tmp_path / "out"), split="train").loaded()
    turned = bank.surface[bank.names.index("chair/dining-small.obj")].astype(float)
    extents = np.random.default_rng(7).uniform(0.2, 1.0, 3)[[0, 2, 1]]
    np.testing.assert_allclose(turned.max(0), extents / extents.max(), atol=0.05)


def test_an_archive_alone_is_a_source_without_the_folder_around_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "ModelNet10.zip", "w") as file:
        file.writestr("ModelNet10/bed/train/b.off", content(0, "off"))
    (item,) = Collection(tmp_path / "ModelNet10.zip").items((".off",))
    assert item.name == "bed/train/b.off"
    (tmp_path / "broken.zip").write_bytes(b"PK no")
    with pytest.raises(ValueError, match=r"broken.zip cannot be read as an archive"):
        Collection(tmp_path / "broken.zip").items((".off",))
    with pytest.raises(ValueError, match="SRC must be a folder or an archive"):
        Collection(tmp_path / "none")


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("one.zip", "two.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr("a/x.ply", content(0))
    with pytest.raises(ValueError, match=r"one.zip and .*two.zip both hold a/x.ply"):
        Collection(tmp_path).items((".ply",))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_killed_run_goes_on_with_nothing_lost_or_done_twice(boxes, tmp_path, after):
    run(boxes, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(boxes, tmp_path / "out", engine=partial(killed, after=after))
    assert run(boxes, tmp_path / "out").made == 4 - after
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")
    assert names(tmp_path / "out") == names(tmp_path / "whole")


def test_the_order_in_which_shapes_are_ready_changes_nothing(boxes, tmp_path):
    run(boxes, tmp_path / "out")
    run(boxes, tmp_path / "back", engine=backwards)
    assert shards(tmp_path / "out") == shards(tmp_path / "back")
    # The twin: shapes do depend on what they are of.
    write(boxes, a__x_ply=9)
    run(boxes, tmp_path / "other")
    assert shards(tmp_path / "out") != shards(tmp_path / "other")


def test_what_is_added_alone_is_read_and_made(boxes, tmp_path):
    out = tmp_path / "out"
    first = run(boxes, out)
    assert (first.made, first.read) == (4, 4)
    again = run(boxes, out)
    assert (again.made, again.read, again.taken) == (0, 0, 4)
    before = {name: row.split for name, row in names(out).items()}
    write(boxes, a__v_ply=10, a__w_ply=11)
    added = run(boxes, out)
    assert (added.made, added.read, added.taken) == (2, 2, 6)
    after = {name: row.split for name, row in names(out).items()}
    assert {name: after[name] for name in before} == before


def test_a_shape_is_known_by_its_content(boxes, tmp_path):
    out = tmp_path / "out"
    run(boxes, out)
    (boxes / "a" / "x.ply").rename(boxes / "b" / "moved.ply")
    write(boxes, b__copy_ply=1)
    moved = run(boxes, out)
    assert (moved.made, moved.read, moved.taken) == (0, 2, 5)
    found = names(out)
    assert "a/x.ply" not in found
    assert found["b/copy.ply"].place == found["a/y.ply"].place
    assert found["b/moved.ply"].category == "b"
    # The twin: another content at an old path is another shape.
    write(boxes, b__copy_ply=12)
    assert run(boxes, out).made == 1


def test_refusals_are_kept_with_their_reason_and_a_look(boxes, tmp_path):
    (boxes / "a" / "bad.ply").write_text("ply\n")
    (boxes / "a" / "thin.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    done = run(boxes, tmp_path / "out")
    assert (done.taken, done.refused) == (4, 2)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [entry["name"] for entry in report if "refused" in entry] == ["a/bad.ply", "a/thin.obj"]
    assert run(boxes, tmp_path / "out").made == 0
    assert "2 refused" in describe(str(tmp_path / "out"))
    unreadable = tmp_path / "many.zip"
    with zipfile.ZipFile(unreadable, "w", zipfile.ZIP_STORED) as file:
        file.writestr("a/x.ply", content(0))
        file.writestr("a/y.ply", content(1))
    unreadable.write_bytes(unreadable.read_bytes().replace(content(1)[-200:-180], b"?" * 20))
    torn = run(unreadable, tmp_path / "torn")
    assert (torn.taken, torn.refused) == (1, 1)
    assert "it cannot be read" in (tmp_path / "torn" / "report.json").read_text()


def test_what_a_limit_refused_is_tried_again_with_others_alone(boxes, tmp_path):
    def slow(jobs):
        for job in jobs:
            yield [(job, Refusal("it takes more than 120 s", by_limit=True))]

    assert run(boxes, tmp_path / "out", engine=slow).refused == 4
    assert run(boxes, tmp_path / "out").made == 0
    more = Options(SMALL.shapes, limits=Limits(seconds=600.0))
    assert run(boxes, tmp_path / "out", options=more).taken == 4


def test_a_folder_keeps_the_options_of_its_start(boxes, tmp_path):
    run(boxes, tmp_path / "out")
    with pytest.raises(ValueError, match=r"was prepared with options .*choose another --out"):
        run(boxes, tmp_path / "out", options=Options(MeshOptions(up="z", num_surface=64)))
    with pytest.raises(ValueError, match=r"lies in .*choose another --out"):
        run(boxes, boxes / "out")
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(BlockingIOError, match="another"):
        run(boxes, tmp_path / "out")


def test_shards_give_what_a_bank_gives(boxes, tmp_path):
    run(boxes, tmp_path / "out")
    bank = load(str(tmp_path / "out"), split="train")
    whole = bank.loaded()
    assert isinstance(whole, ShapeBank)
    assert len(bank) == len(whole) == 3
    index = np.array([2, 0, 0, 1])

    def batch(of):
        generator = torch.Generator().manual_seed(0)
        return of.batch(index, num_surface=5, num_queries=7, generator=generator)

    for name in ("surface", "normals", "queries", "sdf"):
        assert torch.equal(getattr(batch(bank), name), getattr(batch(whole), name))
        assert torch.equal(
            getattr(batch(mixture([bank])), name), getattr(batch(mixture([whole])), name)
        )
    assert bank.with_categories(["c", "b", "a"]).categories.tolist() == [2, 2, 1]
    assert len(bank.subset([1]).compared()) == 1


def test_held_out_shapes_are_in_memory_and_others_on_disk(boxes, tmp_path):
    out = str(tmp_path / "out")
    run(boxes, tmp_path / "out")
    assert find_source(out, gives="fields") is SOURCES["prepared meshes"]
    assert find_source(out, gives="points") is SOURCES["prepared meshes"]
    assert check(out) == ("a", "b")
    held = load(out, split="test")
    assert isinstance(held, ShapeBank)
    assert held.names == ("b/test/z.ply",)
    assert load(out, "a", split="train").names == ("a/x.ply", "a/y.ply")
    with pytest.raises(ValueError, match="has no category 'chair'; it has a, b, or all"):
        check(out, "chair")
    with pytest.raises(ValueError, match="leave out --data-up"):
        load(out, split="train", up="z")
    with pytest.raises(ValueError, match="--augment does not go with a prepared folder"):
        load(out, split="train", augment=1)


def test_clouds_are_prepared_too(tmp_path):
    source = tmp_path / "src" / "02691156" / "val"
    source.mkdir(parents=True)
    np.save(source / "c.npy", np.random.default_rng(0).normal(size=(300, 3)))
    np.save(source / "few.npy", np.zeros((3, 3)))
    assert kind_of(tmp_path / "src") == "clouds"
    done = run(tmp_path / "src", tmp_path / "out", options=Options(CloudOptions(num_surface=64)))
    assert (done.taken, done.refused) == (1, 1)
    held = load(str(tmp_path / "out"), gives="points", split="val")
    assert isinstance(held, CloudBank)
    assert held.category_names == ("airplane",)
    with pytest.raises(ValueError, match="data must be"):
        check(str(tmp_path / "out" / "prepared.json"), gives="points")


def test_kinds_are_told_by_suffix_or_header(tmp_path):
    assert kind_of(write(tmp_path / "meshes", a__x_ply=0)) == "meshes"
    for name in ("clouds", "empty"):
        (tmp_path / name).mkdir()
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "clouds" / "c.ply")
    assert kind_of(tmp_path / "clouds") == "clouds"
    np.save(tmp_path / "clouds" / "c.npy", np.eye(3))
    (tmp_path / "clouds" / "m.obj").write_bytes(content(0, "obj"))
    with pytest.raises(ValueError, match="holds meshes and clouds"):
        kind_of(tmp_path / "clouds")
    with pytest.raises(ValueError, match="holds nothing to prepare"):
        kind_of(tmp_path / "empty")


def test_a_shard_that_is_cut_short_is_named(boxes, tmp_path):
    run(boxes, tmp_path / "out")
    path = tmp_path / "out" / "000000" / "sdf.npy"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DamagedError, match=r"sdf.npy is damaged"):
        load(str(tmp_path / "out"), split="train").loaded()
    (tmp_path / "out" / "index.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DamagedError, match=r"index.sqlite cannot be read"):
        load(str(tmp_path / "out"), split="train")


def test_a_new_shape_goes_where_its_family_is(tmp_path):
    points = np.random.default_rng(0).normal(size=(3, 500, 3)) / 3
    shares = np.stack([shares_of(cloud) for cloud in points[[0, 0, 1]]])
    kept = {"oak.ply": "test", "fir.ply": "train"}
    splits = extend_splits(tmp_path, ["oak.ply", "new.ply", "fir.ply"], shares, kept)
    assert splits == ["test", "test", "train"]
    alone = extend_splits(tmp_path, ["oak.ply", "new.ply", "fir.ply"], shares, {})
    assert alone == ["train"] * 3


def test_the_table_of_shapenet_says_the_split(tmp_path):
    (tmp_path / "all.csv").write_text(
        "id,synsetId,subSynsetId,modelId,split\n0,2691156,x,m,val\n1,02691156,x,n,test\n"
    )
    found = [f"02691156/{m}/models/model_normalized.obj" for m in "mnk"]
    shares = np.eye(3, dtype=np.float32)
    assert extend_splits(tmp_path, found, shares, {}) == ["val", "test", "train"]


def test_jobs_that_hang_grow_or_crash_cost_themselves_alone():
    grow = "x = b'1' * 3 * 10**8; import time; time.sleep(60)"
    jobs = ["import time; time.sleep(60)", grow, "import os; os._exit(9)", "pass"]
    pool = Pool(exec, 4, Limits(seconds=3.0, memory=2e8))
    found = dict(result for done in pool.run(jobs) for result in done)
    assert found["pass"] is None
    assert found[jobs[0]] == Refusal("it takes more than 3 s", True)
    assert found[grow] == Refusal("it needs more than 0.2 GB", True)
    assert found[jobs[2]] == Refusal("its process ended with 9", False)


def test_a_process_keeps_to_one_core(monkeypatch):
    names = ["OMP_NUM_THREADS", "IGL_NUM_THREADS"]
    for name in names:
        monkeypatch.setenv(name, "2")
    pool = Pool(os.getenv, 1, Limits())
    assert [result for done in pool.run(names) for result in done] == [(n, "1") for n in names]


@pytest.mark.slow
def test_processes_make_the_same_as_this_one(boxes, tmp_path):
    run(boxes, tmp_path / "here")
    prepare(boxes, tmp_path / "out", SMALL, workers=2)
    assert shards(tmp_path / "here") == shards(tmp_path / "out")

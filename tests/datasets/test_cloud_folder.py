"""Folders of clouds: PC15k and plain ones, every format, every wrong file, one rule of splits."""

import tracemalloc

import numpy as np
import pytest
import torch
import trimesh

from geoflow.geometry.points import SUFFIXES, write_points
from geoflow_datasets import describe, load
from geoflow_datasets import folder as folder_module
from geoflow_datasets.cloud_folder import CLOUDS, CloudOptions, normalise_cloud
from geoflow_datasets.folder import load_folder, load_reports, prepare_folder
from geoflow_datasets.layouts import category_of, split_of

AXES = np.array([0.5, 1.0, 0.25])


def ellipsoid(num=300, seed=0):
    """Points of an ellipsoid, its poles among them: the box is known."""
    points = np.random.default_rng(seed).normal(size=(num, 3))
    points[:6] = np.concatenate([np.eye(3), -np.eye(3)])
    return AXES * points / np.linalg.norm(points, axis=1, keepdims=True)


def load_clouds(folder, *, options=None, **settings):
    return load_folder(CLOUDS, folder, options or CloudOptions(), **settings)


def reports_of(folder, cache):
    return load_reports(CLOUDS, prepare_folder(CLOUDS, folder, CloudOptions(), cache=cache))


def write(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_points([points], path, num=len(points), channels=("position",) * (points.shape[1] // 3))


@pytest.fixture
def pc15k(tmp_path):
    for synset in ("02691156", "03001627"):
        for split, num in (("train", 2), ("val", 1), ("test", 1)):
            for i in range(num):
                points = ellipsoid(600, seed=i)
                write(tmp_path / "pc15k" / synset / split / f"{split}{i}.npy", points)
    return tmp_path / "pc15k"


def test_pointflows_layout_gives_names_and_keeps_its_splits(pc15k, tmp_path):
    for split, num in (("train", 2), ("val", 1), ("test", 1)):
        bank = load_clouds(pc15k, split=split, cache=tmp_path / "cache")
        assert bank.category_names == ("airplane", "chair")
        assert bank.categories.tolist() == [0] * num + [1] * num
        assert all(f"/{split}/" in name for name in bank.names)
    planes = load_clouds(pc15k, category="airplane", cache=tmp_path / "cache")
    assert planes.category_names == ("airplane",)
    both = load_clouds(pc15k, category="chair,airplane", cache=tmp_path / "cache")
    assert len(both) == 4
    for wrong in ("lamp", "chair,lamp"):
        with pytest.raises(ValueError, match="no category 'lamp'; it has airplane, chair, or all"):
            load_clouds(pc15k, category=wrong, cache=tmp_path / "cache")


def test_every_format_gives_the_normalised_cloud_and_its_report(tmp_path):
    points = 30 * ellipsoid() + np.array([5.0, -2.0, 1.0])
    for suffix in SUFFIXES:
        write(tmp_path / "clouds" / f"cloud{suffix}", points)
    reports = reports_of(tmp_path / "clouds", tmp_path / "cache")
    bank = load_clouds(tmp_path / "clouds", cache=tmp_path / "cache")
    assert sorted(bank.names) == sorted(f"cloud{suffix}" for suffix in SUFFIXES)
    stored = {tuple(p) for p in ellipsoid().astype(np.float16).tolist()}
    for cloud, report in zip(bank.surface, reports, strict=True):
        assert np.abs(np.linalg.norm(cloud / AXES, axis=1) - 1).max() < 5e-3
        assert len({tuple(p) for p in cloud.tolist()}) == len(stored)
        # The report undoes the normalisation.
        np.testing.assert_allclose(report.centre, [5.0, -2.0, 1.0], atol=1e-4)
        assert report.scale == pytest.approx(30.0, abs=1e-4)
        assert report.points == 300


def test_points_of_small_clouds_repeat_equally_and_of_large_ones_never(tmp_path):
    write(tmp_path / "clouds" / "a.npy", ellipsoid(300))
    for num, least, most in ((200, 1, 1), (300, 1, 1), (700, 2, 3)):
        bank = load_clouds(
            tmp_path / "clouds", options=CloudOptions(num_surface=num), cache=tmp_path / "cache"
        )
        _, counts = np.unique(bank.surface[0], axis=0, return_counts=True)
        assert counts.sum() == num
        assert {least, most} == set(counts.tolist())


def test_z_up_clouds_are_turned(tmp_path):
    write(tmp_path / "clouds" / "a.npy", ellipsoid() * [1, 1, 8])
    for up, tallest in (("y", 2), ("z", 1)):
        bank = load_clouds(tmp_path / "clouds", options=CloudOptions(up), cache=tmp_path / "cache")
        assert np.argmax(np.abs(bank.surface[0]).max(0)) == tallest
    turned, _, _ = normalise_cloud(ellipsoid() * [1, 1, 8], up="z")
    back = turned @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # x, -z, y
    plain, _, _ = normalise_cloud(ellipsoid() * [1, 1, 8])
    np.testing.assert_allclose(back, plain, atol=1e-12)
    with pytest.raises(ValueError, match="up must be 'y' or 'z'"):
        CloudOptions("x")


def test_bad_files_are_reported_and_the_rest_is_used(tmp_path):
    folder = tmp_path / "clouds"
    write(folder / "good.npy", ellipsoid())
    write(folder / "normals.xyz", np.concatenate([ellipsoid(), ellipsoid()], axis=1))
    bad = {
        "few": (ellipsoid(99), "expected at least 256 points, got 99"),
        "nan": (np.where(np.arange(900).reshape(300, 3) == 7, np.nan, ellipsoid()), "finite"),
        "flat": (ellipsoid()[:, :2], "expected points of shape (n, 3), n > 0, got (300, 2)"),
        "batch": (ellipsoid()[None], "expected points of shape (n, 3), n > 0, got (1, 300, 3)"),
        "point": (np.ones((300, 3)), "its points coincide"),
        "words": (np.full((300, 3), "a"), "expected numbers"),
    }
    for name, (array, _) in bad.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "empty.npy").write_bytes(b"")
    (folder / "torn.npz").write_bytes(b"PK no zip")
    reports = {report.name: report for report in reports_of(folder, tmp_path / "cache")}
    for name, (_, message) in bad.items():
        assert message in reports[f"{name}.npy"].refused
    assert "cannot be read" in reports["empty.npy"].refused
    assert "cannot be read" in reports["torn.npz"].refused
    bank = load_clouds(folder, cache=tmp_path / "cache")
    assert bank.names == ("good.npy", "normals.xyz")
    summary = describe(str(folder), gives="points", cache=tmp_path / "cache")
    assert summary.startswith("2 clouds (300 points), 8 refused")
    assert "few.npy: expected at least 256 points" in summary


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "clouds").mkdir()
    with pytest.raises(ValueError, match="holds no clouds; expected files"):
        load_clouds(tmp_path / "clouds")
    np.save(tmp_path / "clouds" / "a.npy", ellipsoid(9))
    with pytest.raises(ValueError, match=r"all 1 clouds .* refused; a\.npy: expected at least 256"):
        load_clouds(tmp_path / "clouds", cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="no category folders, expected chair, lamp"):
        load_clouds(tmp_path / "clouds", category="chair,lamp")
    assert not (tmp_path / "cache").exists()


def test_clouds_and_meshes_are_told_apart(tmp_path):
    write(tmp_path / "clouds" / "a.ply", ellipsoid())
    with pytest.raises(ValueError, match="no signed distances: train them with --kind"):
        load(str(tmp_path / "clouds"), "chair", split="train", num=1)
    given = {"gives": "points", "split": "train"}
    assert len(load(str(tmp_path / "clouds"), "chair", **given)) == 1
    trimesh.creation.icosphere(1).export(tmp_path / "clouds" / "b.ply")
    with pytest.raises(ValueError, match=r"holds meshes \(b\.ply\) and clouds \(a\.ply\)"):
        load(str(tmp_path / "clouds"), "chair", **given)
    # Meshes alone give points too.
    (tmp_path / "clouds" / "a.ply").unlink()
    assert len(load(str(tmp_path / "clouds"), "chair", **given)) == 1


def test_batches_are_points_of_their_clouds_and_know_nothing_else(pc15k, tmp_path):
    bank = load_clouds(pc15k, cache=tmp_path / "cache")

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return bank.batch(np.array([3, 0]), num_surface=50, num_queries=2, generator=generator)

    batch = draw(0)
    assert batch.condition.category.tolist() == [1, 0]
    stored = {tuple(point) for point in np.asarray(bank.surface[3], dtype=np.float32).tolist()}
    assert {tuple(point) for point in batch.surface[0].tolist()} <= stored
    assert torch.equal(batch.surface, draw(0).surface)
    assert not torch.equal(batch.surface, draw(1).surface)
    assert (batch.normals, batch.queries, batch.sdf) == (None, None, None)
    with pytest.raises(ValueError, match="clouds of points have no normals and distances"):
        batch.field()


def test_splits_have_one_rule(tmp_path):
    for name, split, category in (
        ("chair/val/a.npy", "val", "chair"),
        ("test/a.npy", "test", ""),
        ("chair/a.npy", "train", "chair"),
        ("test.npy", "train", ""),
    ):
        assert split_of(name, 5) == split
        assert category_of(tmp_path, tmp_path / name) == category


@pytest.fixture
def large(tmp_path):
    """Three splits, of two categories, of 24 files of 0.48 MB."""
    for i in range(24):
        synset, split = ("02691156", "03001627")[i % 2], ("train", "train", "val", "test")[i % 4]
        write(
            tmp_path / "large" / synset / split / f"{i}.npy", np.tile(ellipsoid(2000, i), (20, 1))
        )
    return tmp_path / "large"


def test_a_folder_is_prepared_in_the_memory_of_a_few_clouds(large, tmp_path):
    """Not of all files, and not of their bank, which is 1.2 MB."""
    options = CloudOptions(num_surface=8192)
    tracemalloc.start()
    try:
        folder = prepare_folder(CLOUDS, large, options, cache=tmp_path / "cache", num_workers=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    files = sum(path.stat().st_size for path in large.rglob("*.npy"))
    assert files > 11e6
    assert peak < 5e6
    assert len(load_reports(CLOUDS, folder)) == 24


def test_shapes_of_a_folders_own_split_stay_on_disk(large, tmp_path):
    for split, num in (("train", 12), ("val", 6), ("test", 6)):
        bank = load_clouds(large, split=split, cache=tmp_path / "cache")
        assert len(bank) == num
        assert all(f"/{split}/" in name for name in bank.names)
        assert isinstance(bank.surface, np.memmap)


def test_the_files_of_a_run_are_digested_once(large, tmp_path, monkeypatch):
    seen = []
    content = folder_module.mesh_content
    monkeypatch.setattr(
        folder_module, "mesh_content", lambda path: seen.append(path) or content(path)
    )
    for split in ("train", "val"):
        load_clouds(large, split=split, cache=tmp_path / "cache")
    describe(str(large), gives="points", cache=tmp_path / "cache")
    assert len(seen) == len(set(seen)) == 24
    # Twin: a file that changed is read again, and so is what is beside it.
    write(seen[0], ellipsoid(700))
    assert len(load_clouds(large, cache=tmp_path / "cache")) == 12
    assert len(seen) == 48


def test_files_that_are_refused_leave_no_rows(large, tmp_path):
    """How many shapes there are is not known before the last; the array says it all the same."""
    broken = sorted(large.rglob("*.npy"))[:3]
    for path in broken:
        path.write_bytes(b"nothing")
    folder = prepare_folder(CLOUDS, large, CloudOptions(), cache=tmp_path / "cache")
    surface = np.load(folder / "surface.npy")
    assert surface.shape == (21, 8192, 3)
    assert np.abs(surface).max(axis=(1, 2)).min() == 1.0
    assert sum(report.refused is not None for report in load_reports(CLOUDS, folder)) == 3

"""Deformed copies: distances of what a mesh has become; held-out meshes are left alone."""

import json

import numpy as np
import pytest
import trimesh

from geoflow.geometry.mesh import normalise_mesh
from geoflow_datasets import load
from geoflow_datasets.augment import deformed, split_long_edges
from geoflow_datasets.digest import seed_of

NAMES = ("chair/a.obj", "chair/b.obj", "chair/c.obj")


def body(seed):
    rng = np.random.default_rng(seed)
    return trimesh.creation.box(extents=rng.uniform(0.4, 1.0, 3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    # A process's start is not worth five small meshes.
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    (tmp_path / "meshes" / "chair").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        body(seed).export(tmp_path / "meshes" / name)
    splits = {"train": list(NAMES[:2]), "val": [NAMES[2]]}
    (tmp_path / "meshes" / "splits.json").write_text(json.dumps(splits))
    return tmp_path / "meshes"


def fetch(folder, tmp_path, **options):
    return load(str(folder), "chair", split="train", cache=tmp_path / "cache", **options)


def independent(mesh, points):
    """Signed distance by other code: every triangle's closest point, and its solid angle."""
    corners = np.asarray(mesh.triangles)
    pairs = np.repeat(points, len(corners), 0)
    nearest = trimesh.triangles.closest_point(np.tile(corners, (len(points), 1, 1)), pairs)
    exact = np.linalg.norm(nearest - pairs, axis=1).reshape(len(points), -1).min(1)
    a, b, c = (corners[None, :, k] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(side, axis=-1) for side in (a, b, c))
    top = (a * np.cross(b, c)).sum(-1)
    under = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    winding = np.arctan2(top, under).sum(1) / (2 * np.pi)
    return np.where(winding > 0.5, -exact, exact)


def test_distances_of_a_copy_are_those_of_the_deformed_mesh(folder, tmp_path):
    bank = fetch(folder, tmp_path, augment=2)
    assert bank.names == (*NAMES[:2], *(f"{n}#{k}" for k in (1, 2) for n in NAMES[:2]))
    row = bank.names.index("chair/a.obj#2")
    original = trimesh.load_mesh(folder / "chair" / "a.obj")
    mesh = deformed(original, np.random.default_rng(seed_of("chair/a.obj#2")))
    chosen = np.random.default_rng(0).choice(bank.queries.shape[1], 150, replace=False)
    points = bank.queries[row, chosen].astype(np.float64)
    np.testing.assert_allclose(bank.sdf[row, chosen], independent(mesh, points), atol=6e-4)
    # Negative twin: the distances of the original are others.
    same = independent(normalise_mesh(original), points)
    assert np.abs(bank.sdf[row, chosen] - same).max() > 0.02


def test_a_copy_is_closed_outward_and_normalised():
    for seed in range(6):
        mesh = deformed(body(1), np.random.default_rng(seed))
        assert mesh.is_watertight
        assert mesh.volume > 0
        np.testing.assert_allclose(np.abs(mesh.bounds).max(), 1.0, atol=1e-9)


def test_splitting_long_edges_keeps_surface_and_closure():
    mesh = trimesh.creation.box(extents=[2, 0.3, 1.1])
    fine = split_long_edges(mesh, 0.2)
    assert fine.is_watertight
    assert fine.edges_unique_length.max() <= 0.2
    assert fine.area == pytest.approx(mesh.area)
    assert fine.volume == pytest.approx(mesh.volume)
    one = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0.1, 0]], [[0, 1, 2]], process=False)
    np.testing.assert_allclose(split_long_edges(one, 0.3).area, one.area)


def test_originals_come_first_and_copies_repeat(folder, tmp_path):
    plain, bank = fetch(folder, tmp_path), fetch(folder, tmp_path, augment=1)
    np.testing.assert_array_equal(bank.sdf[:2], plain.sdf)
    np.testing.assert_array_equal(bank.categories, 0)
    again = fetch(folder, tmp_path / "other", augment=1)
    np.testing.assert_array_equal(bank.sdf, again.sdf)
    assert not np.array_equal(bank.sdf[0], bank.sdf[2])


def test_held_out_meshes_have_no_copies(folder, tmp_path):
    held = load(str(folder), "chair", split="val", cache=tmp_path / "cache", augment=3)
    assert held.names == (NAMES[2],)

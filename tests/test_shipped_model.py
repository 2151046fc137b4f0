"""What the package promises of the model inside it: size, chairs, surface, budget of queries."""

import numpy as np
import point_cloud_utils as pcu
import pytest
import torch

from geoflow.geometry.metrics import volume_iou
from geoflow.models.base import WEIGHTS, shipped
from geoflow.models.fields import Generator
from geoflow.models.kinds import KINDS, load

LARGEST = 12_000_000


@pytest.fixture(scope="module")
def generator():
    return Generator.from_pretrained("chair")


@pytest.fixture(scope="module")
def tokens(generator):
    return generator.sample_latents(generator.noise(8), steps=2)


def occupancy(mesh, points):
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int64)
    return pcu.triangle_soup_fast_winding_number(np.asarray(mesh.vertices), faces, points) > 0.5


def test_models_are_small_and_have_cards():
    assert {"airplane", "chair", "rig", "shapes"} <= set(shipped())
    assert sum(file.path.stat().st_size for file in shipped().values()) < 40_000_000
    for file in shipped().values():
        assert file.path.name == WEIGHTS
        assert file.path.stat().st_size <= LARGEST
        folder = file.path.parent
        card = (folder / "README.md").read_text(encoding="utf-8")
        scores = ("1-NNA", "Chamfer") if KINDS[file.kind].has_shapes else ("CD-J2J", "IoU")
        if file.kind == "shapes":
            scores = (*scores, "volume IoU")
        for word in ("geoflow train", "seed", *scores, "Licence"):
            assert word in card


def test_samples_are_closed_chairs(generator, tokens):
    meshes = [generator.decode(token, resolution=64) for token in tokens]
    assert all(mesh.is_watertight and mesh.volume > 0 for mesh in meshes)
    assert sum(mesh.body_count == 1 for mesh in meshes) >= 6
    across = np.linspace(-1, 1, 40)
    for mesh in meshes:
        # One wide layer, the seat, between legs and back; the back stands at the rear.
        levels = np.linspace(*mesh.bounds[:, 1], 42)[1:-1]
        grid = np.stack(np.meshgrid(across, levels, across, indexing="ij"), -1)
        area = occupancy(mesh, grid.reshape(-1, 3)).reshape(40, 40, 40).mean((0, 2))
        assert 0.15 < area.argmax() / 40 < 0.75
        assert area.max() > 2 * np.median(area)
        top = mesh.vertices[mesh.vertices[:, 1] > mesh.bounds[1, 1] - 0.1]
        assert top[:, 2].mean() < 0


@pytest.mark.slow
def test_hierarchical_surface_is_the_dense_one(generator, tokens):
    sparse = generator.decode(tokens[0], resolution=128)
    dense = generator.decode(tokens[0], resolution=128, dense=True)
    assert dense.metadata["field_queries"] == 129**3
    points = np.random.default_rng(0).uniform(-1.05, 1.05, (100_000, 3))
    assert volume_iou(occupancy(sparse, points), occupancy(dense, points)) >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize(("resolution", "share"), [(128, 0.10), (256, 0.04)])
def test_queries_are_a_small_share_of_the_dense_grid(generator, tokens, resolution, share):
    queries = [
        generator.decode(token, resolution=resolution).metadata["field_queries"]
        for token in tokens[:3]
    ]
    assert np.mean(queries) <= share * (resolution + 1) ** 3


def test_wrong_requests_are_refused(generator):
    with pytest.raises(ValueError, match="category must be one of chair, got 'boat'"):
        generator.sample(category="boat")
    with pytest.raises(ValueError, match="num must be at least 1, got 0"):
        generator.sample(num=0)


def test_bare_points_of_any_thing_give_a_solid():
    shapes = load("shapes")
    ball = np.random.default_rng(0).normal(size=(400, 3))
    points = ball / np.linalg.norm(ball, axis=1, keepdims=True) * [1.0, 0.7, 0.5]
    given = torch.from_numpy(points.astype(np.float32))[None]
    mesh = shapes.decode(shapes.encode(given)[0], resolution=48)
    assert mesh.is_watertight
    volume = 4 / 3 * np.pi * 0.7 * 0.5
    assert abs(mesh.volume / volume - 1) < 0.2
    # Twin: of other points another solid.
    half = shapes.decode(shapes.encode(given * 0.6)[0], resolution=48)
    assert half.volume < 0.4 * mesh.volume


def test_many_things_are_asked_for_by_name():
    """A bottle is slim and stands; an airplane is wider and longer than it is high."""
    shapes = load("shapes")
    assert shapes.choices[0] == "any"
    bottles, airplanes = (
        shapes.sample(num=3, seed=1, category=name, guidance=2.0, resolution=48)
        for name in ("bottle", "airplane")
    )
    assert all(mesh.is_watertight for mesh in (*bottles, *airplanes))
    for mesh in bottles:
        assert mesh.extents.argmax() == 1
        assert mesh.extents[[0, 2]].max() < 0.8 * mesh.extents[1]
    for mesh in airplanes:
        assert mesh.extents.argmin() == 1
    # Twin: without a name they are others.
    anything = shapes.sample(num=1, seed=1, resolution=48)[0]
    assert abs(anything.volume - bottles[0].volume) > 1e-6

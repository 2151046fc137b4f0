"""Primitives against brute force: the distance to a dense sampling of the own surface."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from geoflow.geometry.extraction import extract_mesh
from geoflow.geometry.sdf import (
    Extrusion,
    Revolution,
    RoundBox,
    RoundCone,
    gradient,
    sample_surface,
    union_distance,
)

TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
TURN *= np.linalg.det(TURN)
CENTRE = np.array([0.1, -0.2, 0.05])
POLYGON = np.array([[-0.5, -0.3], [0.5, -0.3], [0.6, 0.2], [0.0, 0.05], [-0.4, 0.4]])
SOLIDS = {
    "box": RoundBox(CENTRE, np.array([0.5, 0.3, 0.2]), 0.0, TURN),
    "round box": RoundBox(CENTRE, np.array([0.5, 0.3, 0.2]), 0.15, TURN),
    "cone": RoundCone(np.array([-0.4, 0.0, 0.1]), np.array([0.4, 0.3, 0.0]), 0.3, 0.1),
    "extrusion": Extrusion(CENTRE, POLYGON, 0.2, 0.05, TURN),
    "lathe": Revolution(
        CENTRE,
        np.array([[0, -0.5], [0.4, -0.5], [0.2, 0.1], [0.3, 0.5], [0, 0.5]]),
        False,
        0.0,
        TURN,
    ),
    "ring": Revolution(CENTRE, np.array([[0.4, 0], [0.6, 0], [0.5, 0.2]]), True, 0.03, TURN),
}
each = pytest.mark.parametrize("name", SOLIDS)
# Outlines that turn the other way, and what grows of a solid of revolution.
OTHERS = {
    "other extrusion": Extrusion(CENTRE, POLYGON[::-1], 0.2, 0.1, TURN),
    "other ring": Revolution(CENTRE, np.array([[0.5, 0.2], [0.6, 0], [0.4, 0]]), True, 0.03, TURN),
    "round lathe": Revolution(
        CENTRE, np.array([[0, -0.5], [0.4, -0.5], [0.2, 0.1], [0, 0.3]]), False, 0.05, TURN
    ),
    "rod": RoundCone(np.array([-0.4, 0.0, 0.1]), np.array([0.4, 0.3, 0.0]), 0.05, 0.05),
}


@each
def test_distance_equals_that_to_the_sampled_surface(name):
    rng = np.random.default_rng(1)
    surface, _ = sample_surface([SOLIDS[name]], 60_000, rng)
    points = rng.uniform(-1.0, 1.0, (500, 3))
    nearest, _ = cKDTree(surface).query(points)
    np.testing.assert_allclose(np.abs(SOLIDS[name].distance(points)), nearest, atol=0.012)


@each
def test_distance_has_unit_slope_and_the_sign_of_inside(name):
    solid = SOLIDS[name]
    surface, normals = sample_surface([solid], 400, np.random.default_rng(2))
    assert np.abs(solid.distance(surface)).max() < 1e-4
    assert np.mean(solid.distance(surface + 0.01 * normals) > 0.009) > 0.95
    assert np.mean(solid.distance(surface - 0.01 * normals) < 0) > 0.95
    points = np.random.default_rng(3).uniform(-1, 1, (300, 3))
    h, direction = 1e-5, gradient([solid], points)
    slope = (solid.distance(points + h * direction) - solid.distance(points)) / h
    # Points of the medial axis have no gradient.
    assert np.mean(np.abs(slope - 1) < 1e-2) > 0.95


@each
def test_corners_bound_the_solid_tightly(name):
    surface, _ = sample_surface([SOLIDS[name]], 20_000, np.random.default_rng(4))
    corners = SOLIDS[name].corners()
    np.testing.assert_allclose(surface.min(0), corners.min(0), atol=0.02)
    np.testing.assert_allclose(surface.max(0), corners.max(0), atol=0.02)


@each
def test_scaled_solid_has_the_scaled_distance(name):
    shift, points = np.array([0.3, 0.1, -0.2]), np.random.default_rng(5).normal(size=(50, 3))
    moved = SOLIDS[name].scaled(2.5, shift).distance(2.5 * (points + shift))
    np.testing.assert_allclose(moved, 2.5 * SOLIDS[name].distance(points), atol=1e-12)


@pytest.mark.parametrize("name", [*SOLIDS, *OTHERS])
def test_surface_is_uniform_in_area(name):
    solid, num = (SOLIDS | OTHERS)[name], 40_000
    points, _ = sample_surface([solid], num, np.random.default_rng(8))
    assert np.abs(solid.distance(points)).max() < 1e-4

    def distance(places):
        return torch.from_numpy(solid.distance(places.double().numpy())).float()

    mesh = extract_mesh(distance, resolution=128).mesh
    even, _ = trimesh.sample.sample_surface(mesh, num, seed=9)
    edges = [np.linspace(-1.05, 1.05, 9)] * 3
    counts, expected = (np.histogramdd(found, edges)[0].ravel() for found in (points, even))
    filled = counts + expected > 200
    # About 1 for two draws from one density.
    chi = ((counts - expected) ** 2)[filled] / (counts + expected)[filled]
    assert chi.mean() < 1.7


def test_surfaces_that_coincide_count_once_and_not_where_they_touch():
    lower = RoundBox(np.array([0, -0.25, 0]), np.array([0.5, 0.25, 0.5]))
    upper = RoundBox(np.array([0, 0.25, 0]), np.array([0.5, 0.25, 0.5]))
    inner = RoundBox(np.array([0, 0.25, 0.25]), np.array([0.5, 0.25, 0.25]))
    points, normals = sample_surface([lower, upper, inner], 30_000, np.random.default_rng(10))
    assert not np.any((np.abs(points[:, 1]) < 1e-9) & (np.abs(points[:, [0, 2]]).max(1) < 0.499))
    top = points[normals[:, 1] > 0.5]
    share = np.mean(top[:, 2] > 0)
    assert len(top) / len(points) == pytest.approx(1 / 6, abs=0.01)
    assert share == pytest.approx(0.5, abs=0.02)


def test_union_is_the_nearest_and_hides_inner_surfaces():
    left = RoundBox(np.array([-0.2, 0, 0]), np.array([0.4, 0.2, 0.2]))
    right = RoundBox(np.array([0.3, 0, 0]), np.array([0.4, 0.3, 0.1]))
    points = np.random.default_rng(6).uniform(-1, 1, (200, 3))
    np.testing.assert_array_equal(
        union_distance([left, right], points),
        np.minimum(left.distance(points), right.distance(points)),
    )
    surface, _ = sample_surface([left, right], 500, np.random.default_rng(7))
    assert np.abs(union_distance([left, right], surface)).max() < 2e-4
    alone, _ = sample_surface([left], 500, np.random.default_rng(7))
    assert union_distance([left, right], alone).min() < -0.05

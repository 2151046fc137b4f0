"""Primitives against brute force: the distance to a dense sampling of the own surface."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

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

"""A cloud's place is found without outliers, and undone exactly; what is no solid is refused."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from geoflow.geometry.axes import frame_from_up, points_from_up
from geoflow.geometry.placing import MIN_POINTS, check_solid, has_company, place_points

RNG = np.random.default_rng(0)
BALL = RNG.normal(size=(200, 3))
BALL /= np.linalg.norm(BALL, axis=1, keepdims=True)
SOLID = BALL * [0.5, 1.0, 0.25]


def test_places_are_undone_exactly_whatever_the_turn():
    turn = Rotation.random(random_state=0).as_matrix()
    file = 40.0 * SOLID @ turn + [1e3, -5.0, 2.0]
    place = place_points(file, turn)
    seen = place.normalise(file)
    low, high = seen.min(0), seen.max(0)
    np.testing.assert_allclose(low + high, 0.0, atol=1e-12)
    assert (high - low).max() / 2 == pytest.approx(1.0)
    faces = [[0, 1, 2]]
    back = place.restore(trimesh.Trimesh(seen, faces, process=False))
    np.testing.assert_allclose(back.vertices, file, atol=1e-9)
    # Directions turn, and neither move nor scale.
    np.testing.assert_allclose(place.turn_normals(file @ turn.T @ turn), file @ turn.T, atol=1e-9)


def test_the_frame_of_an_axis_turns_points_up():
    np.testing.assert_allclose(SOLID @ frame_from_up("z").T, points_from_up(SOLID, "z"))
    np.testing.assert_allclose(SOLID @ frame_from_up("y").T, SOLID)


def test_outliers_are_known_and_no_others():
    far = np.array([[3.0, 0, 0], [0, -4, 1], [2, 2, 2]])
    kept = has_company(np.concatenate([SOLID, far]))
    assert kept[:200].all()
    assert not kept[200:].any()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.full((30, 3), 2.0), "its 30 points coincide"),
        (SOLID[: MIN_POINTS - 1], f"at least {MIN_POINTS} different points, got {MIN_POINTS - 1}"),
        (np.repeat(SOLID[:4], 20, axis=0), "different points, got 4"),
        (np.linspace(0, 1, 50)[:, None] * [1.0, 2.0, 3.0], "lie on a line"),
        (SOLID * [1.0, 0.0, 1.0] @ Rotation.random(random_state=1).as_matrix(), "lie in a plane"),
        (np.where(np.arange(600).reshape(200, 3) == 7, np.inf, SOLID), "1 of 200 are NaN"),
    ],
)
def test_what_is_no_solid_is_refused(points, message):
    with pytest.raises(ValueError, match=message):
        check_solid(points)


def test_thin_solids_are_none_of_that():
    check_solid(SOLID * [1.0, 0.05, 1.0] + 1e4)

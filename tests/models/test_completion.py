"""Solids from points: where the points are, exactly symmetric, several answers, or a clear no."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import geoflow
from geoflow.geometry.metrics import is_watertight
from geoflow.models.completion import FULL_DISAGREEMENT, load_solids, points_of_mesh, prepare
from geoflow.models.fields import Generator
from geoflow.models.pose import candidate_turns

COARSE = {"resolution": 24}


@pytest.fixture(scope="module")
def chair():
    return Generator.from_pretrained("chair")


@pytest.fixture(scope="module")
def cloud(chair):
    """Points of a chair, as the field has it, and their normals."""
    latent = chair.sample_latents(chair.noise(1, seed=1), chair.condition(1))[0]
    mesh = chair.decode(latent, resolution=64, whole=False)
    return points_of_mesh(mesh, 400, seed=0)


def test_the_mesh_is_where_the_points_are(chair, cloud):
    (first,) = geoflow.complete(cloud.points, cloud.normals, model=chair, **COARSE)
    assert is_watertight(first)
    moved = 250.0 * cloud.points + [1e4, 0.0, -7.0]
    (second,) = geoflow.complete(moved, cloud.normals, model=chair, **COARSE)
    np.testing.assert_allclose(second.vertices, 250.0 * first.vertices + [1e4, 0, -7], atol=1.0)
    # +Z up: the same chair, turned.
    to_z = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    turned, directed = cloud.points @ to_z, cloud.normals @ to_z
    (third,) = geoflow.complete(turned, directed, model=chair, up="z", **COARSE)
    back = third.vertices @ to_z.T
    np.testing.assert_allclose(back, first.vertices, atol=5e-3)
    made = second.metadata
    assert (made["nfe"], made["left_out"], made["index"]) == (0, 0, 0)
    assert 0 < made["fit_median"] < 0.02
    assert made["fit_median"] < made["fit_95"] < 0.2


def test_points_far_away_from_all_others_are_left_out(chair, cloud):
    far = np.array([[9.0, 0, 0], [0, 9, 0]])
    points = np.concatenate([cloud.points, far])
    normals = np.concatenate([cloud.normals, [[1.0, 0, 0], [0, 1, 0]]])
    given = prepare(chair, points, normals)
    assert given.left_out == 2
    alone = prepare(chair, cloud.points, cloud.normals)
    assert given.place.scale == alone.place.scale


def test_mirrored_answers_are_their_own_mirror_images(chair, cloud):
    (mesh,) = geoflow.complete(cloud.points, cloud.normals, model=chair, mirror=True, **COARSE)
    given = prepare(chair, cloud.points, cloud.normals, mirror=True)
    seen = {tuple(v) for v in given.place.normalise(mesh.vertices).round(6).tolist()}
    assert {(round(-x, 6) + 0.0, y, z) for x, y, z in seen} == {(x + 0.0, y, z) for x, y, z in seen}
    assert is_watertight(mesh)
    half = {tuple(v) for v in chair.decode(chair.encode(given.points, given.normals)[0],
                                           mirror=True, **COARSE).vertices.tolist()}  # fmt: skip
    assert {(-x + 0.0, y, z) for x, y, z in half} == {(x + 0.0, y, z) for x, y, z in half}
    with pytest.raises(ValueError, match="mirror needs the upright frame"):
        chair.decode(chair.encode(given.points, given.normals)[0], mirror=True,
                     frame=given.points.new_ones(3, 3))  # fmt: skip


@pytest.mark.slow
def test_several_answers_differ_and_their_disagreement_is_drawn(chair, cloud):
    points, normals = cloud.points[::8], cloud.normals[::8]
    meshes = geoflow.complete(
        points,
        normals,
        model=chair,
        num=2,
        steps=1,
        uncertainty=True,
        **COARSE,
    )
    first, second = meshes
    assert [mesh.metadata["nfe"] for mesh in meshes] == [0, 1]
    assert len(first.vertices) != len(second.vertices) or not np.allclose(
        first.vertices, second.vertices
    )
    spread = first.metadata["disagreement"]
    assert (spread >= 0).all()
    assert spread.max() > 0
    # Brighter where they disagree more.
    green = first.visual.vertex_colors[:, 1].astype(int)
    order = np.argsort(spread)
    assert (np.diff(green[order]) >= 0).all()
    assert FULL_DISAGREEMENT > 0
    same = geoflow.complete(points, normals, model=chair, num=2, steps=1, spread=0.0, **COARSE)
    assert same[1].metadata["fit_median"] <= same[0].metadata["fit_median"] + 1e-3


def test_candidate_turns_are_rotations_and_turn_with_the_points(cloud):
    turns = candidate_turns(cloud.points)
    assert len(turns) == 48
    squares = turns @ turns.transpose(0, 2, 1)
    np.testing.assert_allclose(squares, np.broadcast_to(np.eye(3), (48, 3, 3)), atol=1e-9)
    assert (np.linalg.det(turns) > 0).all()
    turn = Rotation.random(random_state=2).as_matrix()
    other = candidate_turns(cloud.points @ turn.T)
    # As sets: axes have no signs of their own.
    for each in other[:24]:
        away = np.abs(each[None] - turns @ turn.T).max(axis=(1, 2))
        assert away.min() < 1e-6


@pytest.mark.slow
def test_a_chair_in_any_pose_is_stood_up(chair, cloud):
    turn = Rotation.random(random_state=4).as_matrix()
    points, normals = 3.0 * cloud.points @ turn.T, cloud.normals @ turn.T
    (mesh,) = geoflow.complete(points, normals, model=chair, pose="any", resolution=48)
    (upright,) = geoflow.complete(points, normals, model=chair, resolution=48)
    assert mesh.metadata["fit_median"] < 0.015
    # As it stands, lying on its side, the model makes something else of it.
    assert upright.metadata["fit_median"] > 1.5 * mesh.metadata["fit_median"]


def test_models_that_cannot_are_refused(cloud):
    chair = Generator.from_pretrained("chair")
    chair.forget_scans()
    with pytest.raises(ValueError, match="trained with outward normals alone: give normals"):
        geoflow.complete(cloud.points, model=chair)
    with pytest.raises(ValueError, match="trained with outward normals alone"):
        geoflow.complete(cloud.points, cloud.normals, oriented=False, model=chair)
    with pytest.raises(
        ValueError, match=r"airplane is a model of clouds of points .*kind sdf, shapes"
    ):
        load_solids("airplane")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((40, 2)), r"points must have shape \(n, 3\), got \(40, 2\)"),
        (np.zeros((40, 3)), "its 40 points coincide"),
        (np.full((40, 3), np.nan), "40 of 40 are NaN"),
    ],
)
def test_points_that_are_no_solid_are_refused(unchecked, chair, points, message):
    with pytest.raises(ValueError, match=message):
        geoflow.complete(points, model=chair)


def test_normals_must_be_those_of_the_points(unchecked, chair, cloud):
    with pytest.raises(ValueError, match="normals must have the points' shape"):
        geoflow.complete(cloud.points, cloud.normals[:5], model=chair)
    with pytest.raises(ValueError, match="num must be at least 1, got 0"):
        geoflow.complete(cloud.points, cloud.normals, num=0, model=chair)
    with pytest.raises(ValueError, match="most must be from 16 to 8192, got 9"):
        geoflow.complete(cloud.points, cloud.normals, most=9, model=chair)


def test_at_most_so_many_points_are_used(chair, cloud):
    assert prepare(chair, cloud.points, cloud.normals, most=64).points.shape == (1, 64, 3)
    assert prepare(chair, cloud.points, cloud.normals).points.shape == (1, 400, 3)


def test_the_model_that_is_taken_reads_bare_points(cloud):
    (mesh,) = geoflow.complete(cloud.points, **COARSE)
    assert is_watertight(mesh)
    assert mesh.metadata["fit_median"] < 0.05

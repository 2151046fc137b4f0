"""Signs of meshes as people have them: closed, flipped, torn, flat, and refused."""

import numpy as np
import point_cloud_utils as pcu
import pytest
import trimesh

from geoflow.geometry.read_mesh import MeshError
from geoflow.geometry.sdf import RoundBox
from geoflow_datasets.mesh_body import Body
from geoflow_datasets.mesh_sdf import THICKNESS, sign_mesh

HALF = np.array([1.0, 0.7, 0.4])
POINTS = np.random.default_rng(0).uniform(-1.05, 1.05, (2000, 3))
EXACT = RoundBox(np.zeros(3), HALF).distance(POINTS)


def box():
    return trimesh.creation.box(extents=2 * HALF).subdivide().subdivide()


def flipped_here_and_there(mesh):
    faces = mesh.faces.copy()
    chosen = np.random.default_rng(1).random(len(faces)) < 0.5
    faces[chosen] = faces[chosen, ::-1]
    return trimesh.Trimesh(mesh.vertices, faces, process=False)


def inside_out(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False)


def torn(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces[1:], process=False)


@pytest.mark.parametrize("damage", [lambda mesh: mesh, flipped_here_and_there, inside_out])
def test_box_has_its_exact_distance_however_it_is_wound(damage):
    signed = sign_mesh(damage(box()))
    assert signed.method == "winding"
    np.testing.assert_allclose(signed.distance(POINTS), EXACT, atol=1e-4)
    np.testing.assert_allclose(signed.interior_fraction, np.prod(2 * HALF) / 2.1**3, atol=0.01)
    assert signed.surface.volume > 0
    assert signed.ray_agreement > 0.999


def test_winding_alone_is_wrong_where_faces_are_flipped():
    """The negative twin of the orientation step."""
    mesh = flipped_here_and_there(box())
    winding = pcu.triangle_soup_fast_winding_number(
        mesh.vertices, np.asarray(mesh.faces, np.int64), POINTS
    )
    assert np.mean((winding > 0.5) == (EXACT < 0)) < 0.9


def test_missing_triangle_changes_no_sign_away_from_the_hole():
    signed = sign_mesh(torn(box()))
    away = np.abs(EXACT) > 0.2
    assert np.mean(np.sign(signed.distance(POINTS))[away] == np.sign(EXACT)[away]) > 0.995


def test_soup_of_unconnected_triangles_faces_the_light():
    mesh = flipped_here_and_there(box())
    soup = trimesh.Trimesh(
        mesh.triangles.reshape(-1, 3), np.arange(3 * len(mesh.faces)).reshape(-1, 3), process=False
    )
    signed = sign_mesh(soup)
    assert signed.method == "winding"
    np.testing.assert_allclose(signed.distance(POINTS), EXACT, atol=1e-4)


def test_open_sheet_becomes_a_shell():
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], dtype=float)
    sheet = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
    signed = sign_mesh(sheet)
    assert signed.method == "shell"
    over = POINTS[np.abs(POINTS[:, [0, 2]]).max(1) < 1]
    np.testing.assert_allclose(signed.distance(over), np.abs(over[:, 1]) - THICKNESS / 2, atol=1e-6)
    assert signed.surface.is_watertight


def test_solid_with_a_sheet_keeps_both():
    solid = trimesh.creation.box(extents=[2, 0.4, 2]).apply_translation([0, -0.6, 0])
    corners = 0.3 * np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]]) + [0, 0.5, 0]
    sheet = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
    signed = sign_mesh(trimesh.util.concatenate([solid, sheet]))
    assert signed.method == "thickened"
    assert signed.distance(np.array([[0.0, 0.5, 0.0]]))[0] < 0
    assert signed.distance(np.array([[0.0, -0.6, 0.0]]))[0] < -0.15
    assert signed.surface.body_count == 2
    np.testing.assert_allclose(signed.surface.bounds[:, 1], [-0.8, 0.5], atol=0.02)


@pytest.mark.parametrize(
    "vertices", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(3)[[0, 0, 1]]]
)
def test_mesh_without_area_is_refused(vertices):
    with pytest.raises(MeshError, match="finite, positive area"):
        sign_mesh(trimesh.Trimesh(vertices, [[0, 1, 2]], process=False))


@pytest.mark.parametrize("thickness", [THICKNESS, 0.1])
def test_points_of_a_sheet_lie_on_both_sides_and_around_the_rim(thickness):
    corners = np.array([[-1, 0, -0.5], [1, 0, -0.5], [1, 0, 0.5], [-1, 0, 0.5]])
    sheet = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
    signed = sign_mesh(sheet, thickness=thickness)
    points, normals = signed.body.sample(8000, np.random.default_rng(0))
    assert len(points) == 8000
    np.testing.assert_allclose(signed.distance(points), 0, atol=1e-12)
    np.testing.assert_allclose(signed.distance(points + 0.01 * normals), 0.01, atol=1e-9)
    rim = np.abs(normals[:, 1]) < 0.98
    expected = 3 * np.pi * thickness / (4 + 3 * np.pi * thickness)
    assert np.mean(rim) == pytest.approx(expected, rel=0.25)
    assert np.mean(normals[~rim, 1] > 0) == pytest.approx(0.5, abs=0.03)


def test_points_hidden_inside_the_solid_are_no_surface():
    long, wide = (trimesh.creation.box(extents=e) for e in ([2, 0.4, 0.4], [0.4, 0.4, 2]))
    signed = sign_mesh(trimesh.util.concatenate([long, wide]))
    points, normals = signed.body.sample(4000, np.random.default_rng(0))
    middle = np.abs(points).max(1) < 0.2 - 1e-9
    assert not middle.any()
    sides = np.abs(normals[:, 1]) < 0.5
    area = {"sides": 2 * 4 * 0.4 * 0.8 + 4 * 0.16, "faces": 2 * (0.16 + 4 * 0.32)}
    assert np.mean(sides) == pytest.approx(area["sides"] / sum(area.values()), abs=0.03)


@pytest.mark.parametrize("depth", [0.003, 0.0075, 0.012, 0.0165])
def test_a_solid_that_ends_without_a_surface_is_as_thick_as_asked_for(depth):
    """As behind the hole of an open part, where winding numbers close it."""
    plate = np.array([[-1.0, 0, -1], [1, 0, 1], [1, 0, -1], [-1, 0, -1], [-1, 0, 1], [1, 0, 1]])
    body = Body.of(
        plate.reshape(2, 3, 3), lambda points: (points[:, 1] < 0) & (points[:, 1] > -depth),
        THICKNESS / 2,
    )  # fmt: skip
    line = np.stack([np.full(3001, 0.3), np.linspace(-0.03, 0.03, 3001), np.full(3001, 0.2)], -1)
    thick = np.mean(body.distance(line) < 0) * 0.06
    assert THICKNESS - 1e-4 <= thick <= 1.35 * THICKNESS


def test_a_deep_solid_that_ends_without_a_surface_stays_as_it_is():
    plate = np.array([[-1.0, 0, -1], [1, 0, 1], [1, 0, -1], [-1, 0, -1], [-1, 0, 1], [1, 0, 1]])
    body = Body.of(
        plate.reshape(2, 3, 3), lambda points: (points[:, 1] < 0) & (points[:, 1] > -0.05),
        THICKNESS / 2,
    )  # fmt: skip
    assert np.isinf(body.open_depth).all()
    assert body.thin_fraction() == 0


@pytest.mark.parametrize("gap", [6e-4, 2e-3])
def test_a_narrow_gap_between_parts_makes_no_slab(gap):
    """The distance within the gap is that to its walls, not to the surface of the whole."""
    halves = [
        trimesh.creation.box(extents=[0.9, 0.9, 0.9]).apply_translation(
            [side * (0.45 + gap / 2), 0, 0]
        )
        for side in (-1, 1)
    ]
    signed = sign_mesh(trimesh.util.concatenate(halves))
    across = np.zeros((4001, 3))
    across[:, 0] = np.linspace(-0.01, 0.01, 4001)
    told = signed.distance(across)
    assert np.abs(np.diff(told)).max() <= 1.01 * 0.02 / 4000
    assert told.max() == pytest.approx(gap / 2, abs=1e-5)

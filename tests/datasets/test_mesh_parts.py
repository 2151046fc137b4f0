"""Parts turned outward: closed, nested, inward, hollow, open, double; and what is solid then."""

import numpy as np
import pytest
import trimesh

from geoflow_datasets.mesh_parts import orient
from geoflow_datasets.mesh_sdf import THICKNESS, sign_mesh

POINTS = np.random.default_rng(5).uniform(-1, 1, (40_000, 3))


def box(extents, place=(0, 0, 0), *, inward=False):
    mesh = trimesh.creation.box(extents=extents).apply_translation(place)
    if inward:
        mesh.invert()
    return mesh


def joined(*meshes):
    return trimesh.util.concatenate(meshes)


def volume(mesh, **options):
    """By the share of points inside; within 0.03 of it."""
    return float(np.mean(sign_mesh(mesh, **options).distance(POINTS) < 0) * 8)


@pytest.mark.parametrize("inward", [(False, True), (True, False), (True, True)])
def test_parts_that_face_inward_are_solid(inward):
    pair = joined(
        box([0.8, 1, 1], (-0.5, 0, 0), inward=inward[0]),
        box([0.8, 1.2, 1], (0.5, 0, 0), inward=inward[1]),
    )
    signed = sign_mesh(pair)
    assert signed.parts.num_inward == sum(inward)
    assert signed.parts.num_cavities == 0
    assert volume(pair) == pytest.approx(0.8 + 0.96, abs=0.06)
    assert volume(pair, keep_cavities=True) == pytest.approx(0.8 + 0.96, abs=0.06)


@pytest.mark.parametrize("turned", [False, True])
def test_hidden_cavities_are_dropped_and_kept_on_request(turned):
    """Also where the whole file is inside out."""
    hollow = joined(box([1.6] * 3, inward=turned), box([1.2] * 3, inward=not turned))
    signed = sign_mesh(hollow)
    assert signed.parts.num_cavities == 1
    assert volume(hollow) == pytest.approx(1.6**3, abs=0.1)
    assert volume(hollow, keep_cavities=True) == pytest.approx(1.6**3 - 1.2**3, abs=0.1)
    # The distance is to the outer surface, not to the hidden one.
    np.testing.assert_allclose(signed.distance(np.zeros((1, 3))), -0.8, atol=1e-6)
    assert np.abs(signed.surface.vertices).max(1).min() == pytest.approx(0.8)


def test_solid_inside_a_cavity_is_kept_with_it():
    nest = joined(box([1.8] * 3), box([1.4] * 3, inward=True), box([0.6] * 3))
    parts = orient(nest, keep_cavities=True)
    assert (parts.num_cavities, parts.num_closed) == (1, 3)
    expected = 1.8**3 - 1.4**3 + 0.6**3
    assert volume(nest, keep_cavities=True) == pytest.approx(expected, abs=0.1)


def test_part_inside_another_that_faces_the_same_way_is_no_cavity():
    nest = joined(box([1.6] * 3), box([0.6] * 3))
    assert orient(nest).num_cavities == 0
    assert volume(nest, keep_cavities=True) == pytest.approx(1.6**3, abs=0.1)


def test_six_loose_panels_make_a_solid():
    mesh = box([1.6, 1.2, 0.8])
    faces = mesh.faces.copy()
    faces[::3] = faces[::3, ::-1]
    loose = trimesh.Trimesh(
        mesh.vertices[faces].reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3), process=False
    )
    assert orient(loose).num_closed == 0
    assert volume(loose) == pytest.approx(1.6 * 1.2 * 0.8, abs=0.06)


def test_cushion_without_a_bottom_is_solid_and_a_wide_bowl_is_not():
    mesh = box([1.0, 1.6, 1.0])
    low = mesh.face_normals[:, 1] < -0.5
    cushion = trimesh.Trimesh(mesh.vertices, mesh.faces[~low], process=False)
    assert sign_mesh(cushion).distance(np.array([[0.0, 0.2, 0.0]]))[0] < -0.1
    ball = trimesh.creation.icosphere(subdivisions=3, radius=1.0)
    cap = trimesh.Trimesh(
        ball.vertices, ball.faces[ball.triangles_center[:, 1] < -0.6], process=False
    )
    signed = sign_mesh(cap)
    assert signed.method == "shell"
    assert signed.distance(np.array([[0.0, -0.8, 0.0]]))[0] > 0.1


def test_faces_on_both_sides_of_a_sheet_are_a_sheet():
    sheet = box([1.6, 0.8, 0.0])
    sheet = trimesh.Trimesh(sheet.vertices, sheet.faces, process=True)
    signed = sign_mesh(sheet)
    assert signed.method == "shell"
    np.testing.assert_allclose(signed.distance(np.zeros((1, 3))), -THICKNESS / 2, atol=1e-6)


def test_slim_solid_is_no_shell():
    """A rod that fills a thousandth of the cube keeps its volume."""
    rod = box([0.04, 2.0, 0.04])
    signed = sign_mesh(rod)
    assert signed.method == "winding"
    assert signed.thin_fraction == 0
    assert signed.surface.volume == pytest.approx(0.04 * 2 * 0.04)


def test_thin_parts_alone_grow_and_by_what_is_missing():
    block, board = box([1.0, 1.0, 1.0], (-0.5, 0, 0)), box([1.0, 0.01, 1.0], (0.4, 0, 0))
    signed = sign_mesh(joined(block, board))
    assert signed.method == "thickened"
    heights = np.linspace(-0.02, 0.02, 401)
    over = np.column_stack([np.full(401, 0.5), heights, np.zeros(401)])
    told = heights[signed.distance(over) < 0]
    assert np.ptp(told) == pytest.approx(THICKNESS, abs=2e-4)
    at = np.array([[-0.5, 0.52, 0.0], [-1.02, 0.0, 0.3], [-0.5, 0.3, 0.0]])
    np.testing.assert_allclose(signed.distance(at), [0.02, 0.02, -0.2], atol=1e-6)


def test_thickness_is_a_choice():
    board = box([2.0, 0.01, 2.0])
    for thickness in (0.005, 0.06):
        signed = sign_mesh(board, thickness=thickness)
        middle = signed.distance(np.zeros((1, 3)))[0]
        assert middle == pytest.approx(-max(0.01, thickness) / 2, abs=1e-6)


def tray(*, thick):
    """A tray without the rim that its front is fixed to: with thick walls, or as a mere sheet."""
    block, room = box([1.2, 0.5, 1.0]), box([1.1, 0.5, 1.0], (0, 0.05, 0.05))
    mesh = block.difference(room) if thick else block
    away = mesh.triangles_center @ ([0, 0, 2] if thick else [0, 4, 0]) < 0.99
    return trimesh.Trimesh(mesh.vertices, mesh.faces[away], process=False)


@pytest.mark.parametrize("inward", [False, True])
def test_walls_of_a_drawer_are_solid_in_the_dark(inward):
    """Though open where they meet its front, and no light tells which side is which."""
    case = box([1.8, 1.0, 1.5]).difference(box([1.3, 0.6, 1.4], (0, 0, 0.2)))
    front = box([1.3, 0.6, 0.2], (0, 0, 0.61))
    boards = np.array([[0.0, -0.225, 0.0], [-0.575, 0.1, 0.2], [0.575, 0.1, 0.2], [0, 0, -0.475]])
    room = np.array([[0.0, 0.0, 0.0], [0.3, 0.1, 0.3], [0.0, 0.27, 0.0], [0.0, -0.28, 0.0]])
    walls = tray(thick=True)
    if inward:
        walls.invert()
    signed = sign_mesh(joined(case, front, walls))
    assert signed.parts.num_closed == 2
    assert signed.inside(boards).all()
    assert not signed.inside(room).any()
    # Twin: a tray that is a sheet bounds nothing, however dark it is.
    assert not sign_mesh(joined(case, front, tray(thick=False))).inside(room).any()

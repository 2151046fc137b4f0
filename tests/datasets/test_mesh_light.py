"""Open surfaces in light and in darkness: earth in a pot, a knob on a plate, leaves, linings."""

import numpy as np
import pytest
import trimesh

from geoflow_datasets import mesh_light, mesh_parts
from geoflow_datasets.mesh_light import Light, pieces
from geoflow_datasets.mesh_parts import orient
from geoflow_datasets.mesh_sdf import sign_mesh


def without(mesh, direction):
    """A mesh without the faces that look one way."""
    away = mesh.face_normals @ direction < 0.9
    return trimesh.Trimesh(mesh.vertices, mesh.faces[away], process=False)


def board(size, height):
    """Two triangles that hang together with nothing else."""
    x, z = np.array(size) / 2
    corners = [[-x, height, -z], [x, height, -z], [x, height, z], [-x, height, z]]
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


def joined(*meshes):
    return trimesh.util.concatenate(meshes)


def random_leaves(num, seed=0):
    """Square leaves in a ball, dense enough that those behind are in the shade."""
    rng = np.random.default_rng(seed)
    leaves = []
    for _ in range(num):
        leaf = board([0.2, 0.2], 0.0)
        leaf.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
        place = rng.normal(size=3)
        leaves.append(
            leaf.apply_translation(place / np.linalg.norm(place) * rng.random() ** (1 / 3))
        )
    return joined(*leaves)


def pot_with_a_brim():
    """One open part: a square bottom, four walls, and a flat brim around the mouth."""
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    rings = [(0.5, -0.4), (0.5, 0.4), (1.0, 0.4)]
    vertices = [[half * x, height, half * z] for half, height in rings for x, z in square]
    faces = [[0, 1, 2], [0, 2, 3]]
    for low in (0, 4):
        for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)):
            faces += [[low + a, low + 4 + a, low + b], [low + b, low + 4 + a, low + 4 + b]]
    return trimesh.Trimesh(vertices, faces, process=False)


@pytest.mark.parametrize("gap", [0.0, 0.004])
def test_earth_fills_a_pot_up_to_its_level(gap):
    """Above, the walls are light on both sides; below, they are dark on one."""
    pot, earth = pot_with_a_brim(), board([1.0 - 2 * gap] * 2, 0.0)
    signed = sign_mesh(joined(pot, earth))
    rng = np.random.default_rng(0)
    below = rng.uniform([-0.45, -0.39, -0.45], [0.45, -0.02, 0.45], (500, 3))
    above = below + np.array([0, 0.5, 0])
    assert signed.inside(below).all()
    assert not signed.inside(above[above[:, 1] > 0.2]).any()
    # What bounds nothing is thickened, and so still there.
    assert (signed.distance(np.array([[0.5, 0.3, 0.0], [0.8, 0.4, 0.0]])) < 0).all()
    # Twin: the pot alone holds nothing.
    assert not sign_mesh(pot).inside(np.concatenate([below, above])).any()


def test_a_plate_closes_the_knob_that_stands_on_it():
    """Else the knob's winding number bulges through the plate."""
    knob = trimesh.creation.icosphere(subdivisions=3, radius=0.3)
    knob = trimesh.Trimesh(
        knob.vertices, knob.faces[knob.triangles_center[:, 1] > 0.0], process=False
    )
    knob.apply_scale([1, 0.3, 1])
    low = knob.vertices[np.unique(knob.faces), 1].min()
    mesh = joined(knob, board([2.0, 2.0], low))
    assert orient(mesh).bounding.any()
    assert not orient(mesh).bounding.all()
    signed = sign_mesh(mesh)
    places = np.random.default_rng(0).uniform(-0.2, 0.2, (500, 3)) * [1, 0, 1]
    assert signed.inside(places + np.array([0, low + 0.005, 0])).all()
    assert not signed.inside(places + np.array([0, low - 0.005, 0])).any()


def test_leaves_bound_nothing_however_dense():
    leaves = random_leaves(700)
    parts = orient(leaves)
    assert parts.bounding.mean() < 0.03
    points = np.random.default_rng(1).uniform(-1, 1, (5000, 3))
    assert sign_mesh(leaves).inside(points).mean() < 0.02


def test_linings_that_no_light_reaches_bound_nothing():
    """Also where a chance ray gets out through a seam."""
    wall = trimesh.creation.annulus(r_min=0.7, r_max=0.9, height=2.0)
    lining = trimesh.creation.cylinder(radius=0.8, height=1.8, sections=64)
    for direction in ([0, 0, 1], [0, 0, -1]):
        lining = without(lining, direction)
    lining.invert()
    signed = sign_mesh(joined(wall, lining))
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    for radius, expected in ((0.75, True), (0.85, True), (0.6, False)):
        ring = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle])
        assert (signed.inside(ring) == expected).all()


def test_darkness_of_pieces_has_a_side_and_asks_for_light_on_the_other():
    """A sheet under a lid: dark above, light below; and inside a closed box, dark on both."""
    lid = without(trimesh.creation.box(extents=[1, 1, 1]), [0, -1, 0])
    sheet = board([1.0, 1.0], -0.5)
    # As wound, the front of the sheet is below.
    scene = joined(lid, sheet)
    assert sheet.face_normals[0, 1] < 0
    light = Light(scene.vertices, scene.faces)
    split = pieces(sheet.triangles)
    assert (light.of_pieces(split) == 1).all()
    assert (light.of_pieces(split[:, ::-1]) == -1).all()
    alone = Light(np.asarray(sheet.vertices), np.asarray(sheet.faces))
    assert (alone.of_pieces(split) == 0).all()
    hidden = pieces(board([0.5, 0.5], 0.0).triangles)
    assert (light.of_pieces(hidden) == 0).all()


def test_light_at_a_point_is_the_share_of_the_sky():
    """A sixth through one side of a cube, nothing from a closed one, all of it far away."""
    box = trimesh.creation.box(extents=[1, 1, 1])
    # Turned, so that no ray runs along an edge.
    turn = trimesh.transformations.rotation_matrix(0.4, [1, 2, 3])
    places = np.random.default_rng(0).uniform(-0.02, 0.02, (400, 3))
    for mesh, expected in ((without(box, [0, 1, 0]), 1 / 6), (box, 0.0)):
        turned = mesh.copy().apply_transform(turn)
        light = Light(np.asarray(turned.vertices), np.asarray(turned.faces))
        np.testing.assert_allclose(light.at(places), expected, atol=0.05)
        assert (light.at(places[:1] + 1e4) == 1).all()
    assert light.at(np.zeros((0, 3))).shape == (0,)


def test_slivers_without_area_bound_nothing_and_break_nothing():
    """Alone among the open parts, and among others."""
    box = trimesh.creation.box(extents=[1.6, 1.2, 2.0])
    line = trimesh.Trimesh(
        [[0.0, 0.0, 0.0], [0.1, 0.1, 0.1], [0.3, 0.3, 0.3]], [[0, 1, 2]], process=False
    )
    line.apply_translation([1.0, 0.0, 0.0])
    probes = np.array([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0]])
    for mesh in (joined(box, line), joined(box, line, board([0.5, 0.5], 0.9))):
        np.testing.assert_array_equal(sign_mesh(mesh).inside(probes), [True, False])
    assert len(pieces(np.zeros((0, 3, 3)))) == 0


def test_pages_of_a_stack_are_solid_each(monkeypatch):
    """Though a fortieth of the light falls between them; each lacks a triangle, and so is open."""
    pages = []
    for height in (-0.03, -0.01, 0.01, 0.03):
        page = trimesh.creation.box(extents=[2.0, 0.014, 2.0]).subdivide().subdivide()
        page.update_faces(np.arange(len(page.faces)) != 7)
        pages.append(page.apply_translation([0, height, 0]))
    stack = joined(*pages)
    places = np.random.default_rng(0).uniform(-0.9, 0.9, (200, 3)) * [1, 0, 1]
    inner = np.concatenate([places + np.array([0, height, 0]) for height in (-0.01, 0.01)])
    assert orient(stack).num_closed == 0
    assert sign_mesh(stack).inside(inner).all()
    # Twin: where that counts as darkness, they are sheets, were it not that each is all but closed.
    monkeypatch.setattr(mesh_light, "_DARK", 0.05)
    monkeypatch.setattr(mesh_parts, "_ENCLOSED", 1.0)
    assert not sign_mesh(stack).inside(inner).any()

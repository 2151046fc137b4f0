"""What is inside where winding numbers are not whole: the light at the point has a word."""

import numpy as np
import pytest
import trimesh

from geoflow_datasets import mesh_inside
from geoflow_datasets.mesh_inside import Interior
from geoflow_datasets.mesh_light import Light
from geoflow_datasets.mesh_parts import orient, winding
from geoflow_datasets.mesh_sdf import sign_mesh

RANDOM = np.random.default_rng(0)


def joined(*meshes):
    return trimesh.util.concatenate(meshes)


def lined_shelves():
    """Three boards, solid each, and on each a lining that nearly touches it."""
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    lining = trimesh.Trimesh(corners, [[0, 2, 1], [0, 3, 2]], process=False)
    board = trimesh.creation.box(extents=[2, 0.04, 2]).apply_translation([0, -0.022, 0])
    shelf = joined(board, lining)
    return joined(*(shelf.copy().apply_translation([0, at, 0]) for at in (-0.3, 0.0, 0.3)))


def figure_eight(num=48):
    """A ring whose section crosses itself: closed, and gone round both ways."""
    turn = 2 * np.pi * np.arange(num) / num
    radius, height = 0.7 + 0.3 * np.sin(turn), 0.3 * np.sin(2 * turn)
    vertices = np.stack(
        [np.outer(np.cos(turn), radius), np.tile(height, (num, 1)), np.outer(np.sin(turn), radius)],
        axis=-1,
    ).reshape(-1, 3)
    i, j = (each.ravel() for each in np.meshgrid(range(num), range(num), indexing="ij"))
    a, b, c, d = ((i + k) % num * num + (j + m) % num for k, m in ((0, 0), (1, 0), (1, 1), (0, 1)))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return trimesh.Trimesh(vertices, faces, process=False)


def test_air_behind_several_skins_is_outside(monkeypatch):
    """Each skin is worth half a turn there, and nothing stands between it and the sky."""
    shelves = lined_shelves()
    air = RANDOM.uniform([-0.7, -0.5, -0.7], [0.7, -0.36, 0.7], (300, 3))
    wood = RANDOM.uniform([-0.9, -0.34, -0.9], [0.9, -0.305, 0.9], (300, 3))
    signed = sign_mesh(shelves)
    assert (Interior(signed.parts).told(air)[1] > 0.5).mean() > 0.9
    assert not signed.inside(air).any()
    assert (signed.distance(air) > 0).all()
    assert signed.inside(wood).all()
    assert signed.inside(wood + np.array([0, 0.3, 0])).all()
    # Twin: by the number alone the air is solid.
    monkeypatch.setattr(mesh_inside, "_SKY", 2.0)
    assert sign_mesh(shelves).inside(air).mean() > 0.9


def test_torn_front_leaves_a_body_solid(monkeypatch):
    """Up to a membrane over the tear; nothing is in the light there."""
    body = trimesh.creation.box(extents=[1.0, 1.0, 2.0]).subdivide().subdivide()
    centres = body.triangles_center
    front = (centres[:, 2] > 0.99) & (np.abs(centres[:, :2]).max(1) < 0.3)
    torn = trimesh.Trimesh(body.vertices, body.faces[~front], process=False)
    assert front.sum() == 8
    points = RANDOM.uniform([-0.45, -0.45, -0.9], [0.45, 0.45, 0.9], (500, 3))
    signed = sign_mesh(torn)
    assert signed.inside(points).all()
    assert not signed.inside(points + np.array([0, 0, 2.0])).any()
    # Twin: were a tenth of the sky enough, it would be hollow behind the tear.
    monkeypatch.setattr(mesh_inside, "_SKY", 0.1)
    assert not sign_mesh(torn).inside(points).all()


@pytest.mark.parametrize("inward", [False, True])
def test_closed_part_that_crosses_itself_is_solid_on_both_sides(inward):
    ring = figure_eight()
    if inward:
        ring.invert()
    turn = RANDOM.uniform(0, 2 * np.pi, 200)
    inner, outer = (
        np.stack([radius * np.cos(turn), 0 * turn, radius * np.sin(turn)], -1)
        for radius in (0.5, 0.9)
    )
    parts = orient(ring)
    assert parts.num_parts == parts.num_closed == 1
    interior = Interior(parts)
    assert (winding(parts.vertices, parts.faces, inner) < -0.9).all()
    assert interior.inside(inner).all()
    assert interior.inside(outer).all()
    assert not interior.inside(0.1 * inner).any()
    assert not interior.inside(1.3 * outer).any()


def test_bodies_of_closed_parts_ask_no_light(monkeypatch):
    closed = trimesh.creation.box(extents=[1, 1, 1])
    torn = trimesh.Trimesh(closed.vertices, closed.faces[1:], process=False)
    asked = []
    monkeypatch.setattr(
        Light, "at", lambda self, points: asked.append(len(points)) or 0 * points[:, 0]
    )
    points = RANDOM.uniform(-0.6, 0.6, (500, 3))
    assert Interior(orient(closed)).inside(points).any()
    assert sum(asked) == 0
    assert Interior(orient(torn)).inside(points).any()
    assert sum(asked) > 0

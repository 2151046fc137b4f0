"""Tiles before a camera: all are seen whole, none covers another, and a click finds its own."""

import numpy as np
import pytest
import trimesh

from geoflow_viewer.arrangement import (
    FIELD_OF_VIEW,
    LABEL_DROP,
    REACH,
    columns_of,
    eye,
    fit_distance,
    tile_at,
)
from geoflow_viewer.items import Item, Result, Rung
from geoflow_viewer.scene import ROW_SPACING, tiles
from geoflow_viewer.state import State

COUNTS = (1, 2, 4, 9)
ASPECTS = (0.4, 1.0, 1.6)


def grid(count):
    item = Item("ball", State(), trimesh.creation.icosphere(subdivisions=1))
    result = Result(State(), Rung(64, 2048), (item,) * count, 0.0)
    return tiles(result, State(), columns=columns_of(count))


def camera(distance, aspect):
    """View and projection of OpenGL, from the viewer's first place."""
    place = eye(distance)
    back = place / np.linalg.norm(place)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(back, right), back])
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = axes, -axes @ place
    slope = np.tan(np.radians(FIELD_OF_VIEW) / 2)
    near, far = 0.1, 100.0
    depth = [-(far + near) / (far - near), -2 * far * near / (far - near)]
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1] = 1 / (slope * aspect), 1 / slope
    projection[2, 2:], projection[3, 2] = depth, -1
    return view, projection


def seen(points, view, projection):
    whole = np.column_stack([points, np.ones(len(points))]) @ view.T @ projection.T
    return whole[:, :2] / whole[:, 3:]


def sphere_points():
    return REACH * np.asarray(trimesh.creation.icosphere(subdivisions=2).vertices)


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("count", COUNTS)
def test_all_tiles_are_seen_whole_from_the_fitting_distance_and_not_from_nearer(count, aspect):
    shown = grid(count)
    distance = fit_distance(shown, aspect=aspect)

    def outermost(share):
        view, projection = camera(share * distance, aspect)
        centres = [tile.offset(view[0, :3], view[1, :3]) for tile in shown]
        points = np.concatenate([centre + sphere_points() for centre in centres])
        return np.abs(seen(points, view, projection)).max()

    assert outermost(1.0) <= 1.0
    assert outermost(0.7) > 1.0


def test_grids_are_square_and_labels_stand_between_rows():
    assert [columns_of(count) for count in COUNTS] == [1, 2, 2, 3]
    assert columns_of(5) == 3
    # Below a shape of half extent 1, and above the next row's.
    assert 1.0 < LABEL_DROP < ROW_SPACING - 1.0
    assert LABEL_DROP < REACH


@pytest.mark.parametrize("count", COUNTS)
def test_a_click_finds_the_tile_under_it_and_none_beside_all(count):
    shown = grid(count)
    view, projection = camera(fit_distance(shown, aspect=1.3), 1.3)
    for i, tile in enumerate(shown):
        centre = tile.offset(view[0, :3], view[1, :3])
        ((x, y),) = seen(centre[None] + 0.5 * view[0, :3], view, projection)
        assert tile_at(shown, x, y, view=view, projection=projection) == i
    assert tile_at(shown, 3.0, 3.0, view=view, projection=projection) is None

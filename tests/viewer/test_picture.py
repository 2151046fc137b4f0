"""Pictures without a display: what is drawn, and what is nearest."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from geoflow_viewer.picture import contact_sheet, render_mesh


def coverage(image):
    return float((image.min(-1) < 250).mean())


def test_sphere_covers_its_disc_and_has_no_holes():
    mesh = trimesh.creation.icosphere(subdivisions=2)
    image = render_mesh(mesh, size=120, extent=1.25)
    expected = np.pi * (0.92 / 1.25) ** 2 / 4
    assert abs(coverage(image) - expected) < 0.03
    assert (image[40:80, 40:80].min(-1) < 250).all()
    assert coverage(render_mesh(None, size=120)) == 0.0


def test_the_nearest_surface_is_drawn():
    """A small box in front of a large one changes the picture; behind it, it does not."""
    wall = trimesh.creation.box(extents=[1.5, 1.5, 0.1])
    small = trimesh.creation.icosphere(radius=0.3)

    def view(z):
        both = trimesh.util.concatenate([wall, small.copy().apply_translation([0, 0, z])])
        return render_mesh(both, size=80, azimuth=0.0, elevation=0.0)

    alone = render_mesh(wall, size=80, azimuth=0.0, elevation=0.0)
    np.testing.assert_array_equal(view(-0.6), alone)
    assert np.abs(view(0.6).astype(int) - alone).max() > 20


def test_up_is_up_and_front_is_front():
    mesh = trimesh.creation.icosphere(radius=0.2).apply_translation([0.0, 0.8, 0.0])
    image = render_mesh(mesh, size=80, azimuth=0.0, elevation=0.0)
    assert coverage(image[:40]) > 0
    assert coverage(image[40:]) == 0.0
    side = trimesh.creation.icosphere(radius=0.2).apply_translation([0.8, 0.0, 0.0])
    assert coverage(render_mesh(side, size=80, azimuth=0.0, elevation=0.0)[:, :40]) == 0.0


def test_sheet_has_a_row_per_label(tmp_path):
    mesh = trimesh.creation.icosphere()
    contact_sheet([[mesh, None], [mesh]], ["one", "two"], tmp_path / "sheet.png", size=40)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (80, 2 * 62)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="one label per row"):
        contact_sheet([[mesh]], [], tmp_path / "sheet.png")


def test_colours_of_vertices_stand_where_the_vertices_do():
    ball = trimesh.creation.icosphere(3)
    is_right = ball.vertices[:, 0] > 0
    ball.visual.vertex_colors = np.where(is_right[:, None], [255, 0, 0, 255], [0, 0, 255, 255])
    image = render_mesh(ball, size=80, azimuth=0.0, elevation=0.0).astype(int)
    assert image[40, 50, 0] > 100 > image[40, 50, 2]
    assert image[40, 30, 2] > 100 > image[40, 30, 0]


def test_the_inside_of_a_cut_shape_is_lit_as_its_outside():
    """A sheet looks the same from both sides, wherever its faces are turned."""
    corners = [[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]
    front = trimesh.Trimesh(corners, [[0, 2, 1], [0, 3, 2]], process=False)
    back = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
    view = {"size": 40, "azimuth": 0.0, "elevation": 0.0}
    np.testing.assert_array_equal(render_mesh(front, **view), render_mesh(back, **view))
    assert coverage(render_mesh(back, **view)) > 0.5

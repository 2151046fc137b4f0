"""Mirrored meshes are their own mirror images, to the bit, closed, and those of the field."""

import numpy as np
import pytest
import torch

from geoflow.geometry.extraction import EmptySurfaceError, extract_mesh
from geoflow.geometry.metrics import is_watertight
from geoflow.geometry.mirror import with_mirror_image

MIDDLES = {
    "across the plane": [[0.1, 0.2, -0.1]],
    "beside it": [[0.5, 0.1, 0.0]],
    "both": [[0.6, 0.0, 0.0], [0.05, 0.3, 0.5]],
}


def balls(middles, radius=0.3):
    def field(points):
        away = [(points - points.new_tensor(m)).norm(dim=-1) - radius for m in middles]
        return torch.stack(away).amin(0)

    return field


def even(middles):
    """A field that is its own mirror image: the balls of one side, and of the other."""
    field = balls(middles)
    return lambda points: field(torch.cat([points[:, :1].abs(), points[:, 1:]], dim=1))


def is_symmetric(mesh):
    """Whether the mirrored vertices and turned faces are those of the mesh, exactly."""
    image = {tuple(v) for v in (mesh.vertices * [-1.0, 1.0, 1.0] + 0.0).tolist()}
    return image == {tuple(v) for v in (mesh.vertices + 0.0).tolist()} and (
        _corners(mesh, -1.0) == _corners(mesh, 1.0)
    )


def _corners(mesh, sign):
    turned = (mesh.triangles * [sign, 1.0, 1.0] + 0.0).tolist()
    return {frozenset(tuple(corner) for corner in triangle) for triangle in turned}


@pytest.mark.parametrize("middles", MIDDLES.values(), ids=MIDDLES)
@pytest.mark.parametrize("resolution", [32, 50, 96])
def test_mirrored_meshes_are_exactly_symmetric_and_closed(middles, resolution):
    mirrored = extract_mesh(even(middles), resolution=resolution, mirrored=True)
    assert is_symmetric(mirrored.mesh)
    assert is_watertight(mirrored.mesh)
    plain = extract_mesh(even(middles), resolution=resolution)
    assert mirrored.mesh.volume == pytest.approx(plain.mesh.volume, rel=1e-3)
    # A place and its image are evaluated once each.
    assert mirrored.field_queries == plain.field_queries


def test_without_it_a_field_that_is_no_mirror_image_gives_a_mesh_that_is_none():
    assert not is_symmetric(extract_mesh(balls([[0.1, 0.0, 0.0]]), resolution=32).mesh)


def test_odd_resolutions_have_no_plane():
    with pytest.raises(ValueError, match="an even resolution, got 33"):
        extract_mesh(even(MIDDLES["both"]), resolution=33, mirrored=True)


def test_what_is_on_one_side_alone_counts_half():
    """The mean with the mirror image: a ball beside the plane, whose image is outside, is lost."""
    both = extract_mesh(even(MIDDLES["beside it"]), resolution=32, mirrored=True).mesh
    assert both.body_count == 2
    near = balls([[0.05, 0.0, 0.0]], radius=0.5)
    mean = extract_mesh(near, resolution=64, mirrored=True).mesh
    field = lambda points: (near(points) + near(points * points.new_tensor([-1, 1, 1]))) / 2  # noqa: E731
    plain = extract_mesh(field, resolution=64).mesh
    assert mean.volume == pytest.approx(plain.volume, rel=1e-3)
    assert is_symmetric(mean)
    with pytest.raises(EmptySurfaceError):
        extract_mesh(balls([[0.5, 0.0, 0.0]], radius=0.2), resolution=32, mirrored=True)


def test_what_touches_the_plane_at_a_point_is_not_welded_there():
    """A tetrahedron with one corner at x = 0, and its image: two closed parts."""
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    vertices, doubled = with_mirror_image(corners, faces)
    assert (len(vertices), len(doubled)) == (8, 8)
    # A half that is open there shares its border.
    vertices, doubled = with_mirror_image(corners * [0, 1, 1] + [0, 0, 0], faces[:2])
    assert len(vertices) == 4

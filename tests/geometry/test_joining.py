"""Parts that a field nearly joins are joined, and nothing else is changed."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from geoflow.geometry.extraction import extract_mesh, mesh_from_grid
from geoflow.geometry.joining import find_bridges, lower, num_parts, reached


def balls(*middles, radius=0.2):
    """Union of balls along the y axis, or elsewhere."""
    centres = torch.tensor([m if isinstance(m, list) else [0.0, m, 0.0] for m in middles])
    return lambda points: torch.cdist(points, centres.to(points)).amin(1) - radius


def doubted(points):
    """A seat and a leg beneath, of which the field is not sure: above zero in two places."""
    seat = (points.abs() - torch.tensor([0.5, 0.08, 0.5])).amax(1)
    leg = torch.maximum((points[:, ::2] - 0.3).norm(dim=1) - 0.05, points[:, 1])
    leg = torch.maximum(leg, -0.9 - points[:, 1])
    doubt = torch.exp(-(((points[:, 1] + 0.3) / 0.05) ** 2))
    doubt += torch.exp(-(((points[:, 1] + 0.6) / 0.05) ** 2))
    return torch.minimum(seat, leg + 0.06 * doubt)


@pytest.mark.parametrize("resolution", [64, 96, 128, 200])
@pytest.mark.parametrize("method", ["followed", "hierarchical", "dense"])
def test_a_gap_is_closed_where_it_is_narrow_enough(method, resolution):
    field = balls(-0.22, 0.22)  # 0.04 apart: one from a level of 0.02 on
    apart = extract_mesh(field, resolution=resolution, method=method, join=0.01)
    assert apart.mesh.body_count == 2
    assert apart.joined == 0
    one = extract_mesh(field, resolution=resolution, method=method, join=0.03)
    assert one.mesh.body_count == 1
    assert one.mesh.is_watertight
    assert one.joined >= 1
    assert 1.0 < one.mesh.volume / apart.mesh.volume < 1.04
    # All that is new lies about the line between the balls.
    new = one.mesh.vertices[field(torch.from_numpy(one.mesh.vertices).float()).numpy() > 0.005]
    assert len(new) > 0
    assert np.abs(new).max() < 0.12


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_a_leg_in_fragments_is_whole_again_where_it_was(resolution):
    broken = extract_mesh(doubted, resolution=resolution, method="followed")
    assert broken.mesh.body_count == 3
    assert broken.joined == 0
    whole = extract_mesh(doubted, resolution=resolution, method="followed", join=0.03)
    assert whole.mesh.body_count == 1
    assert whole.mesh.is_watertight
    leg = whole.mesh.vertices[whole.mesh.vertices[:, 1] < -0.1]
    assert np.linalg.norm(leg[:, ::2] - 0.3, axis=1).max() < 0.08
    # No part of it is a thread.
    for height in (-0.3, -0.6):
        slab = leg[np.abs(leg[:, 1] - height) < 0.03]
        assert np.ptp(slab[:, 0]) > 0.03
        assert np.ptp(slab[:, 2]) > 0.03


@pytest.mark.parametrize("method", ["followed", "dense"])
def test_what_is_one_piece_is_as_it_was_to_the_bit(method):
    one = balls(-0.15, 0.15)
    plain = extract_mesh(one, resolution=128, method=method)
    joined = extract_mesh(one, resolution=128, method=method, join=0.03)
    assert np.array_equal(plain.mesh.vertices, joined.mesh.vertices)
    assert (joined.field_queries, joined.joined) == (plain.field_queries, 0)


def test_the_least_climb_is_taken():
    """Of two ways from ball to ball the longer one, past a ball that is nearer to both."""
    field = balls([-0.26, 0.0, 0.0], [0.26, 0.0, 0.0], [0.0, 0.33, 0.0])
    mesh = extract_mesh(field, resolution=64, join=0.06).mesh
    assert mesh.body_count == 1
    outside = field(torch.from_numpy(mesh.vertices).float()).numpy() > 0.005
    assert outside.any()
    # Straight across it would be at y = 0.
    assert (mesh.vertices[outside, 1] > 0.02).all()


def test_mirrored_meshes_stay_symmetric():
    field = balls([0.0, -0.22, 0.0], [0.0, 0.22, 0.0], [0.35, 0.22, 0.25], [-0.35, 0.22, 0.25])
    extraction = extract_mesh(field, resolution=64, mirrored=True, join=0.05)
    mesh = extraction.mesh
    assert mesh.body_count == 1
    assert mesh.is_watertight
    assert extraction.joined >= 3
    flipped = np.unique(np.round(mesh.vertices * [-1, 1, 1], 9) + 0.0, axis=0)
    assert np.array_equal(flipped, np.unique(np.round(mesh.vertices, 9) + 0.0, axis=0))


def grid(seed):
    """A random smooth field, at least 0.01 outside at its borders."""
    values = np.random.default_rng(seed).standard_normal((24, 24, 24))
    values = ndimage.gaussian_filter(values, 1.5)
    values *= 0.05 / values.std()
    frame = np.pad(np.zeros((20, 20, 20)), 2, constant_values=1.0)
    return (values + 0.05 + frame).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [0.005, 0.02, 0.05])
def test_parts_are_those_of_the_level(seed, most):
    """Components of {f <= most} that hold some of {f <= 0}, as persistence says; rarely one less,
    where a bridge's width touches a third part."""
    values = grid(seed)
    level, _ = ndimage.label(values <= most)
    expected = len(np.unique(level[values <= 0.0]))
    assert num_parts(values) > expected
    bridges = find_bridges(values, 0.05, most)
    joined, near = values.copy(), reached(bridges, 0.05, values.shape)
    lower(joined, bridges, 0.05)
    assert expected - 1 <= num_parts(joined) <= expected
    assert (joined <= values).all()
    assert np.array_equal(joined[~near], values[~near])
    assert mesh_from_grid(joined, 1.0).is_watertight


def test_a_finer_grid_is_lowered_alike():
    values = grid(3)
    bridges = find_bridges(values, 0.05, 0.03)
    fine = ndimage.zoom(values, 47 / 24, order=1, grid_mode=False)
    assert np.allclose(fine[::2, ::2, ::2], values, atol=1e-5)
    coarse = values.copy()
    lower(coarse, bridges, 0.05)
    lower(fine, bridges, 0.025, stride=2)
    assert np.allclose(fine[::2, ::2, ::2], coarse, atol=1e-5)


@pytest.mark.parametrize("method", ["followed", "dense"])
@pytest.mark.parametrize("resolution", [24, 128])
def test_parts_that_are_far_apart_stay_as_they_are(method, resolution):
    field = balls(-0.5, 0.5)
    plain = extract_mesh(field, resolution=resolution, method=method)
    far = extract_mesh(field, resolution=resolution, method=method, join=0.03)
    assert far.joined == 0
    assert np.array_equal(far.mesh.vertices, plain.mesh.vertices)


def test_nothing_to_join():
    assert num_parts(np.ones((8, 8, 8), np.float32)) == 0
    assert find_bridges(np.ones((8, 8, 8), np.float32), 0.1, 0.5) == []
    with pytest.raises(ValueError, match=r"join must be at least 0, got -0\.1"):
        extract_mesh(balls(0.0), resolution=32, join=-0.1)

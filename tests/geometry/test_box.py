"""Boxes of normalised shapes, and solids that end at theirs."""

import pytest
import torch

from geoflow.geometry.box import in_cube
from geoflow.testing import random_rotations


def ball(points):
    """Of radius 1.2: its poles are beyond the cube, the cube's corners beyond it."""
    return points.norm(dim=-1) - 1.2


@pytest.fixture
def points():
    generator = torch.Generator().manual_seed(0)
    return 1.5 * (2 * torch.rand(2000, 3, generator=generator, dtype=torch.float64) - 1)


def test_what_is_beyond_the_cube_is_outside_and_the_rest_as_it_was(points):
    cut = in_cube(ball, torch.eye(3))
    inside = points.abs().amax(1) < 1
    assert torch.equal(cut(points) <= 0, (ball(points) <= 0) & inside)
    # It is never less, and the same where the ball's surface is nearer than the cube's.
    deep = points / points.norm(dim=1, keepdim=True) * 0.9
    assert (cut(deep) >= ball(deep)).all()
    corner = torch.full((1, 3), 0.9, dtype=torch.float64)
    torch.testing.assert_close(cut(corner), ball(corner))
    assert (ball(points) <= 0).sum() > (cut(points) <= 0).sum() > 100


def test_the_cube_stands_in_the_frame(points):
    cut = in_cube(ball, torch.eye(3))
    for rotation in random_rotations(3, dtype=torch.float64):
        turned = in_cube(ball, torch.eye(3, dtype=torch.float64) @ rotation.mT)
        torch.testing.assert_close(turned(points @ rotation.mT), cut(points))
        # Twin: a cube that stays does not turn with them.
        assert (cut(points @ rotation.mT) - cut(points)).abs().max() > 0.01

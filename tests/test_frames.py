"""Frames: matrices that lead to them."""

import pytest
import torch

from geoflow.symmetry import turn_to
from geoflow.testing import random_rotations


def test_a_frame_is_reached_and_an_up_vector_the_shortest_way():
    turns = random_rotations(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(turn_to(turns), turns)
    assert torch.equal(turn_to(torch.eye(3)[None]), torch.eye(3)[None])
    ups = torch.cat([turns[:, :1], torch.eye(3)[None, 1:2], -torch.eye(3)[None, 1:2]])
    found = turn_to(ups.double())
    torch.testing.assert_close(found[:, 1], ups[:, 0].double())
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double().expand(22, 3, 3))
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(22).double())
    # The trace is 1 + 2 cos of the angle, the smallest that leads there.
    angle = found.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(angle, 1 + 2 * ups[:, 0, 1].double())
    assert torch.equal(found[20], torch.eye(3).double())


def test_vectors_that_are_no_frame_are_refused():
    for wrong in (2 * torch.eye(3), torch.ones(3, 3), torch.zeros(1, 3)):
        with pytest.raises(ValueError, match="unit length and perpendicular"):
            turn_to(wrong[None])

"""Points that are read again, with normals of the answer's own field, exactly."""

import numpy as np
import pytest
import torch
import trimesh
from tiny_models import tiny_models

from geoflow.models.completion import RECYCLED
from geoflow.models.refinement import outward_normals
from geoflow.models.rereading import facing_means, left_of_field
from geoflow.testing import random_rotations, rotate_tokens
from geoflow_cli.edit_options import Complete

KINDS = ("sdf", "shapes")


def model_of(kind):
    """A tiny model, in float64, that reads bare points."""
    model = tiny_models()[kind]
    if kind == "sdf":
        model.read_scans()
        with torch.no_grad():
            for weight in model.autoencoder.scan_encoder.parameters():
                weight.add_(0.1 * torch.randn(weight.shape))
    model.autoencoder.double()
    return model


@pytest.fixture
def cloud():
    g = torch.Generator().manual_seed(0)
    points = 0.4 * torch.randn(2, 50, 3, generator=g, dtype=torch.float64)
    normals = torch.randn(2, 50, 3, generator=g, dtype=torch.float64)
    return points.clamp(-1, 1), torch.nn.functional.normalize(normals, dim=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_bare_points_are_read_again_with_the_gradients_of_the_field(kind, cloud):
    model, (points, _) = model_of(kind), cloud
    frame = model.frame_for(2).double()
    tokens = [model.encode(points, frame=frame)]
    for _ in range(2):
        own = outward_normals(model.autoencoder, tokens[-1], points, None, frame)
        tokens.append(model.encode(points, own, frame=frame, scanned=True))
    for times, expected in enumerate(tokens):
        assert torch.equal(model.encode(points, frame=frame, recycle=times), expected)
    assert not torch.allclose(tokens[1], tokens[0])
    assert not torch.allclose(tokens[2], tokens[1])
    assert not tokens[2].requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_points_with_outward_normals_are_moved_by_what_is_left_of_the_field(kind, cloud):
    model, (points, normals) = model_of(kind), cloud
    frame = model.frame_for(2).double()
    shown, expected = points, [model.encode(points, normals, frame=frame)]
    for times in (1, 2):
        left = left_of_field(model.autoencoder, expected[-1], points, normals, frame)
        shown = shown + left[..., None] / times**0.5 * normals
        expected.append(model.encode(shown, normals, frame=frame))
    for times, tokens in enumerate(expected):
        assert torch.equal(model.encode(points, normals, frame=frame, recycle=times), tokens)
    assert not torch.allclose(expected[1], expected[0])
    assert not torch.allclose(expected[2], expected[1])


def test_what_is_left_is_told_by_neighbours_that_face_the_same_way():
    g = torch.Generator().manual_seed(2)
    side = torch.rand(1, 400, 3, generator=g, dtype=torch.float64)
    noise = 0.01 * torch.randn(1, 400, generator=g, dtype=torch.float64)
    side[..., 1] = noise
    # The other side of a thin sheet.
    points = torch.cat([side, side + torch.tensor([0.003, 0.005, 0.0])], 1)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).expand(1, 400, 3)
    normals = torch.cat([up, -up], 1)
    values = torch.cat([noise - 0.02, torch.full((1, 400), 0.1).double()], 1)
    left = facing_means(values, points, normals)
    assert left[0, :400].mean().item() == pytest.approx(-0.02, abs=0.002)
    # Of eight neighbours, half of them on the other side, it is about half of what it was.
    assert 0.2 < (left[0, :400].std() / noise.std()).item() < 0.7
    torch.testing.assert_close(left[0, 400:], values[0, 400:])
    few = facing_means(values[:, :2], points[:, :2], normals[:, :2])
    torch.testing.assert_close(few, values[:, :2].mean(1, keepdim=True).expand(1, 2))
    assert facing_means(values, points, 0 * normals).abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_unoriented_normals_are_turned_as_the_field_points(kind, cloud):
    model, (points, normals) = model_of(kind), cloud
    frame = model.frame_for(2).double()
    first = model.encode(points, normals, frame=frame, oriented=False)
    turned = outward_normals(model.autoencoder, first, points, normals, frame)
    assert torch.equal((turned * normals).sum(-1).abs().round(), torch.ones(2, 50).double())
    found = model.encode(points, normals, frame=frame, oriented=False, recycle=1)
    assert torch.equal(found, model.encode(points, turned, frame=frame, scanned=True))


@pytest.mark.parametrize("has_normals", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_again_turns_with_the_points_in_any_order(kind, has_normals, cloud):
    model, (points, normals) = model_of(kind), cloud
    g = torch.Generator().manual_seed(1)
    frame = model.frame_for(2).double()
    turn = random_rotations(1, generator=g, dtype=torch.float64)[0]
    order = torch.randperm(50, generator=g)
    turned, turned_normals = ((v @ turn.T)[:, order] for v in (points, normals))
    given, turned_given = (normals, turned_normals) if has_normals else (None, None)
    tokens = model.encode(points, given, frame=frame, recycle=2)
    other = model.encode(turned, turned_given, frame=frame @ turn.T, recycle=2)
    scalars = model.config.transformer.scalars
    expected = rotate_tokens(tokens, turn.expand(2, 3, 3), scalars=scalars)
    torch.testing.assert_close(other, expected, rtol=0, atol=1e-9)


def test_the_command_recycles_as_often_as_the_library_and_never_less_than_never(cloud):
    assert Complete.__dataclass_fields__["recycle"].default == RECYCLED
    with pytest.raises(ValueError, match="recycle must be at least 0, got -1"):
        model_of("shapes").encode(cloud[0], recycle=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_meshes_are_read_again(kind):
    model, mesh = tiny_models()[kind], trimesh.creation.box((2.0, 1.0, 0.5))
    found, face = trimesh.sample.sample_surface(mesh, model.num_encoded, seed=3)
    points, normals = (
        torch.from_numpy(np.asarray(values, np.float32))[None]
        for values in (found, mesh.face_normals[face])
    )
    tokens = model.encode_mesh(mesh, seed=3)
    assert torch.equal(tokens, model.encode(points, normals, recycle=2)[0])
    assert not torch.allclose(tokens, model.encode_points(points, normals)[0])

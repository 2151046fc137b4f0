"""Normalised shapes end at their cube; what parts of shapes say may go on beyond it."""

import pytest
import torch
import trimesh
from tiny_models import tiny_models

from geoflow.models.completion import colour_by_disagreement, complete
from geoflow.models.fields import FieldConfig, Generator
from geoflow.testing import random_rotations


def grown(model):
    """The model, its fields balls of radius 1.02, and a latent."""
    with torch.no_grad():
        for weight in model.autoencoder.decoder.out.parameters():
            weight.zero_()
        # 0.1 bias + slope (radius - 0.5) is 0 at 1.02.
        model.autoencoder.decoder.sphere.fill_(1.0)
        model.autoencoder.decoder.out.bias.fill_(-5.2)
    size = model.config.autoencoder
    return model, torch.zeros(size.num_tokens, size.channels)


@pytest.mark.parametrize("kind", ["sdf", "shapes"])
def test_a_shape_ends_at_the_cube(kind):
    model, tokens = grown(tiny_models()[kind])
    mesh, open_end = (model.decode(tokens, resolution=32, whole=whole) for whole in (True, False))
    assert abs(mesh.bounds).max() == pytest.approx(1.0, abs=1e-4)
    assert abs(open_end.bounds).max() == pytest.approx(1.02, abs=2e-3)
    assert mesh.is_watertight
    (shape,) = model.shapes(tokens[None])
    assert abs(shape.bounds).max() == pytest.approx(1.0, abs=1e-4)


def test_the_cube_turns_with_the_frame():
    model, tokens = grown(tiny_models()["shapes"])
    frame = random_rotations(1, dtype=torch.float32)[0]
    points = 1.01 * torch.nn.functional.normalize(torch.randn(200, 3), dim=-1)
    here, there = model.field(tokens)(points), model.field(tokens, frame=frame)(points @ frame)
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)
    # Twin: a cube that stays would cut elsewhere.
    assert not torch.allclose(model.field(tokens)(points @ frame), there, atol=1e-3)


@pytest.mark.parametrize("symmetry", ["so2", "so3"])
def test_a_shape_that_may_turn_has_no_cube_that_is_known(symmetry):
    model, tokens = grown(Generator.build(FieldConfig.build(symmetry=symmetry, categories=("a",))))
    points = 1.01 * torch.eye(3)
    assert (model.field(tokens)(points) < 0).all()
    upright, tokens = grown(Generator.build(FieldConfig.build(symmetry="frame", categories=("a",))))
    assert (upright.field(tokens)(points) > 0).all()


def test_what_is_completed_may_go_on_beyond_the_points():
    model, _ = grown(tiny_models()["shapes"])
    points = trimesh.creation.box(extents=(2.0, 1.0, 0.6)).sample(400)
    (mesh,) = complete(points, model=model, resolution=32)
    assert abs(mesh.bounds).max() == pytest.approx(1.02, abs=0.01)


def test_answers_are_compared_beyond_the_points_too():
    model, mesh = tiny_models()["shapes"], trimesh.creation.icosphere(1, radius=1.3)
    size = model.config.autoencoder
    tokens = torch.randn(3, size.num_tokens, size.channels)
    colour_by_disagreement(model, mesh, tokens)
    places = torch.from_numpy(mesh.vertices).float().expand(3, -1, 3)
    with torch.no_grad():
        found = model.autoencoder.decode(tokens, places, model.frame_for(3)).std(0)
    assert found.min() > 0
    torch.testing.assert_close(torch.from_numpy(mesh.metadata["disagreement"]), found)

"""Refined latents: never worse by their own measure, turning along, indifferent to order."""

import pytest
import torch

from geoflow.backbones import FieldAutoencoder, ShapeConfig
from geoflow.models.kinds import load
from geoflow.models.refinement import _Fit, outward_normals, refine_tokens
from geoflow.testing import random_rotations, rotate_points, rotate_tokens

SIZES = ShapeConfig(
    num_tokens=4, encoder_width=16, encoder_blocks=1, context_blocks=1, decoder_width=16,
    decoder_layers=1, heads=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def given():
    torch.manual_seed(0)
    codec = FieldAutoencoder(SIZES).double()
    directions = torch.randn(2, 64, 3, dtype=torch.float64)
    normals = directions / directions.norm(dim=-1, keepdim=True)
    points = normals * torch.tensor([1.0, 0.7, 0.4], dtype=torch.float64)
    frame = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    with torch.no_grad():
        tokens = codec.encode(points, normals, frame)
    return codec, tokens, points, normals, frame


def refined(given, steps=6):
    return refine_tokens(*given, steps=steps)


@pytest.mark.parametrize("with_normals", [True, False])
def test_a_fixed_loss_falls(given, with_normals):
    codec, tokens, points, normals, frame = given
    normals = normals if with_normals else None
    fit = _Fit(codec, tokens, points, normals, frame)
    losses = [
        fit.loss(refined((codec, tokens, points, normals, frame), steps)) for steps in (0, 2, 12)
    ]
    assert (losses[1] <= losses[0]).all()
    assert (losses[2] < 0.97 * losses[0]).all()


def test_no_steps_change_nothing_and_weights_stay(given):
    codec, tokens, *_ = given
    before = [p.detach().clone() for p in codec.parameters()]
    assert refined(given, 0) is tokens
    assert not torch.equal(refined(given), tokens)
    assert all(map(torch.equal, before, codec.parameters()))
    assert all(p.requires_grad and p.grad is None for p in codec.parameters())
    with pytest.raises(ValueError, match="refine must be at least 0, got -1"):
        refined(given, -1)


def test_it_turns_with_the_shape_and_knows_no_order(given):
    codec, tokens, points, normals, frame = given
    rotation = random_rotations(2, generator=torch.Generator().manual_seed(0))
    here = refined(given)
    turned = refined(
        (
            codec,
            rotate_tokens(tokens, rotation, scalars=SIZES.scalars),
            *(rotate_points(v, rotation) for v in (points, normals, frame)),
        )
    )
    expected = rotate_tokens(here, rotation, scalars=SIZES.scalars)
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-10)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    shuffled = refined((codec, tokens, points[:, order], normals[:, order], frame))
    torch.testing.assert_close(shuffled, here, rtol=0, atol=1e-10)
    # Twin: other points, another latent.
    other = refined((codec, tokens, points * 1.1, normals, frame))
    assert (other - here).abs().max() > 1e-3


def test_shapes_of_a_batch_do_not_touch_each_other(given):
    codec, *rest = given
    alone = refined((codec, *(part[:1] for part in rest)))
    torch.testing.assert_close(alone, refined(given)[:1], rtol=0, atol=1e-10)


def test_a_model_that_needs_normals_says_so(given):
    chair = load("chair")
    chair.forget_scans()
    points = given[2].float()
    for arguments in ({}, {"normals": given[3].float(), "oriented": False}):
        with pytest.raises(ValueError, match="was trained with outward normals alone"):
            chair.encode(points, **arguments)
    tokens = chair.encode(points, given[3].float())
    torch.testing.assert_close(tokens, chair.encode_points(points, given[3].float()))
    fitted = chair.encode(points, given[3].float(), refine=1)
    assert fitted.shape == tokens.shape
    assert not fitted.requires_grad


def test_directions_of_a_field_are_outward_and_turn_along(given):
    codec, tokens, points, normals, frame = given
    found = outward_normals(codec, tokens, points, None, frame)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2, 64, dtype=torch.float64))
    # An untrained decoder draws a sphere.
    assert ((found * normals).sum(-1) > 0).double().mean() > 0.9
    rotation = random_rotations(2, generator=torch.Generator().manual_seed(0))
    turned = outward_normals(
        codec,
        rotate_tokens(tokens, rotation, scalars=SIZES.scalars),
        rotate_points(points, rotation),
        None,
        rotate_points(frame, rotation),
    )
    torch.testing.assert_close(turned, rotate_points(found, rotation), rtol=0, atol=1e-10)
    # Known but for their signs: those or their opposites, whichever way they were.
    signs = torch.where(torch.rand(2, 64, 1) < 0.5, -1.0, 1.0).double()
    one, other = (outward_normals(codec, tokens, points, s * normals, frame) for s in (1.0, signs))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    torch.testing.assert_close((one * normals).sum(-1).abs(), torch.ones_like(one[..., 0]))


@pytest.mark.slow
def test_many_bare_points_are_fitted_with_the_normals_of_the_first_answer(given):
    reader = load("shapes")
    directions = torch.randn(1, 300, 3, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([1.0, 0.7, 0.4]) * directions / directions.norm(dim=-1, keepdim=True)
    tokens = reader.encode(points)
    frame = reader.frame_for(1)
    guessed = outward_normals(reader.autoencoder, tokens, points, None, frame)
    wanted = refine_tokens(reader.autoencoder, tokens, points, guessed, frame, steps=1)
    torch.testing.assert_close(reader.encode(points, refine=1), wanted)
    # Twin: few points are fitted alone.
    few = points[:, :64]
    first = reader.encode(few)
    alone = refine_tokens(reader.autoencoder, first, few, None, frame, steps=1)
    torch.testing.assert_close(reader.encode(few, refine=1), alone)

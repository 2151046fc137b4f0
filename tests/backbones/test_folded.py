"""A network folded for one shape is the network, whatever the frame and the centre."""

from dataclasses import replace

import pytest
import torch

from geoflow.backbones import FieldAutoencoder, PointDecoder, ShapeConfig
from geoflow.backbones.folded import Folded, in_blocks
from geoflow.condition import Condition

SMALL = ShapeConfig(
    num_tokens=3, scalars=4, vectors=2, encoder_width=16, decoder_width=24, decoder_layers=3,
    heads=4, encoder_blocks=1, context_blocks=1, frequencies=3,
)  # fmt: skip


def build(frame_size, num=1):
    torch.manual_seed(0)
    network = FieldAutoencoder(replace(SMALL, frame_size=frame_size)).double()
    tokens = torch.randn(num, 3, 4 + 2 * 3, dtype=torch.float64)
    frame = torch.linalg.qr(torch.randn(num, 3, 3, dtype=torch.float64))[0][:, :frame_size]
    centre = torch.randn(num, 3, dtype=torch.float64)
    context = network.context(tokens, frame if frame_size else None, centre=centre)
    return network.decoder, context, torch.randn(50, 3, dtype=torch.float64)


@pytest.mark.parametrize("frame_size", [0, 1, 3])
def test_a_folded_field_is_the_field(frame_size):
    decoder, context, points = build(frame_size)
    expected = decoder(context, points[None])[0]
    torch.testing.assert_close(decoder.folded(context)(points), expected, rtol=0, atol=1e-12)
    hidden = Folded(decoder, context)
    features = hidden(points - context.centre[0]) + hidden.constant
    expected = decoder.hidden(context, points[None])[0]
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-12)
    # The constant is part of it.
    assert (hidden.constant.abs() > 1e-3).any()


def test_a_fold_is_of_one_shape_and_without_gradient():
    decoder, context, points = build(3, num=2)
    with pytest.raises(ValueError, match="context of one shape is folded, got 2"):
        decoder.folded(context)
    decoder, context, _ = build(3)
    assert not decoder.folded(context)(points).requires_grad


@pytest.mark.parametrize("frame_size", [0, 3])
def test_the_points_of_folded_shapes_are_the_points_of_the_shapes(frame_size):
    torch.manual_seed(0)
    decoder = PointDecoder(replace(SMALL, frame_size=frame_size)).double()
    frame = torch.linalg.qr(torch.randn(2, 3, 3, dtype=torch.float64))[0] if frame_size else None
    cond = Condition(frame, tokens=torch.randn(2, 3, 4 + 2 * 3, dtype=torch.float64))
    x = torch.randn(2, 2 * 1024 + 7, 3, dtype=torch.float64)
    folded = decoder.folded(cond)
    for t, r in ((0.0, 0.5), (0.5, 1.0)):
        times = (x.new_full((2,), t), x.new_full((2,), r))
        expected = decoder(x, *times, cond)
        torch.testing.assert_close(folded(x, *times), expected, rtol=0, atol=1e-12)
        # Each shape has its own latent.
        assert not torch.allclose(folded(x.flip(0), *times).flip(0), expected, atol=1e-3)


def test_numbers_of_points_are_few_in_calls_and_right_in_answers():
    """Every other number of rows costs memory for ever: a library keeps what it prepared for it."""
    rows = set()

    def double(points):
        rows.add(len(points))
        return 2 * points

    for num in (1, 50, 127, 128, 129, 700, 1023, 1024, 1025, 3000):
        points = torch.randn(num, 3)
        assert torch.equal(in_blocks(double, points), 2 * points)
    assert rows <= {128 * i for i in range(1, 9)}
    assert in_blocks(double, torch.zeros(0, 3)).shape == (0, 3)

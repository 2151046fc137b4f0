"""Equivariance of both networks, on random and on shipped weights; a control must fail."""

import pytest
import torch

from geoflow.backbones import FieldAutoencoder, ShapeConfig, TokenTransformer, TransformerConfig
from geoflow.backbones.latent_scale import LatentScale
from geoflow.condition import Condition
from geoflow.models.base import shipped
from geoflow.models.fields import Generator
from geoflow.symmetry import FRAME_SIZES, upright_frame
from geoflow.testing import (
    EQUIVARIANCE_TOLERANCE,
    assert_equivariant,
    random_rotations,
    relative_error,
    rotate_points,
    rotate_tokens,
)

SHIPPED = [name for name, file in shipped().items() if file.kind == "sdf"]
BATCH, DTYPES = 4, (torch.float64, torch.float32)
SMALL = {"num_tokens": 3, "scalars": 4, "vectors": 2}
FIELD = {**SMALL, "encoder_width": 32, "decoder_width": 24, "decoder_layers": 2, "heads": 4}
FLOW = {**SMALL, "width": 32, "vector_width": 4, "heads": 4, "blocks": 2, "condition_width": 16}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def cloud(num, dtype, seed=1):
    points = torch.randn(BATCH, num, 3, generator=seeded(seed), dtype=torch.float64)
    return (0.4 * points).to(dtype)


def frames(symmetry, dtype):
    frame = upright_frame(symmetry, BATCH)
    return None if frame is None else frame.to(dtype)


def turned(frame, rotation):
    return None if frame is None else rotate_points(frame, rotation)


def field_network(symmetry, dtype, **changes):
    torch.manual_seed(0)
    config = ShapeConfig(frame_size=FRAME_SIZES[symmetry], **(FIELD | changes))
    return FieldAutoencoder(config).to(dtype)


def flow_network(symmetry, dtype):
    torch.manual_seed(0)
    network = TokenTransformer(TransformerConfig(frame_size=FRAME_SIZES[symmetry], **FLOW))
    for parameter in network.parameters():  # Zero-initialised parts would hide their errors.
        torch.nn.init.normal_(parameter, std=0.2)
    return network.to(dtype)


def test_random_rotations_are_rotations():
    rotations = random_rotations(100, generator=seeded())
    identity = torch.eye(3, dtype=torch.float64).expand(100, 3, 3)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=1e-12)
    torch.testing.assert_close(rotations.det(), torch.ones(100, dtype=torch.float64))
    assert rotations.mean(0).abs().max() < 0.25


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_encoder_turns_with_the_shape(symmetry, dtype):
    network, surface, normals = (
        field_network(symmetry, dtype),
        cloud(30, dtype),
        cloud(30, dtype, 2),
    )
    frame = frames(symmetry, dtype)
    tokens = network.encode(surface, normals, frame)

    def compare(rotation):
        moved = network.encode(
            rotate_points(surface, rotation),
            rotate_points(normals, rotation),
            turned(frame, rotation),
        )
        return moved, rotate_tokens(tokens, rotation, scalars=4)

    assert_equivariant(compare, num=BATCH, generator=seeded(), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_decoder_reads_invariants(symmetry, dtype):
    network, queries = field_network(symmetry, dtype), cloud(20, dtype)
    frame = frames(symmetry, dtype)
    tokens = torch.randn(BATCH, 3, 10, generator=seeded(3), dtype=torch.float64).to(dtype)
    shift = torch.randn(BATCH, 3, generator=seeded(4), dtype=torch.float64).to(dtype)
    distance = network.decode(tokens, queries, frame)

    def compare(rotation):
        moved = network.decode(
            rotate_tokens(tokens, rotation, scalars=4),
            rotate_points(queries, rotation) + shift[:, None],
            turned(frame, rotation),
            centre=shift,
        )
        return moved, distance

    assert_equivariant(compare, num=BATCH, generator=seeded(), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_flow_network_turns_with_tokens_and_frame(symmetry, dtype):
    network, frame = flow_network(symmetry, dtype), frames(symmetry, dtype)
    x = torch.randn(BATCH, 3, 10, generator=seeded(5), dtype=torch.float64).to(dtype)
    t, r = torch.rand(2, BATCH, generator=seeded(6), dtype=torch.float64).to(dtype)
    out = network(x, t, r, Condition(frame))

    def compare(rotation):
        cond = Condition(turned(frame, rotation))
        moved = network(rotate_tokens(x, rotation, scalars=4), t, r, cond)
        return moved, rotate_tokens(out, rotation, scalars=4)

    assert_equivariant(compare, num=BATCH, generator=seeded(), dtype=dtype)


@pytest.mark.parametrize("symmetry", ["frame", "so2"])
def test_control_that_ignores_the_frame_fails(symmetry):
    """The upright frame stays while the shape turns: the same assertion must fail."""
    network, surface = field_network(symmetry, torch.float64), cloud(30, torch.float64)
    frame = frames(symmetry, torch.float64)
    tokens = network.encode(surface, surface, frame)

    def compare(rotation):
        points = rotate_points(surface, rotation)
        return network.encode(points, points, frame), rotate_tokens(tokens, rotation, scalars=4)

    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(compare, num=BATCH, generator=seeded())


def test_plain_network_fails():
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 3).double()
    points = cloud(10, torch.float64)

    def compare(rotation):
        moved = network(rotate_points(points, rotation))
        return moved, rotate_points(network(points), rotation)

    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(compare, num=BATCH, generator=seeded())


@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_encoder_does_not_see_the_order_of_points(symmetry):
    network, surface = field_network(symmetry, torch.float64), cloud(30, torch.float64)
    normals, order = cloud(30, torch.float64, 2), torch.randperm(30, generator=seeded())
    frame = frames(symmetry, torch.float64)
    shuffled = network.encode(surface[:, order], normals[:, order], frame)
    tolerance = EQUIVARIANCE_TOLERANCE[torch.float64]
    assert relative_error(shuffled, network.encode(surface, normals, frame)) < tolerance
    # Shuffling points away from their normals is seen.
    assert relative_error(
        network.encode(surface[:, order], normals, frame), network.encode(surface, normals, frame)
    ) > 1e-3  # fmt: skip


@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_latent_scale_commutes_and_inverts(symmetry):
    scale = LatentScale(3, 4, 2, FRAME_SIZES[symmetry]).double()
    frame = frames(symmetry, torch.float64)
    tokens = 2 + torch.randn(BATCH, 3, 10, generator=seeded(7), dtype=torch.float64)
    scale.fit(tokens, frame)
    x = scale.normalise(tokens, frame)
    torch.testing.assert_close(scale.denormalise(x, frame), tokens)
    torch.testing.assert_close(x[..., :4].mean(0), torch.zeros(3, 4).double(), rtol=0, atol=1e-9)

    def compare(rotation):
        moved = scale.normalise(rotate_tokens(tokens, rotation, scalars=4), turned(frame, rotation))
        return moved, rotate_tokens(x, rotation, scalars=4)

    assert_equivariant(compare, num=BATCH, generator=seeded())


def test_wrong_frame_is_refused():
    network = field_network("frame", torch.float64)
    with pytest.raises(ValueError, match="frame must have 3 vectors"):
        network.encode(cloud(5, torch.float64), cloud(5, torch.float64))


@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_degenerate_points_give_finite_values_and_gradients(symmetry):
    network = field_network(symmetry, torch.float64)
    surface = torch.zeros(BATCH, 6, 3, dtype=torch.float64, requires_grad=True)
    frame = frames(symmetry, torch.float64)
    distance = network.decode(network.encode(surface, surface, frame), surface, frame)
    distance.sum().backward()
    assert distance.isfinite().all()
    assert surface.grad.isfinite().all()


@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_flow_network_has_forward_derivatives(symmetry):
    network, frame = flow_network(symmetry, torch.float64), frames(symmetry, torch.float64)
    x, dx = torch.randn(2, BATCH, 3, 10, generator=seeded(8), dtype=torch.float64)
    t = torch.full((BATCH,), 0.3, dtype=torch.float64)
    r = torch.full((BATCH,), 0.8, dtype=torch.float64)

    def field(x, t):
        return network(x, t, r, Condition(frame))

    _, exact = torch.func.jvp(field, (x, t), (dx, torch.ones_like(t)))
    h = 1e-5
    central = (field(x + h * dx, t + h) - field(x - h * dx, t - h)) / (2 * h)
    assert relative_error(exact, central) < 1e-6


def test_untrained_decoder_draws_a_sphere():
    network = field_network("frame", torch.float64, num_tokens=16)
    tokens = torch.randn(BATCH, 16, 10, generator=seeded(9), dtype=torch.float64)
    frame = frames("frame", torch.float64)
    centre, rim = torch.zeros(BATCH, 1, 3).double(), torch.eye(3).double().expand(BATCH, 3, 3)
    assert (network.decode(tokens, centre, frame) < 0).all()
    assert (network.decode(tokens, rim, frame) > 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sampler_turns_with_noise_and_frame(name, dtype):
    """Rotated noise and frame give the rotated field, through both networks, after training."""
    generator = Generator.from_pretrained(name)
    for module in (generator.autoencoder, generator.flow_map, generator.scale):
        module.to(dtype)
    scalars = generator.config.autoencoder.scalars
    noise, points = generator.noise(BATCH, seed=3).to(dtype), cloud(200, dtype)
    frame = frames(generator.config.symmetry, dtype)
    tokens = generator.sample_latents(noise, generator.condition(BATCH, frame=frame), steps=2)
    distance = generator.autoencoder.decode(tokens, points, frame)

    def compare(rotation):
        turned_frame = turned(frame, rotation)
        moved = generator.sample_latents(
            rotate_tokens(noise, rotation, scalars=scalars),
            generator.condition(BATCH, frame=turned_frame),
            steps=2,
        )
        return (
            generator.autoencoder.decode(moved, rotate_points(points, rotation), turned_frame),
            distance,
        )

    with torch.no_grad():
        assert_equivariant(compare, num=BATCH, generator=seeded(), dtype=dtype)

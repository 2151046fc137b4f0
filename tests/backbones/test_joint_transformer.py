"""The joint transformer turns with its surface, forgets orders, and has forward derivatives."""

import pytest
import torch

from geoflow.backbones import JointTransformer, JointTransformerConfig
from geoflow.backbones.surface_moments import surface_moments
from geoflow.condition import Condition
from geoflow.testing import (
    assert_equivariant,
    random_rotations,
    relative_error,
    rotate_points,
)

BATCH, CLOUD, SURFACE = 3, 10, 60
SMALL = JointTransformerConfig(
    surface_tokens=12,
    width=16,
    vector_width=4,
    surface_blocks=1,
    blocks=2,
    heads=4,
    condition_width=16,
)


def draw(num, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, num, 3, generator=generator, dtype=torch.float64).to(dtype)


def times(dtype=torch.float64):
    t = torch.tensor([0.0, 0.3, 0.8], dtype=dtype)
    return t, torch.tensor([1.0, 0.5, 0.8], dtype=dtype)


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = JointTransformer(SMALL).double()
    for name, parameter in made.named_parameters():
        # Zero-initialised parts would hide their errors; sharpness is a logarithm.
        if not name.endswith(".sharpness"):
            torch.nn.init.normal_(parameter, std=0.2)
    return made


def test_moments_in_single_precision_are_those_in_double():
    """The covariance in a narrow window is a small difference of large moments."""
    sheet = draw(400, 3) * torch.tensor([1.0, 1.0, 0.02], dtype=torch.float64)
    single = surface_moments(sheet.float(), 12)
    double = surface_moments(sheet.float().double(), 12)
    for name in ("scalars", "vectors", "places"):
        found, exact = getattr(single, name), getattr(double, name)
        assert found.dtype == torch.float32
        assert relative_error(found.double(), exact) < 1e-6
    # The twin: the same difference, taken in single precision.
    place = double.places[:, :1].float()
    window = torch.exp(-0.5 * ((sheet.float() - place) / 0.1).square().sum(-1))
    weights = window / window.sum(-1, keepdim=True)
    mean = torch.einsum("bn,bni->bi", weights, sheet.float())
    square = torch.einsum("bn,bni->bi", weights, sheet.float().square())
    variance = ((square - mean.square()) / 0.1**2).sum(-1)
    exact = double.scalars[:, 0, 2 + 6 * 3 + 1]
    assert relative_error(variance.double(), exact) > 3e-6


@pytest.mark.parametrize("mirror", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rotations_and_reflections_of_the_surface_are_those_of_the_points(network, dtype, mirror):
    network.to(dtype)
    x, surface = draw(CLOUD, 1, dtype), draw(SURFACE, 2, dtype)
    moved = network(x, *times(dtype), Condition(points=surface))

    def compare(rotation):
        turn = mirror * rotation
        turned = Condition(points=rotate_points(surface, turn))
        return network(rotate_points(x, turn), *times(dtype), turned), rotate_points(moved, turn)

    generator = torch.Generator().manual_seed(0)
    assert_equivariant(compare, num=BATCH, generator=generator, dtype=dtype)

    def wrong(rotation):
        """The twin: the noise is turned, the surface is not."""
        same = Condition(points=surface)
        return network(rotate_points(x, rotation), *times(dtype), same), rotate_points(
            moved, rotation
        )

    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(wrong, num=BATCH, generator=generator, dtype=dtype)


def test_a_layer_that_reads_coordinates_is_caught(network):
    class Crooked(torch.nn.Module):
        def forward(self, v):
            return v * torch.tensor([1.0, 1.01, 1.0], dtype=v.dtype)

    network.embed_place = torch.nn.Sequential(network.embed_place, Crooked())
    x, surface = draw(CLOUD, 1), draw(SURFACE, 2)
    moved = network(x, *times(), Condition(points=surface))

    def compare(rotation):
        turned = Condition(points=rotate_points(surface, rotation))
        return network(rotate_points(x, rotation), *times(), turned), rotate_points(moved, rotation)

    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(compare, num=BATCH, generator=torch.Generator().manual_seed(0))


def test_points_are_a_set_and_so_is_the_surface(network):
    x, surface = draw(CLOUD, 1), draw(SURFACE, 2)
    moved = network(x, *times(), Condition(points=surface))
    order = torch.randperm(CLOUD)
    permuted = network(x[:, order], *times(), Condition(points=surface))
    assert relative_error(permuted, moved[:, order]) < 1e-12
    assert relative_error(permuted, moved) > 1e-3
    shuffled = network(x, *times(), Condition(points=surface[:, torch.randperm(SURFACE)]))
    assert relative_error(shuffled, moved) < 1e-12


def test_a_surface_read_once_gives_the_same_points(network):
    x, surface = draw(CLOUD, 1), draw(SURFACE, 2)
    once = network.move(x, *times(), network.read(surface))
    torch.testing.assert_close(once, network(x, *times(), Condition(points=surface)))
    other = network.move(x, *times(), network.read(draw(SURFACE, 3)))
    assert relative_error(other, once) > 1e-3


def test_forward_derivatives_are_those_of_differences(network):
    x, dx, cond = draw(CLOUD, 1), draw(CLOUD, 4), Condition(points=draw(SURFACE, 2))
    t, r = times()

    def field(x, t):
        return network(x, t, r, cond)

    _, exact = torch.func.jvp(field, (x, t), (dx, torch.ones_like(t)))
    h = 1e-5
    central = (field(x + h * dx, t + h) - field(x - h * dx, t - h)) / (2 * h)
    assert relative_error(exact, central) < 1e-6


def test_every_parameter_learns_and_zero_points_are_no_trouble(network):
    x = torch.zeros(BATCH, CLOUD, 3, dtype=torch.float64, requires_grad=True)
    out = network(x + draw(CLOUD, 1), *times(), Condition(points=draw(SURFACE, 2)))
    out.square().sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None]
    network(x, *times(), Condition(points=draw(SURFACE, 2))).sum().backward()
    assert x.grad.isfinite().all()


def test_it_asks_for_its_surface(network):
    with pytest.raises(ValueError, match=r"needs cond\.points, the points of a surface"):
        network(draw(CLOUD, 1), *times(), None)
    with pytest.raises(ValueError, match="at least 12 surface points are needed, got 5"):
        network(draw(CLOUD, 1), *times(), Condition(points=draw(5, 2)))


def test_conditions_are_indexed_and_moved_whole():
    cond = Condition(points=draw(SURFACE, 2))
    torch.testing.assert_close(cond[1:].to("cpu").points, draw(SURFACE, 2)[1:])
    assert cond[1:].frame is None
    assert random_rotations(1).shape == (1, 3, 3)

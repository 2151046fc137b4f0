"""Fields that are mended beside points: exact symmetries, continuous, and better for it."""

from dataclasses import replace

import pytest
import torch

from geoflow.backbones.field_codec import FieldCodec, SurfacePoints
from geoflow.backbones.point_residual import NUM_NEIGHBOURS
from geoflow.backbones.volume_field import VolumeAutoencoder, VolumeConfig
from geoflow.testing import random_rotations, relative_error, rotate_points

SIZES = VolumeConfig(
    cells=2, scalars=8, widths=(32, 16, 16, 16, 4), cell_blocks=1, coarse_blocks=1, hidden=16,
    layers=1, residual=16,
)  # fmt: skip
KNOWN = ("outward", "unoriented", "bare")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = VolumeAutoencoder(SIZES).double()
    with torch.no_grad():  # What is zero at first is told nothing.
        for weight in made.decoder.residual.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    return made


def shape(num=60):
    g = torch.Generator().manual_seed(1)
    direction = torch.randn(2, num, 3, generator=g, dtype=torch.float64)
    normals = direction / direction.norm(dim=-1, keepdim=True)
    points = normals * torch.tensor([0.5, 0.9, 0.3], dtype=torch.float64)
    queries = 2 * torch.rand(2, 40, 3, generator=g, dtype=torch.float64) - 1
    frame = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    return points, normals, queries, frame


def surface(points, normals, known):
    return SurfacePoints(points, None if known == "bare" else normals, known == "outward")


def mended(network, given, queries, frame, centre=None):
    points, normals, oriented = given
    tokens = network.encode(points, normals, frame, centre=centre, oriented=oriented)
    context = network.context(tokens, frame, centre=centre)
    return network.decoder(network.through(context, given), queries)


@pytest.mark.parametrize("known", KNOWN)
def test_the_mended_field_turns_moves_and_mirrors_with_all_that_it_is_made_of(network, known):
    points, normals, queries, frame = shape()
    before = mended(network, surface(points, normals, known), queries, frame)
    shift = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)).expand(2, 3, 3)
    for turn in (
        random_rotations(2, generator=torch.Generator().manual_seed(3), dtype=torch.float64),
        mirror,
    ):
        turned = surface(rotate_points(points, turn) + shift, rotate_points(normals, turn), known)
        after = mended(
            network,
            turned,
            rotate_points(queries, turn) + shift,
            rotate_points(frame, turn),
            shift.expand(2, 3),
        )
        assert relative_error(after, before) < 1e-10
    # Twin: without its frame it does not.
    alone = surface(rotate_points(points, turn), rotate_points(normals, turn), known)
    wrong = mended(network, alone, rotate_points(queries, turn), frame)
    assert relative_error(wrong, before) > 1e-3


@pytest.mark.parametrize("known", KNOWN)
def test_the_order_of_points_and_of_queries_does_not_matter(network, known):
    points, normals, queries, frame = shape()
    before = mended(network, surface(points, normals, known), queries, frame)
    order, asked = torch.randperm(60), torch.randperm(40)
    given = surface(points[:, order], normals[:, order], known)
    after = mended(network, given, queries[:, asked], frame)
    assert relative_error(after, before[:, asked]) < 1e-10


def test_the_field_is_continuous_where_neighbours_change(network):
    points, normals, _, frame = shape()
    given = surface(points[:1], normals[:1], "outward")
    tokens = network.encode(*given[:2], frame[:1])
    context = network.through(network.context(tokens, frame[:1]), given)
    start, end = torch.tensor([[-0.7, -0.6, 0.1], [0.6, 0.8, -0.2]], dtype=torch.float64)
    largest = []
    for num in (4001, 16001):
        along = torch.linspace(0, 1, num, dtype=torch.float64)[:, None]
        places = (start + along * (end - start))[None]
        nearest = torch.cdist(places, points[:1]).topk(NUM_NEIGHBOURS, largest=False).indices
        sets = nearest.sort().values
        assert (sets[:, 1:] != sets[:, :-1]).any(-1).sum() > 20
        largest.append(network.decoder(context, places).diff().abs().max())
    # A jump would be as large on the finer grid.
    assert largest[1] < 0.4 * largest[0]


def test_the_latents_field_is_what_it_was(network):
    points, normals, queries, frame = shape()
    tokens = network.encode(points, normals, frame)
    context = network.context(tokens, frame)
    before = network.decoder(context, queries)
    through = network.through(context, surface(points, normals, "outward"))
    assert context.points is None
    assert not torch.allclose(network.decoder(through, queries), before)
    assert torch.equal(network.decoder(through._replace(points=None), queries), before)
    assert torch.equal(network.decode(tokens, queries, frame), before)


def test_far_from_the_points_the_field_is_the_latents(network):
    points, normals, queries, frame = shape()
    few = points[..., 0] < -0.1  # One side is not shown.
    given = surface(points[:1, few[0]], normals[:1, few[0]], "outward")
    tokens = network.encode(*given[:2], frame[:1])
    context = network.context(tokens, frame[:1])
    away = torch.tensor([[[0.9, 0.0, 0.0], [0.9, 0.2, 0.1]]], dtype=torch.float64)
    places = torch.cat([queries[:1], away, given.points], 1)
    before = network.decoder(context, places)[0]
    after = network.decoder(network.through(context, given), places)[0]
    nearest = torch.cdist(places, given.points).amin(-1)[0]
    changed = after != before
    assert not changed[-len(given.points[0]) - 2 : -len(given.points[0])].any()
    assert changed[nearest == 0].all()
    assert nearest[changed].max() < nearest[~changed].max()


def test_two_points_are_enough_and_as_many_as_there_are_are_read(network):
    points, normals, queries, frame = shape(num=2)
    found = mended(network, surface(points, normals, "outward"), queries, frame)
    assert found.isfinite().all()
    same = points[:, :1].expand(-1, 30, -1)
    found = mended(
        network, surface(same, normals[:, :1].expand(-1, 30, -1), "outward"), same, frame
    )
    assert found.isfinite().all()
    with pytest.raises(ValueError, match="beside two points or more, got 1"):
        mended(network, surface(points[:, :1], None, "bare"), queries, frame)


def test_what_did_not_learn_to_mend_says_so(network):
    plain = VolumeAutoencoder(replace(SIZES, residual=0)).double()
    assert network.mends
    assert not plain.mends
    points, normals, queries, frame = shape()
    with pytest.raises(ValueError, match="did not learn to mend fields beside points"):
        mended(plain, surface(points, normals, "outward"), queries, frame)
    with pytest.raises(ValueError, match="did not learn to mend fields beside points"):
        FieldCodec.through(plain, None, surface(points, normals, "outward"))
    with pytest.raises(ValueError, match="residual must be a multiple of 4, got 6"):
        replace(SIZES, residual=6)
    plain.learn_to_mend(16)
    assert plain.mends
    assert plain.config == plain.decoder.config == SIZES
    assert mended(plain, surface(points, normals, "outward"), queries, frame).isfinite().all()
    plain.learn_to_mend(0)
    assert not plain.mends

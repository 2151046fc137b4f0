"""The autoencoder on volumes: turns with the frame exactly, from points of every kind."""

from dataclasses import replace

import pytest
import torch

from geoflow.backbones.volume_field import VolumeAutoencoder, VolumeConfig
from geoflow.backbones.volume_layers import BOUND, read_volume, spread
from geoflow.testing import random_rotations, relative_error, rotate_points

SIZES = VolumeConfig(
    cells=2, scalars=8, widths=(32, 16, 16, 16), cell_blocks=1, coarse_blocks=1, hidden=16,
    layers=1,
)  # fmt: skip


FINER = replace(SIZES, widths=(32, 16, 16, 16, 4))


@pytest.fixture(scope="module", params=[SIZES, FINER], ids=["8 cells", "16 cells"])
def network(request):
    torch.manual_seed(0)
    return VolumeAutoencoder(request.param).double()


def test_volumes_are_four_or_five():
    with pytest.raises(ValueError, match=r"four or five numbers, got 3$"):
        VolumeConfig(widths=(32, 16, 16))


def test_the_finest_volume_tells_halves_of_the_other_cells_apart():
    torch.manual_seed(0)
    finer = VolumeAutoencoder(FINER)
    tokens, frame = torch.randn(1, 8, 8), torch.eye(3)[None]
    detail = finer.decoder.context(tokens, frame, torch.zeros(1, 3)).volumes[2]
    assert detail.shape == (1, 4, 32, 32, 32)
    halves = detail.unflatten(-1, (16, 2))
    assert (halves[..., 0] - halves[..., 1]).abs().max() > 1e-3
    # What the encoder says depends on it.
    points = torch.rand(1, 64, 3) - 0.5
    before = finer.encode(points, None, frame)
    torch.nn.init.zeros_(finer.encoder.down_detail.weight)
    assert relative_error(finer.encode(points, None, frame), before) > 1e-4


@pytest.fixture(scope="module")
def given():
    torch.manual_seed(1)
    # Among them points on the cells' borders, where rounding could tell sides apart, and far ones.
    points = torch.cat([torch.rand(2, 60, 3) * 2 - 1, torch.zeros(2, 4, 3)], 1).double()
    points[:, -2] = BOUND / 8
    points[:, -1] = 3.0
    normals = torch.nn.functional.normalize(torch.randn(2, 64, 3), dim=-1).double()
    frame = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    queries = (torch.rand(2, 40, 3) * 2.4 - 1.2).double()
    return points, normals, frame, queries


KINDS = {"oriented": (True, True), "unoriented": (True, False), "bare": (False, True)}


@torch.no_grad()
def answer(network, points, normals, frame, queries, kind, centre=None):
    has_normals, oriented = KINDS[kind]
    tokens = network.encode(
        points, normals if has_normals else None, frame, centre=centre, oriented=oriented
    )
    return tokens, network.decode(tokens, queries, frame, centre=centre)


@pytest.mark.parametrize("kind", KINDS)
def test_it_turns_and_moves_along_exactly(network, given, kind):
    rotation = random_rotations(2, generator=torch.Generator().manual_seed(0))
    tokens, field = answer(network, *given, kind)
    turned = [rotate_points(part, rotation) for part in given]
    shift = torch.tensor([3.0, -2.0, 0.5], dtype=torch.float64)
    turned[0], turned[3] = turned[0] + shift, turned[3] + shift
    other_tokens, other_field = answer(network, *turned, kind, shift.expand(2, 3))
    assert relative_error(other_tokens, tokens) < 1e-10
    assert relative_error(other_field, field) < 1e-10
    # A mirror image too, in the mirrored frame.
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert relative_error(answer(network, *(p * flip for p in given), kind)[1], field) < 1e-10
    # Twin: the frame is read.
    points, normals, frame, queries = given
    still = [rotate_points(p, rotation) for p in (points, normals)]
    other = answer(network, *still, frame, rotate_points(queries, rotation), kind)[1]
    assert relative_error(other, field) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_points_does_not_matter(network, given, kind):
    points, normals, frame, queries = given
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    field = answer(network, *given, kind)[1]
    shuffled = answer(network, points[:, order], normals[:, order], frame, queries, kind)[1]
    assert relative_error(shuffled, field) < 1e-10


def test_only_known_signs_of_normals_are_read(network, given):
    points, normals, frame, queries = given
    signs = torch.randint(2, (2, 64, 1), generator=torch.Generator().manual_seed(0)) * 2 - 1
    for kind, reads in (("oriented", True), ("unoriented", False)):
        tokens = answer(network, *given, kind)[0]
        other = answer(network, points, normals * signs, frame, queries, kind)[0]
        assert (relative_error(other, tokens) > 1e-3) == reads
    answers = [answer(network, *given, kind)[0] for kind in KINDS]
    assert relative_error(answers[0], answers[1]) > 1e-3
    assert relative_error(answers[1], answers[2]) > 1e-3


def test_tokens_have_unit_size_and_shapes_of_a_batch_do_not_touch(network, given):
    tokens, field = answer(network, *given, "bare")
    torch.testing.assert_close(
        tokens.square().mean(-1), torch.ones(2, 8).double(), rtol=0, atol=1e-3
    )
    alone = answer(network, *(part[:1] for part in given), "bare")[1]
    assert relative_error(alone, field[:1]) < 1e-10


def test_a_frame_has_three_vectors(network, given):
    points, normals, frame, _ = given
    for wrong in (None, frame[:, :1]):
        with pytest.raises(ValueError, match="frame"):
            network.encode(points, normals, wrong)


def test_spreading_and_reading_are_transposes_where_cells_are_full():
    # Every cell's centre holds a point: the volume is the features, and reads back so.
    cells = 4
    axis = ((torch.arange(cells) + 0.5) / cells * 2 - 1).double() * BOUND
    places = torch.cartesian_prod(axis, axis, axis)[None]
    features = torch.randn(1, cells**3, 5, generator=torch.Generator().manual_seed(0)).double()
    volume = spread(places, features, cells)
    read = read_volume(volume, places)
    torch.testing.assert_close(read[..., :5] * 1.05, features, rtol=0, atol=1e-12)
    # Twin: between the centres it is neither.
    assert (read_volume(volume, places * 0.9)[..., :5] - features).abs().max() > 0.1


def test_two_samplings_of_one_surface_have_near_latents(network, given):
    _, _, frame, _ = given
    torch.manual_seed(2)
    ball = torch.nn.functional.normalize(torch.randn(2, 4000, 3), dim=-1).double() * 0.8
    one, two = ball.split(2000, dim=1)
    near = relative_error(
        network.encode(one, one / 0.8, frame), network.encode(two, two / 0.8, frame)
    )
    far = relative_error(
        network.encode(one, one / 0.8, frame), network.encode(one * 0.5, one / 0.8, frame)
    )
    assert near < 0.5 * far

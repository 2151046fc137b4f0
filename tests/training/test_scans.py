"""What an encoder of any points is shown: the same shape, its distances kept."""

from dataclasses import replace

import pytest
import torch

from geoflow.condition import Condition
from geoflow.training.stages.scans import ScanOptions, draw_number, mirrored_at_random, scan, spare
from geoflow.typing import ShapeBatch

PLAIN = ScanOptions(
    bare=0, unoriented=0, noisy=0, outliers=0, uneven=0, cut=0, turned=0, shifted=0, dense=0
)
RADIUS = torch.tensor([0.9, 0.6])
NUM = 200


def balls(num=2 * NUM):
    """Spheres about the origin, whose distances are known anywhere."""
    g = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(2, num, 3, generator=g), dim=-1)
    queries = torch.rand(2, 50, 3, generator=g) * 2 - 1
    return ShapeBatch(
        normals * RADIUS[:, None, None], Condition(), normals, queries,
        queries.norm(dim=-1) - RADIUS[:, None],
    )  # fmt: skip


def scanned(seed=0, **options):
    return scan(balls(), replace(PLAIN, **options), NUM, torch.Generator().manual_seed(seed))


def radii(made):
    """Each ball's radius and its points' distances from its centre, which are told by the sdf."""
    return made.points.norm(dim=-1)


@pytest.mark.parametrize("seed", range(3))
def test_distances_stay_true_under_turns_sizes_and_shifts(seed):
    made = scanned(seed, turned=0.6, shifted=0.1, smallest=0.5)
    assert made.points.shape == made.normals.shape == (2, NUM, 3)
    # Of a sphere p = c + r n, so that points and normals tell its radius and centre.
    p, n = (v - v.mean(1, keepdim=True) for v in (made.points, made.normals))
    radius = ((p * n).sum((1, 2)) / n.square().sum((1, 2)))[:, None]
    centre = (made.points - radius[..., None] * made.normals).mean(1, keepdim=True)
    torch.testing.assert_close(
        (made.queries - centre).norm(dim=-1) - radius, made.sdf, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(made.normals.norm(dim=-1), torch.ones(2, NUM))
    # Twins: something was done, and differently to each.
    assert (radius[:, 0] - RADIUS).abs().min() > 1e-3
    assert centre.norm(dim=-1).min() > 1e-3


def test_normals_are_known_known_but_for_their_sign_or_not():
    assert scanned(bare=1.0).normals is None
    assert scanned().oriented
    made = scanned(unoriented=1.0)
    assert not made.oriented
    away = ((made.points * made.normals).sum(-1) > 0).float().mean()
    assert 0.3 < away < 0.7


def test_noise_outliers_and_cuts_touch_points_alone():
    clean = scanned()
    for options in ({"noisy": 1.0, "noise": 0.1}, {"cut": 1.0}, {"uneven": 1.0}):
        made = scanned(**options)
        torch.testing.assert_close(made.queries, clean.queries)
        torch.testing.assert_close(made.sdf, clean.sdf)
        assert not torch.equal(made.points, clean.points)
    spread = [radii(scanned(noisy=share, noise=0.1)).std(1).max() for share in (0.0, 1.0)]
    assert spread[0] < 1e-3 < spread[1]
    # Twin of a whole one: of a cut one a whole side is missing.
    whole, cut = (scanned(seed=3, cut=share).points.mean(1).norm(dim=-1) for share in (0.0, 1.0))
    assert (cut > whole + 0.1).all()
    astray = torch.stack([(radii(scanned(s, outliers=0.5)) > 1.0).float().mean() for s in range(9)])
    assert 0.005 < astray.mean() < 0.2


def test_numbers_of_points_are_spread_over_the_whole_range():
    options = replace(PLAIN, dense=0.1)
    numbers = [draw_number(options, torch.Generator().manual_seed(s)) for s in range(300)]
    assert min(numbers) < 60
    assert 8192 in numbers
    assert spare(64) == 128
    usual = [n for n in numbers if n <= 2048]
    assert max(usual) > 1700
    assert 0.35 < sum(n < 313 for n in usual) / len(usual) < 0.65


def test_mirroring_keeps_distances_and_one_seed_gives_one_scan():
    made = mirrored_at_random(balls(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(made.queries.norm(dim=-1) - RADIUS[:, None], made.sdf)
    options = {"turned": 0.5, "noisy": 1.0, "uneven": 0.5, "cut": 0.5}
    assert torch.equal(scanned(7, **options).points, scanned(7, **options).points)
    assert not torch.equal(scanned(7, **options).points, scanned(8, **options).points)

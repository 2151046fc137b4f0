"""Sketches: edges of solids are where geometry says, points are spread, and a short run scores."""

import json

import numpy as np
import pytest
import torch

from geoflow.condition import Condition
from geoflow.geometry.sdf import RoundBox, RoundCone
from geoflow_tools.bench.papers.drawings import Drawings, mirrored, similarity, spread
from geoflow_tools.bench.papers.edges import EXTENT, draw
from geoflow_tools.bench.papers.sketch import SketchTable, chamfer, score
from geoflow_tools.bench.papers.sketch_network import SketchConfig, SketchNetwork, to_patches
from geoflow_viewer.projection import view_rotation

FRONT = view_rotation(0, 0)
PIXEL = 2 * EXTENT / 64


def ball(centre, radius):
    """A ball; the axis has almost no length."""
    start = np.array(centre, dtype=float)
    return RoundCone(start, start + np.array([0, 1e-6, 0]), radius, radius)


def box(half, centre=(0.0, 0.0, 0.0)):
    return RoundBox(np.array(centre), np.array(half, dtype=float))


def test_a_ball_is_drawn_as_its_circle():
    drawing = draw([ball((0.2, -0.1, 0), 0.7)], FRONT)
    radius = np.linalg.norm(drawing.edges * EXTENT - [0.2, -0.1], axis=-1)
    # A sixteenth of a pixel, and as near as rays that graze the ball are taken to meet it.
    assert np.abs(radius - 0.7).max() < PIXEL / 16 + 0.01
    angles = np.sort(np.arctan2(*(drawing.edges * EXTENT - [0.2, -0.1]).T))
    assert np.diff(angles).max() < 0.1
    assert drawing.picture.shape == (32, 32)
    # The middle is lit, the corners hold nothing.
    assert drawing.picture[17, 18] > 0.5
    assert drawing.picture[0, 0] == 0


def test_a_box_on_its_corner_shows_the_edge_between_its_faces():
    turned = view_rotation(45, 0)
    solids = [box((0.5, 0.5, 0.5))]

    def inner(crease):
        edges = draw(solids, turned, crease=crease).edges * EXTENT
        return edges[(np.abs(edges[:, 0]) < 0.2) & (np.abs(edges[:, 1]) < 0.4)]

    assert np.abs(inner(40)[:, 0]).max() < PIXEL / 16 + 0.01
    assert len(inner(40)) > 10
    # Faces that stand at a right angle turn by no more than that.
    assert len(inner(100)) == 0


def test_what_stands_before_hides_edges_and_has_its_own():
    behind, before = box((0.8, 0.8, 0.1), (0, 0, -0.5)), box((0.3, 0.3, 0.1), (0, 0, 0.5))
    near = [np.abs(draw(s, FRONT).edges * EXTENT).max(-1) for s in ([before, behind], [behind])]
    both, alone = (((edge > 0.25) & (edge < 0.35)).sum() for edge in near)
    assert both > 40
    assert alone == 0
    # Seen from the other side the large box hides the small one.
    hidden = np.abs(draw([before, behind], view_rotation(180, 0)).edges * EXTENT).max(-1)
    assert not ((hidden > 0.25) & (hidden < 0.35)).any()


def test_rays_must_be_divided_by_pixels():
    with pytest.raises(ValueError, match="30 pixels must divide 64 rays"):
        draw([box((0.5, 0.5, 0.5))], FRONT, size=30)


def test_points_are_spread_over_what_is_there():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 300, 2, generator=generator)
    points[0, 200:] = 100.0
    counts = torch.tensor([200, 300])
    found = spread(points, counts, 40, generator=generator)
    assert found.max() <= 1  # Filling is never chosen.
    nearest = torch.cdist(found, found) + torch.eye(40)
    random = torch.cdist(points[1, :40], points[1, :40]) + torch.eye(40)
    assert nearest.min() > 0.05 > random.min()


def test_mirrored_drawings_agree_with_their_pictures():
    picture = torch.zeros(1, 32, 32)
    picture[0, 4, 8] = 1
    place = torch.tensor([[[(8.5 / 32) * 2 - 1, 1 - (4.5 / 32) * 2]]])
    generator = torch.Generator().manual_seed(0)
    pictures, points = mirrored(
        picture.repeat(16, 1, 1), place.repeat(16, 1, 1), generator=generator
    )
    sides = points[:, 0, 0].sign()
    assert set(sides.tolist()) == {-1.0, 1.0}
    for one, (x, y) in zip(pictures, points[:, 0], strict=True):
        row, column = int((1 - y) * 16), int((x + 1) * 16)
        assert one[row, column] == 1


def test_patches_hold_squares_of_the_picture():
    pictures = torch.arange(2 * 8 * 8.0).reshape(2, 8, 8)
    patches = to_patches(pictures, 4)
    assert patches.shape == (2, 4, 16)
    torch.testing.assert_close(patches[1, 2].reshape(4, 4), pictures[1, 4:, :4])
    with pytest.raises(ValueError, match="patches of 3 pixels do not divide 8"):
        to_patches(pictures, 3)


def test_the_network_moves_points_alike_in_any_order_and_sees_the_picture():
    torch.manual_seed(0)
    network = SketchNetwork(SketchConfig(width=16, blocks=1, picture_blocks=1, heads=2))
    x, t = torch.randn(2, 5, 2), torch.tensor([0.2, 0.7])
    cond, other = (Condition(tokens=torch.rand(2, 32, 32)) for _ in range(2))
    order = torch.tensor([3, 1, 4, 0, 2])
    out = network(x, t, t, cond)
    torch.testing.assert_close(network(x[:, order], t, t, cond), out[:, order])
    assert not torch.allclose(network(x, t, t, other), out, atol=1e-3)
    with pytest.raises(ValueError, match=r"needs cond\.tokens"):
        network(x, t, t)


def test_scores_know_the_right_drawing_from_another():
    a = draw([box((0.5, 0.5, 0.5))], FRONT).edges
    b = draw([ball((0, 0, 0), 0.7)], FRONT).edges
    assert chamfer(a, a) == 0 < 0.03 < chamfer(a, b)
    assert similarity(a, a) == pytest.approx(1)
    assert similarity(a, b) < 0.7
    num = min(len(a), len(b))
    edges = torch.from_numpy(np.stack([a[:num], b[:num]])).float()
    drawings = Drawings(torch.zeros(2, 32, 32), edges, torch.tensor([num, num]))
    right, wrong = score(edges, drawings), score(edges.flip(0), drawings)
    assert right["chamfer"] == 0 < wrong["chamfer"]
    assert right["ssim"] == 1 > wrong["ssim"]


def test_a_short_run_fills_the_table(tmp_path):
    png = tmp_path / "sketch.png"
    table = SketchTable(
        chairs=2, test=2, points=16, seconds=1e-3, batch=2, map_steps=(1, 2), ode_steps=2, png=png
    )
    report = json.loads(json.dumps(table.measure()))
    assert report["training_steps"] == 1
    assert list(report["rows"]) == ["map 1", "map 2", "ode 2", "second draw", "another chair"]
    assert report["rows"]["second draw"]["chamfer"] < report["rows"]["map 1"]["chamfer"]
    assert report["paper"]["CFM, 1 step"]["MS-SSIM seen"] == 0.617
    assert png.is_file()


def test_one_chair_is_too_few():
    with pytest.raises(ValueError, match="at least two chairs"):
        SketchTable(test=1).measure()

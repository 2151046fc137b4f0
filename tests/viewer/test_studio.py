"""The studio: where it is dark, what stands behind, and how large pictures and films are."""

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from geoflow_cli import main
from geoflow_viewer.export import _FILM_HEIGHT, _FILM_WIDTH, Look, _fitting, export_bytes
from geoflow_viewer.items import Item, Result, Rung
from geoflow_viewer.picture import label_height
from geoflow_viewer.renderers import SoftwareRenderer
from geoflow_viewer.scene import tiles
from geoflow_viewer.state import State
from geoflow_viewer.studio import Stage, ground_below, lit

SMALL = Look(64)


def result_of(count=1, shape=None):
    shape = shape or trimesh.creation.box(extents=[1.0, 1.0, 1.0])
    items = tuple(Item("a", State(), shape) for _ in range(count))
    return Result(State(), Rung(64, 2048), items, 0.0)


def opened(content):
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("is_cloud", [False, True])
def test_the_ground_is_dark_below_a_shape_and_nowhere_far_from_it(is_cloud):
    box = trimesh.creation.box(extents=[0.6, 0.6, 0.6])
    shape = trimesh.PointCloud(box.sample(4000, seed=0)) if is_cloud else box
    ground = ground_below(shape)
    middle, size = len(ground.hidden) // 2, len(ground.hidden)
    assert ground.hidden[middle, middle] > 0.3
    assert ground.hidden[0].max() == 0
    # From the middle outwards it gets lighter, softly.
    row = ground.hidden[middle, middle:]
    assert (np.diff(row) < 0.01).all()
    assert np.abs(np.diff(row)).max() < 0.15
    # Higher shapes leave less.
    above = shape.copy()
    above.apply_translation([0.0, 1.0, 0.0])
    assert ground_below(above).height == pytest.approx(ground.height + 1.0)
    assert size % 2 == 0


def test_a_hollow_is_darker_than_what_bulges():
    ball = trimesh.creation.icosphere(3)
    plain = lit(ball).visual.vertex_colors[:, 2].astype(int)
    assert np.ptp(plain) <= 1
    # A second ball close to the first hides the light between both.
    both = trimesh.util.concatenate([ball, ball.copy().apply_translation([2.05, 0, 0])])
    shaded = lit(both).visual.vertex_colors[: len(ball.vertices), 2].astype(int)
    near, far = ball.vertices[:, 0] > 0.9, ball.vertices[:, 0] < -0.5
    assert shaded[near].max() < shaded[far].min() - 20
    np.testing.assert_array_equal(lit(both).visual.vertex_colors, lit(both).visual.vertex_colors)


def test_backgrounds_and_colours_are_those_that_were_asked_for():
    look = Look(64, colour=(200, 40, 30), background=(20, 30, 60))
    picture = opened(export_bytes(result_of(), State(), ".png", look=look))
    assert picture.shape == (64 + label_height(64), 3 * 64, 3)
    np.testing.assert_array_equal(picture[-64, 2], [20, 30, 60])
    middle = picture[-32, 32]
    assert middle[0] > 2 * middle[2]
    plain = opened(export_bytes(result_of(), State(), ".png", look=SMALL))
    assert (plain[-64, 2] == 255).all()
    assert plain[-32, 32][2] > plain[-32, 32][0]


def test_one_shape_is_labelled_once():
    label = opened(export_bytes(result_of(), State(), ".png", look=SMALL))[: label_height(64)]
    assert label[:, :64].min() < 128
    assert label[:, 64:].min() == 255
    twice = opened(export_bytes(result_of(2), State(), ".png", look=SMALL))[: label_height(64)]
    assert twice[:, :64].min() < 128
    assert twice[:, 64:].min() < 128


@pytest.mark.parametrize("count", range(1, 10))
def test_films_fill_a_screen_of_1080_lines(count):
    shown = tiles(result_of(count), State())
    columns = len({tile.column for tile in shown})
    rows = -(-count // columns)

    def fits(size):
        return columns * size <= _FILM_WIDTH and rows * (size + label_height(size)) <= _FILM_HEIGHT

    assert fits(_fitting(shown))
    assert not fits(_fitting(shown) + 1)


@pytest.mark.slow
def test_a_film_has_1080_lines_and_30_frames_a_second(monkeypatch):
    av = pytest.importorskip("av", reason="needs the extra geoflow[viewer]")

    class Blank(SoftwareRenderer):
        def views(self, shapes, azimuths, *, size, **options):
            return [[np.full((size, size, 3), 90, np.uint8)] * len(shapes) for _ in azimuths]

    with av.open(io.BytesIO(export_bytes(result_of(), State(), ".mp4", renderer=Blank()))) as film:
        (stream,) = film.streams.video
        assert (stream.width, stream.height, stream.average_rate) == (1920, 1080, 30)


def test_an_empty_stage_is_its_background():
    ((picture,),) = SoftwareRenderer().views([None], [35.0], size=16, stage=Stage((9, 8, 7)))
    np.testing.assert_array_equal(picture, np.full((16, 16, 3), (9, 8, 7)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--color", "red"), "--color is of files that end in .png, .gif, .mp4, .html"),
        (("--size-px", "500", "--out", "a.obj"), "--size-px is of files that end in .png"),
        (("--background", "red", "--out", "a.html"), "--background is of files that end in .png"),
        (("--size-px", "9000", "--out", "a.png"), "--size-px must be between 64 and 2048"),
        (("--color", "redd", "--out", "a.png"), "--color must be a name as teal, or #rrggbb"),
    ],
)
def test_what_is_no_look_is_wrong_usage(options, said, capsys):
    assert main(["view", *options]) == 2
    assert said in capsys.readouterr().err

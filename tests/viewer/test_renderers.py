"""Who draws pictures: the choice, what is said of it, and that both draw the same shape."""

import numpy as np
import pytest
import trimesh

from geoflow_viewer.export import turntable
from geoflow_viewer.items import Item, Result, Rung
from geoflow_viewer.offscreen import OffscreenUnavailableError, Open3DRenderer
from geoflow_viewer.offscreen_program import on_white
from geoflow_viewer.open3d_meshes import mesh
from geoflow_viewer.picture import ELEVATION, render
from geoflow_viewer.projection import view_rotation
from geoflow_viewer.renderers import SoftwareRenderer, renderer_of
from geoflow_viewer.scene import tiles
from geoflow_viewer.state import State

FAILING = {
    "aborts": "import os; os.abort()",
    "fails": "raise OSError('libEGL.so.1: cannot open shared object file')",
    "writes nothing": "",
}


def bent():
    """A shape without a symmetry: a wrong turn or mirror shows."""
    parts = [([1.6, 0.3, 0.3], [0, 0, 0]), ([0.3, 0.9, 0.3], [0.65, 0.5, 0]),
             ([0.3, 0.3, 0.8], [-0.65, 0, 0.5])]  # fmt: skip
    boxes = [trimesh.creation.box(extents=size).apply_translation(at) for size, at in parts]
    return trimesh.util.concatenate(boxes)


@pytest.fixture
def broken(monkeypatch, tmp_path, request):
    (tmp_path / "broken_program.py").write_text(FAILING[request.param])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("geoflow_viewer.offscreen._PROGRAM", "broken_program")


@pytest.mark.parametrize("broken", FAILING, indirect=True)
def test_without_drivers_the_software_draws_and_the_missing_packages_are_named(broken, monkeypatch):
    missing = ["libegl1", "mesa-vulkan-drivers"]
    monkeypatch.setattr("geoflow_viewer.display.missing_packages", lambda: missing)
    said = []
    ((picture,),) = renderer_of("auto", said.append).views([bent()], [35.0], size=40)
    np.testing.assert_array_equal(picture, render(bent(), size=40))
    (message,) = said
    assert message.startswith("drawn by software: Open3D's renderer does not work here")
    assert message.endswith("); on Debian: apt-get install libegl1 mesa-vulkan-drivers")
    with pytest.raises(OffscreenUnavailableError, match="mesa-vulkan-drivers"):
        renderer_of("open3d", said.append).views([bent()], [35.0], size=40)
    renderer_of("software", said.append).views([bent()], [35.0], size=40)
    assert said == [message]
    # What is there is not advised, the extra neither.
    missing.clear()
    with pytest.raises(OffscreenUnavailableError, match=r"does not work here \(.*\)$"):
        renderer_of("open3d", said.append).views([bent()], [35.0], size=40)


def test_without_open3d_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("geoflow_viewer.display.missing_packages", lambda: ["libegl1"])
    monkeypatch.setattr("geoflow_viewer.offscreen._PROGRAM", "no_such_program")
    with pytest.raises(OffscreenUnavailableError, match=r"install 'geoflow\[viewer\]'$"):
        Open3DRenderer().views([bent()], [35.0], size=40)


def test_the_reason_is_the_last_line_that_was_said(monkeypatch, tmp_path):
    (tmp_path / "broken_program.py").write_text(FAILING["fails"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("geoflow_viewer.offscreen._PROGRAM", "broken_program")
    with pytest.raises(OffscreenUnavailableError, match=r"\(OSError: libEGL.so.1: cannot open"):
        Open3DRenderer().views([bent()], [35.0], size=40)


def test_pictures_of_a_turntable_are_the_renderer_s():
    class Counting(SoftwareRenderer):
        def __init__(self):
            self.asked = []

        def views(self, shapes, azimuths, **options):
            self.asked.append((len(shapes), list(azimuths)))
            return super().views(shapes, azimuths, **options)

    counting = Counting()
    result = Result(State(), Rung(64, 2048), (Item("a", State(), bent()),) * 2, 0.0)
    frames = turntable(tiles(result, State()), frames=3, renderer=counting)
    # One call draws all frames: a process is started once.
    assert counting.asked == [(2, [35.0, 155.0, 275.0])]
    assert len(frames) == 3


def test_the_engine_s_white_becomes_white_and_shapes_keep_their_shade():
    empty = np.full((4, 4, 3), [230.0, 226.0, 219.0])
    image = empty + np.array([2.0, -2.0, 1.0])
    image[:2, :2] = empty[:2, :2] / 2
    image[3, 3] = empty[3, 3] - 10.0
    drawn = on_white(image, empty)
    assert (drawn[2:, :3] == 255).all()
    assert (drawn[3, 3] < 250).all()
    np.testing.assert_allclose(drawn[:2, :2], 127.5, atol=1)


def test_a_mesh_leaves_nothing_of_its_vertices_to_chance():
    """Texture coordinates that are not given are what lies in memory, and can take for ever."""
    open3d = pytest.importorskip("open3d", reason="needs the extra geoflow[viewer]")
    shape = bent()
    colours = np.random.default_rng(0).random((len(shape.vertices), 3))
    made = mesh(open3d, shape.vertices, shape.faces, colours)
    assert set(made.vertex) == {"positions", "colors", "normals", "texture_uvs"}
    np.testing.assert_array_equal(made.vertex.texture_uvs.numpy(), np.zeros((len(colours), 2)))
    np.testing.assert_allclose(made.vertex.positions.numpy(), shape.vertices, rtol=1e-6)
    np.testing.assert_allclose(made.vertex.colors.numpy(), colours, rtol=1e-6)
    np.testing.assert_array_equal(made.triangle.indices.numpy(), shape.faces)
    outwards = np.einsum("ij,ij->i", made.vertex.normals.numpy(), shape.vertex_normals)
    assert outwards.min() > 0.5


def test_clouds_are_the_software_s_unless_open3d_is_named(monkeypatch):
    monkeypatch.setattr("geoflow_viewer.offscreen._PROGRAM", "no_program")
    said = []
    cloud = trimesh.PointCloud(0.9 * np.eye(3))
    renderer_of("auto", said.append).views([cloud, None], [35.0], size=24)
    assert said == []
    renderer_of("auto", said.append).views([cloud, bent()], [35.0], size=24)
    assert len(said) == 1


@pytest.mark.screen
def test_both_renderers_draw_the_same_shape_from_the_same_side():
    shapes = [bent(), None, trimesh.PointCloud(0.9 * np.eye(3), colors=np.full((3, 4), 60))]
    azimuths = [35.0, 125.0]
    try:
        drawn = Open3DRenderer().views(shapes, azimuths, size=96)
    except OffscreenUnavailableError as error:
        pytest.skip(str(error))
    plain = SoftwareRenderer().views(shapes, azimuths, size=96)

    def outline(picture):
        return picture.min(-1) < 240

    for by_engine, by_software in zip(drawn, plain, strict=True):
        solid, nothing, points = by_engine
        assert (outline(solid) != outline(by_software[0])).mean() < 0.01
        assert not outline(nothing).any()
        # A point is a few pixels: the same ones, but for their size.
        ours, theirs = (np.argwhere(outline(p)) for p in (by_software[2], points))
        between = np.abs(ours[:, None] - theirs[None]).max(-1)
        assert between.min(1).max() <= 2
        assert between.min(0).max() <= 2
    assert (outline(drawn[0][0]) != outline(drawn[1][0])).mean() > 0.05


@pytest.mark.screen
def test_points_have_the_colour_that_was_asked_for_and_meshes_beside_them_theirs():
    # A wall across the view: all points are equally far.
    points = np.random.default_rng(0).uniform(-0.7, 0.7, (9000, 3)) * [1.0, 1.0, 0.0]
    points = points @ view_rotation(35.0, ELEVATION)
    orange = trimesh.PointCloud(points, colors=np.tile([255, 165, 0, 255], (9000, 1)))
    try:
        ((cloud, solid, again),) = Open3DRenderer().views([orange, bent(), orange], [35.0], size=96)
        ((alone,),) = Open3DRenderer().views([bent()], [35.0], size=96)
    except OffscreenUnavailableError as error:
        pytest.skip(str(error))
    ((plain,),) = SoftwareRenderer().views([orange], [35.0], size=96)
    inner = (slice(40, 56),) * 2
    for picture in (cloud, again):
        found, expected = (np.median(p[inner], axis=(0, 1)) for p in (picture, plain))
        np.testing.assert_allclose(found, expected, atol=3)
    assert np.abs(solid.astype(int) - alone).max() <= 12

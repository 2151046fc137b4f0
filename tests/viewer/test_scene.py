"""What is drawn, measured, commanded and written of a state, as arrays and files."""

import io
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import trimesh
from PIL import Image

from geoflow_cli.options import View
from geoflow_viewer.command import command
from geoflow_viewer.export import export, export_bytes, suffixes, turntable
from geoflow_viewer.items import Item, Result, Rung
from geoflow_viewer.measure import measure
from geoflow_viewer.picture import render_mesh
from geoflow_viewer.scene import PointsLayer, SegmentsLayer, layers, solid, tiles
from geoflow_viewer.state import LAYOUTS, SHOWS, State, from_json, parts, to_json

SHOWN = State(show=("mesh",))
RIGHT, UP = np.array([0.6, 0.0, 0.8]), np.array([0.0, 1.0, 0.0])


def sphere_item(label="ball", state=SHOWN):
    axis = np.linspace(-1.05, 1.05, 41, dtype=np.float32)
    y, z = np.meshgrid(axis, axis, indexing="ij")
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.8)
    inside = np.hypot(y, z) - 0.8
    return Item(label, state, ball, np.eye(3), inside.astype(np.float32), measures=measure(ball))


def result_of(count=1):
    return Result(SHOWN, Rung(64, 2048), tuple(sphere_item(f"ball {i}") for i in range(count)), 0.1)


@pytest.fixture
def short_turn(monkeypatch):
    monkeypatch.setattr("geoflow_viewer.export._TURNS", {".gif": (4, 18), ".mp4": (4, 30)})
    return 4


@pytest.mark.parametrize("show", SHOWS)
def test_each_thing_is_drawn_when_it_is_shown_and_only_then(show):
    item = sphere_item()
    assert [layer.name for layer in layers(item, replace(SHOWN, show=(show,)))] == [show]
    others = tuple(s for s in SHOWS if s != show)
    assert show not in [layer.name for layer in layers(item, replace(SHOWN, show=others))]
    empty = Item("none", SHOWN, None)
    assert layers(empty, replace(SHOWN, show=(show,))) == []


def test_layers_lie_on_the_shape():
    drawn = {layer.name: layer for layer in layers(sphere_item(), replace(SHOWN, show=SHOWS))}
    radius = np.linalg.norm(drawn["points"].points, axis=1)
    assert (abs(radius - 0.8) < 0.01).all()
    assert (np.linalg.norm(drawn["wireframe"].segments, axis=-1) < 0.82).all()
    # The slice is the plane of its state, and the mesh before it is cut away.
    assert (drawn["slice"].vertices[:, 0] == 0).all()
    assert drawn["mesh"].vertices[:, 0].max() < 0.1
    blue = drawn["slice"].colours.astype(int)
    inside = np.hypot(*drawn["slice"].vertices[:, 1:].T) < 0.7
    outside = np.hypot(*drawn["slice"].vertices[:, 1:].T) > 0.9
    assert (blue[inside, 2] > blue[inside, 0]).all()
    assert (blue[outside, 2] <= blue[outside, 0]).all()


def test_points_and_segments_become_solids_at_their_place():
    colours = np.array([[200, 0, 0]], np.uint8)
    ball = solid(PointsLayer("p", np.array([[1.0, 2.0, 3.0]]), colours, 0.1))
    np.testing.assert_allclose(ball.centroid, [1, 2, 3], atol=1e-9)
    assert ball.is_watertight
    ends = np.array([[[0.0, 0, 0], [0.0, 2.0, 0]]])
    prism = solid(SegmentsLayer("s", ends, colours, 0.1))
    assert prism.is_watertight
    area = 3 * np.sqrt(3) / 4 * 0.1**2
    assert prism.volume == pytest.approx(2 * area)
    np.testing.assert_allclose(np.ptp(prism.bounds, axis=0)[1], 2.0)
    assert (np.asarray(prism.visual.vertex_colors)[:, :3] == colours).all()


def test_tiles_stand_in_the_plane_of_the_picture():
    drawn = tiles(result_of(9), SHOWN)
    offsets = np.array([tile.offset(RIGHT, UP) for tile in drawn])
    forward = np.cross(RIGHT, UP)
    np.testing.assert_allclose(offsets @ forward, 0, atol=1e-12)
    np.testing.assert_allclose(offsets.sum(0), 0, atol=1e-12)
    apart = np.linalg.norm(offsets[:, None] - offsets[None], axis=-1)[~np.eye(9, dtype=bool)]
    assert apart.min() > 2.0
    # Read like a page: the first above the last, and left of its neighbour.
    assert offsets[0] @ UP > offsets[8] @ UP
    assert offsets[0] @ RIGHT < offsets[1] @ RIGHT


def test_measures_are_those_of_a_box_and_holes_are_said():
    box = trimesh.creation.box(extents=[1.0, 2.0, 3.0])
    found = measure(box)
    assert found.extents == pytest.approx((1, 2, 3))
    assert found.summary.volume == pytest.approx(6)
    assert found.area == pytest.approx(22)
    assert "volume 6.0000" in found.lines()
    box.update_faces(np.arange(12) > 0)
    assert "not watertight" in measure(box).lines()
    assert not any("volume 5" in line or "volume 6" in line for line in measure(box).lines())


def test_colours_of_vertices_are_in_the_picture():
    red = trimesh.creation.icosphere(radius=0.8)
    red.visual.vertex_colors = np.tile([200, 30, 30, 255], (len(red.vertices), 1))
    image = render_mesh(red, size=60).astype(int)
    assert image[30, 30, 0] > 2 * image[30, 30, 2]
    plain = render_mesh(trimesh.creation.icosphere(radius=0.8), size=60).astype(int)
    assert plain[30, 30, 0] < plain[30, 30, 2]


@pytest.mark.parametrize("suffix", [s for s in suffixes(result_of()) if s != ".mp4"])
def test_every_suffix_is_written_and_says_what_it_is(suffix, tmp_path, short_turn):
    path = tmp_path / f"shape{suffix}"
    export(result_of(), SHOWN, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix in (".png", ".gif"):
        with Image.open(path) as picture:
            assert picture.format == suffix[1:].upper()
            assert getattr(picture, "n_frames", 1) == (short_turn if suffix == ".gif" else 1)
    elif suffix == ".html":
        page = path.read_text()
        # Offline: no script, style or picture is fetched.
        assert 'src="http' not in page
        assert 'href="http' not in page
        assert "default-src 'none'" in page
    else:
        mesh = trimesh.load_mesh(path)
        assert mesh.volume == pytest.approx(result_of().items[0].mesh.volume, rel=1e-3)


@pytest.mark.slow
def test_a_film_is_written_where_its_package_is(short_turn):
    av = pytest.importorskip("av", reason="needs the extra geoflow[viewer]")
    with av.open(io.BytesIO(export_bytes(result_of(), SHOWN, ".mp4"))) as film:
        assert sum(1 for _ in film.decode(video=0)) == short_turn


def test_a_turntable_closes_and_turns():
    box = trimesh.creation.box(extents=[1.0, 1.0, 0.2])
    item = Item("box", SHOWN, box)
    quarter = turntable(tiles(Result(SHOWN, Rung(64, 2048), (item,), 0.0), SHOWN), frames=4)
    # A box has the same outline after half a turn, and not after a quarter; the sun stands.
    outline = [image[30:].min(-1) < 250 for image in quarter]
    assert (outline[0] != outline[2]).mean() < 0.002
    assert (outline[0] != outline[1]).mean() > 0.02


def test_files_of_several_shapes_have_them_all():
    three = trimesh.load_mesh(
        io.BytesIO(export_bytes(result_of(3), SHOWN, ".ply")), file_type="ply"
    )
    assert three.body_count == 3
    with pytest.raises(ValueError, match=r"suffix must be one of .*got '.doc'"):
        export_bytes(result_of(), SHOWN, ".doc")


def test_commands_name_what_differs_and_nothing_else():
    assert command(State(), rung=Rung(64, 2048), out="a.obj") == (
        "geoflow sample --resolution 64 --out a.obj"
    )
    state = State(seed=3, steps=4, show=("mesh", "slice"), slice=0.25)
    assert command(state, rung=Rung(64, 2048), out="a.obj") == (
        "geoflow sample --seed 3 --steps 4 --resolution 64 --out a.obj"
    )
    assert command(state, rung=Rung(64, 2048), out="a b.png") == (
        "geoflow view --seed 3 --steps 4 --slice 0.25 --show mesh slice --resolution 64 "
        "--out 'a b.png'"
    )
    way = State(to_seed=9, blend=0.1 + 0.2, time=0.5)
    assert command(way, rung=Rung(64, 2048), out="a.ply") == (
        f"geoflow view --time 0.5 --to-seed 9 --blend {0.1 + 0.2!r} --resolution 64 --out a.ply"
    )


def test_states_are_stored_and_foreign_ones_refused():
    state = State(seed=5, to_seed=7, blend=0.5, show=("slice", "mesh"), layout="compare")
    assert from_json(to_json(state)) == state
    assert state.show == ("mesh", "slice")
    for text in ("", "[]", "{}", to_json(state).replace("seed", "sead"), '{"seed": -1}'):
        with pytest.raises(ValueError, match="not a state"):
            from_json(text)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_made_of_single_shapes(layout):
    planned = parts(State(seed=2**31 - 1, layout=layout))
    assert all(part.layout == "single" for _, part in planned)
    assert len({part for _, part in planned}) == len(planned)


def test_choices_of_the_command_line_are_those_of_the_state():
    hints = get_type_hints(View)
    assert get_args(hints["layout"]) == LAYOUTS
    assert get_args(get_args(hints["show"])[0]) == SHOWS

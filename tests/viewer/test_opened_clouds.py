"""Opened clouds: points and solid together, as many points as wanted, answers to choose from."""

import io
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_gui import Gui, Page

from geoflow.geometry.metrics import is_watertight
from geoflow.geometry.placing import MIN_POINTS, MOST_POINTS
from geoflow.geometry.read_points import Cloud
from geoflow.models.completion import HYPOTHESES, MAX_POINTS, prepare
from geoflow_cli.commands import parse
from geoflow_cli.edit_options import Complete
from geoflow_viewer.command import command
from geoflow_viewer.completing import complete_cloud
from geoflow_viewer.desktop_panel import DesktopPanel
from geoflow_viewer.export import title_of
from geoflow_viewer.items import Rung
from geoflow_viewer.opened import are_equal, placed_cloud
from geoflow_viewer.panel import Panel
from geoflow_viewer.scene import MeshLayer, PointsLayer, layers
from geoflow_viewer.session import Session
from geoflow_viewer.shape_files import shape_bytes, shape_suffixes
from geoflow_viewer.state import FEWEST_POINTS, NUM_ANSWERS, State, from_json, to_json
from geoflow_viewer.state import MOST_POINTS as MOST_GIVEN
from geoflow_viewer.upload import UploadError, read_upload
from geoflow_viewer.worker import Ticket

START = State(model="tiny", seed=3)


@pytest.fixture(scope="module")
def ball():
    directions = np.random.default_rng(0).normal(size=(400, 3))
    normals = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return Cloud(5.0 * normals + [100.0, 0.0, 0.0], normals)


@pytest.fixture
def session(models):
    session = Session(models, START, rest=0.0, rungs=(Rung(16, 64),))
    session.start()
    assert session.wait()
    yield session
    assert session.close()


@pytest.fixture
def opened(session, ball):
    session.open_cloud("ball.npz", ball)
    assert session.wait()
    assert session.error == ""
    return session


def made(session):
    assert session.wait()
    assert session.error == ""
    return session.result.items


def test_limits_are_those_of_completion():
    assert (FEWEST_POINTS, MOST_GIVEN, NUM_ANSWERS) == (MIN_POINTS, MAX_POINTS, HYPOTHESES)


def test_points_and_solid_are_shown_in_one_place(opened, ball):
    (item,) = made(opened)
    assert is_watertight(item.mesh)
    np.testing.assert_allclose(np.abs(item.cloud).max(0), 1.0, atol=0.05)
    assert len(item.cloud) == len(ball.points)
    drawn = layers(item, opened.state)
    assert [type(layer) for layer in drawn] == [MeshLayer, PointsLayer]
    assert opened.shows == ("mesh", "wireframe", "points")
    # The solid is what a file gets, and what its lines measure.
    assert ".obj" in shape_suffixes(opened.result)
    assert shape_bytes(opened.result, ".obj").count(b"f ") == len(item.mesh.faces)
    assert opened.result.detail == "16³"
    assert title_of(opened.result, opened.state) == "ball.npz"


def test_fewer_points_make_another_solid(opened):
    first = made(opened)[0]
    opened.change(given=64)
    (fewer,) = made(opened)
    assert len(fewer.cloud) == 64
    assert {tuple(p) for p in fewer.cloud.round(4)} <= {tuple(p) for p in first.cloud.round(4)}
    assert len(fewer.mesh.vertices) != len(first.mesh.vertices) or not np.allclose(
        fewer.mesh.vertices, first.mesh.vertices
    )
    opened.change(layout="compare", given=128)
    items = made(opened)
    assert [len(item.cloud) for item in items] == [64, 128, 300, 400]
    labels = [f"{count} points" for count in (64, 128, 300, 1000)]
    assert [item.label for item in items] == labels
    # A shape that was on the screen is kept, under the label of its place.
    opened.change(layout="single", given=64)
    made(opened)
    opened.change(layout="compare")
    assert [item.label for item in made(opened)] == [labels[0], *labels[2:]]


def test_one_of_several_answers_is_chosen(opened):
    opened.change(layout="variations", steps=1)
    items = made(opened)
    assert [item.label for item in items] == [f"answer {i + 1}" for i in range(NUM_ANSWERS)]
    shapes = [item.mesh.vertices.tobytes() for item in items]
    assert len(set(shapes)) == NUM_ANSWERS
    opened.choose(2)
    (item,) = made(opened)
    assert opened.state.answer == 2
    assert item.mesh.vertices.tobytes() == shapes[2]
    opened.undo()
    assert opened.state.layout == "variations"


def test_a_mirrored_solid_is_its_own_mirror_image(opened):
    opened.change(mirrored=True)
    (item,) = made(opened)
    assert len(item.cloud) == 400
    # About its own middle, which is that of the given points.
    vertices = item.mesh.vertices - [item.mesh.bounds.mean(0)[0], 0.0, 0.0]
    images = {tuple(v) for v in (vertices * [-1, 1, 1]).round(4) + 0.0}
    assert images == {tuple(v) for v in vertices.round(4) + 0.0}


def test_clouds_that_are_no_solid_are_refused_and_the_state_stays(session, ball):
    for points in (ball.points[:9], np.ones((40, 3)), ball.points * [1.0, 0.0, 1.0]):
        with pytest.raises(ValueError, match=r"points"):
            session.open_cloud("bad.xyz", Cloud(points))
    assert session.state == START
    # Without normals this model says so, and the last shape stays.
    session.open_cloud("bare.xyz", Cloud(ball.points))
    assert session.wait()
    assert "give normals" in session.error
    session.leave_opened()
    assert session.state.cloud is None
    assert session.state.model == "tiny"


@pytest.mark.usefixtures("unchecked")
def test_models_of_other_things_make_no_solids(ball):
    with pytest.raises(ValueError, match="y makes no solids of points"):
        complete_cloud(SimpleNamespace(kind="points"), State(model="y", cloud="x"), ball, Ticket())


def test_a_cloud_is_stood_upright_and_thinned(ball):
    turned = placed_cloud(Cloud(ball.points[:, [0, 2, 1]] * [1, -1, 2]), up="z")
    np.testing.assert_allclose(np.abs(turned.points).max(0), [0.5, 1.0, 0.5], atol=0.02)
    many = np.random.default_rng(0).normal(size=(MOST_POINTS + 9, 3))
    assert len(placed_cloud(Cloud(many)).points) == MOST_POINTS
    assert are_equal(ball, Cloud(ball.points, ball.normals))
    assert not are_equal(ball, Cloud(ball.points))


def test_of_a_large_cloud_the_same_points_are_given_as_by_complete(models):
    rng = np.random.default_rng(1)
    normals = rng.normal(size=(MOST_POINTS + 999, 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    cloud = Cloud(5 + 3 * normals * [1.0, 0.7, 0.5], normals)
    tiny = models["tiny"].model
    theirs = prepare(tiny, cloud.points, cloud.normals, most=300, seed=4)
    placed = placed_cloud(cloud)
    ours = prepare(tiny, placed.points, placed.normals, most=300, seed=4)
    torch.testing.assert_close(ours.points, theirs.points, rtol=0, atol=1e-6)
    other = prepare(tiny, placed.points, placed.normals, most=300, seed=5)
    assert not torch.allclose(other.points, theirs.points, atol=1e-2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "wrong",
    [{"given": 15}, {"given": 8193}, {"given": 64.0}, {"answer": 4}, {"answer": -1},
     {"answer": True}, {"mirrored": 1}, {"cloud": 3}, {"cloud": "a", "mesh": "b"}],
)  # fmt: skip
def test_states_of_clouds_are_checked(wrong):
    right = State(cloud="a", given=64, answer=3, mirrored=True)
    assert from_json(to_json(right)) == right
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        State(**wrong)


def test_the_line_makes_the_same_by_complete():
    state = State(model="chair", cloud="my ball.npz", given=300, answer=2, steps=4, seed=7,
                  mirrored=True)  # fmt: skip
    program, name, *words = shlex.split(command(state, rung=Rung(64, 64), out="geoflow.ply"))
    assert (program, name) == ("geoflow", "complete")
    options = parse(Complete, name, words)
    assert (options.model, str(options.input), options.points) == ("chair", "my ball.npz", 300)
    assert (options.num, options.steps, options.seed, options.mirror) == (3, 4, 7, True)
    assert (options.resolution, options.faces, str(options.out)) == (64, "full", "geoflow.ply")
    (plain,) = [command(State(cloud="a.xyz"), rung=Rung(64, 64), out="a.png")]
    assert "--num" not in plain
    assert plain.endswith("--out geoflow.obj")


def as_file(cloud, suffix):
    content = io.BytesIO()
    if suffix == ".npz":
        np.savez(content, points=cloud.points, normals=cloud.normals)
    elif suffix == ".xyz":
        np.savetxt(content, cloud.points)
    else:
        names = "".join(f"property double {axis}\n" for axis in "xyz")
        count = len(cloud.points)
        header = (
            f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{names}end_header\n"
        )
        content.write(header.encode() + cloud.points.astype("<f8").tobytes())
    return content.getvalue()


@pytest.mark.parametrize("suffix", [".npz", ".xyz", ".ply"])
def test_a_cloud_is_read_by_a_child(ball, suffix):
    read = read_upload(f"ball{suffix}", as_file(ball, suffix))
    np.testing.assert_allclose(read.points, ball.points)
    assert (read.normals is not None) == (suffix == ".npz")


def test_broken_clouds_are_refused(ball):
    for content, said in (
        (b"1 2\n3 4\n", "expected points of shape"),
        (b"1 2 nan\n" * 20, "NaN or infinite"),
        (b"no numbers", "cannot be read"),
    ):
        with pytest.raises(UploadError, match=rf"a\.xyz: .*{said}"):
            read_upload("a.xyz", content)


def test_the_page_shows_controls_of_clouds_while_one_is_open(session, ball):
    page = Page()
    panel = Panel(page, session)
    session.subscribe(panel.sync)
    labels = ("Points given", "Answer, 0 the likeliest", "Mirrored")
    assert not page["Opened cloud"].visible
    assert not any(page[label].visible for label in labels)
    upload = page["Open a mesh or a cloud of points"]
    upload.move(SimpleNamespace(name="ball.npz", content=as_file(ball, ".npz")))
    assert made(session)[0].cloud is not None
    assert all(page[label].visible for label in (*labels, "Opened cloud"))
    assert tuple(page["Model"].options) == ("shapes", "tiny", "chair")
    for label, value in zip(labels, (64, 1, True), strict=True):
        page[label].move(value)
    state = session.state
    assert (state.given, state.answer, state.mirrored) == (64, 1, True)
    page[labels[0]].move(-5)
    assert "given must be" in page.told[-1]
    assert session.state.given == 64
    page[labels[0]].move("many")
    assert session.state.given == 64
    page["Back to samples"].move()
    assert session.state.cloud is None
    assert page["Model"].options[0] == "tiny"
    assert not page[labels[0]].visible


def test_the_window_has_them_too(opened):
    told = []
    desk = DesktopPanel(Gui(), 12.0, opened, lambda act: told.append(act()), (lambda: None,) * 3)
    opened.subscribe(desk.sync)
    desk.given.act(64)
    desk.answer.act(1)
    desk.mirrored.act(True)
    state = opened.state
    assert (state.given, state.answer, state.mirrored) == (64, 1, True)
    assert desk.model.items == ["shapes", "tiny", "chair"]

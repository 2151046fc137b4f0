"""`geoflow view CLOUD`: the points, and the solid that the model makes of them."""

import shlex
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image

from geoflow.geometry.axes import frame_from_up
from geoflow.geometry.placing import place_points
from geoflow.geometry.points import SUFFIXES, write_points
from geoflow.geometry.read_points import read_points
from geoflow_cli import main
from geoflow_viewer.browser import Browser
from geoflow_viewer.command import command
from geoflow_viewer.generation import generate
from geoflow_viewer.items import Rung
from geoflow_viewer.models import Models
from geoflow_viewer.opened import placed_cloud
from geoflow_viewer.session import Session
from geoflow_viewer.state import State, to_json
from geoflow_viewer.worker import Ticket

RUNG = Rung(24, 64)


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """A ball that stands up along z, far from the origin, in a file of the folder that is here."""
    monkeypatch.chdir(tmp_path)
    way = np.random.default_rng(0).normal(size=(300, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    np.savetxt("ball.xyz", 20.0 * way * [1.0, 1.0, 1.5] + [500.0, 0.0, -70.0])
    return tmp_path / "ball.xyz"


def test_a_cloud_is_drawn_with_its_solid(cloud, capsys):
    flags = ["--resolution", "24", "--size-px", "192", "--renderer", "software"]
    assert main(["view", cloud.name, "--up", "z", "--png", "both.png", *flags]) == 0
    assert main(["view", cloud.name, "--up", "z", "--show", "mesh", "--png", "a.png", *flags]) == 0
    both, alone = (
        np.asarray(Image.open(cloud.with_name(f))).astype(int) for f in ("both.png", "a.png")
    )
    # Points are orange, the solid is blue.
    orange = [np.count_nonzero(p[..., 0] - p[..., 2] > 60) for p in (both, alone)]
    assert orange[0] > 20
    assert orange[1] == 0
    assert "both.png: picture written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--out", "a.obj"), "geoflow complete ball.xyz --out a.obj"),
        (("--reconstruct",), "--reconstruct is not of clouds: leave it out"),
        (("--to-seed", "3"), "--to-seed is not of clouds: leave it out"),
        (("--points", "9000"), "--points of a cloud file must be between 16 and 8,192, got 9,000"),
        (("--model", "airplane"), "makes no solids of points"),
        (("--category", "dragon"), "--category must be one of"),
    ],
)
def test_what_clouds_do_not_have_is_refused(cloud, capsys, flags, said):
    assert main(["view", cloud.name, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cloud_of_every_format_is_known_as_one(suffix, tmp_path, capsys):
    path = tmp_path / f"cloud{suffix}"
    write_points([np.zeros((4, 3), np.float32)], path, num=4)
    assert main(["view", str(path), "--png", str(tmp_path / "a.png")]) == 2
    assert f"{path}: its 4 points coincide" in capsys.readouterr().err


def test_points_of_no_solid_are_refused_by_name(cloud, capsys):
    np.savetxt("flat.xyz", np.random.default_rng(0).random((40, 3)) * [1, 1, 0])
    assert main(["view", "flat.xyz", "--png", "a.png"]) == 2
    assert "flat.xyz: its points lie in a plane" in capsys.readouterr().err


@pytest.mark.parametrize("values", [{}, {"given": 64, "mirrored": True}])
def test_the_line_makes_the_same_solid_where_the_points_are(cloud, values):
    points = read_points(cloud)
    state = State("shapes", seed=4, cloud=cloud.name, up="z", **values)
    opened = {cloud.name: placed_cloud(points, up="z")}
    (result,) = generate(state, Models(), opened, Ticket(), rungs=(RUNG,))
    line = command(state, rung=RUNG, out="a.obj")
    assert main(shlex.split(line)[1:]) == 0
    made = trimesh.load_mesh("a.obj", process=False)
    place = place_points(points.points, frame_from_up("z"))
    shown = place.restore(result.items[0].mesh)
    np.testing.assert_allclose(made.vertices, shown.vertices, atol=1e-4)
    # The twin: without its axis the line makes another one.
    assert "--up" not in command(replace(state, up="y"), rung=RUNG, out="a.obj")


def test_a_session_that_begins_with_a_cloud_goes_back_to_samples(models, cloud):
    opened = {cloud.name: placed_cloud(read_points(cloud), up="z")}
    session = Session(models, State("shapes", cloud=cloud.name, up="z"), meshes=opened)
    session.leave_opened()
    state = session.state
    assert (state.cloud, state.model, state.up) == (None, models.names[0], "y")
    assert session.close()


def test_a_reload_keeps_the_cloud_of_the_command_and_no_other(models, cloud):
    state = State("shapes", cloud=cloud.name)
    stored = {}
    page = SimpleNamespace(
        _models=models, _state=state, _meshes={cloud.name: None}, _kept=lambda *_: stored["text"]
    )
    for kept, expected in (
        (replace(state, given=64), replace(state, given=64)),
        (replace(state, cloud="other.xyz"), state),
        (replace(state, model="nothing"), state),
    ):
        stored["text"] = to_json(kept)
        assert Browser._stored(page, None) == expected

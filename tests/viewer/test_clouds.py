"""Models of points before the viewer: clouds, their way, their files, and what they do not have."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from geoflow.backbones.shape_encoder import ShapeConfig
from geoflow.backbones.token_transformer import TransformerConfig
from geoflow.models.clouds import CloudConfig, PointGenerator
from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.models.kinds import KINDS
from geoflow_viewer.command import command
from geoflow_viewer.export import export_bytes, suffixes
from geoflow_viewer.items import Rung
from geoflow_viewer.models import Models
from geoflow_viewer.picture import render
from geoflow_viewer.scene import layers
from geoflow_viewer.session import Session
from geoflow_viewer.state import COMPARED_STEPS, NUM_VARIATIONS, State, visible

LATENT = {"num_tokens": 4, "scalars": 4, "vectors": 1}
LADDER = (Rung(16, 64), Rung(20, 96), Rung(24, 128))
START = State(model="cloud", seed=3)


def shaken(networks):
    with torch.no_grad():
        for network in networks:
            for weight in network.parameters():
                weight.add_(0.1 * torch.randn_like(weight))


@pytest.fixture(scope="module")
def clouds():
    config = CloudConfig(
        symmetry="frame",
        categories=("bird", "fish"),
        autoencoder=ShapeConfig(
            **LATENT, normals=False, encoder_width=16, encoder_blocks=1, decoder_width=16,
            decoder_layers=1, heads=2,
        ),
        transformer=TransformerConfig(
            **LATENT, num_categories=2, width=16, vector_width=4, blocks=1, heads=2,
            condition_width=16,
        ),
    )  # fmt: skip
    torch.manual_seed(0)
    generator = PointGenerator.build(config).to("cpu")
    shaken([generator.autoencoder, generator.flow_map])
    return generator


@pytest.fixture(scope="module")
def distribution():
    torch.manual_seed(0)
    channels = ("position", "color")
    made = GeometryDistribution.build(DistributionConfig(channels, width=16, blocks=1)).to("cpu")
    shaken([made.flow_map])
    return made


@pytest.fixture
def session(clouds, distribution, generator):
    made = {"cloud": clouds, "law": distribution, "tiny": generator}
    session = Session(Models(list(made), load=made.get), START, rest=0.0, rungs=LADDER)
    session.start()
    assert session.wait()
    yield session
    assert session.close()


def cloud(session, index=0):
    return session.result.items[index].cloud


def after(session, **values):
    session.change(**values)
    assert session.wait()
    assert session.error == ""
    return cloud(session)


def test_a_cloud_is_that_of_the_generator_on_the_finest_rung(session, clouds):
    (made,) = clouds.sample(points=128, steps=2, seed=3)
    np.testing.assert_array_equal(cloud(session), made.vertices)
    assert session.result.detail == "128 points"
    assert session.result.items[0].mesh is None
    (other,) = clouds.sample(points=128, steps=2, seed=4)
    assert not np.array_equal(cloud(session), other.vertices)


@pytest.mark.parametrize(
    "change",
    [{"steps": 1}, {"seed": 4}, {"category": "fish"}, {"time": 0.7}, {"ode": True},
     {"to_seed": 9, "blend": 0.5}],
    ids=str,
)  # fmt: skip
def test_every_choice_moves_the_points(session, change):
    before = cloud(session)
    assert not np.array_equal(after(session, **change), before)


def test_the_way_begins_with_noise_and_blends_end_at_the_other_seed(session, clouds):
    spread = clouds.autoencoder.spread
    noise = clouds.point_noise(1, 128, seed=3)[0].numpy()
    np.testing.assert_allclose(after(session, time=0.0), spread * noise, atol=1e-6)
    session.change(time=1.0)
    other = after(session, seed=9)
    np.testing.assert_allclose(after(session, seed=3, to_seed=9, blend=1.0), other, atol=1e-4)
    assert np.abs(after(session, blend=0.5) - other).max() > 0.01


def test_layouts_are_clouds_and_one_is_chosen(session):
    session.change(layout="compare")
    assert session.wait()
    assert [item.state.steps for item in session.result.items] == list(COMPARED_STEPS)
    assert not np.array_equal(cloud(session, 0), cloud(session, 2))
    session.change(layout="variations")
    assert session.wait()
    assert len(session.result.items) == NUM_VARIATIONS
    fourth = cloud(session, 3)
    session.choose(3)
    assert session.wait()
    assert session.state == replace(START, seed=6)
    np.testing.assert_array_equal(cloud(session)[: len(fourth)].shape, fourth.shape)


def test_a_mesh_becomes_points_of_what_the_model_makes_of_it(session, clouds):
    box = trimesh.creation.box(extents=[2.0, 1.0, 1.0])
    session.open_mesh("box.obj", box, reconstruct=True)
    assert session.wait()
    opened, rebuilt = session.result.items
    assert opened.cloud is None
    noise = clouds.point_noise(1, LADDER[-2].points, seed=3)
    tokens = clouds.encode_mesh(box)[None]
    *_, points = clouds.point_trajectory(tokens, noise, steps=2)
    np.testing.assert_allclose(rebuilt.cloud, points[0], atol=1e-5)
    # A mesh that no model made can be a mesh; what the model makes is points.
    assert session.shows == ("mesh", "wireframe", "points", "latent")
    assert [layer.name for layer in layers(opened, session.state)] == ["mesh"]
    assert [layer.name for layer in layers(rebuilt, session.state)] == ["points"]


def test_what_a_cloud_does_not_have_is_not_offered_and_said(session):
    assert session.shows == ("points", "latent")
    assert session.shown == ("points",)
    for show in ("mesh", "wireframe", "slice"):
        with pytest.raises(ValueError, match=f"there is no {show} here, only points, latent"):
            session.toggle(show)
    session.toggle("latent")
    assert session.shown == ("points", "latent")
    names = [layer.name for layer in layers(session.result.items[0], session.state)]
    assert names == ["points", "latent"]
    session.change(model="tiny", show=("mesh",))
    assert session.wait()
    session.toggle("slice")
    assert session.shown == ("mesh", "slice")


def test_visible_is_what_is_wanted_and_possible_else_the_own_form():
    assert visible(("mesh", "latent"), ("points", "latent")) == ("latent",)
    assert visible(("mesh", "slice"), ("points", "latent")) == ("points",)
    assert visible(("mesh",), ()) == ()


def test_files_of_clouds_are_those_of_sample_and_meshes_have_no_points(session, generator):
    points = cloud(session)
    read = {
        ".ply": lambda content: trimesh.load(io.BytesIO(content), file_type="ply").vertices,
        ".xyz": lambda content: np.loadtxt(io.BytesIO(content)),
        ".npy": lambda content: np.load(io.BytesIO(content)),
        ".npz": lambda content: np.load(io.BytesIO(content))["points"],
    }
    for suffix, load in read.items():
        content = export_bytes(session.result, session.state, suffix)
        np.testing.assert_allclose(load(content), points, atol=1e-5)
    assert set(read) < set(suffixes(session.result))
    session.change(layout="compare")
    assert session.wait()
    four = np.load(io.BytesIO(export_bytes(session.result, session.state, ".npy")))
    assert len(four) == 4 * len(cloud(session))
    assert after(session, layout="single", model="tiny") is None
    for suffix in (".xyz", ".npy", ".npz"):
        with pytest.raises(ValueError, match="suffix must be one of"):
            export_bytes(session.result, session.state, suffix)


def test_a_surface_of_points_is_closed(session):
    pytest.importorskip("open3d", reason="needs the extra geoflow[viewer]")
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.8)
    item = replace(session.result.items[0], cloud=np.asarray(ball.vertices, np.float32))
    content = export_bytes(replace(session.result, items=(item,)), START, ".obj")
    mesh = trimesh.load_mesh(io.BytesIO(content), file_type="obj")
    assert mesh.volume == pytest.approx(ball.volume, rel=0.05)


def test_a_distribution_shows_its_points_in_their_colours(session, distribution):
    points = after(session, model="law", seed=5)
    np.testing.assert_array_equal(points, distribution.sample(128, steps=2, seed=5))
    (layer,) = layers(session.result.items[0], session.state)
    own = (255 * points[:, 3:].clip(0, 1)).round()
    np.testing.assert_array_equal(layer.colours, own)
    assert session.shows == ("points",)
    assert session.categories == ()
    noise = distribution.noise(128, seed=5)
    np.testing.assert_allclose(
        after(session, time=0.0), distribution.scale.denormalise(next(
            distribution.trajectory(noise))), atol=1e-5)  # fmt: skip
    good = session.result
    session.open_mesh("box.obj", trimesh.creation.box(), reconstruct=True)
    assert session.wait()
    assert "knows one shape" in session.error
    assert session.result is good
    with pytest.raises(ValueError, match="from 1 to 65536, got 65537"):
        distribution.noise(65_537)


def test_commands_of_clouds_name_their_points():
    rung, shows = Rung(64, 500), ("points", "latent")

    def said(state, out, kind="points"):
        return command(state, rung=rung, out=out, kind=KINDS[kind], shows=shows)

    plain = "geoflow sample --model cloud --seed 3 --points 500 --out a"
    for suffix in (".ply", ".xyz", ".obj"):
        assert said(START, f"a{suffix}") == plain + suffix
    # What is drawn counts for a picture, and not for a file of the shape.
    both = replace(START, show=("points", "latent"))
    assert said(both, "a.ply") == plain + ".ply"
    assert "--show points latent" in said(both, "a.png")
    assert "--show" not in said(replace(START, show=("points",)), "a.png")
    # `geoflow sample` writes no surface of a distribution, and knows no way.
    assert said(START, "a.obj", "distribution").startswith("geoflow view ")
    assert said(START, "a.npy", "distribution").startswith("geoflow sample ")
    assert said(replace(START, time=0.5), "a.ply").startswith("geoflow view ")


def test_points_are_drawn_in_their_colours():
    red = trimesh.PointCloud(np.zeros((1, 3)), colors=np.array([[220, 20, 20, 255]]))
    middle = render(red, size=60)[30, 30].astype(int)
    assert middle[0] > middle[2] + 50
    plain = render(trimesh.PointCloud(np.zeros((1, 3))), size=60)[30, 30].astype(int)
    assert plain[0] < plain[2]

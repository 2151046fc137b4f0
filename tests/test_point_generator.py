"""Models of point clouds: symmetry, learning, files, and the roads to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from geoflow.backbones import ShapeConfig, TransformerConfig
from geoflow.geometry.metrics import chamfer_distance
from geoflow.geometry.reconstruction import reconstruct_surface, trim_surface
from geoflow.models.base import shipped
from geoflow.models.checkpoint import CheckpointError
from geoflow.models.clouds import CloudConfig, PointAutoencoder, PointGenerator
from geoflow.models.fields import Generator
from geoflow.models.kinds import load as load_model
from geoflow.symmetry import FRAME_SIZES, upright_frame
from geoflow.testing import assert_equivariant, random_rotations, rotate_points, rotate_tokens
from geoflow.training.loop import fit
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context
from geoflow.training.stages.point_autoencoder import PointAutoencoderStage, PointTraining
from geoflow_datasets import load
from geoflow_tools.validation.clouds import reconstruct_points

SMALL = {"num_tokens": 4, "scalars": 4, "vectors": 1}
WIDTHS = {"encoder_width": 32, "decoder_width": 48, "decoder_layers": 2, "heads": 4}


def model_config(symmetry="frame"):
    size = FRAME_SIZES[symmetry]
    flow = {"width": 32, "vector_width": 4, "heads": 4, "blocks": 2, "condition_width": 16}
    return CloudConfig(
        symmetry=symmetry,
        categories=("bottle",),
        autoencoder=ShapeConfig(
            frame_size=size, normals=False, encoder_blocks=1, **SMALL, **WIDTHS
        ),
        transformer=TransformerConfig(frame_size=size, **SMALL, **flow),
    )


def build(symmetry="frame", dtype=torch.float32):
    torch.manual_seed(0)
    generator = PointGenerator.build(model_config(symmetry))
    for module in (generator.autoencoder, generator.flow_map):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        module.to(dtype).eval()
    generator.scale.to(dtype)
    return generator


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return load("procedural", "bottle", split="train", num=4, cache=tmp_path_factory.mktemp("bank"))


def turning(generator, dtype):
    """Clouds of rotated noise and frames, and rotated clouds."""
    scalars = generator.config.autoencoder.scalars
    for module in (generator.autoencoder, generator.flow_map, generator.scale):
        module.to(dtype)
    noise, points = generator.noise(4).to(dtype), generator.point_noise(4, 50).to(dtype)
    frame = upright_frame(generator.config.symmetry, 4)
    frame = None if frame is None else frame.to(dtype)

    def draw(noise, points, frame):
        tokens = generator.sample_latents(noise, generator.condition(4, frame=frame), steps=2)
        return generator.autoencoder.draw(tokens, points, steps=2, frame=frame)

    still = draw(noise, points, frame)

    def compare(rotation):
        moved = draw(
            rotate_tokens(noise, rotation, scalars=scalars),
            rotate_points(points, rotation),
            None if frame is None else rotate_points(frame, rotation),
        )
        return moved, rotate_points(still, rotation)

    return still, compare


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_rotated_noise_and_frame_give_the_rotated_cloud(symmetry, dtype):
    still, compare = turning(build(symmetry), dtype)
    assert_equivariant(compare, dtype=dtype, generator=torch.Generator().manual_seed(1))
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(lambda rotation: (still, rotate_points(still, rotation)), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "name", [n for n, file in shipped().items() if file.kind == PointGenerator.kind]
)
def test_shipped_clouds_turn_with_noise_and_frame(name, dtype):
    _, compare = turning(PointGenerator.from_pretrained(name), dtype)
    assert_equivariant(compare, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("symmetry", ["frame", "so2"])
def test_a_seed_is_the_same_cloud_in_every_frame(symmetry):
    generator = build(symmetry)
    upright = upright_frame(symmetry, 1)[0]
    turn = random_rotations(1, generator=torch.Generator().manual_seed(3))[0].float()
    plain, still, turned = (
        generator.sample(num=2, points=64, seed=5, frame=frame)
        for frame in (None, upright, upright @ turn.T)
    )
    for before, same, after in zip(plain, still, turned, strict=True):
        np.testing.assert_array_equal(before.vertices, same.vertices)
        if symmetry == "frame":
            np.testing.assert_allclose(after.vertices, before.vertices @ turn.numpy().T, atol=2e-3)
        # About the up vector any turn will do.
        np.testing.assert_allclose(
            after.vertices @ turn[:, 1].numpy(), before.vertices[:, 1], atol=2e-3
        )
    with pytest.raises(ValueError, match="unit length and perpendicular"):
        generator.sample(points=8, frame=2 * upright)


@pytest.mark.slow
def test_the_shipped_airplanes_look_like_the_test_split():
    """Long, flat and wide, as the data's: extents within the spread of the split."""
    clouds = PointGenerator.from_pretrained("airplane").sample(num=24, points=1024, steps=1)
    bank = load("procedural", "airplane", split="test", num=24)
    made = np.array([np.ptp(np.percentile(c.vertices, [2, 98], axis=0), axis=0) for c in clouds])
    data = np.array([np.ptp(np.percentile(s, [2, 98], axis=0), axis=0) for s in bank.surface])
    assert np.abs(made.mean(0) - data.mean(0)).max() < 0.1
    assert (made.std(0) > 0.3 * data.std(0)).all()
    nearest = [
        min(chamfer_distance(cloud.vertices, np.asarray(shape, float)) for shape in bank.surface)
        for cloud in clouds
    ]
    assert np.median(nearest) < 0.08


def test_the_latent_does_not_know_the_order_of_points():
    generator = build(dtype=torch.float64)
    cloud = torch.randn(1, 40, 3, generator=torch.Generator().manual_seed(0)).double()
    frame = upright_frame("frame", 1).double()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    here, there, other = (
        generator.autoencoder.encode(points, frame)
        for points in (cloud, cloud[:, order], cloud + 0.1)
    )
    torch.testing.assert_close(here, there, rtol=0, atol=1e-12)
    assert (here - other).abs().max() > 1e-3


def test_a_cloud_is_the_same_in_any_company():
    generator = build()
    many = generator.sample(num=3, points=64, steps=2, seed=5)
    (third,) = list(generator.iterate(num=3, points=64, steps=2, seed=5))[2:]
    np.testing.assert_array_equal(many[2].vertices, third.vertices)
    assert many[2].metadata["nfe"] == many[2].metadata["point_nfe"] == 2
    assert not np.allclose(many[0].vertices, many[1].vertices)
    other = generator.sample(num=1, points=64, steps=2, seed=6)[0]
    assert not np.allclose(many[0].vertices, other.vertices)


def test_few_points_are_drawn_as_many_are():
    """Points are independent given the shape: chunks and company change none of them."""
    generator = build(dtype=torch.float64)
    tokens, noise = generator.noise(1).double(), generator.point_noise(1, 30).double()
    frame = upright_frame("frame", 1).double()
    whole = generator.autoencoder.draw(tokens, noise, steps=3, frame=frame)
    part = generator.autoencoder.draw(tokens, noise[:, 10:20], steps=3, frame=frame)
    torch.testing.assert_close(part, whole[:, 10:20], rtol=0, atol=1e-10)


def test_evaluations_are_as_many_as_steps(monkeypatch):
    generator, calls = build(), {"shape": 0, "points": 0}
    for name, network in (
        ("shape", generator.flow_map.backbone),
        # A decoder that has read its latents embeds the times of every evaluation.
        ("points", generator.autoencoder.flow.backbone.condition),
    ):

        def count(*_, name=name):
            calls[name] += 1

        network.register_forward_hook(count)
    generator.sample(num=1, points=32, steps=1)
    assert calls == {"shape": 1, "points": 1}
    generator.sample(num=1, points=32, steps=2, point_steps=5)
    assert calls == {"shape": 3, "points": 6}


@pytest.mark.slow
def test_training_draws_points_near_the_surface(bank):
    torch.manual_seed(0)
    model = PointAutoencoder(model_config())
    generator = replace(build(), autoencoder=model)
    before, _ = reconstruct_points(generator, bank, num=4)
    options = PointTraining(
        steps=100,
        batch=4,
        num_surface=64,
        group_points=32,
        noise=0.0,
        ema=0.9,
        schedule=Schedule(warmup=10),
    )
    stage = PointAutoencoderStage(options, Context(generator, bank))
    assert len([progress.terms["diagonal"] for progress in fit(stage)]) == 100
    model.eval()
    after, drawn = reconstruct_points(generator, bank, num=4)
    assert after.chamfer["2"] < 0.5 * before.chamfer["2"]
    assert after.chamfer["2"] > after.floor
    assert 0 < after.surface["2"] < before.surface["2"]
    assert drawn["2"].shape == drawn["data"].shape


def test_a_model_is_saved_and_loaded_as_what_it_is(tmp_path):
    generator = build()
    generator.save_pretrained(tmp_path / "cloud", half=False)
    loaded = load_model(tmp_path / "cloud")
    assert type(loaded) is PointGenerator
    first, second = (g.sample(points=40)[0].vertices for g in (generator, loaded))
    np.testing.assert_array_equal(first, second)
    assert type(load_model("chair")) is Generator
    with pytest.raises(CheckpointError, match="of kind 'points', Generator needs 'sdf'"):
        Generator.from_pretrained(tmp_path / "cloud")
    with pytest.raises(CheckpointError, match="of kind 'sdf', PointGenerator needs"):
        PointGenerator.from_pretrained("chair")


def test_wrong_requests_are_refused():
    generator = build()
    for wrong, message in (
        ({"num": 0}, "num must be at least 1, got 0"),
        ({"points": 0}, "points must be at least 1, got 0"),
        ({"steps": 0}, "steps"),
        ({"category": "boat"}, "category must be one of bottle, got 'boat'"),
    ):
        with pytest.raises(ValueError, match=message):
            generator.sample(**wrong)


def test_a_surface_goes_through_the_points():
    cloud = trimesh.creation.torus(0.7, 0.25).sample(20_000, seed=0)
    mesh = reconstruct_surface(cloud)
    assert mesh.is_watertight
    assert mesh.euler_number == 0  # one hole
    assert mesh.volume == pytest.approx(2 * np.pi**2 * 0.7 * 0.25**2, rel=0.05)
    assert chamfer_distance(mesh.sample(20_000, seed=1), cloud) < 0.02
    with pytest.raises(ValueError, match="at least 100 points, got 99"):
        reconstruct_surface(cloud[:99])


def test_a_surface_stays_near_the_points_where_poisson_would_balloon():
    """A thin slab: the normals of both its sides cannot be told apart from so near."""
    rng = np.random.default_rng(0)
    slab = rng.uniform(-1, 1, (10_000, 3)) * [1.0, 0.004, 0.3]
    mesh = reconstruct_surface(slab)
    away = cKDTree(slab).query(mesh.vertices)[0]
    # Four cells of the octree, of which there are 128 along the size; untrimmed it is 0.8.
    assert away.max() < 4.01 * 2.0 / 128
    assert np.mean(cKDTree(mesh.sample(20_000, seed=0)).query(slab)[0] < 0.1) > 0.9


def test_a_surface_that_misses_the_points_is_refused():
    ball = trimesh.creation.icosphere(subdivisions=4)
    near = ball.sample(2_000, seed=0)
    elsewhere = near + np.array([5.0, 0.0, 0.0])
    assert trim_surface(ball, near, 0.01) is ball
    with pytest.raises(ValueError, match=r"passes 50 % of them, expected 90 %: write \.ply"):
        trim_surface(ball, np.concatenate([near, elsewhere]), 0.01)
    with pytest.raises(ValueError, match="passes 0 % of them"):
        trim_surface(ball, elsewhere, 0.01)

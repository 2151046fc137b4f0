"""Geometry distributions: trained on a mesh, drawn in chunks, carried back to noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from geoflow.flow_map import FlowMap
from geoflow.geometry.metrics import chamfer_distance
from geoflow.geometry.points import write_points
from geoflow.interpolant import INTERPOLANTS
from geoflow.models.checkpoint import CheckpointError, load_checkpoint
from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.oracles.gaussian import GaussianField
from geoflow.training.run import DataConfig, Run, RunConfig
from geoflow.training.stages.distribution import DistributionTraining
from geoflow.training.stages.jumps import JumpTraining
from geoflow_datasets.mesh_surface import MeshSurface


@pytest.fixture(scope="module")
def mesh():
    """A box with a colour on every vertex."""
    box = trimesh.creation.box(extents=[2.0, 1.0, 0.5])
    colors = np.column_stack([(box.vertices + 1) * 100, np.full(8, 255)])
    box.visual.vertex_colors = colors.astype(np.uint8)
    return box


def config(path="box.ply", **training):
    return RunConfig(
        kind="distribution",
        data=DataConfig(str(path)),
        model=DistributionConfig(width=32, blocks=1),
        stages={"distribution": DistributionTraining(**({"steps": 6, "batch": 32} | training))},
        checkpoint_every=2,
    )


def run(folder, options, surface, *, stop=None):
    job = Run.open(folder) if options is None else Run.create(folder, options)
    channels = job.config.model.channels
    for progress in job.train(lambda n, g: surface.draw(n, g, channels)):
        if progress.step == stop:
            return


def test_points_lie_on_the_surface_uniform_by_area(mesh):
    surface = MeshSurface.of(mesh)
    points = surface.draw(20_000, torch.Generator().manual_seed(0)).numpy()
    distance = np.abs(np.abs(points) - np.array([1.0, 0.5, 0.25])).min(1)
    assert distance.max() < 1e-5
    on_top = (np.abs(points[:, 1] - 0.5) < 1e-6).mean()
    assert on_top == pytest.approx(2 * 0.5 / 7, abs=0.02)


def test_points_carry_normals_and_colours(mesh):
    surface = MeshSurface.of(mesh)
    assert surface.channels == ("position", "normal", "color")
    points = surface.draw(500, torch.Generator().manual_seed(0), surface.channels)
    position, normal, color = points.split(3, dim=1)
    outside = (position * normal).sum(1)
    assert (outside > 0.2).all()
    expected = (position + 1) * 100 / 255
    assert (color - expected).abs().max().item() < 0.01
    plain = MeshSurface.of(trimesh.creation.box())
    with pytest.raises(ValueError, match="the mesh has position, normal, not color"):
        plain.draw(3, torch.Generator(), ("position", "color"))


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, mesh):
    surface = MeshSurface.of(mesh)
    run(tmp_path / "whole", config(), surface)
    run(tmp_path / "killed", config(), surface, stop=3)
    run(tmp_path / "killed", None, surface)
    whole, resumed = (
        load_checkpoint(tmp_path / name / "model" / "model.safetensors")[0]
        for name in ("whole", "killed")
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(FileExistsError, match="--resume"):
        run(tmp_path / "whole", config(), surface)
    with pytest.raises(CheckpointError, match="no run to resume"):
        Run.open(tmp_path / "nothing")


@pytest.mark.slow
def test_training_brings_points_to_the_surface(mesh, tmp_path):
    surface = MeshSurface.of(mesh)
    reference = surface.draw(2_000, torch.Generator().manual_seed(1)).numpy()
    chamfer = {}
    for steps in (1, 400):
        options = config(steps=steps, batch=256, bf16=False)
        jumps = JumpTraining(steps=max(steps // 5, 1), batch=256, bf16=False)
        small = DistributionConfig(interpolant="linear", width=64, blocks=1)
        both = {**options.stages, "jumps": jumps}
        run(tmp_path / str(steps), replace(options, model=small, stages=both), surface)
        model = GeometryDistribution.from_pretrained(tmp_path / str(steps))
        chamfer[steps] = chamfer_distance(model.sample(2_000, steps=2).numpy(), reference)
    assert chamfer[400] < 0.6 * chamfer[1]


def exact(interpolant="ve"):
    """A distribution whose flow map is known: points of N(0, diag(0.2, 1, 2)^2)."""
    model = GeometryDistribution.build(DistributionConfig(interpolant=interpolant))
    std = torch.tensor([0.2, 1.0, 2.0])
    path = INTERPOLANTS[interpolant]()
    field = GaussianField(torch.zeros(3), std, path, "x1")
    return replace(model, flow_map=FlowMap(field, path, "x1")), std


@pytest.mark.parametrize("interpolant", ["ve", "linear"])
def test_points_are_carried_back_to_their_noise(interpolant):
    model, std = exact(interpolant)
    noise = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    found = model.invert(noise * std, steps=200)
    assert (found - noise).abs().max().item() < 0.03
    assert (model.invert(noise * std * 1.1, steps=200) - noise).abs().max().item() > 0.1
    with pytest.raises(ValueError, match="points must have 3 channels"):
        model.invert(torch.zeros(4, 6))


def test_points_are_their_own_in_any_number_and_memory_is_bounded():
    model, _ = exact()
    sizes = []

    class Counting(torch.nn.Module):
        def __init__(self, field):
            super().__init__()
            self.field = field

        def forward(self, x, t, r, cond=None):
            sizes.append(len(x))
            return self.field(x, t, r, cond)

    model = replace(
        model, flow_map=FlowMap(Counting(model.flow_map.backbone), model.flow_map.interpolant, "x1")
    )
    chunks = list(model.iterate(2_500, steps=3, chunk=1_000))
    assert [len(chunk) for chunk in chunks] == [1_000, 1_000, 500]
    assert sizes == [1_000] * 6 + [500] * 3
    fewer = torch.cat(list(model.iterate(1_200, steps=3, chunk=1_000)))
    torch.testing.assert_close(torch.cat(chunks)[:1_200], fewer)


@pytest.mark.parametrize("suffix", [".ply", ".xyz", ".npy", ".npz"])
def test_points_are_written_whole_or_not_at_all(tmp_path, suffix):
    rng = np.random.default_rng(0)
    points = rng.random((50, 9)).astype(np.float32)
    channels = ("position", "normal", "color")
    path = tmp_path / f"cloud{suffix}"
    write_points([points[:20], points[20:]], path, num=50, channels=channels)
    if suffix == ".ply":
        cloud = trimesh.load(path)
        np.testing.assert_allclose(cloud.vertices, points[:, :3], rtol=1e-6)
        np.testing.assert_allclose(cloud.colors[:, :3] / 255, points[:, 6:], atol=0.003)
    else:
        read = {
            ".xyz": np.loadtxt,
            ".npy": np.load,
            ".npz": lambda p: np.load(p)["points"],
        }[suffix](path)
        np.testing.assert_allclose(read, points, rtol=1e-5)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="expected 60 points, got 50"):
        write_points([points], path, num=60, channels=channels)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match="channels start with position"):
        GeometryDistribution.build(DistributionConfig(channels=("normal",)))


def levels(interpolant: str) -> torch.Tensor:
    model = GeometryDistribution.build(DistributionConfig(interpolant=interpolant))
    path, grid = model.flow_map.interpolant, model.config.times.grid(40)[1:-1].double()
    return path.alpha(grid) / path.beta(grid)


@pytest.mark.parametrize("interpolant", INTERPOLANTS)
def test_times_favour_the_same_noise_on_every_path(interpolant):
    found = levels(interpolant)
    assert 0.2 < found.median() < 0.6
    assert 0.002 < found.min() < 0.05
    assert 8 < found.max() < 40


def test_equal_intervals_do_not():
    path, grid = INTERPOLANTS["ve"](), torch.linspace(0, 1, 41)[1:-1].double()
    assert path.alpha(grid).max() > 40

"""What a GPU computes is what a processor computes: samples, losses, gradients, checkpoints.

`python -m pytest -n 0 -m gpu`; where no GPU is, GEOFLOW_TEST_DEVICE=cpu shows that the tests run.
"""

import os
from dataclasses import replace

import pytest
import torch
from point_networks import ALL, EQUIVARIANT
from tiny_models import tiny_models
from torch import nn

from geoflow.backbones import FieldAutoencoder, ShapeConfig, TokenTransformer, TransformerConfig
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.clouds import PointGenerator
from geoflow.models.fields import Generator
from geoflow.models.kinds import KINDS
from geoflow.objectives import Cumulative, Eulerian, Lagrangian, build_objective
from geoflow.symmetry import upright_frame
from geoflow.testing import assert_equivariant, relative_error, rotate_points, rotate_tokens
from geoflow.training.loop import fit
from geoflow.training.precision import autocast, measure, settled
from geoflow.training.processes import Processes
from geoflow.training.run import Run, RunConfig
from geoflow.training.stage import Context, StageOptions
from geoflow.training.stages.distribution import DistributionTraining
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.joints import JointTraining
from geoflow.training.stages.jumps import JumpTraining
from geoflow.training.stages.latent_flow import FlowTraining
from geoflow.training.stages.point_autoencoder import PointTraining
from geoflow.training.stages.scans import ScanOptions
from geoflow.training.stages.volume_autoencoder import VolumeTraining
from geoflow.training.stages.volume_decoder import VolumeDecoderTraining
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow.training.stages.volume_residual import VolumeResidualTraining
from geoflow_datasets import load

pytestmark = pytest.mark.gpu
# Of float32 numbers that were summed in another order.
CLOSE = 2e-4
SCANS = ScanOptions(fewest=16, most=32)
STAGES = {
    ("sdf", "autoencoder"): AutoencoderTraining(batch=4, num_surface=32, num_queries=64),
    ("sdf", "flow"): FlowTraining(batch=8, num_surface=32),
    ("points", "autoencoder"): PointTraining(batch=4, num_surface=32, groups=2, group_points=16),
    ("points", "flow"): FlowTraining(batch=8, num_surface=32),
    ("shapes", "autoencoder"): VolumeTraining(batch=2, num_queries=32, scans=SCANS),
    ("shapes", "flow"): VolumeFlowTraining(batch=4, num_surface=32, draws=8, scans=SCANS),
    ("shapes", "decoder"): VolumeDecoderTraining(
        batch=2, num_surface=32, num_queries=32, scans=SCANS
    ),
    ("shapes", "residual"): VolumeResidualTraining(batch=2, num_queries=32, width=8, scans=SCANS),
    ("distribution", "distribution"): DistributionTraining(batch=32),
    ("distribution", "jumps"): JumpTraining(batch=32, solutions=16, solver_steps=6),
    ("joints", "joints"): JointTraining(batch=4),
}


@pytest.fixture(scope="session")
def device():
    """The GPU, or what GEOFLOW_TEST_DEVICE names."""
    name = os.environ.get("GEOFLOW_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use is here")
    return name


@pytest.fixture(scope="session")
def data():
    """What each kind is trained on, by what it is given."""
    bank = load("procedural", "bottle", split="train", num=4)
    return {
        "joints": load("procedural", gives="figures", split="train", num=2),
        "distribution": lambda num, g: nn.functional.normalize(torch.randn(num, 3, generator=g)),
        **dict.fromkeys(("sdf", "points", "shapes"), bank),
    }


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Convolutions by TF32, torch's default on a GPU, keep ten bits of what they multiply."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def close(there, here, tolerance=CLOSE):
    assert relative_error(there.cpu().double(), here.double()) <= tolerance


def latents(model):
    return model.sample_latents(model.noise(2, seed=3), steps=2).cpu()


@pytest.mark.parametrize(("kind", "name"), [(Generator, "chair"), (PointGenerator, "airplane")])
def test_shipped_models_make_the_same_latents(device, kind, name):
    here, there = (kind.from_pretrained(name, device=where) for where in ("cpu", device))
    close(latents(there), latents(here))
    with torch.autocast(there.device.type, torch.bfloat16):
        rounded = latents(there)
    # The bound tells a sample apart from one that is rounded to eight bits.
    assert relative_error(rounded.float(), latents(here)) > CLOSE


def test_clouds_have_the_same_points(device):
    here, there = (
        PointGenerator.from_pretrained("airplane", device=where) for where in ("cpu", device)
    )
    for steps in (1, 4):
        clouds = [model.sample(points=500, steps=steps, seed=2)[0] for model in (here, there)]
        first, second = (torch.from_numpy(cloud.vertices.copy()) for cloud in clouds)
        close(second, first)


def test_meshes_are_closed_and_have_the_same_surface(device):
    here, there = (Generator.from_pretrained("chair", device=where) for where in ("cpu", device))
    first, second = (model.sample(resolution=48, steps=2)[0] for model in (here, there))
    assert second.is_watertight
    assert second.volume == pytest.approx(first.volume, rel=1e-3)
    assert second.bounds == pytest.approx(first.bounds, abs=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_point_networks_turn_with_their_points(device, name):
    network = ALL[name](3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    network = network.to(device)
    x = torch.randn(3, 24, 3, generator=seeded(1)).to(device)
    tokens = torch.randn(3, 3, 10, generator=seeded(2)).to(device)
    t, r = torch.tensor([[0.1, 0.4, 0.8], [0.3, 0.4, 1.0]]).to(device)
    frame, category = upright_frame("frame", 3).to(device), torch.tensor([0, 1, 0]).to(device)

    def compare(rotation):
        turn = rotation.to(device)
        given = rotate_points(frame, turn), category, rotate_tokens(tokens, turn, scalars=4)
        moved = network(rotate_points(x, turn), t, r, Condition(*given))
        plain = network(x, t, r, Condition(frame, category, tokens))
        return moved, rotate_points(plain, turn)

    def check():
        assert_equivariant(compare, num=3, generator=seeded(), dtype=torch.float32)

    if name in EQUIVARIANT:
        check()
    else:
        with pytest.raises(AssertionError, match="not equivariant"):
            check()


def test_encoder_turns_with_its_points(device):
    config = ShapeConfig(num_tokens=3, scalars=4, encoder_width=32, decoder_width=24, heads=4)
    network = FieldAutoencoder(config).to(device)
    points, normals = torch.randn(2, 3, 30, 3, generator=seeded(1)).to(device)
    frame = upright_frame("frame", 3).to(device)

    def compare(rotation):
        turn = rotation.to(device)
        moved = network.encode(*(rotate_points(v, turn) for v in (points, normals, frame)))
        return moved, rotate_tokens(network.encode(points, normals, frame), turn, scalars=4)

    assert_equivariant(compare, num=3, generator=seeded(), dtype=torch.float32)


def first_step(kind, name, where, data):
    """Loss of the first step of a stage of a tiny model, and its gradient."""
    model = tiny_models()[kind]
    if kind == "joints":
        # Figures have more joints than the tiny cloud has points; its size is no weight's.
        model.config = replace(model.config, cloud=32)
    model.to(where)
    (stage,) = (stage for stage in KINDS[kind].stage_classes() if stage.name == name)
    changes = {"steps": 2, "bf16": False, "muon_bf16": False}
    options = replace(STAGES[kind, name], **changes)
    if hasattr(options, "diagonal_first"):
        options = replace(options, diagonal_first=0.0)
    found = []
    share = Processes.share_gradients

    def sharing(self, parameters, num):
        share(self, parameters, num)
        # Copies: the optimiser clips and moves gradients in place.
        found.extend(p.grad.flatten().cpu().clone() for p in parameters if p.grad is not None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Processes, "share_gradients", sharing)
        made = stage(options, Context(model, data[kind], device=where))
        progress = next(fit(made))
    assert all(bool(p.isfinite().all()) for p in made.module.parameters())
    return progress.loss, torch.cat(found)


@pytest.mark.parametrize(("kind", "name"), STAGES)
def test_a_step_of_every_stage_is_that_of_the_processor(device, data, kind, name):
    (there, gradient), (here, expected) = (
        first_step(kind, name, where, data) for where in (device, "cpu")
    )
    assert there == pytest.approx(here, rel=CLOSE)
    assert float((gradient - expected).norm() / expected.norm()) < 5 * CLOSE
    # A gradient of other random numbers is far from it.
    assert float((gradient.roll(1) - expected).norm() / expected.norm()) > 0.1


OBJECTIVES = {
    "cumulative-jvp": lambda: Cumulative(derivative="jvp"),
    "cumulative-difference": lambda: Cumulative(derivative="difference", step=1e-2),
    "mean-flow": lambda: build_objective("mean-flow"),
    "lagrangian": Lagrangian,
    "eulerian": Eulerian,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_with_derivatives_have_the_same_losses(device, name):
    sizes = {"num_tokens": 3, "scalars": 4, "vectors": 2, "width": 32, "vector_width": 4}
    network = TokenTransformer(
        TransformerConfig(**sizes, heads=4, blocks=2, condition_width=16, num_categories=1)
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    x0, x1 = torch.randn(2, 16, 3, 10, generator=seeded(4))
    flow_map, frame = FlowMap(network, "linear", "u"), upright_frame("frame", 16)
    losses, gradients = [], []
    for where in ("cpu", device):
        flow_map.to(where).zero_grad()
        found = OBJECTIVES[name]()(
            flow_map, x0.to(where), x1.to(where), Condition(frame.to(where)), generator=seeded(5)
        ).total
        found.mean().backward()
        losses.append(found.detach().cpu())
        gradients.append(torch.cat([
            p.grad.flatten().cpu() for p in flow_map.parameters() if p.grad is not None
        ]))  # fmt: skip
    close(losses[1], losses[0], 1e-3)
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) < 1e-3


def test_precision_is_what_the_device_says(device):
    measured = measure(device)
    assert measured.error < 1e-2
    assert 0 < measured.ratio < 20
    chosen = settled(StageOptions(), device)
    assert (chosen.bf16, chosen.muon_bf16) == (measured.bf16, measured.bf16)
    kind = torch.device(device).type
    with autocast(chosen.bf16, device):
        product = torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)
        assert torch.is_autocast_enabled(kind) == measured.bf16
    assert (product.dtype == torch.bfloat16) == measured.bf16


def test_a_run_of_the_device_goes_on_on_a_processor(device, data, tmp_path):
    model = tiny_models()["points"].config.with_categories(("bottle",))
    stages = {name: replace(STAGES["points", name], steps=4) for name in ("autoencoder", "flow")}
    config = RunConfig(kind="points", model=model, stages=stages, checkpoint_every=1)
    for progress in Run.create(tmp_path / "run", config, device=device).train(data["points"]):
        if (progress.stage, progress.step) == ("flow", 2):
            break
    rest = Run.open(tmp_path / "run").train(data["points"])
    assert [(progress.stage, progress.step) for progress in rest] == [("flow", 3), ("flow", 4)]
    cloud = PointGenerator.from_pretrained(tmp_path / "run").sample(points=16)[0]
    assert cloud.vertices.shape == (16, 3)

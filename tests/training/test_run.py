"""Training runs: exact resume, atomic checkpoints, clear refusals, and learning itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from geoflow.backbones import ShapeConfig, TransformerConfig
from geoflow.condition import Condition
from geoflow.models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from geoflow.models.clouds import CloudConfig
from geoflow.models.fields import FieldConfig, Generator
from geoflow.models.kinds import load as load_model
from geoflow.training.fusing import fusing
from geoflow.training.muon import Muon, orthogonalise
from geoflow.training.optimisation import Schedule
from geoflow.training.precision import settled
from geoflow.training.run import Run, RunConfig, frozen_flow, read_config
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.latent_flow import FlowTraining
from geoflow.training.stages.point_autoencoder import PointTraining
from geoflow_datasets import load

SMALL = {"num_tokens": 4, "scalars": 4, "vectors": 1}
MODEL = FieldConfig(
    autoencoder=ShapeConfig(
        **SMALL, encoder_width=32, decoder_width=32, decoder_layers=2, heads=4, encoder_blocks=1
    ),
    transformer=TransformerConfig(
        **SMALL, width=32, vector_width=4, heads=4, blocks=2, condition_width=16
    ),
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return load("procedural", "bottle", split="train", num=6, cache=tmp_path_factory.mktemp("bank"))


POINTS = CloudConfig(
    autoencoder=replace(MODEL.autoencoder, normals=False), transformer=MODEL.transformer
)
FIRST = {
    "sdf": AutoencoderTraining(batch=4, num_surface=32, num_queries=64),
    "points": PointTraining(batch=4, num_surface=32, groups=2, group_points=16),
}


def config(steps=6, *, kind="sdf", autoencoder=None, objective="shortcut", **changes):
    first = replace(FIRST[kind], steps=steps) if autoencoder is None else autoencoder
    flow = FlowTraining(steps=steps, batch=8, num_surface=32, objective=objective)
    base = RunConfig(
        kind=kind,
        model=MODEL if kind == "sdf" else POINTS,
        stages={"autoencoder": first, "flow": flow},
        checkpoint_every=2,
    )
    return replace(base, **changes)


def weights(folder):
    tensors, _ = load_checkpoint(folder / "model" / "model.safetensors")
    return tensors


def train(run, bank, *, stop=None):
    """All steps, or up to the given (stage, step), as a kill would leave the folder."""
    for progress in run.train(bank, {"source": "test"}):
        if stop == (progress.stage, progress.step):
            return


@pytest.mark.parametrize("kind", ["sdf", "points"])
@pytest.mark.parametrize("stop", [("autoencoder", 3), ("flow", 1), ("flow", 5)])
def test_resumed_run_equals_uninterrupted_bit_for_bit(tmp_path, bank, stop, kind):
    train(Run.create(tmp_path / "whole", config(kind=kind)), bank)
    train(Run.create(tmp_path / "broken", config(kind=kind)), bank, stop=stop)
    assert not (tmp_path / "broken" / "model").exists()
    train(Run.open(tmp_path / "broken"), bank)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_another_seed_gives_other_weights(tmp_path, bank):
    train(Run.create(tmp_path / "a", config(steps=2)), bank)
    train(Run.create(tmp_path / "b", config(steps=2, seed=1)), bank)
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert any(not torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_autoencoder_learns(tmp_path, bank):
    options = AutoencoderTraining(
        steps=60, batch=6, num_surface=64, num_queries=128, schedule=Schedule(warmup=5)
    )
    run = Run.create(tmp_path / "run", config(autoencoder=options))
    losses = [p.loss for p in run.train(bank, {}) if p.stage == "autoencoder"]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_init_from_starts_from_the_model(tmp_path, bank):
    train(Run.create(tmp_path / "first", config(steps=2)), bank)
    fine = Run.create(tmp_path / "fine", config(steps=2, init_from=str(tmp_path / "first")))
    source = Generator.from_pretrained(tmp_path / "first")
    for name, value in fine.model.autoencoder.state_dict().items():
        torch.testing.assert_close(value, source.autoencoder.state_dict()[name])


def test_init_from_takes_other_categories(tmp_path):
    """A known name keeps its embedding, a new one starts from the mean; the rest is the same."""
    source = Generator.build(MODEL.with_categories(("chair", "table")))
    source.save_pretrained(tmp_path / "first", half=False)
    names = ("boat", "table", "chair")
    start = config(init_from=str(tmp_path / "first"), model=MODEL.with_categories(names))
    Run.create(tmp_path / "run", start)
    started = Run.open(tmp_path / "run").model
    assert started.categories == names
    assert load_model(tmp_path / "first").starting(source.config).categories == ("chair", "table")
    chair, table = source.flow_map.backbone.condition.category.weight
    expected = torch.stack([(chair + table) / 2, table, chair])
    for name, value in started.flow_map.state_dict().items():
        is_table = name == "backbone.condition.category.weight"
        same = expected if is_table else source.flow_map.state_dict()[name]
        torch.testing.assert_close(value, same)
    for prefix in ("autoencoder", "scale"):
        given = source.modules()[prefix].state_dict()
        for name, value in started.modules()[prefix].state_dict().items():
            assert torch.equal(value, given[name])
    started.save_pretrained(tmp_path / "second")
    assert Generator.from_pretrained(tmp_path / "second").categories == names


def test_a_flow_map_starts_from_ordinary_flow_matching_exactly(tmp_path, bank):
    """At r = t a fresh map is its flow-matching start to the bit: so are its ODE samples."""
    first = config(steps=2, objective="flow-matching")
    train(Run.create(tmp_path / "first", first), bank)
    source = Generator.from_pretrained(tmp_path / "first")
    run = Run.create(tmp_path / "map", config(steps=2, init_from=str(tmp_path / "first")))
    noise = source.noise(3)
    expected, started = (g.sample_latents(noise, steps=4, ode=True) for g in (source, run.model))
    assert torch.equal(started, expected)
    train(run, bank)
    assert not torch.equal(run.model.sample_latents(noise, steps=4, ode=True), expected)


@pytest.mark.slow
def test_a_teacher_of_steps_alone_jumps_by_steps(tmp_path, bank):
    """A flow-matching teacher knows no jumps: its ends are ignored, those of a map are not."""
    for objective, is_step in (("flow-matching", True), ("cumulative", False)):
        train(Run.create(tmp_path / objective, config(steps=2, objective=objective)), bank)
        flow_map = frozen_flow(load_model(tmp_path / objective))
        generator = Generator.from_pretrained(tmp_path / objective)
        x, t = generator.noise(3), torch.full((3,), 0.2)
        cond = Condition(generator.frame_for(3))
        near, far = (flow_map.field(x, t, torch.full((3,), r), cond) for r in (0.3, 0.9))
        assert torch.equal(near, far) == is_step


def test_generator_round_trip(tmp_path, bank):
    train(Run.create(tmp_path / "run", config(steps=2)), bank)
    generator = Generator.from_pretrained(tmp_path / "run")
    generator.save_pretrained(tmp_path / "copy")
    copy = Generator.from_pretrained(tmp_path / "copy")
    noise = generator.noise(2, seed=5)
    torch.testing.assert_close(
        generator.sample_latents(noise, steps=2),
        copy.sample_latents(noise, steps=2),
        rtol=0,
        atol=0,
    )
    # A sample is its own, whatever the batch.
    torch.testing.assert_close(noise[1:], generator.noise(1, seed=5, first=1), rtol=0, atol=0)


def test_a_run_is_not_overwritten_and_a_missing_one_not_resumed(tmp_path):
    Run.create(tmp_path / "run", config())
    with pytest.raises(FileExistsError, match="--resume"):
        Run.create(tmp_path / "run", config())
    with pytest.raises(CheckpointError, match="no run to resume"):
        Run.open(tmp_path / "other")


def test_damaged_checkpoint_is_refused_and_a_failed_write_keeps_the_old(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"x": torch.ones(3)}, {"step": 1})

    def fill_up(self, content):
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", fill_up)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(path, {"x": torch.zeros(3)}, {"step": 2})
    tensors, card = load_checkpoint(path)
    assert card == {"step": 1}
    assert torch.equal(tensors["x"], torch.ones(3))
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path)


@pytest.mark.parametrize("kind", ["sdf", "points"])
def test_a_run_survives_its_file(tmp_path, kind):
    """With what a machine settles in it: it goes on as it began, whatever the next one measures."""
    Run.create(tmp_path / "run", config(kind=kind))
    written, given = read_config(tmp_path / "run"), config(kind=kind)
    stages = {name: fusing(settled(stage, "cpu"), "cpu") for name, stage in given.stages.items()}
    assert written == replace(given, stages=stages)
    assert all(isinstance(stage.bf16, bool) for stage in written.stages.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": 1}, "RunConfig has no field speed"),
        ({"kind": "holograms"}, r"kind must be one of sdf, shapes, points, .*joints, got"),
        ({"seed": "three"}, r"RunConfig\.seed: Expected `int`, got `str`, found 'three'"),
        ({"stages": {}}, "stages must be autoencoder, flow, and may be scans, got {}"),
        ({"model": {"symmetry": "o7"}}, "found 'o7'"),
        ({"checkpoint_every": 0}, "checkpoint_every: Expected `int` >= 1, found 0"),
    ],
)
def test_a_wrong_file_of_a_run_is_one_line(tmp_path, change, message):
    content = config().to_json() | change
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message) as caught:
        Run.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_of_another_kind_is_no_start(tmp_path, bank):
    train(Run.create(tmp_path / "first", config(steps=1)), bank)
    start = str(tmp_path / "first")
    with pytest.raises(CheckpointError, match="of kind 'sdf', the run's is 'points'"):
        Run.create(tmp_path / "run", config(kind="points", init_from=start))
    assert not (tmp_path / "run").exists()


def test_orthogonalise_brings_singular_values_near_one():
    matrices = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(0))
    for m in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalise(m))
        assert values.min() > 0.5
        assert values.max() < 1.4
    assert torch.linalg.svdvals(matrices).max() > 5


def test_muon_refuses_vectors():
    with pytest.raises(ValueError, match="takes matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))])

"""Models of many things: trained on scans, resumed to the bit, kept by average, any points in."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from geoflow.backbones import TransformerConfig
from geoflow.backbones.volume_field import VolumeConfig
from geoflow.models.base import describe
from geoflow.models.checkpoint import load_tensors
from geoflow.models.kinds import load as load_model
from geoflow.models.volumes import SIZES, VolumeGenerator, VolumesConfig
from geoflow.training.run import Run, RunConfig
from geoflow.training.stages.scans import ScanOptions
from geoflow.training.stages.volume_autoencoder import VolumeTraining
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_cli import main
from geoflow_datasets import load

MODEL = VolumesConfig(
    categories=("bottle",),
    autoencoder=VolumeConfig(
        cells=2, scalars=6, widths=(32, 16, 16, 16), cell_blocks=1, coarse_blocks=1, hidden=16,
        layers=1,
    ),
    transformer=TransformerConfig(
        num_tokens=8, scalars=6, vectors=0, width=32, vector_width=4, heads=4, blocks=1,
        condition_width=16, guided=True, points=True,
    ),
)  # fmt: skip
CONFIG = RunConfig(
    kind="shapes",
    model=MODEL,
    stages={
        "autoencoder": VolumeTraining(
            steps=6, batch=2, num_queries=32, scans=ScanOptions(fewest=16, most=32)
        ),
        "flow": VolumeFlowTraining(
            steps=2, batch=4, num_surface=32, draws=48, scans=ScanOptions(fewest=16, most=32)
        ),
    },
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return load("procedural", "bottle", split="train", num=4, cache=tmp_path_factory.mktemp("bank"))


def weights(model):
    return {name: p.clone() for name, p in model.autoencoder.state_dict().items()}


@pytest.fixture(scope="module")
def trained(bank, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run = Run.create(folder, CONFIG)
    list(run.train(bank))
    return folder, run


def test_a_killed_run_ends_with_the_same_bits(bank, trained, tmp_path):
    run = Run.create(tmp_path / "killed", CONFIG)
    for progress in run.train(bank):
        if progress.step == 5:
            break
    again = Run.open(tmp_path / "killed")
    steps = [p.step for p in again.train(bank) if p.stage == "autoencoder"]
    assert steps == [5, 6]
    ended, whole = weights(again.model), weights(trained[1].model)
    assert all(torch.equal(ended[name], whole[name]) for name in whole)


def test_the_average_is_kept_and_the_file_reads_back(trained):
    folder, run = trained
    loaded = load_model(folder)
    assert isinstance(loaded, VolumeGenerator)
    assert loaded.config == MODEL
    kept = weights(loaded)
    small = [name for name in kept if re.fullmatch(VolumeGenerator.float8, f"autoencoder.{name}")]
    assert small
    assert not any(name.startswith("decoder.") for name in small)
    (in_rows,) = (n for n in kept if re.fullmatch(VolumeGenerator.int8, f"autoencoder.{n}"))
    assert in_rows == "encoder.down_cells.weight"
    for name, value in weights(run.model).items():
        if name == in_rows:
            step = value.abs().amax((1, 2, 3, 4), keepdim=True) / 127
            assert ((kept[name] - value).abs() <= 0.51 * step).all()
            continue
        stored = torch.float8_e4m3fn if name in small else torch.half
        assert torch.equal(kept[name], value.to(stored).float())
    tokens = loaded.sample_latents(loaded.noise(2), steps=2)
    assert torch.isfinite(tokens).all()


def test_any_points_are_encoded_and_fitted(trained, bank):
    _, run = trained
    generator = torch.Generator().manual_seed(0)
    shapes = bank.batch(np.arange(2), num_surface=64, num_queries=1, generator=generator)
    points, normals, _ = shapes.surface, *shapes.field()[:2]
    model = run.model
    kinds = ({"normals": normals}, {"normals": normals, "oriented": False}, {})
    answers = [model.encode(points, **kind) for kind in kinds]
    assert all(answer.shape == (2, 8, 6) for answer in answers)
    assert not torch.allclose(answers[0], answers[1])
    assert not torch.allclose(answers[1], answers[2])
    before = model.field(answers[2][0])(points[0]).abs().mean()
    refined = model.encode(points, refine=8)
    assert model.field(refined[0])(points[0]).abs().mean() < before


def test_sizes_have_names_and_volumes_stand_in_a_frame(tmp_path):
    counts = []
    for size in SIZES:
        config = VolumesConfig.build(symmetry="frame", categories=("a", "b"), size=size)
        model = VolumeGenerator.build(config)
        assert config.transformer.num_categories == 2
        counts.append(sum(p.numel() for m in model.modules().values() for p in m.parameters()))
    assert counts == sorted(counts)
    # As it is stored, the base fits beside the other shipped models.
    config = VolumesConfig.build(symmetry="frame", categories=("a", "b"), size="base")
    VolumeGenerator.build(config).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 12e6
    with pytest.raises(ValueError, match="size must be one of small, base, large, got 'huge'"):
        VolumesConfig.build(symmetry="frame", categories=("a",), size="huge")
    with pytest.raises(ValueError, match="symmetry must be frame, got so2"):
        VolumesConfig.build(symmetry="so2", categories=("a",))


def test_options_go_to_json_and_back():
    assert RunConfig.from_json(CONFIG.to_json()) == CONFIG
    wrong = CONFIG.to_json()
    wrong["stages"]["autoencoder"]["scans"]["bare"] = 1.5
    with pytest.raises(ValueError, match=r"scans.bare.*found 1.5"):
        RunConfig.from_json(wrong)


def test_a_model_without_a_flow_makes_no_samples_and_can_be_given_one(trained, bank, tmp_path):
    _, run = trained
    alone = VolumeGenerator(
        run.model.autoencoder, run.model.flow_map, run.model.scale.__class__(8, 6, 0, 3),
        replace(MODEL, generates=False),
    )  # fmt: skip
    alone.save_pretrained(tmp_path / "alone")
    file = describe(tmp_path / "alone")
    assert not file.has_samples
    assert not any(name.startswith("flow") for name in load_tensors(file.path))
    model = load_model(tmp_path / "alone")
    with pytest.raises(ValueError, match="it makes no samples"):
        model.sample(resolution=8)
    assert main(["sample", "--model", str(tmp_path / "alone"), "--out", "a.obj"]) == 2
    # Twins: with its flow it does, and a run from it trains one, on latents that it scales.
    assert describe(trained[0]).has_samples
    stages = {**CONFIG.stages, "autoencoder": replace(CONFIG.stages["autoencoder"], steps=0)}
    on = replace(CONFIG, init_from=str(tmp_path / "alone"), stages=stages)
    list(Run.create(tmp_path / "on", on).train(bank))
    made = load_model(tmp_path / "on")
    assert made.config == MODEL
    assert made.scale.is_fitted
    assert torch.isfinite(made.sample_latents(made.noise(1))).all()

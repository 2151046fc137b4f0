"""Quality against evaluations: what a pairing sees, what is counted, and what data score."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geoflow.backbones import JointTransformerConfig, ShapeConfig, TransformerConfig
from geoflow.flow_map import FlowMap
from geoflow.geometry.metrics import Estimate
from geoflow.interpolant import INTERPOLANTS
from geoflow.models.clouds import CloudConfig, PointGenerator
from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.models.joints import Rigger, RiggerConfig
from geoflow.oracles.gaussian import GaussianField
from geoflow_datasets import load
from geoflow_tools.validation import joints, samples
from geoflow_tools.validation.distribution import distribution_quality
from geoflow_tools.validation.joints import joint_quality
from geoflow_tools.validation.samples import shape_quality
from geoflow_tools.validation.step_quality import pairing_distance

EVALUATIONS = 1 + 2 + 4 + 8 + 50
SMALL = {"num_tokens": 4, "scalars": 4, "vectors": 1}
SHAPES = CloudConfig(
    categories=("bottle",),
    autoencoder=ShapeConfig(
        **SMALL,
        encoder_width=32,
        decoder_width=32,
        decoder_layers=2,
        heads=4,
        encoder_blocks=1,
        normals=False,
    ),
    transformer=TransformerConfig(
        **SMALL, width=32, vector_width=4, heads=4, blocks=2, condition_width=16
    ),
)
JOINTS = RiggerConfig(
    network=JointTransformerConfig(
        surface_tokens=4, width=16, vector_width=4, blocks=1, surface_blocks=1, heads=2
    ),
    num_points=64,
    cloud=32,
)


@pytest.fixture
def evaluations(monkeypatch):
    """One entry for each evaluation of a flow map."""
    calls = []
    field = FlowMap.field

    def counted(self, *arguments, **named):
        calls.append(1)
        return field(self, *arguments, **named)

    monkeypatch.setattr(FlowMap, "field", counted)
    return calls


def test_a_pairing_sees_bad_samples_and_missing_shapes():
    rng = np.random.default_rng(0)
    data = [rng.uniform(-1, 1, (64, 3)) * rng.uniform(0.2, 1, 3) for _ in range(6)]
    assert pairing_distance(data[::-1], data) == Estimate(0.0, 0.0)
    for worse in ([data[0]] * 6, [*data[:5], 3 * data[5]], [*data[:5], np.zeros((1, 3))]):
        assert pairing_distance(worse, data).value > 0.02
    # Copies of one good shape are no further from the nearest one than data are.
    assert pairing_distance([data[0]], data).value == 0
    with pytest.raises(ValueError, match="expected two sets of clouds, got 0 and 6"):
        pairing_distance([], data)


@pytest.mark.slow
def test_shapes_are_as_near_as_others_of_the_data_are(monkeypatch, evaluations):
    """Samples that are held-out shapes have distance 0; so do training shapes that are."""
    banks = [load("procedural", "bottle", split=split, num=3) for split in ("val", "train")]
    generator = PointGenerator.build(SHAPES)
    found = shape_quality(generator, *banks, num=2)
    assert len(evaluations) == 2 * EVALUATIONS  # of shapes, and of their points
    assert "2 held-out shapes" in found.measure
    assert shape_quality(generator, *banks, num=2) == found
    assert list(found.to_ode) == list(found.evaluations)
    assert min(found.to_ode.values()) > 0
    drawn = []

    def perfect(generator, tokens, *, steps, ode):
        drawn.append((len(tokens), steps, ode))
        return samples._clouds(banks[0], np.array([0, 2]), "frame", seed=0)[::-1]

    monkeypatch.setattr(samples, "_decode", perfect)
    best = shape_quality(generator, *banks, num=2)
    assert drawn == [(2, steps, False) for steps in (1, 2, 4, 8)] + [(2, 50, True)]
    assert [*best.evaluations.values(), best.ode, *best.to_ode.values()] == [0.0] * 9
    assert 0 < best.floor == found.floor < min(found.evaluations.values())
    # Upright samples are no samples of shapes in any pose: its shapes are turned.
    free = replace(SHAPES.autoencoder, frame_size=0), replace(SHAPES.transformer, frame_size=0)
    config = replace(SHAPES, symmetry="so3", autoencoder=free[0], transformer=free[1])
    turned = replace(generator, config=config)
    monkeypatch.setattr(PointGenerator, "sample_latents", lambda self, noise, cond, **named: noise)
    assert shape_quality(turned, *banks, num=2).ode > 0.05


def test_points_of_an_exact_map_are_as_near_as_data_at_any_count(evaluations):
    std = torch.tensor([0.2, 1.0, 2.0])

    def draw(num, generator):
        return std * torch.randn(num, 3, generator=generator)

    path = INTERPOLANTS["linear"]()
    model = GeometryDistribution.build(DistributionConfig(interpolant="linear"))
    exact, wrong = (
        replace(model, flow_map=FlowMap(GaussianField(torch.zeros(3), s, path, "x1"), path, "x1"))
        for s in (std, 1.5 * std)
    )
    found = distribution_quality(exact, draw)
    assert len(evaluations) == EVALUATIONS
    assert list(found.evaluations) == ["1", "2", "4", "8"]
    assert max(found.evaluations.values()) < 1.1 * found.floor
    off = distribution_quality(wrong, draw)
    assert off.floor == found.floor
    assert min(off.evaluations.values()) > 1.3 * off.floor


def test_exact_joints_score_nothing_and_untrained_ones_much(monkeypatch, evaluations):
    figures = load("procedural", gives="figures", split="val", num=3)
    rigger = Rigger.build(JOINTS)
    found = joint_quality(rigger, figures)
    assert len(evaluations) == EVALUATIONS
    assert found.floor is None
    assert set(found.errors) == {*found.evaluations, "ode"}
    assert min(found.evaluations.values()) > 1
    clouds = [np.repeat(figures.figure(i)[1], 2, axis=0) for i in range(len(figures))]
    monkeypatch.setattr(joints, "predict_clouds", lambda *_, **__: clouds)
    sharp = replace(rigger, config=replace(JOINTS, merge=1e-6))
    assert max(joint_quality(sharp, figures).evaluations.values()) < 1e-3


def test_a_map_that_overflows_ends_no_run():
    model = GeometryDistribution.build(DistributionConfig(width=16, blocks=1)).to("cpu")
    model.flow_map.backbone.backbone.write.bias.data.fill_(float("inf"))
    surface = torch.ones(5000, 3)
    found = distribution_quality(model, lambda num, generator: surface[:num])
    assert found.ode == pytest.approx(3**0.5)
    assert found.floor == 0

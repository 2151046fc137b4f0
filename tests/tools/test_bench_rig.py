"""The rigging benchmark: its diffusion sampler is right, and a short run fills the table."""

import json

import numpy as np
import pytest
import torch

from geoflow.flow_map import FlowMap
from geoflow.interpolant import VariancePreserving
from geoflow.models.joints import Rigger, RiggerConfig
from geoflow.oracles.gaussian import GaussianField
from geoflow.training.stages.joints import JointTraining
from geoflow_datasets import load
from geoflow_tools.bench.rig import RigBenchmark, sample_diffusion
from geoflow_tools.validation.joints import predict_clouds, score_clouds, tune_merging


@pytest.mark.parametrize("ancestral", [True, False])
def test_diffusion_ends_at_the_data(ancestral):
    """Points of N((0.5, 0, -0.5), diag(0.2, 0.5, 0.8)^2), whose noise field is known."""
    mean, std = torch.tensor([0.5, 0.0, -0.5]), torch.tensor([0.2, 0.5, 0.8])
    path = VariancePreserving()
    flow_map = FlowMap(GaussianField(mean, std, path, "x0"), path, "x0")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 200, 3, generator=generator)

    def sample(steps):
        end = sample_diffusion(
            flow_map, noise, steps=steps, ancestral=ancestral, generator=generator
        )
        return end.flatten(0, 1)

    end = sample(200)
    torch.testing.assert_close(end.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(end.std(0), std, rtol=0, atol=0.03)
    assert (sample(2).std(0) - std).abs().max() > 0.05
    exact = flow_map.interpolant, mean + std * noise
    near = (end - exact[1].flatten(0, 1)).abs().max()
    assert (near < 0.1) != ancestral  # DDIM follows the ODE, fresh noise leaves it.


def test_perfect_clouds_get_perfect_scores_and_the_merging_is_tuned():
    bank = load("procedural", gives="figures", split="val", num=3)
    rigger = Rigger.build(RiggerConfig(merge=5.0))
    rng = np.random.default_rng(0)
    clouds = [np.repeat(bank.figure(i)[1], 2, axis=0).astype(float) for i in range(3)]
    clouds = [cloud + rng.normal(0, 1e-3, cloud.shape) for cloud in clouds]
    assert score_clouds(rigger, bank, clouds)["iou"] < 20
    scores = score_clouds(tune_merging(rigger, bank, clouds), bank, clouds)
    assert scores["iou"] == scores["recall"] == 100
    assert scores["chamfer"] < 0.1
    assert scores["joints"] == 100


def test_clouds_do_not_depend_on_the_size_of_the_bank():
    bank = load("procedural", gives="figures", split="val", num=3)
    (first, *_), (alone,) = (
        predict_clouds(some, lambda points: points[:, :4], num_points=8)
        for some in (bank, bank.subset([0]))
    )
    assert first.shape == alone.shape == (4, 3)


def test_a_short_run_fills_the_table(tmp_path):
    benchmark = RigBenchmark(
        runs=tmp_path,
        figures=6,
        test=3,
        validation=3,
        map_steps=(1, 2),
        ode_steps=(2,),
        ddim_steps=(2,),
        ancestral_steps=(3,),
        training=JointTraining(steps=1, batch=2),
    )
    report = json.loads(json.dumps(benchmark.measure()))
    rows = report["per cent"]
    assert list(rows) == ["map 1", "map 2", "ode 2", "ddim 2", "ddpm 3"]
    assert [row["nfe"] for row in rows.values()] == [1, 2, 2, 2, 3]
    assert all(np.isfinite(list(row.values())).all() for row in rows.values())

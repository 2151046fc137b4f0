"""The rigging benchmark: scores are right, and a short run fills the table."""

import json

import numpy as np

from geoflow.models.joints import Rigger, RiggerConfig
from geoflow.training.stages.joints import JointTraining
from geoflow_datasets import load
from geoflow_tools.bench.rig import RigBenchmark
from geoflow_tools.validation.joints import predict_clouds, score_clouds, tune_merging


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
    assert report["trained"].keys() == {"map", "ddpm"}
    assert {found["steps"] for found in report["trained"].values()} == {1}
    assert min(found["seconds"] for found in report["trained"].values()) > 0


def test_a_training_of_a_given_time_gets_its_steps_and_is_not_repeated(tmp_path):
    benchmark = RigBenchmark(
        runs=tmp_path, figures=6, test=2, validation=3, seconds=1e-3, map_steps=(), ode_steps=(),
        ddim_steps=(), ancestral_steps=(2,), training=JointTraining(batch=1),
    )  # fmt: skip
    report = benchmark.measure()
    assert report["training"]["steps"] == 2_000
    (found,) = report["trained"].values()
    assert found["steps"] == 1
    assert found["seconds"] > 0
    # A second call finds the run, trains nothing, and says so.
    again = benchmark.measure()
    assert again["trained"] == {"ddpm": {"steps": 1, "seconds": None}}
    assert again["per cent"] == report["per cent"]

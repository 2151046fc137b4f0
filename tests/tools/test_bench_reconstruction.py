"""Reconstructions scored: exact fields are perfect, others not; every row is what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from tiny_models import tiny_models

from geoflow_datasets import load
from geoflow_tools.bench.reconstruction import (
    Given,
    ReconstructionBenchmark,
    is_one_piece,
    score,
    view,
)


@pytest.fixture(scope="module")
def bank():
    return load("procedural", "mug", split="test", num=3)


class Perfect:
    """Answers with the distances that the bank has, or with others."""

    def __init__(self, bank, shift=0.0):
        self.bank, self.shift, self.row, self.asked = bank, shift, -1, []

    def encode(self, points, normals, *, recycle, refine):
        self.row += 1
        self.asked.append((points.shape[1], normals is not None, recycle, refine))
        return torch.zeros(1, 1, 1)

    def field(self, tokens, *, through):
        self.through = through
        sdf = torch.from_numpy(self.bank.uniform_queries(self.row)[1])
        return lambda queries: sdf + self.shift


def test_a_perfect_model_has_all_of_the_volume_and_another_less(bank):
    rows, given = np.arange(3), Given(100, True, 0.0, refine=2, recycle=1)
    model = Perfect(bank)
    made = score(model, bank, rows, given, meshes=False)
    assert made.iou_mean == made.iou_median == 1.0
    assert model.asked == [(100, True, 1, 2)] * 3
    assert model.through is None
    score(Perfect(bank), bank, rows, given, meshes=False)
    mended = Perfect(bank)
    score(mended, bank, rows[:1], replace(given, mend=True), meshes=False)
    assert torch.equal(mended.through.points, view(bank, 0, given)[0])
    assert score(Perfect(bank, 0.02), bank, rows, given, meshes=False).iou_mean < 0.95


def test_views_are_of_the_shape_and_the_same_each_time(bank):
    points, normals = view(bank, 1, Given(50, True, 0.0))
    stored = torch.from_numpy(np.asarray(bank.surface[1], np.float32))
    assert torch.cdist(points[0], stored).amin(1).max() == 0
    assert normals.shape == points.shape
    noisy, none = view(bank, 1, Given(50, False, 0.05))
    assert none is None
    assert 0.02 < (noisy - points).std() < 0.08
    assert torch.equal(noisy, view(bank, 1, Given(50, False, 0.05))[0])
    every, _ = view(bank, 1, Given(2048, True, 0.0))
    assert len(np.unique(every[0].numpy(), axis=0)) == len(np.unique(stored.numpy(), axis=0))
    with pytest.raises(ValueError, match="points must be at most 2048, as the data has, got 2049"):
        view(bank, 1, Given(2049, True, 0.0))


def test_one_piece_is_what_hangs_together():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4).vertices
    assert is_one_piece(ball)
    assert is_one_piece(np.concatenate([ball, ball + np.array([0.85, 0, 0])]))
    assert not is_one_piece(np.concatenate([ball, ball + np.array([0.95, 0, 0])]))


def test_a_model_is_scored_by_a_command(tmp_path):
    model = tiny_models()["shapes"]
    model.save_pretrained(tmp_path / "model")
    asked = ReconstructionBenchmark(
        model=str(tmp_path / "model"),
        category="mug",
        num=2,
        bare=(64,),
        refine=(0, 1),
        meshes=False,
    )
    report = asked.measure()
    assert report["shapes"] == 2
    names = "points", "normals", "noise", "refine", "recycle"
    given = [tuple(s[name] for name in names) for s in report["scores"]]
    assert given == [(2048, True, 0.0, 0, 1), (2048, True, 0.0, 1, 1), (64, False, 0.01, 0, 1)]
    assert all(0 <= s["iou_mean"] <= 1 and s["seconds"] > 0 for s in report["scores"])
    again = replace(asked, bare=(), refine=(0,), recycle=(0, 2)).measure()["scores"]
    assert [s["recycle"] for s in again] == [0, 2]
    joined = replace(asked, bare=(), refine=(0,), join=(None, 0.0, 0.02)).measure()["scores"]
    assert [s["join"] for s in joined] == [None, 0.0, 0.02]
    # Of a model that learnt to mend, each comes twice.
    model.learn_to_mend(8)
    with torch.no_grad():
        model.autoencoder.decoder.residual.out.bias[0] = 9.0
    model.save_pretrained(tmp_path / "model")
    scores = asked.measure()["scores"]
    assert [s["mend"] for s in scores] == [False, True] * 3
    assert [tuple(s[name] for name in names) for s in scores[::2]] == given
    assert [s["iou_mean"] for s in scores[::2]] == [s["iou_mean"] for s in report["scores"]]
    assert scores[1]["iou_mean"] > scores[0]["iou_mean"] + 0.2

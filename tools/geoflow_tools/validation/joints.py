"""Scores of riggers on a bank of figures, and the merging distance that suits them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.geometry.joints import JointScores, local_radius, score_joints
from geoflow.geometry.metrics import Estimate, chamfer_distance
from geoflow.models.joints import Rigger
from geoflow.training.reports import Validate, Validation
from geoflow.training.run import Run
from geoflow_datasets.figure_bank import FigureBank
from geoflow_tools.validation.step_quality import StepQuality, climb

# Longest edge of the box of a bank's figures.
SIZE = 2.0
_BATCH = 32
_DISTANCES = (0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)

Sampler = Callable[[Float[Tensor, "b n 3"]], Float[Tensor, "b k 3"]]


def validator(run: Run, loaded: Any) -> Validate:
    """CD-J2J on held-out figures, by evaluations."""

    def validate(progress: Any) -> Validation:
        rigger: Any = run.averaged()
        return Validation({"quality": asdict(joint_quality(rigger, loaded.validation))})

    return validate


def predict_clouds(
    bank: FigureBank, sampler: Sampler, *, num_points: int
) -> list[Float[np.ndarray, "_ 3"]]:
    """A cloud for each figure of a bank, from the same surface points in every call."""
    generator, clouds = torch.Generator().manual_seed(0), []
    for start in range(0, len(bank), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(bank)))
        points, _, _ = bank.batch(rows, num_points=num_points, generator=generator)
        clouds += list(sampler(points).double().numpy())
    return clouds


def score_clouds(
    rigger: Rigger, bank: FigureBank, clouds: list[Float[np.ndarray, "_ 3"]]
) -> dict[str, float]:
    """Means over the figures, all in per cent.

    `chamfer` is CD-J2J with its standard error beside it; `cloud` the same for the points before
    they are merged; `joints` the number of joints found over those there.
    """
    scores: list[JointScores] = []
    before, shares = [], []
    for i, cloud in enumerate(clouds):
        surface, joints = bank.figure(i)
        found = rigger.merge(cloud, surface)
        tolerance = local_radius(joints, surface)
        scores.append(score_joints(found, joints, tolerance=tolerance, size=SIZE))
        before.append(chamfer_distance(cloud, joints) / SIZE)
        shares.append(len(found) / len(joints))
    values = {
        name: 100 * np.array([getattr(score, name) for score in scores])
        for name in ("chamfer", "iou", "precision", "recall")
    }
    report = {name: round(float(value.mean()), 2) for name, value in values.items()}
    error = float(values["chamfer"].std(ddof=1)) / math.sqrt(len(scores))
    report["chamfer_error"] = round(error, 2)
    report["cloud"] = round(100 * float(np.mean(before)), 2)
    report["joints"] = round(100 * float(np.mean(shares)), 1)
    return report


def tune_merging(
    rigger: Rigger, bank: FigureBank, clouds: list[Float[np.ndarray, "_ 3"]]
) -> Rigger:
    """The rigger with the merging that gives its clouds the best IoU on a bank."""
    tried = [
        replace(rigger, config=replace(rigger.config, merge=distance, least=least))
        for distance in _DISTANCES
        for least in (1, 2)
    ]
    return max(tried, key=lambda candidate: score_clouds(candidate, bank, clouds)["iou"])


def joint_quality(rigger: Rigger, held_out: FigureBank) -> StepQuality:
    """Joints of held-out figures against those that they have."""
    device = rigger.device

    def measure(steps: int, ode: bool) -> Estimate:
        def sampler(points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b k 3"]:
            return rigger.predict(points.to(device), steps=steps, ode=ode).cpu()

        clouds = predict_clouds(held_out, sampler, num_points=rigger.config.num_points)
        scores = score_clouds(rigger, held_out, clouds)
        return Estimate(scores["chamfer"], scores["chamfer_error"])

    return climb(f"CD-J2J on {len(held_out)} held-out figures, %", measure)

"""All scores of two sets as one table of plain numbers, and the table as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from geoflow.geometry.metrics import (
    DISTANCES,
    coverage,
    jensen_shannon_divergence,
    minimum_matching_distance,
    one_nn_accuracy,
)
from geoflow.geometry.metrics.estimate import share
from geoflow.geometry.metrics.jsd import outside_share
from geoflow_tools.evaluation.point_set import MESH_METRICS

Clouds = Float[np.ndarray, "_ p 3"]
_NAMES = {
    "chamfer_squared": "CD, squared, sum of both directions",
    "chamfer": "CD, unsquared, mean of both directions",
    "emd": "EMD, exact, unsquared",
}
_BELOW = "under 50 is not better"
_FAR_BELOW = f"{_BELOW}: samples are nearer to references than those to each other"


def score(
    matrices: Mapping[str, Mapping[str, np.ndarray]],
    *,
    samples: Clouds,
    reference: Clouds,
    passed: Bool[np.ndarray, "k 3"],
    empty: int,
) -> dict[str, Any]:
    """Scores of sets by each distance, JSD, and the shares of meshes that are sound.

    Args:
        matrices: by distance and by MATRICES.
        samples: normalised points.
        reference: normalised points.
        passed: a row of MESH_METRICS for each sample that is a mesh.
        empty: samples without a surface, which count as unsound.
    """
    scores: dict[str, Any] = {}
    for name in (name for name in DISTANCES if name in matrices):
        by = matrices[name]
        scores[name] = {
            "one_nna": asdict(one_nn_accuracy(by["samples"], by["reference"], by["between"])),
            "coverage": asdict(coverage(by["between"])),
            "minimum_matching_distance": asdict(minimum_matching_distance(by["between"])),
        }
    scores["jsd"] = {
        "value": jensen_shannon_divergence(samples, reference),
        "standard_error": None,
        "outside": {"samples": outside_share(samples), "reference": outside_share(reference)},
    }
    if len(passed) + empty:
        rows = np.concatenate([passed, np.zeros((empty, len(MESH_METRICS)), dtype=bool)])
        for column, name in enumerate(MESH_METRICS):
            scores[name] = asdict(share(rows[:, column]))
    return scores


def summary(report: Mapping[str, Any]) -> list[str]:
    """A report as lines, one per metric, its conventions beside the numbers."""
    metrics, shapes = report["metrics"], report["shapes"]
    empty = f" ({shapes['empty']} more without a surface)" if shapes["empty"] else ""
    lines = [
        f"{shapes['samples']} samples{empty} against {shapes['reference']} references, "
        f"{report['points']} points each, normalisation: {report['normalise']}"
    ]
    for side, refused in report["refused"].items():
        lines += [f"refused of {side}: {said}" for said in refused]
    for name in (name for name in DISTANCES if name in metrics):
        scores = metrics[name]
        points = f", {report['emd_points']} of the points" if name == "emd" else ""
        lines.append(f"{_NAMES[name]}{points}:")
        accuracy = scores["one_nna"]
        lines.append(f"  1-NNA     {_percent(accuracy)} ({_halves(accuracy)}; {_judge(accuracy)})")
        lines.append(f"  coverage  {_percent(scores['coverage'])}")
        lines.append(f"  MMD       {_number(scores['minimum_matching_distance'])}")
    if not report["emd_points"]:
        lines.append("EMD: left out (--emd-points 0)")
    outside = metrics["jsd"]["outside"]
    lines.append(
        f"JSD         {metrics['jsd']['value']:.4f} bits (outside the sphere: "
        f"{100 * outside['samples']:.1f} % of samples' points, "
        f"{100 * outside['reference']:.1f} % of references')"
    )
    for name in (name for name in MESH_METRICS if name in metrics):
        lines.append(f"{name.replace('_', ' ')}: {_percent(metrics[name])} of samples")
    return lines


def _halves(accuracy: Mapping[str, float]) -> str:
    """Of either set: samples that are all copies of one shape, and references, may meet at 50."""
    return f"samples {100 * accuracy['samples']:.1f}, references {100 * accuracy['references']:.1f}"


def _judge(accuracy: Mapping[str, float]) -> str:
    """What an accuracy means: a low one is a sign of copies once it is beyond its noise."""
    value, standard_error = accuracy["value"], accuracy["standard_error"]
    if value >= 0.5:
        return "50 is ideal"
    far = value < 0.5 - 2 * standard_error
    return f"50 is ideal; {_FAR_BELOW if far else _BELOW}"


def _percent(estimate: Mapping[str, float | None]) -> str:
    value, error = estimate["value"], estimate["standard_error"]
    assert value is not None
    return f"{100 * value:.1f}" + ("" if error is None else f" ± {100 * error:.1f}") + " %"


def _number(estimate: Mapping[str, float | None]) -> str:
    value, error = estimate["value"], estimate["standard_error"]
    return f"{value:.5g}" + ("" if error is None else f" ± {error:.2g}")

"""What neighbours cost: every backend that is present, and Chamfer distance against Open3D's."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geoflow import __version__, neighbors
from geoflow_tools.bench.timing import median_seconds


@dataclass(frozen=True)
class NeighboursBenchmark:
    """Time knn, radius, fps and chamfer of two clouds on the unit sphere, float32, on the CPU."""

    points: int = 2_048
    """Points of each cloud."""
    k: int = 16
    """Neighbours of knn, and at most of radius."""
    radius: float = 0.1
    """Radius, in units of the sphere's."""
    samples: int = 256
    """Farthest points."""
    repeats: int = 31
    """Repeats of each call, in turn; medians are reported."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """Medians in seconds, and their ratios to Open3D's (chamfer) and to plain's (others)."""
        generator = torch.Generator().manual_seed(0)
        a, b = torch.nn.functional.normalize(
            torch.randn(2, 1, self.points, 3, generator=generator), dim=-1
        )
        present = [name for name in neighbors.BACKENDS if not neighbors.missing(name)]
        operations: dict[str, Callable[[], object]] = {
            "knn": lambda: neighbors.knn(a, b, self.k),
            "radius": lambda: neighbors.radius(a, b, self.radius, self.k),
            "fps": lambda: neighbors.fps(a, self.samples),
            "chamfer": lambda: neighbors.chamfer(a, b),
        }
        seconds: dict[str, dict[str, float]] = {}
        ratios: dict[str, float] = {}
        for operation, call in operations.items():
            calls = {
                name: _forced(name, call)
                for name in present
                if operation in neighbors.BACKENDS[name].operations
            }
            base = "plain"
            if operation == "chamfer":
                base = "open3d"
                calls[base] = _open3d_chamfer(a[0], b[0])
            found = median_seconds(calls, repeats=self.repeats)
            seconds[operation] = found
            ratios |= {
                f"{operation}, {name} / {base}": value / found[base]
                for name, value in found.items()
                if name != base
            }
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "points": self.points,
            "k": self.k,
            "samples": self.samples,
            "median_seconds": seconds,
            "ratios": ratios,
            "chamfer difference": abs(
                float(neighbors.chamfer(a, b)) - _open3d_chamfer(a[0], b[0])()
            ),
        }


def _forced(name: str, call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        before = os.environ.get(neighbors.ENVIRONMENT)
        os.environ[neighbors.ENVIRONMENT] = name
        try:
            return call()
        finally:
            del os.environ[neighbors.ENVIRONMENT]
            if before is not None:
                os.environ[neighbors.ENVIRONMENT] = before

    return run


def _open3d_chamfer(a: Tensor, b: Tensor) -> Callable[[], float]:
    import open3d

    # Conversion to Open3D's own clouds is not timed.
    first, second = (
        open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.double().numpy()))
        for points in (a, b)
    )

    def call() -> float:
        there = np.asarray(first.compute_point_cloud_distance(second)).mean()
        back = np.asarray(second.compute_point_cloud_distance(first)).mean()
        return float(there + back) / 2

    return call

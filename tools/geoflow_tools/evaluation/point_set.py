"""A set of shapes as points, with what is known of their meshes, kept as one file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float

from geoflow.atomic import write_bytes
from geoflow.geometry.metrics import METRICS
from geoflow_datasets.bank import ShapeBank
from geoflow_tools.evaluation.shapes import Shape, draw_points, read_shape

MESH_METRICS = ("watertight", "edge_manifold", "single_component")
"""Keys of METRICS that a mesh either passes or not."""


@dataclass(frozen=True)
class PointSet:
    """Points of m shapes; for those that are meshes, a row of MESH_METRICS."""

    points: Float[np.ndarray, "m p 3"]
    passed: Bool[np.ndarray, "k 3"]

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, points=self.points, passed=self.passed)
        write_bytes(path, buffer.getvalue())

    @staticmethod
    def load(path: Path) -> PointSet:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return PointSet(arrays["points"], arrays["passed"])


class PointSetBuilder:
    """Draws points of shapes in turn, those of each from a stream of its own."""

    def __init__(self, num_points: int, seed: Sequence[int]) -> None:
        self.num_points, self.seed = num_points, tuple(seed)
        self.points: list[np.ndarray] = []
        self.passed: list[list[bool]] = []

    def add(self, name: str, shape: Shape) -> None:
        """Draw from the next shape.

        Raises:
            ValueError: naming the shape, if it has too few points.
        """
        sequence = np.random.SeedSequence([*self.seed, len(self.points)])
        stream = int(sequence.generate_state(1)[0])
        self.points.append(draw_points(shape, self.num_points, seed=stream, source=name))
        if isinstance(shape, trimesh.Trimesh):
            self.passed.append([METRICS[metric](shape) for metric in MESH_METRICS])

    def build(self) -> PointSet:
        """The set.

        Raises:
            ValueError: if it is empty.
        """
        if not self.points:
            raise ValueError("there is no shape to measure: no sample has a surface")
        passed = np.array(self.passed, dtype=bool).reshape(-1, len(MESH_METRICS))
        return PointSet(np.stack(self.points), passed)


def shapes_of_files(files: Iterable[Path]) -> Iterator[tuple[str, Shape]]:
    """Name and shape of each file."""
    for path in files:
        yield str(path), read_shape(path)


def shapes_of_bank(bank: ShapeBank) -> Iterator[tuple[str, Shape]]:
    """Name and surface points of each shape of a bank."""
    for name, points in zip(bank.names, bank.surface, strict=True):
        yield name, np.asarray(points, dtype=np.float64)

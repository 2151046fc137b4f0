"""A set of shapes as points, with what is known of their meshes, kept as one file."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float

from geoflow.arrays import load_npz
from geoflow.atomic import reading, write_bytes
from geoflow.geometry.metrics import METRICS
from geoflow_datasets.bank import ShapeBank
from geoflow_tools.evaluation.shapes import Shape, draw_points, read_shape

MESH_METRICS = ("watertight", "edge_manifold", "single_component")
"""Keys of METRICS that a mesh either passes or not."""
# Shapes without which a set has no neighbours.
_FEWEST = 2


@dataclass(frozen=True)
class PointSet:
    """Points of m shapes; for those that are meshes, a row of MESH_METRICS."""

    points: Float[np.ndarray, "m p 3"]
    passed: Bool[np.ndarray, "k 3"]
    refused: tuple[str, ...] = ()
    """Files that were left out, each with the reason."""

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        buffer = io.BytesIO()
        refused = np.array(self.refused, dtype=np.str_)
        np.savez(buffer, points=self.points, passed=self.passed, refused=refused)
        write_bytes(path, buffer.getvalue())

    @staticmethod
    def load(path: Path) -> PointSet:
        """Read what `save` wrote.

        Raises:
            DamagedError: if it is damaged.
        """
        with reading(path), path.open("rb") as file:
            arrays = load_npz(file)
            refused = tuple(str(said) for said in arrays["refused"])
            points, passed = arrays["points"], arrays["passed"]
            if points.ndim != 3 or points.shape[2] != 3 or not np.isfinite(points).all():
                raise ValueError(f"points have shape {points.shape}, or are not finite")
            if passed.dtype != bool or passed.shape[1:] != (len(MESH_METRICS),):
                raise ValueError(f"passed are {passed.dtype} of shape {passed.shape}")
            return PointSet(points, passed, refused)


class PointSetBuilder:
    """Draws points of shapes in turn, those of each from a stream of its own."""

    def __init__(self, num_points: int, seed: Sequence[int]) -> None:
        self.num_points, self.seed = num_points, tuple(seed)
        self.points: list[np.ndarray] = []
        self.passed: list[list[bool]] = []
        self.refused: list[str] = []

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

    def add_files(
        self, files: Sequence[Path], others: Sequence[Path] = (), *, up: str = "y"
    ) -> Iterator[int]:
        """Draw from each file, or from one of the others where it is refused; how many are done.

        Args:
            files: of shapes.
            others: stand in for those that are refused.
            up: axis that points up in all of them.

        Raises:
            ValueError: with the first refusal, if fewer than two files are left.
        """
        waiting, spare = deque(files), deque(others)
        done = 0
        while waiting:
            path = waiting.popleft()
            try:
                self.add(str(path), read_shape(path, up))
            except ValueError as error:
                self.refused.append(str(error))
                if spare:
                    waiting.append(spare.popleft())
                    continue
            done += 1
            yield done
        if self.refused and len(self.points) < _FEWEST:
            raise ValueError(
                f"{len(self.points)} shapes are left, at least {_FEWEST} are needed; "
                f"{len(self.refused)} files were refused, the first: {self.refused[0]}"
            )

    def add_bank(self, bank: ShapeBank) -> Iterator[int]:
        """Draw from the surface points of each shape of a bank; how many are done."""
        for done, (name, points) in enumerate(zip(bank.names, bank.surface, strict=True), start=1):
            self.add(name, np.asarray(points, dtype=np.float64))
            yield done

    def build(self) -> PointSet:
        """The set.

        Raises:
            ValueError: if it is empty.
        """
        if not self.points:
            raise ValueError("there is no shape to measure: no sample has a surface")
        passed = np.array(self.passed, dtype=bool).reshape(-1, len(MESH_METRICS))
        return PointSet(np.stack(self.points), passed, tuple(self.refused))

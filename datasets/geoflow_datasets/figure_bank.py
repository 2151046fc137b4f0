"""A bank of figures: surface points and joints, arrays on disk.

Every source of figures (procedural, RigNet's layout) ends in a bank, and the trainer reads
nothing else. A bank on disk is one .npz file, written whole or not at all.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.arrays import load_npz
from geoflow.atomic import DamagedError, reading, write_bytes

_FORMAT = 1


@dataclass(frozen=True)
class FigureBank:
    """N figures: S surface points, and up to J joints; lists are filled up with zeros."""

    surface: Float[np.ndarray, "N S 3"]
    joints: Float[np.ndarray, "N J 3"]
    parents: Int[np.ndarray, "N J"]
    counts: Int[np.ndarray, " N"]
    names: tuple[str, ...]

    @staticmethod
    def of(
        surfaces: Sequence[Float[np.ndarray, "S 3"]],
        joints: Sequence[Float[np.ndarray, "_ 3"]],
        parents: Sequence[Sequence[int]],
        names: Sequence[str],
    ) -> FigureBank:
        """A bank of figures with different numbers of joints.

        Raises:
            ValueError: if the lists have different lengths, or are empty.
        """
        lengths = {len(surfaces), len(joints), len(parents), len(names)}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"a bank's lists must have one length above 0, got {sorted(lengths)}")
        counts = np.array([len(j) for j in joints])
        places = np.zeros((len(names), counts.max(), 3), np.float32)
        tree = np.full(places.shape[:2], -1)
        for i, count in enumerate(counts):
            places[i, :count], tree[i, :count] = joints[i], parents[i]
        return FigureBank(np.stack(surfaces).astype(np.float32), places, tree, counts, tuple(names))

    def __len__(self) -> int:
        """Number of figures."""
        return len(self.names)

    def check(self) -> None:
        """Raise ValueError unless all arrays speak of the same figures, in finite numbers."""
        num, most = len(self.names), self.joints.shape[1] if self.joints.ndim == 3 else 0
        shapes = {
            "surface": (num, self.surface.shape[1] if self.surface.ndim == 3 else 0, 3),
            "joints": (num, most, 3),
            "parents": (num, most),
            "counts": (num,),
        }
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape or 0 in shape:
                raise ValueError(f"{name} has shape {found.shape}, expected {shape}")
            if not np.isfinite(found).all():
                raise ValueError(f"{name} has numbers that are not finite")
        if self.counts.min() < 1 or self.counts.max() > most:
            raise ValueError(f"counts go from {self.counts.min()} to {self.counts.max()}")
        if self.parents.min() < -1 or self.parents.max() >= most:
            raise ValueError(f"parents go from {self.parents.min()} to {self.parents.max()}")

    def figure(self, index: int) -> tuple[Float[np.ndarray, "S 3"], Float[np.ndarray, "j 3"]]:
        """Surface points and joints of one figure."""
        return self.surface[index], self.joints[index, : self.counts[index]]

    def batch(
        self, indices: Int[np.ndarray, " b"], *, num_points: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b j 3"], Int[Tensor, " b"]]:
        """Random points of the figures' surfaces, drawn without replacement; joints; their counts.

        Raises:
            ValueError: for more points than are stored.
        """
        rows = np.asarray(indices)
        stored = self.surface.shape[1]
        if num_points > stored:
            raise ValueError(f"the bank stores {stored} points of a figure, not {num_points}")
        draws = torch.rand(len(rows), stored, generator=generator)
        columns = draws.argsort(dim=1)[:, :num_points].numpy()
        return (
            torch.from_numpy(self.surface[rows[:, None], columns]),
            torch.from_numpy(self.joints[rows]),
            torch.from_numpy(self.counts[rows].astype(np.int64)),
        )

    def subset(self, indices: Sequence[int]) -> FigureBank:
        """The figures at `indices`, in that order."""
        index = np.asarray(indices, dtype=np.int64)
        return FigureBank(
            self.surface[index],
            self.joints[index],
            self.parents[index],
            self.counts[index],
            tuple(self.names[i] for i in index),
        )

    def save(self, path: Path) -> None:
        """Write the bank, whole or not at all; folders are made."""
        content = io.BytesIO()
        np.savez_compressed(
            content,
            format=np.array(_FORMAT),
            surface=self.surface.astype(np.float16),
            joints=self.joints,
            parents=self.parents.astype(np.int16),
            counts=self.counts,
            names=np.array(self.names),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())

    @staticmethod
    def load(path: Path) -> FigureBank:
        """Read what `save` wrote; surface points have half precision.

        Raises:
            DamagedError: if it is damaged, or was written in another format.
        """
        with reading(path), path.open("rb") as file:
            arrays = load_npz(file)
            if int(arrays["format"]) != _FORMAT:
                raise DamagedError(
                    f"{path} has bank format {arrays['format']}, expected {_FORMAT}: delete it"
                )
            bank = FigureBank(
                arrays["surface"].astype(np.float32),
                arrays["joints"].astype(np.float32),
                arrays["parents"].astype(np.int64),
                arrays["counts"].astype(np.int64),
                tuple(str(name) for name in arrays["names"]),
            )
            bank.check()
            return bank

"""Which grid of times serves few-step samples of a model: latents drawn along each, beside data.

The measure is the energy distance of flattened latents. What is chosen is `grid_power` of a model's
configuration, for all numbers of jumps at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoflow import __version__
from geoflow.models.kinds import load
from geoflow.models.latent import LatentGenerator
from geoflow.times import power_grid
from geoflow_datasets import PROCEDURAL
from geoflow_datasets import load as load_source
from geoflow_datasets.bank import ShapeBank
from geoflow_tools.bench.energy import energy_distance


@dataclass(frozen=True)
class GridBenchmark:
    """Draw latents along grids of several powers and compare them with latents of data."""

    model: str = "shapes"
    """Shipped model with a flow of latents, or a folder of a model or a run."""
    data: str = PROCEDURAL
    """The word procedural, a folder of meshes, or of banks by split."""
    categories: tuple[str, ...] = ("bottle", "chair", "mug", "sofa", "table")
    """Categories, each compared with its own data."""
    split: Literal["val", "test", "train"] = "val"
    """Choose on val."""
    num: int = 100
    """Shapes of the data, and samples, a category."""
    powers: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)
    """Jumps end at the times (i / steps)**power."""
    steps: tuple[int, ...] = (2, 4)
    """Numbers of jumps."""
    ode_steps: int = 25
    """Euler's steps of the ODE beside them."""
    seed: int = 77
    """Of the noise."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, Any]:
        """Energy distances by category and grid, and their means over the categories."""
        model: Any = load(self.model)
        found = {name: self._category(model, name) for name in self.categories}
        grids = [name for name in found[self.categories[0]] if name != "half of the data"]
        return {
            "geoflow": __version__,
            "model": Path(self.model).name,
            "data": Path(self.data).name,
            "split": self.split,
            "each": found,
            "mean": {name: float(np.mean([of[name] for of in found.values()])) for name in grids},
        }

    def _category(self, model: LatentGenerator[Any], category: str) -> dict[str, float]:
        num = self.num if self.data == PROCEDURAL else None
        bank = load_source(self.data, category, split=self.split, num=num).loaded()
        data = torch.cat([self._encode(model, bank, row) for row in range(len(bank))][: self.num])
        noise, cond = (
            model.noise(self.num, seed=self.seed),
            model.condition(self.num, category=category),
        )
        half = len(data) // 2
        found = {"half of the data": energy_distance(data[:half], data[half:])}
        for steps in self.steps:
            for power in self.powers:
                *_, drawn = model.trajectory(noise, cond, times=power_grid(steps, power))
                found[f"{steps} jumps, power {power:g}"] = energy_distance(drawn, data)
        drawn = model.sample_latents(noise, cond, steps=self.ode_steps, ode=True)
        found[f"{self.ode_steps} steps of the ODE"] = energy_distance(drawn, data)
        return found

    @staticmethod
    def _encode(model: LatentGenerator[Any], bank: ShapeBank, row: int) -> Float[Tensor, "1 k c"]:
        surface, normals = (
            torch.from_numpy(np.asarray(values[row], dtype=np.float32))[None]
            for values in (bank.surface, bank.normals)
        )
        with torch.no_grad():
            return model.encode_points(surface, normals)

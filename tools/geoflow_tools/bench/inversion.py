"""What is left of a shape that goes to its noise by the reversed ODE, and comes back by the map.

Chamfer distances to points of the true surface, over that of the autoencoder alone: of what the
noise gives in few evaluations or along the ODE, and of what `interpolate` shows at its ends, where
the rest that the map misses is added again. `vary --strength 0` gives the latent back as it is: its
ratio is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow import __version__
from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.geometry.metrics import METRICS
from geoflow.models.completion import load_solids
from geoflow.models.editing import INVERSION_STEPS, invert
from geoflow.models.meshes import FieldGenerator
from geoflow_datasets import PROCEDURAL, load

_POINTS = 1024


@dataclass(frozen=True)
class InversionBenchmark:
    """Invert latents of shapes, generate them again, and compare the surfaces."""

    model: str = "chair"
    """Shipped model with a flow, or a folder."""
    data: str = PROCEDURAL
    """The word procedural, a folder of meshes, or of banks by split."""
    category: str = "chair"
    """Category of the data."""
    split: Literal["test", "val", "train"] = "test"
    """Choose on val, report on test."""
    num: int = 16
    """Shapes."""
    steps: tuple[int, ...] = (1, 2, 4)
    """Numbers of evaluations of the map."""
    ode_steps: int = 50
    """Euler's steps of the ODE."""
    inversion_steps: int = INVERSION_STEPS
    """Heun's steps to the noise."""
    resolution: int = 64
    """Cells of the grid along an edge."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """Medians of the Chamfer distances, and of their ratios to the autoencoder's."""
        model = load_solids(self.model)
        num = self.num if self.data == PROCEDURAL else None
        bank = load(self.data, self.category, split=self.split, num=num).loaded()
        rows = np.unique(np.linspace(0, len(bank) - 1, min(self.num, len(bank))).astype(int))
        found: dict[str, list[float]] = {}
        order = torch.randperm(bank.surface.shape[1], generator=torch.Generator().manual_seed(0))
        for row in rows.tolist():
            surface, normals = (
                torch.from_numpy(np.asarray(values[row], dtype=np.float32))[None]
                for values in (bank.surface, bank.normals)
            )
            true = surface[0, order[:_POINTS]].double().numpy()
            for name, latent in self.latents(model, model.encode(surface, normals)).items():
                found.setdefault(name, []).append(self._error(model, latent, true))
        own = np.array(found["autoencoder"])
        return {
            "geoflow": __version__,
            "model": Path(self.model).name,
            "data": Path(self.data).name,
            "split": self.split,
            "shapes": len(rows),
            "chamfer": {name: float(np.median(values)) for name, values in found.items()},
            "ratio": {
                name: float(np.median(np.array(values) / own)) for name, values in found.items()
            },
        }

    def latents(
        self, model: FieldGenerator, tokens: Float[Tensor, "1 k c"]
    ) -> dict[str, Float[Tensor, "1 k c"]]:
        """The latent itself, and what comes back of it, by the way back."""
        first, *others = (
            (steps, invert(model, tokens, steps=steps, inversion_steps=self.inversion_steps))
            for steps in self.steps
        )
        noise = first[1].noise
        made = {f"{steps} steps": tokens - back.rest for steps, back in (first, *others)}
        ode = model.sample_latents(noise, steps=self.ode_steps, ode=True)
        again = model.sample_latents(noise, steps=first[0]) + first[1].rest
        return {
            "autoencoder": tokens,
            **made,
            f"{self.ode_steps} steps of the ODE": ode,
            "with the rest": again,
        }

    def _error(
        self,
        model: FieldGenerator,
        latent: Float[Tensor, "1 k c"],
        true: Float[np.ndarray, "n 3"],
    ) -> float:
        """Infinite where nothing comes back."""
        try:
            mesh = model.decode(latent[0], resolution=self.resolution)
        except EmptySurfaceError:
            return float("inf")
        drawn, _ = trimesh.sample.sample_surface(mesh, _POINTS, seed=0)
        return float(METRICS["chamfer"](np.asarray(drawn), true))

"""A flow map of whole point sets: one of the point networks, trained on a folder of clouds.

    python docs/examples/clouds.py --data clouds/ --out samples.ply

reads a folder of .npy, .npz, .xyz or .ply clouds (or takes procedural ones), trains an equivariant
network of point sets by the averaging law, and writes one- and two-step samples. `point-messages`
finds its neighbours by `geoflow.geometry.neighbors`: by PyTorch3D or torch-cluster where one is
installed, else by torch alone. With a latent of the shape, `geoflow train --kind points` is the
better road; this one is for flows over sets as they are, with your own objective or data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from geoflow.backbones import (
    PointMessages,
    PointMessagesConfig,
    PointTransformer,
    PointTransformerConfig,
)
from geoflow.condition import Condition
from geoflow.couplings import PointTransport
from geoflow.flow_map import FlowMap
from geoflow.geometry.metrics import chamfer_distance
from geoflow.geometry.points import write_points
from geoflow.objectives import Losses, build_objective
from geoflow.samplers import sample_flow_map
from geoflow.symmetry import upright_frame
from geoflow.training.loop import fit
from geoflow.training.stage import Context
from geoflow.training.stages.flow import FlowOptions, FlowStage, current_objective
from geoflow_datasets import PROCEDURAL, load

# Coordinates of surfaces have a standard deviation of about this.
_SPREAD = 0.4


@dataclass(frozen=True)
class Options:
    """Train a network of point sets and write samples."""

    data: str = PROCEDURAL
    """'procedural', or a folder of clouds."""
    category: str = "airplane"
    """Category of the data, or 'all'."""
    network: Literal["point-transformer", "point-messages"] = "point-transformer"
    """Network of point sets."""
    points: int = 256
    """Points of a cloud."""
    batch: int = 8
    """Clouds of a step."""
    clouds: int = 500
    """Procedural clouds to train on."""
    training: FlowOptions = field(
        default_factory=lambda: FlowOptions(steps=2_000, objective="shortcut", bf16=False)
    )
    """Steps, objective, learning rate."""
    out: Path = Path("samples.ply")
    """File of a sample; .ply, .xyz, .npy or .npz."""


@dataclass
class SetFlow:
    """A flow map of point sets, as the loop of training takes a model."""

    flow_map: FlowMap


class SetStage(FlowStage[SetFlow, Float[Tensor, "b n 3"]]):
    """Trains a flow of whole clouds; the order of points is matched to the noise."""

    name = "sets"
    options_type = FlowOptions

    def __init__(self, options: FlowOptions, context: Context, *, batch: int, points: int) -> None:
        super().__init__(options, context)
        self.num, self.points = batch, points
        self.coupling, self.objective = PointTransport(), build_objective(options.objective)

    def batch(self, generator: torch.Generator) -> Float[Tensor, "b n 3"]:
        """Random points of random clouds, of about unit variance."""
        data = self.context.data
        rows = torch.randint(len(data), (self.num,), generator=generator)
        drawn = data.batch(
            rows.numpy(), num_surface=self.points, num_queries=1, generator=generator
        )
        x1: Tensor = drawn.surface / _SPREAD
        return x1

    def loss(self, batch: Tensor, step: int, generator: torch.Generator) -> Losses:
        """Losses of the clouds, each upright."""
        x0 = self.coupling(torch.randn(batch.shape, generator=generator), batch)
        cond = Condition(upright_frame("frame", len(batch)))
        objective = current_objective(self.objective, self.options, step)
        return objective(self.module, x0, batch, cond, generator=generator, average=self.slow)


def network_of(name: str) -> torch.nn.Module:
    """A network of point sets with a full frame."""
    if name == "point-messages":
        return PointMessages(PointMessagesConfig())
    return PointTransformer(PointTransformerConfig())


@torch.no_grad()
def sample(flow_map: FlowMap, num: int, points: int, *, steps: int) -> Float[Tensor, "b n 3"]:
    """Clouds from noise."""
    noise = torch.randn(num, points, 3, generator=torch.Generator().manual_seed(0))
    cond = Condition(upright_frame("frame", num))
    *_, last = sample_flow_map(flow_map, noise, steps=steps, cond=cond)
    return _SPREAD * last


def main(options: Options) -> None:
    """Train, compare with held-out clouds, and write a sample."""
    torch.manual_seed(0)
    banks: dict[str, Any] = {
        split: load(options.data, options.category, gives="points", split=split, num=num)
        for split, num in (("train", options.clouds), ("val", 16))
    }
    model = SetFlow(FlowMap(network_of(options.network), "linear", "u"))
    stage = SetStage(
        options.training, Context(model, banks["train"]), batch=options.batch,
        points=options.points,
    )  # fmt: skip
    for _ in track(fit(stage), total=options.training.steps, description=options.network):
        pass
    held_out = [np.asarray(cloud[: options.points], float) for cloud in banks["val"].surface]
    for steps in (1, 2, 4):
        made = sample(model.flow_map, 4, options.points, steps=steps).double().numpy()
        nearest = [min(chamfer_distance(cloud, other) for other in held_out) for cloud in made]
        print(
            f"{steps} evaluations: Chamfer distance to the nearest held-out {np.mean(nearest):.4f}"
        )
    write_points([made[0]], options.out, num=options.points)
    print(f"{options.out}: {options.points} points")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

"""Trains every objective for some steps, by as many processes as are asked for.

Writes the weights, and the gradients of the first step as all processes have them.

`python devices_program.py DEVICES PARTS STEPS OUT`: Fabric starts it again for the other processes.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.objectives import OBJECTIVES, SPECIAL_CASES, build_objective
from geoflow.training.loop import fit
from geoflow.training.processes import Processes, start
from geoflow.training.stage import Context
from geoflow.training.stages.distribution import DistributionStage, DistributionTraining


def points(num: int, generator: torch.Generator) -> torch.Tensor:
    """Points of a sphere."""
    return torch.nn.functional.normalize(torch.randn(num, 3, generator=generator), dim=-1)


def trained(
    name: str, processes: Processes, parts: int, steps: int, *, folder: Path | None = None,
    stop: int | None = None,
) -> torch.nn.Module:  # fmt: skip
    """The flow map after some steps of an objective, in its cell; stopped early if asked."""
    path, prediction = build_objective(name).cell or ("linear", "x1")
    config = DistributionConfig(
        interpolant=path, prediction=prediction, width=8, blocks=1, octaves=1
    )
    torch.manual_seed(0)
    model = GeometryDistribution.build(config)
    for parameter in model.flow_map.parameters():
        # A fresh output layer is zero, and moves nothing below it.
        torch.nn.init.normal_(parameter, std=0.3)
    options = DistributionTraining(
        objective=name, steps=steps, batch=6, parts=parts, diagonal_first=0.0, bf16=False,
        muon_bf16=False,
    )  # fmt: skip
    stage = DistributionStage(options, Context(model, points, folder, processes=processes))
    for progress in fit(stage, checkpoint_every=1):
        if progress.step == stop:
            break
    return model.flow_map


@contextmanager
def watched() -> Iterator[list[torch.Tensor]]:
    """Gradients of the first step, once they are shared."""
    found: list[torch.Tensor] = []
    share = Processes.share_gradients

    def sharing(self: Processes, parameters: Sequence[torch.nn.Parameter], num: int) -> None:
        share(self, parameters, num)
        if not found:
            found.extend(p.grad.clone() for p in parameters if p.grad is not None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Processes, "share_gradients", sharing)
        yield found


def main() -> None:
    """Train by all objectives, and let every process write what came of it."""
    devices, parts, steps, out = *map(int, sys.argv[1:4]), Path(sys.argv[4])
    warnings.simplefilter("ignore")
    processes, _ = start(devices, 1, "cpu")
    assert processes.num == devices
    weights = {}
    for name in (*OBJECTIVES, *SPECIAL_CASES):
        try:
            with watched() as gradients:
                flow_map = trained(name, processes, parts, steps)
        except ValueError:
            # Of objectives that need what this stage does not have, alone and together alike.
            continue
        weights |= {f"{name}/{key}": value for key, value in flow_map.state_dict().items()}
        weights |= {f"{name}/gradient {i}": value for i, value in enumerate(gradients)}
    trained("cumulative", processes, parts, steps, folder=out, stop=1)
    save_file(weights, out / f"{processes.rank}.safetensors")


if __name__ == "__main__":
    main()

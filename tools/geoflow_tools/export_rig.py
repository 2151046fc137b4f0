"""A trained rigger made ready to travel: merging tuned on the validation split, half precision.

`python -m geoflow_tools.export_rig --run runs/joints --out rig` writes a folder that
`geoflow rig --model rig` uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from geoflow.models.joints import Rigger
from geoflow_datasets import PROCEDURAL, load
from geoflow_tools.validation.joints import predict_clouds, score_clouds, tune_merging


@dataclass(frozen=True)
class Options:
    """Tune and write a rigger."""

    run: Path
    """Folder of a run or a model."""
    out: Path
    """Folder to write."""
    data: str = PROCEDURAL
    """'procedural', or a folder in RigNet's layout, whose validation split is used."""
    num: int = 48
    """Procedural figures to tune on."""
    steps: int = 5
    """Network evaluations to tune for."""


def export(options: Options) -> None:
    """Write the folder, and print the scores on the split that the merging was tuned on."""
    rigger = Rigger.from_pretrained(options.run)
    bank = load(options.data, gives="figures", split="val", num=options.num, show_progress=True)

    def sampler(points: torch.Tensor) -> torch.Tensor:
        return rigger.predict(points, steps=options.steps)

    clouds = predict_clouds(bank, sampler, num_points=rigger.config.num_points)
    tuned = tune_merging(rigger, bank, clouds)
    tuned.save_pretrained(options.out, half=True)
    print(f"merge {tuned.config.merge}, least {tuned.config.least}")
    print(score_clouds(tuned, bank, clouds))


if __name__ == "__main__":
    export(tyro.cli(Options, description=__doc__))

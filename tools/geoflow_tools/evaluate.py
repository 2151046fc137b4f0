"""Scores of a model on the procedural test split, as JSON.

`python -m geoflow_tools.evaluate --model chair --out report.json` measures reconstructions, and
samples at several step counts against the test split: 1-NNA by Chamfer distance with its binomial
standard error, watertightness, and single connected components. `geoflow evaluate` compares any
two sets, by more distances.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import trimesh
import tyro
from rich.progress import track

from geoflow import __version__
from geoflow.atomic import write_text
from geoflow.geometry.metrics import (
    coverage,
    is_single_component,
    is_watertight,
    minimum_matching_distance,
    one_nn_accuracy,
    pairwise_chamfer,
)
from geoflow.models.fields import Generator
from geoflow.models.latent import Detail
from geoflow_datasets.procedural.source import PROCEDURAL
from geoflow_tools.validation.fields import reconstruct
from geoflow_tools.validation.samples import surface_points

# Rows of the report: the label of a step count of the ODE ends in "ode".
_ODE = "ode"
# Points of a reconstructed surface: enough that two samplings of one surface nearly agree.
_RECONSTRUCTION_POINTS = 16_384
_SAMPLE_POINTS = 2048


@dataclass(frozen=True)
class Options:
    """Score a model."""

    model: str = "chair"
    """Shipped model, or a folder."""
    num: int = 200
    """Samples, and shapes of the test split, per set."""
    steps: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (1, 2, 4)
    """Step counts of the flow map."""
    ode_steps: int | None = 50
    """Steps of the many-step reference."""
    reconstructions: int = 200
    """Shapes to reconstruct; 0: none."""
    seed: int = 1000
    """Seed of the noise."""
    resolution: int = 128
    """Cells of the extraction grid along an edge."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""


def score_samples(
    meshes: Sequence[trimesh.Trimesh | None],
    reference: Sequence[np.ndarray],
    within_reference: np.ndarray,
) -> dict[str, float | None]:
    """1-NNA and mesh statistics of samples; a sample without a surface counts as neither."""
    found = [mesh for mesh in meshes if mesh is not None]
    points = [surface_points(mesh, seed=i, num=_SAMPLE_POINTS) for i, mesh in enumerate(found)]
    between = pairwise_chamfer(points, reference)
    accuracy = one_nn_accuracy(pairwise_chamfer(points), within_reference, between)
    return {
        "one_nna_cd": accuracy.value,
        "one_nna_standard_error": accuracy.standard_error,
        "one_nna_samples": accuracy.samples,
        "one_nna_references": accuracy.references,
        "minimum_matching_distance": minimum_matching_distance(between).value,
        "coverage": coverage(between).value,
        "watertight": sum(map(is_watertight, found)) / len(meshes),
        "single_component": sum(map(is_single_component, found)) / len(meshes),
        "empty": meshes.count(None) / len(meshes),
    }


def evaluate(options: Options) -> dict[str, object]:
    """The report."""
    generator = Generator.from_pretrained(options.model)
    category = generator.config.categories[0]
    num = max(options.num, options.reconstructions, 2)
    bank = PROCEDURAL.bank([category], split="test", num=num, num_surface=_RECONSTRUCTION_POINTS)
    report: dict[str, object] = {"geoflow": __version__, "options": asdict(options)}
    if options.reconstructions:
        numbers, _ = reconstruct(
            generator, bank, num=options.reconstructions, resolution=options.resolution
        )
        report["reconstruction"] = asdict(numbers)
    reference = [
        np.asarray(bank.surface[i, :_SAMPLE_POINTS], dtype=np.float64) for i in range(options.num)
    ]
    within = pairwise_chamfer(reference)
    runs = [(f"{steps}", steps, False) for steps in options.steps]
    if options.ode_steps:
        runs.append((f"{options.ode_steps} {_ODE}", options.ode_steps, True))
    noise = generator.noise(options.num, seed=options.seed)
    samples: dict[str, dict[str, float | None]] = {}
    for label, steps, ode in runs:
        tokens = torch.cat(
            [generator.sample_latents(part, steps=steps, ode=ode) for part in noise.split(50)]
        )
        meshes = [
            shape
            for token in track(tokens, description=f"{label} steps")
            for shape in generator.shapes(token[None], Detail(options.resolution))
        ]
        samples[label] = score_samples(meshes, reference, within)
        report["samples"] = samples
    return report


def main() -> None:
    """Evaluate, print, and write."""
    options = tyro.cli(Options, description=__doc__)
    text = json.dumps(evaluate(options), indent=2, default=str)
    print(text)
    if options.out is not None:
        write_text(options.out, text + "\n")


if __name__ == "__main__":
    main()

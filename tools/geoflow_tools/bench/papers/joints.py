"""Joint prediction: the same network as a flow map in few steps and as a DDPM in up to 1,000.

What differs from the paper: procedural figures, not RigNet's; a small O(3)-equivariant network; a
DDPM of the same network and the same processor time stands where the paper has PDT.

References: Li et al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026,
arXiv:2605.03623; PDT, Wang et al., "Point Distribution Transformation with Diffusion Models",
2025, arXiv:2507.18939.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from geoflow.training.stages.joints import JointTraining
from geoflow_tools.bench.rig import RigBenchmark, Steps

_COLUMNS = ("chamfer", "iou", "precision", "recall")
_PAPER = {
    "PDT, DDPM, 1,000 steps": (6.4, 57.4, 53.6, 64.5),
    "PDT, DDPM, 50 steps": (26.6, 1.0, 0.5, 42.7),
    "PDT, DDPM, 10 steps": (27.8, 0.8, 0.4, 36.3),
    "CFM-DDIM, 50 steps": (5.4, 66.9, 60.8, 77.7),
    "CFM-DDIM, 10 steps": (5.2, 66.3, 60.8, 76.9),
    "CFM-DDIM, 5 steps": (6.2, 54.3, 47.3, 67.8),
}
PAPER = {name: dict(zip(_COLUMNS, row, strict=True)) for name, row in _PAPER.items()}
"""arXiv:2605.03623's table on RigNet's test figures, in per cent."""


@dataclass(frozen=True)
class JointsTable:
    """Joints of unseen figures by a flow map and by a DDPM that were trained for the same time."""

    runs: Path = Path("runs/papers-joints")
    """Folder of the two runs; they are resumed if they are there."""
    seconds: float = 100.0
    """Processor time of each training."""
    figures: int = 1_500
    """Procedural figures to train on."""
    test: int = 24
    """Figures of the test split to score."""
    validation: int = 24
    """Figures of the validation split to choose the merging distance on; a third of them for
    more than 50 steps."""
    map_steps: Steps = (1, 2, 4, 10, 50)
    """Steps of the flow map."""
    ode_steps: Steps = (50,)
    """Euler steps of the ODE of the same network."""
    ddim_steps: Steps = (10, 50)
    """Steps of the DDPM by DDIM."""
    ancestral_steps: Steps = (50, 250, 1000)
    """Steps of the DDPM by its own sampler."""
    training: JointTraining = field(default_factory=lambda: JointTraining(batch=12))
    """Options of both trainings; their steps are those that fit the time."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report of the rigging benchmark, with the paper's rows.

        Raises:
            ValueError: unless the time is positive.
        """
        benchmark = RigBenchmark(
            runs=self.runs,
            figures=self.figures,
            test=self.test,
            validation=self.validation,
            map_steps=self.map_steps,
            ode_steps=self.ode_steps,
            ddim_steps=self.ddim_steps,
            ancestral_steps=self.ancestral_steps,
            seconds=self.seconds,
            training=self.training,
        )
        return benchmark.measure() | {"paper, per cent": PAPER}

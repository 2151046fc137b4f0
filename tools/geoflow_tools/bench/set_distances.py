"""What distances of sets do for a map of points that is fitted to solutions of its own ODE.

A model of points is trained on for equal processor times by `geoflow_tools.train_clouds`' stage of
points, with weights of the distances between where its jumps land and the surface; 0 is without.
Clouds are made once. Scores are those of reports of trainings, on the test split: distance of drawn
points to the surface, whose floor is 0, and Chamfer distance to independent draws.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from rich.progress import track

from geoflow import __version__
from geoflow.models.clouds import PointGenerator
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context
from geoflow_datasets import load
from geoflow_tools.train_clouds.clouds import Clouds, draw_cloud
from geoflow_tools.train_clouds.point_stage import PointSolutions, PointSolutionStage
from geoflow_tools.train_clouds.timed import Log, train
from geoflow_tools.train_shapes.loops import Clock
from geoflow_tools.validation.clouds import reconstruct_points

# Of so few steps.
_EMA, _WARM_UP = 0.98, 20


@dataclass(frozen=True)
class SetDistancesBenchmark:
    """Train a model of points on with and without distances of sets, and score it."""

    start: str = "airplane"
    """Model to train on: shipped, or a folder; its first category is that of the shapes."""
    weights: Annotated[tuple[float, ...], tyro.conf.arg(metavar="FLOAT ...")] = (0.0, 20.0)
    """Weights of the distances."""
    seeds: int = 3
    """Trainings of each weight."""
    seconds: float = 170.0
    """Processor time of each training, on one thread."""
    batch: int = 8
    """Shapes of a step."""
    num_shapes: int = 300
    """Shapes of the train split."""
    num: int = 16
    """Shapes of the test split to score."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report.

        Raises:
            ValueError: without seeds, or for a time that is none.
        """
        if self.seeds < 1 or not self.seconds > 0:
            raise ValueError(
                f"give at least 1 seed and a time above 0, got {self.seeds} and {self.seconds}"
            )
        torch.set_num_threads(1)
        model = PointGenerator.from_pretrained(self.start)
        category = model.categories[0]
        test: Any = load("procedural", category, split="test", num=self.num)
        made = [draw_cloud(category, i) for i in track(range(self.num_shapes), "clouds")]
        clouds = Clouds(torch.from_numpy(np.stack(made)), self.num_shapes)

        def score(found: PointGenerator) -> dict[str, Any]:
            return asdict(reconstruct_points(found, test, num=self.num)[0])

        rows: dict[str, object] = {"before": score(model)}
        for weight in self.weights:
            runs = []
            for seed in track(range(self.seeds), f"weight {weight:g}"):
                trained, steps = self._trained(clouds, weight, seed)
                runs.append({"steps": steps} | score(trained))
            rows[f"weight {weight:g}"] = {"runs": runs, "surface": _over_seeds(runs, "surface"),
                                          "chamfer": _over_seeds(runs, "chamfer")}  # fmt: skip
        return {"geoflow": __version__, "torch": torch.__version__, "rows": rows}

    def _trained(self, clouds: Clouds, weight: float, seed: int) -> tuple[PointGenerator, int]:
        model = PointGenerator.from_pretrained(self.start)
        for module in model.modules().values():
            module.requires_grad_(False)
        options = PointSolutions(
            batch=self.batch, set_weight=weight, ema=_EMA, bf16=False,
            schedule=Schedule(1e-3, warmup=_WARM_UP),
        )  # fmt: skip
        stage = PointSolutionStage(options, Context(model, clouds, seed=seed))
        stage.module.requires_grad_(True)
        steps = 0
        with TemporaryDirectory() as folder:
            log, clock = Log(Path(folder) / "log.jsonl"), _ProcessorClock(self.seconds)
            for progress in train(stage, clock, log, every=1e9, save=lambda: None):
                steps = progress.step
        assert stage.average is not None, "made before the first step"
        model.autoencoder.flow.load_state_dict(stage.average.module.state_dict())
        return model, steps


class _ProcessorClock(Clock):
    """Processor time, which other processes do not eat."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds, time.process_time())

    @property
    def share(self) -> float:
        return (time.process_time() - self.start) / self.seconds


def _over_seeds(runs: Sequence[dict[str, Any]], measure: str) -> dict[str, list[float]]:
    """Mean and standard deviation of a measure by evaluations."""
    found = {}
    for steps in runs[0][measure]:
        values = [run[measure][steps] for run in runs]
        found[steps] = [
            float(np.mean(values)),
            float(np.std(values, ddof=1 if len(runs) > 1 else 0)),
        ]
    return found

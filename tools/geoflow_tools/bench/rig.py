"""Joint prediction in few steps, against diffusion: the rigging table on held-out figures.

Two trainings of one network with one budget, as many steps or as much processor time: cumulative
flow maps (linear path, data prediction, points coupled with joints by optimal transport), and a
DDPM (variance-preserving path, noise prediction, no coupling), sampled by its ancestral sampler and
by DDIM. Each gets the merging distance that is best on the validation split at its own step count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.progress import track
from torch import Tensor

from geoflow import __version__
from geoflow.models.joints import Rigger, RiggerConfig, standardise
from geoflow.training.folder import RUN
from geoflow.training.run import DataConfig, Run, RunConfig
from geoflow.training.stage import Context
from geoflow.training.stages.joints import JointStage, JointTraining
from geoflow_datasets import PROCEDURAL, load
from geoflow_datasets.figure_bank import FigureBank
from geoflow_tools.bench.diffusion import sample_diffusion
from geoflow_tools.bench.equal_time import affordable_steps
from geoflow_tools.validation.joints import predict_clouds, score_clouds, tune_merging

Steps = Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")]


@dataclass(frozen=True)
class Trained:
    """What a training took; None: it was not made here, or not at one go."""

    steps: int | None
    seconds: float | None


@dataclass(frozen=True)
class RigBenchmark:
    """Train a rigger and a DDPM, unless they are given, and score both on the test split."""

    model: str | None = None
    """Trained flow map: "rig" or a folder. Default: train one."""
    baseline: str | None = None
    """Folder of a trained DDPM. Default: train one."""
    runs: Path = Path("runs/bench-rig")
    """Folder of the runs that are trained here; they are resumed if they are there."""
    figures: int = 6_000
    """Procedural figures to train on."""
    test: int = 96
    """Figures of the test split to score."""
    validation: int = 48
    """Figures of the validation split to choose the merging distance on; a third of them for
    more than 50 steps."""
    map_steps: Steps = (1, 2, 5, 10, 50)
    """Steps of the flow map."""
    ode_steps: Steps = (50,)
    """Euler steps of the ODE of the same network."""
    ddim_steps: Steps = (5, 10, 50)
    """Steps of the DDPM by DDIM."""
    ancestral_steps: Steps = (10, 50)
    """Steps of the DDPM by its own sampler."""
    seconds: float | None = None
    """Processor time of each training, by which both get steps. Default: the options' steps."""
    training: JointTraining = field(default_factory=JointTraining)
    """Options of both trainings, but for objective and coupling of the DDPM."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report."""
        banks = {
            split: load(PROCEDURAL, gives="figures", split=split, num=num, show_progress=True)
            for split, num in (("val", self.validation), ("test", self.test))
        }
        rows: dict[str, dict[str, float]] = {}
        trained: dict[str, Trained] = {}
        if self.map_steps or self.ode_steps:
            rigger, trained["map"] = self._load(self.model, "map", RiggerConfig(), self.training)
            for ode, numbers in ((False, self.map_steps), (True, self.ode_steps)):
                for steps in numbers:
                    name = f"{'ode' if ode else 'map'} {steps}"
                    rows[name] = self._row(rigger, banks, _jump(rigger, steps, ode=ode), steps)
        if self.ddim_steps or self.ancestral_steps:
            diffusion, trained["ddpm"] = self._load(
                self.baseline,
                "ddpm",
                RiggerConfig(interpolant="vp", prediction="x0"),
                replace(self.training, objective="flow-matching", coupling="independent"),
            )
            for ancestral, numbers in ((False, self.ddim_steps), (True, self.ancestral_steps)):
                for steps in numbers:
                    name = f"{'ddpm' if ancestral else 'ddim'} {steps}"
                    sampler = _diffuse(diffusion, steps, ancestral=ancestral)
                    rows[name] = self._row(diffusion, banks, sampler, steps)
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "test_figures": self.test,
            "training": asdict(self.training),
            "trained": {name: asdict(found) for name, found in trained.items()},
            "per cent": rows,
        }

    def _row(
        self,
        rigger: Rigger,
        banks: dict[str, FigureBank],
        sampler: Callable[[Tensor], Tensor],
        steps: int,
    ) -> dict[str, float]:
        num = rigger.config.num_points
        few = banks["val"].subset(range(self.validation // (1 if steps <= 50 else 3)))
        tuned = tune_merging(rigger, few, predict_clouds(few, sampler, num_points=num))
        clouds = predict_clouds(banks["test"], sampler, num_points=num)
        scores = score_clouds(tuned, banks["test"], clouds)
        return {"nfe": steps, **scores, "merge": tuned.config.merge, "least": tuned.config.least}

    def _load(
        self, name: str | None, label: str, config: RiggerConfig, training: JointTraining
    ) -> tuple[Rigger, Trained]:
        """The model of a name, or of a run that is trained to its end; what that took."""
        if name is not None:
            return Rigger.from_pretrained(name), Trained(None, None)
        folder = self.runs / label
        run = Run.open(folder) if (folder / RUN).is_file() else None
        data = DataConfig(category="all", num=self.figures) if run is None else run.config.data
        figures = load(
            data.source, gives="figures", split="train", num=data.num, show_progress=True
        )
        if run is None:
            if self.seconds is not None:
                context = Context(Rigger.build(config), figures)
                steps = affordable_steps(JointStage(training, context), self.seconds)
                training = replace(training, steps=steps)
            stages = {JointStage.name: training}
            run = Run.create(folder, RunConfig(Rigger.kind, data, config, stages))
        total, begun = run.config.stages[JointStage.name].steps, time.process_time()
        taken = len(list(track(run.train(figures), total=total, description=label)))
        # A run that is gone on with was trained at another time, too.
        seconds = round(time.process_time() - begun, 1) if taken == total else None
        return Rigger.from_pretrained(folder), Trained(total, seconds)


def _jump(rigger: Rigger, steps: int, *, ode: bool) -> Callable[[Tensor], Tensor]:
    def sampler(points: Tensor) -> Tensor:
        return rigger.predict(points, steps=steps, ode=ode)

    return sampler


def _diffuse(rigger: Rigger, steps: int, *, ancestral: bool) -> Callable[[Tensor], Tensor]:
    @torch.no_grad()
    def sampler(points: Tensor) -> Tensor:
        centre, scale = standardise(points)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(len(points), rigger.config.cloud, 3, generator=generator)
        flow_map = rigger.transport((points - centre) / scale)
        last = sample_diffusion(
            flow_map, noise, steps=steps, ancestral=ancestral, generator=generator
        )
        return last * scale + centre

    return sampler

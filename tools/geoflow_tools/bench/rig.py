"""Joint prediction in few steps, against diffusion: the rigging table on held-out figures.

Two trainings of one network with one budget: cumulative flow maps (linear path, data prediction,
points coupled with joints by optimal transport), and a DDPM (variance-preserving path, noise
prediction, no coupling), sampled by its ancestral sampler and by DDIM. Each gets the merging
distance that is best on the validation split at its own step count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
import tyro
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from geoflow import __version__
from geoflow.flow_map import FlowMap
from geoflow.models.joints import Rigger, RiggerConfig, standardise
from geoflow.times import expand_time
from geoflow.training.folder import RUN
from geoflow.training.run import DataConfig, Run, RunConfig
from geoflow.training.stages.joints import JointStage, JointTraining
from geoflow_datasets import PROCEDURAL, load
from geoflow_datasets.figure_bank import FigureBank
from geoflow_tools.validation.joints import predict_clouds, score_clouds, tune_merging

Steps = Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")]

# Where DDPM's schedule starts: the signal left at its last step is exp(-5.02), not zero.
_FIRST = 0.0985
# Norm that predicted data is held to, for joints of about unit variance.
_LIMIT = 4.0


@torch.no_grad()
def sample_diffusion(
    flow_map: FlowMap,
    noise: Float[Tensor, "b k 3"],
    *,
    steps: int,
    ancestral: bool,
    generator: torch.Generator,
) -> Float[Tensor, "b k 3"]:
    """Data from noise by DDPM's ancestral sampler, or by DDIM, on the path alpha^2 + beta^2 = 1.

        x_r = beta_r x1 + sqrt(alpha_r^2 - s^2) x0 + s z,
        s^2 = (alpha_r / alpha_t)^2 (1 - (beta_t / beta_r)^2), or 0 for DDIM,

    with x1 and x0 the data and noise that the network predicts at t; nfe = steps.

    References: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, arXiv:2006.11239; Song
    et al., "Denoising Diffusion Implicit Models", 2020, arXiv:2010.02502, eq. 12.
    """
    path, x = flow_map.interpolant, noise
    for start, end in pairwise(torch.linspace(_FIRST, 1.0, steps + 1).tolist()):
        t, r = x.new_full((len(x),), start), x.new_full((len(x),), end)
        alpha_t, beta_t, alpha_r, beta_r = (
            expand_time(time, like=x)
            for time in (path.alpha(t), path.beta(t), path.alpha(r), path.beta(r))
        )
        x1 = flow_map.apply_field(flow_map.field(x, t, t), x, t, torch.ones_like(t))
        x1 = x1 * (_LIMIT / x1.norm(dim=-1, keepdim=True).clamp(min=_LIMIT))
        x0 = (x - beta_t * x1) / alpha_t
        variance = (alpha_r / alpha_t).square() * (1 - (beta_t / beta_r).square())
        if not ancestral:
            variance = torch.zeros_like(variance)
        fresh = torch.randn(x.shape, generator=generator)
        x = beta_r * x1 + (alpha_r.square() - variance).clamp(min=0).sqrt() * x0
        x = x + variance.sqrt() * fresh
    return x


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
        rows: dict[str, object] = {}
        if self.map_steps or self.ode_steps:
            rigger = self._load(self.model, "map", RiggerConfig(), self.training)
            for ode, numbers in ((False, self.map_steps), (True, self.ode_steps)):
                for steps in numbers:
                    name = f"{'ode' if ode else 'map'} {steps}"
                    rows[name] = self._row(rigger, banks, _jump(rigger, steps, ode=ode), steps)
        if self.ddim_steps or self.ancestral_steps:
            diffusion = self._load(
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
    ) -> Rigger:
        if name is not None:
            return Rigger.from_pretrained(name)
        folder = self.runs / label
        if (folder / RUN).is_file():
            run = Run.open(folder)
        else:
            data = DataConfig(category="all", num=self.figures)
            stages = {JointStage.name: training}
            run = Run.create(folder, RunConfig(Rigger.kind, data, config, stages))
        figures = load(
            run.config.data.source,
            gives="figures",
            split="train",
            num=run.config.data.num,
            show_progress=True,
        )
        total = run.config.stages[JointStage.name].steps
        for _ in track(run.train(figures), total=total, description=label):
            pass
        return Rigger.from_pretrained(folder)


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

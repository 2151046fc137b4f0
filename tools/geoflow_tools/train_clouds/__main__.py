"""Train `airplane` on, for a given time: `python -m geoflow_tools.train_clouds --out FOLDER`.

The latents are trained in a process of their own, beside the points, once all clouds are there.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn

from geoflow.models.clouds import PointGenerator
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context
from geoflow_tools.train_clouds.clouds import GrowingClouds, Makers, encode
from geoflow_tools.train_clouds.latent_stage import LatentSolutions, LatentSolutionStage
from geoflow_tools.train_clouds.point_stage import PointSolutions, PointSolutionStage
from geoflow_tools.train_clouds.timed import Log, train
from geoflow_tools.train_shapes.loops import Clock

# Of the time, after which latents are those of the clouds that are there.
_LATEST_LATENTS = 0.4
# Of the time, at the end, that is spent on what TF32 rounds away.
_EXACT = 0.25
# To write the model, in seconds and as a share.
_CLOSING, _OF_ALL = 12.0, 0.1
_LATENTS, _FLOW = "latents.pt", "flow.pt"


@dataclass(frozen=True)
class Options:
    """How long, of what, and where."""

    out: Path
    """Folder of the model and the log."""
    seconds: float = 515.0
    """Of the whole, from the start of the process."""
    device: str = "cuda"
    """cuda or cpu."""
    start: str = "airplane"
    """Model to train on: shipped, or a folder."""
    num_shapes: int = 6000
    """Clouds of its first category that are made."""
    first: int = 200
    """Clouds to wait for."""
    makers: int = 8
    """Processes that make clouds."""
    batch: int = 64
    """Shapes of a step of the points."""
    group_points: int = 128
    """Points that have the same times."""
    set_weight: float = 20.0
    """Of the distances between drawn points and the surface."""
    latent_batch: int = 512
    """Latents of a step of theirs."""
    latents: bool = True
    """Train the flow of latents, too, beside the points."""
    seed: int = 0
    """Of all draws; the clouds come in the order in which they are done."""
    draws: int = 4
    """Encodings of each cloud and of its mirror image."""
    learning_rate: float = 1e-3
    """Peak rate of both."""
    report_every: float = 30.0
    """Seconds; the model is written half as often."""


class Training:
    """One training, from the start of the process to the model's file."""

    def __init__(self, options: Options) -> None:
        self.options = options
        options.out.mkdir(parents=True, exist_ok=True)
        for name in (_LATENTS, _FLOW):
            (options.out / name).unlink(missing_ok=True)
        self.log = Log(options.out / "log.jsonl")
        self.begun = self.log.start
        category = PointGenerator.from_pretrained(options.start).categories[0]
        # Before the device is touched: a process that was forked cannot use it.
        self.makers = Makers(category, options.num_shapes, options.makers)
        self.latents: BaseProcess | None = None

    @property
    def left(self) -> float:
        """Seconds of training that are left."""
        closing = min(_CLOSING, _OF_ALL * self.options.seconds)
        return max(self.begun + self.options.seconds - closing - time.monotonic(), 0.1)

    def run(self) -> None:
        """Train both; the model is in the folder at the end, and now and then before it.

        Raises:
            RuntimeError: if no cloud can be made.
            ChildProcessError: if the latents could not be trained; the points are saved.
        """
        options = self.options
        device = torch.device(options.device)
        clouds = GrowingClouds(self.makers, device)
        try:
            while clouds.count < options.first and not clouds.is_whole:
                time.sleep(0.05)
            if clouds.count == 0:
                raise RuntimeError(f"no cloud could be made: {clouds.failure}")
            model = PointGenerator.from_pretrained(options.start, device=options.device)
            for module in model.modules().values():
                module.requires_grad_(False)
            stage = _point_stage(model, clouds, options)
            stage.module.requires_grad_(True)
            clock = Clock(self.left, time.monotonic())
            if device.type == "cuda":
                torch.set_float32_matmul_precision("high")
            steps = 0

            def save() -> None:
                self._save(stage, clouds, steps)

            for progress in train(stage, clock, self.log, every=options.report_every, save=save):
                steps = progress.step
                if device.type == "cuda" and clock.share > 1 - _EXACT:
                    torch.set_float32_matmul_precision("highest")
                is_due = options.latents and self.latents is None
                if is_due and (clouds.is_whole or clock.share > _LATEST_LATENTS):
                    self._start_latents(model, clouds)
            if self.latents is not None:
                self.latents.join()
            save()
            self.log(done=True, steps=steps, shapes=clouds.count, failure=clouds.failure)
            if self.latents is not None and self.latents.exitcode != 0:
                raise ChildProcessError("the latents' process failed: theirs are as they were")
        finally:
            self.makers.stop()
            if self.latents is not None:
                self.latents.terminate()

    def _start_latents(self, model: PointGenerator, clouds: GrowingClouds) -> None:
        options = self.options
        drawn = torch.Generator().manual_seed(options.seed)
        torch.save(encode(model, clouds, options.draws, drawn), options.out / _LATENTS)
        self.log(latents=2 * options.draws * clouds.count, failure=clouds.failure)
        self.latents = beside(train_latents, options, self.left)

    def _save(self, stage: PointSolutionStage, clouds: GrowingClouds, steps: int) -> None:
        assert stage.average is not None, "made before the first step"
        kept = PointGenerator.from_pretrained(self.options.start)
        then = {
            "points": f"{steps} steps", "set_weight": self.options.set_weight,
            "shapes": clouds.count, "seed": self.options.seed,
            "seconds": round(time.monotonic() - self.begun),
        }  # fmt: skip
        kept.autoencoder.flow.load_state_dict(_on_cpu(stage.average.module))
        path = self.options.out / _FLOW
        if path.is_file():
            found = torch.load(path, map_location="cpu", weights_only=True)
            kept.flow_map.load_state_dict(found["flow"])
            then["latents"] = f"{found['step']} steps"
        kept.card = {**kept.card, "then": then}
        kept.save_pretrained(self.options.out)


def _point_stage(
    model: PointGenerator, clouds: GrowingClouds, options: Options
) -> PointSolutionStage:
    chosen = PointSolutions(
        batch=options.batch, group_points=options.group_points, set_weight=options.set_weight,
        ema=0.999, bf16=False, schedule=Schedule(options.learning_rate, warmup=100),
    )  # fmt: skip
    context = Context(model, clouds, device=options.device, seed=options.seed)
    return PointSolutionStage(chosen, context)


def train_latents(options: Options, seconds: float) -> None:
    """Train the flow of latents from those in the folder, and leave its average there."""
    torch.set_num_threads(1)
    begun = time.monotonic()
    if torch.device(options.device).type == "cuda":
        torch.set_float32_matmul_precision("high")
    data = torch.load(options.out / _LATENTS, map_location=options.device, weights_only=True)
    model = PointGenerator.from_pretrained(options.start, device=options.device)
    chosen = LatentSolutions(
        batch=options.latent_batch, solutions=options.latent_batch, ema=0.999, bf16=False,
        schedule=Schedule(options.learning_rate, warmup=100),
    )  # fmt: skip
    context = Context(model, data, device=options.device, seed=options.seed)
    stage = LatentSolutionStage(chosen, context)
    log, steps = Log(options.out / "log.jsonl"), 0

    def save() -> None:
        draft = options.out / f".{_FLOW}"
        torch.save({"flow": _on_cpu(stage.slow), "step": steps}, draft)
        draft.replace(options.out / _FLOW)

    for progress in train(stage, Clock(seconds, begun), log, every=options.report_every, save=save):
        steps = progress.step
    save()
    log(done=True, latents=len(data), steps=steps)


def beside(function: Callable[..., None], *args: object) -> BaseProcess:
    """A process of its own, which ends with this one."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=args, daemon=True)
    process.start()
    return process


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: part.cpu() for name, part in module.state_dict().items()}


def main() -> None:
    """Train."""
    torch.set_num_threads(1)
    Training(tyro.cli(Options, description=__doc__)).run()


if __name__ == "__main__":
    main()

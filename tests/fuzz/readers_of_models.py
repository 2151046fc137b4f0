"""Models, and what a training keeps."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import torch
from fuzz.reader import Reader, finite
from tiny_models import tiny_models

from geoflow.models.checkpoint import save_checkpoint
from geoflow.models.kinds import KINDS, load
from geoflow.training.folder import load_stage, save_stage
from geoflow.training.log import NAME, append_report, read_log
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.plots import quality_figure, training_figure
from geoflow.training.run import Run, RunConfig
from geoflow.training.stage import Context
from geoflow.training.stages.latent_flow import FlowTraining, LatentFlowStage

OLD = Path(__file__).parents[1] / "data" / "format1"


def of_model(kind: str) -> Reader:
    def read(folder: Path) -> None:
        for module in load(folder).modules().values():
            for tensor in module.state_dict().values():
                finite(tensor)

    return Reader(lambda folder: tiny_models()[kind].save_pretrained(folder), read)


def a_run() -> Reader:
    def config() -> RunConfig:
        types = {stage.name: stage.options_type() for stage in KINDS["sdf"].stage_classes()}
        return RunConfig(model=tiny_models()["sdf"].config, stages=types)

    return Reader(
        lambda folder: Run.create(folder / "run", config()) and None,
        lambda folder: Run.open(folder / "run") and None,
    )


def a_stage() -> Reader:
    model = tiny_models()["joints"]
    network = model.modules()["flow"]
    optimiser = Optimiser(network, Schedule())

    def write(folder: Path) -> None:
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(0, 10)
        save_stage(folder / "flow.safetensors", network, optimiser, 1)

    def read(folder: Path) -> None:
        load_stage(folder / "flow.safetensors", network, optimiser)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(1, 10)
        for tensor in optimiser.state_tensors().values():
            finite(tensor)

    return Reader(write, read)


def latents() -> Reader:
    model = tiny_models()["sdf"]

    def write(folder: Path) -> None:
        tensors = {"tokens": torch.rand(6, 4, 7), "condition.category": torch.arange(6) % 2}
        save_checkpoint(folder / "latents.safetensors", tensors, {})

    def read(folder: Path) -> None:
        stage = LatentFlowStage(FlowTraining(batch=4), Context(model, None, folder))
        stage.prepare()
        finite(stage.batch(torch.Generator()).x1)

    return Reader(write, read)


def of_old_model() -> Reader:
    """As a version before 0.2 wrote it."""

    def write(folder: Path) -> None:
        for file in (OLD / "distribution").iterdir():
            shutil.copy(file, folder)

    return Reader(write, of_model("distribution").read)


def a_log() -> Reader:
    """What a training reported, and the figures of it."""

    def write(folder: Path) -> None:
        quality = {
            "measure": "Chamfer distance", "evaluations": {"1": 0.4, "2": 0.3}, "ode": 0.2,
            "ode_steps": 50, "errors": {"1": 0.01}, "floor": 0.1, "to_ode": {"1": 0.1, "2": 0.05},
        }  # fmt: skip
        for step in range(2):
            report = {"stage": "flow", "step": step, "loss": 1 / (1 + step), "seconds": 1.0}
            append_report(folder / NAME, report | {"terms": 0.5, "quality": quality})

    drawn: set[str] = set()

    def read(folder: Path) -> None:
        stages = read_log(folder / NAME)
        if repr(stages) not in drawn:
            # What was left out of a log leaves few that differ.
            drawn.add(repr(stages))
            training_figure(stages)
            quality_figure(stages)

    return Reader(write, read)


OF_MODELS = {
    **{f"model of {kind}": partial(of_model, kind) for kind in tiny_models()},
    "model of format 1": of_old_model,
    "run": a_run,
    "stage": a_stage,
    "latents": latents,
    "log": a_log,
}

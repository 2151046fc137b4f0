"""Train `shapes` from the shipped one in a given time: `python -m geoflow_tools.train_shapes`."""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import tyro

from geoflow.models.kinds import load
from geoflow.models.volumes import VolumeGenerator, VolumesConfig
from geoflow.training.stages.field_autoencoder import FieldLoss
from geoflow.training.stages.scans import ScanOptions
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_tools.train_shapes.batches import (
    Amounts,
    AutoencoderSteps,
    FlowDraws,
    Shapes,
    jobs_of,
    loader,
)
from geoflow_tools.train_shapes.growing import GrowingBank, Makers
from geoflow_tools.train_shapes.loops import Clock, encode, train_autoencoder, train_flow
from geoflow_tools.train_shapes.packed import PackedMeshes
from geoflow_tools.train_shapes.steps import EncodedDraws
from geoflow_tools.train_shapes.widened import widen

_MADE, _REAL = (2048, 4096), (4096, 8192)
_REHEARSAL = 4.0
_LONGEST = 70


@dataclass(frozen=True)
class Options:
    """How long, with what, and where."""

    meshes: Path
    """File that `geoflow_tools.train_shapes.packed` wrote."""
    out: Path
    """Folder of the model and the log."""
    work: Path
    """Folder of the shapes that are made: 2 GB."""
    seconds: float = 560.0
    """Of the whole, from the start of the process."""
    device: str = "cuda"
    """cuda or cpu."""
    share: float = 0.56
    """Of the time, that of the autoencoder."""
    start: str = "shapes"
    """Model whose autoencoder is trained on, widened to the size."""
    size: str = "base"
    """Of the networks."""
    batch: int = 64
    """Shapes of a step of the autoencoder."""
    num_queries: int = 4096
    """Queries of each."""
    flow_batch: int = 512
    """Latents of a step of the flow."""
    draws: int = 60_000
    """That the flow learns from."""
    autoencoder_rate: float = 2e-3
    """Peak learning rate of the autoencoder."""
    flow_rate: float = 2.5e-3
    """Peak learning rate of the flow."""
    makers: int = 9
    """Processes that make shapes."""
    loaders: int = 6
    """Processes that make batches."""
    first: int = 600
    """Shapes to wait for."""
    report_every: int = 100
    """Steps."""
    amounts: Amounts = field(default_factory=Amounts)
    """Shapes that are made."""


class Training:
    """One training, from the start of the process to the model's file."""

    def __init__(self, options: Options) -> None:
        self.options, self.begun = options, time.monotonic()
        options.out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(options.device)
        shipped = load(options.start)
        self.size = VolumesConfig.build(
            symmetry="frame", categories=shipped.categories, size=options.size
        )
        self.start: VolumeGenerator = shipped  # type: ignore[assignment]
        meshes = PackedMeshes.read(options.meshes)
        made, real = jobs_of(meshes, options.amounts)
        self.shapes = Shapes(
            GrowingBank(options.work / "made", made, *_MADE),
            GrowingBank(options.work / "real", real, *_REAL),
            shipped.categories,
        )
        self.makers = Makers((self.shapes.made, self.shapes.real), meshes, options.makers)

    def say(self, text: str) -> None:
        """A line of the log."""
        line = f"{time.monotonic() - self.begun:6.1f} s  {text}"
        print(line, flush=True)
        with (self.options.out / "log.txt").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def tell(self) -> str:
        """How far the data are."""
        return f"{self.makers.num_made} shapes, {self.makers.num_failed} failed"

    def clock(self, until: float) -> Clock:
        """From now until a share of the time is over."""
        now = time.monotonic()
        return Clock(max(self.begun + until * self.options.seconds - now, 1.0), now)

    def save(self, model: VolumeGenerator) -> None:
        """Write a model."""
        copy.deepcopy(model).to("cpu").save_pretrained(self.options.out / "model")

    def run(self) -> None:
        """Train both stages."""
        options, device = self.options, self.device
        self._wait_for_shapes()
        steps = AutoencoderSteps(
            self.shapes, options.batch, options.num_queries, ScanOptions(dense=0.08, noisy=0.6)
        )
        batches = loader(steps, options.loaders, device)
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
            self.say(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
        torch.manual_seed(0)
        model = VolumeGenerator.build(self.size)
        widen(self.start.autoencoder, model.autoencoder)
        model.to(options.device)
        learning = VolumeFlowTraining(diagonal=0.25, end=0.5)
        if device.type == "cuda":
            self._rehearse(model, learning)
        taken = train_autoencoder(
            model, batches, self.clock(options.share), learning_rate=options.autoencoder_rate,
            judge=FieldLoss(sign_weight=0.2, sharpness=100.0), say=self.say, tell=self.tell,
            every=options.report_every,
        )  # fmt: skip
        self.say(f"autoencoder: {taken} steps")
        model.config = replace(self.size, generates=False)
        self.save(model)
        model.config = self.size
        draws = encode(
            model,
            loader(FlowDraws(self.shapes, options.draws, learning), options.loaders, device),
        )
        self.say(f"{len(draws.tokens)} draws; {self.tell()}")
        flow_steps = train_flow(
            model, draws, self.clock(0.985), learning_rate=options.flow_rate,
            batch=options.flow_batch, options=learning, say=self.say, save=self.save,
            every=options.report_every,
        )  # fmt: skip
        model.card = {"run": self._card(taken, flow_steps)}
        self.save(model)
        self.say(f"flow: {flow_steps} steps; {self.tell()}")
        self.makers.stop()

    def _rehearse(self, model: VolumeGenerator, learning: VolumeFlowTraining) -> None:
        """What a GPU's graph cannot hold is known before the autoencoder is trained."""
        tokens = torch.randn(2048, 64, 64, device=self.device)
        given = tokens * (torch.arange(2048, device=self.device) % 2)[:, None, None]
        category = torch.zeros(2048, dtype=torch.long, device=self.device)
        draws = EncodedDraws(tokens.half(), given.half(), category)
        train_flow(
            copy.deepcopy(model), draws, Clock(_REHEARSAL, time.monotonic()),
            learning_rate=1e-3, batch=self.options.flow_batch, options=learning, say=self.say,
            save=self.save, every=10,
        )  # fmt: skip

    def _card(self, autoencoder: int, flow: int) -> dict[str, Any]:
        o = self.options
        return {
            "stages": {
                "autoencoder": {"steps": autoencoder, "batch": o.batch},
                "flow": {
                    "steps": flow, "batch": o.flow_batch, "draws": o.draws, "objective": "shortcut",
                },
            }
        }  # fmt: skip

    def _wait_for_shapes(self) -> None:
        self.say(f"{self.options.first} shapes are awaited")
        while self.makers.num_made < self.options.first or not self.shapes.real.ready.any():
            if self.makers.have_ended:
                sys.exit(f"too few shapes to begin with: {self.tell()}, no more to come")
            time.sleep(0.2)


def main() -> None:
    """Train, and end whatever is left of the processes."""
    torch.set_num_threads(1)
    if len(tempfile.gettempdir()) > _LONGEST:
        # Batches come by sockets in it; a loader whose socket cannot be made would wait for ever.
        sys.exit(f"TMPDIR must have at most {_LONGEST} characters, got {tempfile.gettempdir()}")
    training = Training(tyro.cli(Options, description=__doc__))
    training.run()
    # Loaders and makers hold nothing that is worth waiting for.
    os._exit(0)


if __name__ == "__main__":
    main()

"""`python -m geoflow_tools.fit_jumps`: few-step samples of a model brought nearer to its own ODE.

    scans   what samples may go through (only for models that complete points, and optional)
    solve   solutions of the ODE, by Heun's method; several processes may share them
    fit     the map, to the jumps of samples in one, two and four evaluations
    data    latents of shapes, that samples of names are to look like
    sharpen the map, whose samples a critic compares with them
    calibrate   the map again, whose samples are to spread as the data do, and drift to them

All write into --out; all but `data` and `fit` go on where they were ended, and `fit` may run
beside `solve`. The autoencoder and the latents stay as they are, and nearly so the field on the
diagonal.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import tyro
from rich.progress import track

from geoflow.models.kinds import load
from geoflow.models.latent import LatentGenerator
from geoflow.models.volumes import VolumeGenerator
from geoflow.training.processes import start
from geoflow_datasets import PROCEDURAL, procedural, universe
from geoflow_tools.fit_jumps.calibrating import Calibrating
from geoflow_tools.fit_jumps.data import AT_ONCE, encoded_parts, joined, read_data, shapes_of
from geoflow_tools.fit_jumps.fitting import HELD_OUT, Fit, lag, wait_for
from geoflow_tools.fit_jumps.held_out import HeldOut
from geoflow_tools.fit_jumps.map_training import MapTraining
from geoflow_tools.fit_jumps.progress import Progress
from geoflow_tools.fit_jumps.scans import encode_scans, make_shapes
from geoflow_tools.fit_jumps.sharpening import Sharpening
from geoflow_tools.fit_jumps.solutions import BLOCK, Encoded, StoredSolutions, Told, solve
from geoflow_tools.train_clouds.timed import Every
from geoflow_tools.train_shapes.batches import Amounts
from geoflow_tools.train_shapes.loops import Clock
from geoflow_tools.train_shapes.packed import PackedMeshes

_SCANS, _SOLUTIONS, _MODEL, _LOG = "scans.npz", "solutions", "model", "log.jsonl"
_DATA = {"train": "data-*.npz", "val": "held-out-*.npz"}
# Categories of the procedural family are asked for most, then those that the universe has.
_PROCEDURAL, _MADE, _OTHER = 3.0, 2.0, 0.8


@dataclass(frozen=True)
class ScansOptions:
    """Encode scans of made shapes and of meshes, for the model `shapes` and those like it."""

    out: Path
    """Folder of all that is made."""
    meshes: Path
    """File that `geoflow_tools.train_shapes.packed` wrote."""
    model: str = "shapes"
    """Shipped model, or a folder of a model or a run."""
    num: int = 1_536
    """Scans."""
    num_meshes: int = 110
    """Meshes of the file that are scanned."""
    procedural: int = 600
    """Procedural shapes that are scanned."""
    universe: int = 450
    """Things of the universe likewise."""
    assemblies: int = 150
    """Random assemblies likewise."""

    def run(self) -> None:
        """Make and encode."""
        model = VolumeGenerator.from_pretrained(self.model)
        amounts = Amounts(self.procedural, self.universe, self.assemblies, copies=0)
        meshes = PackedMeshes.read(self.meshes)
        shapes = make_shapes(model, meshes, amounts, self.num_meshes, self.out / "shapes")
        total = -(-self.num // 64)
        parts = list(track(encode_scans(model, shapes, self.num), "scans", total=total))
        joined(parts).save(self.out / _SCANS)


@dataclass(frozen=True)
class SolveOptions:
    """Solve the model's ODE from random noise, told what samples are asked for."""

    out: Path
    """Folder of all that is made."""
    model: str = "shapes"
    """Shipped model with a flow of latents, or a folder of a model or a run."""
    num: int = 24_000
    """Solutions."""
    part: int = 0
    """This process makes one block of 20 in --parts, from this one on."""
    parts: int = 1
    """Processes that share them."""
    seed: int = 0
    """Of noise and categories."""

    def run(self) -> None:
        """Make what is missing."""
        model: Any = load(self.model)
        path = self.out / _SCANS
        told = Told(chances_of(model), Encoded.load(path) if path.is_file() else None)
        blocks = range(self.part, -(-self.num // BLOCK), self.parts)
        made = solve(model, told, self.out / _SOLUTIONS, blocks, self.seed)
        for _ in track(made, "solutions", total=len(blocks)):
            pass


@dataclass(frozen=True)
class FitOptions:
    """Fit the flow map to the solutions, by the clock."""

    out: Path
    """Folder of all that is made; the model is in its folder `model`."""
    model: str = "shapes"
    """The model whose solutions these are."""
    begin_from: str | None = None
    """A model of an earlier fit, to go on from; without, the fit begins at --model."""
    seconds: float = 3_300.0
    """Of the fit; its learning rate falls to zero over the last seven tenths."""
    batch: int = 48
    """Pairs of a step."""
    learning_rate: float = 3e-4
    """Peak rate."""
    share: float = 0.75
    """Of the way from the weights that were to those that are fitted, that is gone."""
    report_every: float = 240.0
    """Seconds, after which lag and model are written, too."""
    seed: int = 0
    """Of the pairs."""

    def run(self) -> None:
        """Fit, report the lag of one, two and four evaluations, and write the model."""
        model: Any = load(self.model)
        if model.config.restarts:
            raise SystemExit(
                f"--model {self.model}: its samples start again on their way, and a fit is of "
                "jumps from time to time; take a model without `restarts`"
            )
        solutions = StoredSolutions(self.out / _SOLUTIONS)
        wait_for(solutions, HELD_OUT + BLOCK)
        _say(self.out, step=0, lag=lag(model.flow_map, model, solutions))
        begun: Any = None if self.begin_from is None else self._begun(model)
        clock = Clock(self.seconds, time.monotonic())
        fit = Fit(
            model, solutions, clock, self.batch, self.learning_rate, self.share, self.seed, begun
        )
        last, mean = time.monotonic(), 0.0

        def told(step: int, loss: float) -> None:
            nonlocal last, mean
            mean = loss if step == 1 else 0.98 * mean + 0.02 * loss
            if time.monotonic() - last > self.report_every:
                self._keep(fit, step, mean)
                last = time.monotonic()

        steps = fit.run(told)
        self._keep(fit, steps, mean)

    def _begun(self, model: Any) -> Any:
        begun: Any = load(str(self.begin_from))
        ours, theirs = (
            {name: part.shape for name, part in found.flow_map.state_dict().items()}
            for found in (model, begun)
        )
        if ours != theirs:
            raise SystemExit(
                f"--begin-from {self.begin_from}: its flow map is not that of {self.model}"
            )
        return begun

    def _keep(self, fit: Fit, step: int, loss: float) -> None:
        kept: LatentGenerator[Any] = fit.kept()
        about = {"steps": step, "solutions": len(fit.solutions), "share": self.share}
        kept.card = {**kept.card, "jumps": about}
        kept.save_pretrained(self.out / _MODEL)
        _say(
            self.out, step=step, loss=loss, solutions=len(fit.solutions),
            lag=lag(kept.flow_map, kept, fit.solutions),
        )  # fmt: skip


@dataclass(frozen=True)
class DataOptions:
    """Encode shapes of a split, as samples of their names are to be."""

    out: Path
    """Folder of all that is made."""
    model: str = "shapes"
    """Shipped model with a flow of latents, or a folder of a model or a run."""
    data: str = PROCEDURAL
    """The word procedural, a folder of meshes, or of banks by split; of the model's categories."""
    split: Literal["train", "val"] = "train"
    """What samples learn from, or what their training is judged by."""
    only: tuple[str, ...] = ()
    """Categories, in files beside those of all; without, those that the model knows."""
    num: int = 8_000
    """Shapes, at most."""
    part: int = 0
    """This process encodes one shape in --parts, from this one on."""
    parts: int = 1
    """Processes that share them."""

    def run(self) -> None:
        """Make the shapes, encode and write."""
        model: Any = load(self.model)
        bank, rows = shapes_of(model, self.data, self.num, self.split, self.only)
        mine = rows[self.part :: self.parts]
        made = track(encoded_parts(model, bank, mine), "shapes", total=-(-len(mine) // AT_ONCE))
        which = "-".join([*self.only, str(self.part)])
        joined(list(made)).save(self.out / _DATA[self.split].replace("*", which))


@dataclass(frozen=True, kw_only=True)
class TrainOptions(ABC):
    """Train samples of names by the clock, or go on where it was ended.

    With held-out shapes, that state is kept whose samples are nearest to them.
    """

    name: ClassVar[str]

    out: Path
    """Folder of all that is made; the model is in its folder `sharpened` or `calibrated`."""
    model: str = "shapes"
    """The model whose samples are trained: shipped, or a folder of a model, a fit or a run."""
    keep_as: str | None = None
    """The model whose other answers are held; without, --model."""
    seconds: float
    """Of the training; its rates fall to zero over the last part."""
    batch: int
    """Samples of a step and process."""
    learning_rate: float
    """Peak rate of the map."""
    emphasis: dict[str, float] = field(default_factory=dict)
    """Categories that are drawn more or less often than once, and how often."""
    devices: int = 1
    """Processes, each with a core and a batch of its own."""
    report_every: float = 240.0
    """Seconds, after which losses are said and the model written."""
    seed: int = 0
    """Of noise and data."""

    @abstractmethod
    def training(self, **common: Any) -> MapTraining:
        """The training, of what all have in common."""

    def run(self) -> None:
        """Train, report and write the model."""
        model: Any = load(self.model)
        unknown = set(self.emphasis) - set(model.categories)
        if unknown:
            raise SystemExit(f"--emphasis {min(unknown)}: the model has no such category")
        keep_as: Any = None if self.keep_as is None else load(self.keep_as)
        data = read_data(self.out, _DATA["train"])
        scans = Encoded.load(self.out / _SCANS) if (self.out / _SCANS).is_file() else None
        held_out = None
        if any(self.out.glob(_DATA["val"])):
            held_out = HeldOut(model, read_data(self.out, _DATA["val"]))
        processes, _ = start(self.devices, 1, "cpu")
        with processes:
            clock = Clock(self.seconds, 0.0)
            training = self.training(
                model=model, keep_as=keep_as, data=data, scans=scans, clock=clock,
                batch=self.batch, learning_rate=self.learning_rate, emphasis=self.emphasis,
                seed=self.seed, processes=processes,
            )  # fmt: skip
            clock.start = time.monotonic()
            progress = Progress(self.out, self.name, training, held_out)
            progress.go_on()
            due = Every(self.report_every)
            mean: dict[str, float] = {}

            def told(step: int, losses: dict[str, float]) -> None:
                for name, loss in losses.items():
                    mean[name] = 0.98 * mean.get(name, loss) + 0.02 * loss
                if processes.is_first and due():
                    _say(self.out, **progress.keep(mean))

            training.run(told)
            if processes.is_first:
                _say(self.out, **progress.keep(mean))


@dataclass(frozen=True, kw_only=True)
class SharpenOptions(TrainOptions):
    """Train the samples of names against data, by the clock."""

    name = "sharpened"

    seconds: float = 2_400.0
    batch: int = 32
    learning_rate: float = 6e-5
    critic_rate: float = 6e-4
    """Peak rate of the critic."""
    penalty: float = 1.0
    """Weight of the critic's slope: high, and it overlooks samples that are beside the data."""

    def training(self, **common: Any) -> Sharpening:
        """With a critic."""
        return Sharpening(critic_rate=self.critic_rate, penalty=self.penalty, **common)


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(TrainOptions):
    """Fit last jumps of samples of names to where they spread as data do, and drift to these.

    A fit follows a part of the way: --model its own result, in another --out, takes it on.
    """

    name = "calibrated"

    seconds: float = 1_500.0
    batch: int = 64
    learning_rate: float = 5e-4
    most: int = 5_000
    """Data of a category that its samples drift to, at most."""
    sets: int = 2
    """Of as many samples, which drift each by themselves: the fewer the data, the more help."""

    def training(self, **common: Any) -> Calibrating:
        """With a calibration of each category."""
        return Calibrating(most=self.most, sets=self.sets, **common)


def _say(folder: Path, **values: Any) -> None:
    line = json.dumps(values)
    print(line, flush=True)
    with (folder / _LOG).open("a", encoding="utf-8") as log:
        log.write(line + "\n")


def chances_of(model: LatentGenerator[Any]) -> tuple[float, ...]:
    """How often each category of a model is asked for."""
    weight = [
        _PROCEDURAL if name in procedural.CATEGORIES
        else _MADE if name in universe.CATEGORIES
        else _OTHER
        for name in model.categories
    ]  # fmt: skip
    return tuple(w / sum(weight) for w in weight)


def main() -> None:
    """Parse and run."""
    torch.set_num_threads(1)
    scans = Annotated[ScansOptions, tyro.conf.subcommand("scans")]
    solving = Annotated[SolveOptions, tyro.conf.subcommand("solve")]
    fitting = Annotated[FitOptions, tyro.conf.subcommand("fit")]
    data = Annotated[DataOptions, tyro.conf.subcommand("data")]
    sharpening = Annotated[SharpenOptions, tyro.conf.subcommand("sharpen")]
    calibrating = Annotated[CalibrateOptions, tyro.conf.subcommand("calibrate")]
    asked = scans | solving | fitting | data | sharpening | calibrating
    chosen = tyro.cli(asked, prog="geoflow_tools.fit_jumps", description=__doc__)
    try:
        chosen.run()
    except (OSError, ValueError, FloatingPointError) as error:
        raise SystemExit(f"fit_jumps: {error}") from error


if __name__ == "__main__":
    main()

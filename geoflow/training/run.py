"""A whole training run: a list of stages, trained in turn, in a folder that can be gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from geoflow import __version__
from geoflow.atomic import reading
from geoflow.flow_map import FlowMap
from geoflow.models.base import Model
from geoflow.models.blueprint import blueprint
from geoflow.models.checkpoint import CheckpointError
from geoflow.models.config import from_json, to_json
from geoflow.models.kinds import KINDS, Kind, kind_of, load
from geoflow.seeds import seeded_generator
from geoflow.training.folder import RUN, read_run, write_run
from geoflow.training.fusing import fusing
from geoflow.training.lock import locked
from geoflow.training.loop import Progress, fit
from geoflow.training.precision import settled
from geoflow.training.processes import ALONE, Processes
from geoflow.training.stage import Context, Stage, StageOptions, Watch, unwatched
from geoflow.typing import Count, Extra


@dataclass(frozen=True)
class DataConfig:
    """Where the data come from."""

    source: str = "procedural"
    """The word procedural, or a folder or file."""
    category: str = "chair"
    """Category to keep, several joined by commas, or all."""
    up: str = "y"
    """Axis that points up in the files."""
    num: Count = 12_000
    """Procedural shapes or figures to train on."""
    thickness: float | None = None
    """Least thickness of parts of meshes; None: the default."""
    keep_cavities: bool = False
    """Keep the closed hollows of meshes."""
    augment: Extra = 0
    """Deformed copies of each training mesh of a folder."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run's result."""

    kind: str = "sdf"
    """Key of KINDS."""
    data: DataConfig = field(default_factory=DataConfig)
    """Data."""
    model: Any = None
    """Configuration of the model, of the kind's type."""
    stages: Mapping[str, StageOptions] = field(default_factory=dict)
    """Options of each stage by its name, of the stage's type; optional ones may be left out."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    init_from: str | None = None
    """Model whose weights all stages start from."""
    teacher: str | None = None
    """Model whose flow is distilled: the student starts from it."""
    checkpoint_every: Count = 500
    """Steps between checkpoints; each stage also saves at its end."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The command line's options by which the run was started, to compare later ones with."""

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> RunConfig:
        """Build from what `to_json` gave.

        Raises:
            ValueError: for a field that is unknown, of another type, or out of range.
        """
        kind = kind_of(str(content.get("kind")))
        rest = {name: value for name, value in content.items() if name not in ("model", "stages")}
        plain = from_json(RunConfig, rest)
        written = content.get("stages", {})
        classes = kind.stage_classes()
        types = {stage.name: stage.options_type for stage in classes}
        needed = [stage.name for stage in classes if not stage.is_optional]
        if not isinstance(written, dict) or not set(needed) <= set(written) <= set(types):
            more = "".join(f", and may be {name}" for name in types if name not in needed)
            raise ValueError(f"stages must be {', '.join(needed)}{more}, got {written!r}")
        return replace(
            plain,
            model=from_json(kind.model_class().config_type, content.get("model")),
            stages={
                name: from_json(types[name], written[name]) for name in types if name in written
            },
        )

    def to_json(self) -> dict[str, Any]:
        """As nested dictionaries."""
        return to_json(self)


def frozen_flow(teacher: Model) -> FlowMap:
    """The flow map of a model, fixed: as jumps, or as steps if it knows the diagonal alone."""
    flow_map: FlowMap = teacher.modules()["flow"].requires_grad_(False).eval()  # type: ignore[assignment]
    run = teacher.card.get("run", {})
    # Cards of earlier versions have the stage's options beside the stages.
    options = run.get("stages", run).get("flow", {})
    return flow_map.diagonal() if options.get("objective") == "flow-matching" else flow_map


class Run:
    """A run folder: open it, train what is left, read the model.

    Attributes:
        model: the model in training.
        said: what stages that have ended tell the user.
    """

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        *,
        device: str = "cpu",
        processes: Processes = ALONE,
    ) -> None:
        self.folder, self.config, self.device = folder, config, device
        self.processes = processes
        torch.default_generator.set_state(seeded_generator(config.seed).get_state())
        start = config.init_from or config.teacher
        if start is None:
            build = self.kind.model_class().build
            with reading(folder / RUN, CheckpointError):
                blueprint(build, config.model)
            model = build(config.model)
        else:
            model = load(start)
        if model.kind != config.kind:
            raise CheckpointError(
                f"{start} is a model of kind {model.kind!r}, the run's is {config.kind!r}"
            )
        self.model = model.completed().starting(config.model).to(device)
        self.frozen = None
        if config.teacher is not None:
            with reading(config.teacher, CheckpointError):
                self.frozen = frozen_flow(load(config.teacher, device=device))
        self._stage: Stage[Any, Any] | None = None
        self.said: list[str] = []

    @staticmethod
    def create(
        folder: Path, config: RunConfig, *, device: str = "cpu", processes: Processes = ALONE
    ) -> Run:
        """Start a run in an empty or new folder, settled by what is faster here.

        That is the precision of products, and whether networks are fused.

        Raises:
            FileExistsError: if the folder holds a run already.
            CheckpointError: if the model to start from is missing, damaged or of another kind.
        """
        stages = {
            name: fusing(settled(stage, device), device) for name, stage in config.stages.items()
        }
        run = Run(folder, replace(config, stages=stages), device=device, processes=processes)
        write_run(folder, run.config.to_json())
        return run

    @staticmethod
    def open(folder: Path, *, device: str = "cpu") -> Run:
        """Continue a run with the options that it was started with.

        Raises:
            CheckpointError: if the folder holds no run, or a damaged one.
        """
        return Run(folder, read_config(folder), device=device)

    @property
    def kind(self) -> Kind:
        """The kind of its model."""
        return KINDS[self.config.kind]

    def train(
        self,
        data: Any,
        about: Mapping[str, Any] | None = None,
        *,
        held_out: Any = None,
        watch: Watch = unwatched,
    ) -> Iterator[Progress]:
        """Train what is left of all stages, then write model/.

        Args:
            data: as the kind's stages take them.
            about: what the model's card says of the data.
            held_out: data of the same form to choose by: where a model is tuned, an autoencoder
                that it leaves worse on them than it was is not kept.
            watch: told of what takes long before a stage's first step.

        Raises:
            FloatingPointError: if a loss is not finite; nothing of that step is applied.
            CheckpointError: if another process trains the run.
        """
        start = self.config.init_from or self.config.teacher
        context = Context(
            self.model, data, self.folder, self.config.seed, self.device, self.frozen,
            is_fresh=start is None, held_out=held_out, watch=watch, processes=self.processes,
        )  # fmt: skip
        with locked(self.folder) if self.processes.is_first else nullcontext():
            for stage_class in self.kind.stage_classes():
                if stage_class.name not in self.config.stages:
                    continue
                self._stage = stage_class(self.config.stages[stage_class.name], context)
                yield from fit(self._stage, checkpoint_every=self.config.checkpoint_every)
                if self._stage.said:
                    self.said.append(self._stage.said)
            if self.processes.is_first:
                self._keep(dict(about or {}))

    def averaged(self) -> Model:
        """The model as it would be kept now: the stage in training gives its moving average."""
        return self.model if self._stage is None else self._stage.kept()

    def _keep(self, about: dict[str, Any]) -> None:
        # A model travels; the place of its data on one machine does not.
        places = self.config.data.source.split("+")
        source = replace(self.config.data, source="+".join(Path(place).name for place in places))
        config = asdict(replace(self.config, data=source, options={}))
        self.model.card = {"geoflow": __version__, "data": about, "run": config}
        self.model.to(self.device)
        self.model.save_pretrained(self.folder / "model")


def read_config(folder: Path) -> RunConfig:
    """What determines the run of a folder.

    Raises:
        CheckpointError: if it holds no run, a damaged one, or one of an earlier version.
    """
    content = read_run(folder)
    with reading(folder / RUN, CheckpointError):
        return RunConfig.from_json(content)

"""`geoflow train`: any kind of model, by its room in `geoflow_cli.kinds`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoflow.models.kinds import Kind
from geoflow_cli.checks import check_at_least, resolve_device
from geoflow_cli.errors import Failure, UsageError, failing
from geoflow_cli.options import TrainOptions
from geoflow_cli.progress import training_bar

if TYPE_CHECKING:
    from geoflow.training.processes import Processes

# Options that change nothing of a run's result, and may differ when it is resumed.
_FREE = (
    "kind",
    "representation",
    "out",
    "resume",
    "sheet_every",
    "log",
    "device",
    "progress",
    "devices",
    "num_nodes",
)


def train(options: TrainOptions, kind: Kind, given: Collection[str]) -> None:
    """Check, prepare the data, train all stages with reports, and say where the model is."""
    room = kind.on("geoflow_cli.kinds")
    _check(options)
    if not options.resume:
        with failing():
            room.check(options, given)
        if options.compile == "on" and not any(
            stage.options_type.fuses for stage in kind.stage_classes()
        ):
            raise UsageError(f"--compile on: nothing of kind {kind.name} gains by it; leave it out")
    from geoflow.training.folder import check_free
    from geoflow.training.run import Run, read_config

    with failing():
        folder = options.out or Path("runs") / room.default_folder(options)
        if not options.resume:
            # Before any process waits for another one.
            check_free(folder)
    processes, device = _started(options)
    with failing(), processes:
        if options.resume:
            config = read_config(folder)
            if config.kind != kind.name:
                raise UsageError(f"{folder} holds a run of --kind {config.kind}: name it by --out")
            _refuse_contradictions(options, given, config.options)
            loaded = _loaded(room, config.data, options, processes)
            fitted = room.fit_to(loaded, config)
            run = Run(folder, config, device=device, processes=processes)
        else:
            data = room.data_of(options)
            loaded = _loaded(room, data, options, processes)
            config = _with_options(room.config(options, data, loaded), options, processes.num)
            # Data that do not fit the model are refused before there is a folder.
            fitted = room.fit_to(loaded, config)
            # The first settles the precision; the others read what it settled.
            run = processes.in_turn(
                lambda: (
                    Run.create(folder, config, device=device, processes=processes)
                    if processes.is_first
                    else Run(folder, read_config(folder), device=device, processes=processes)
                )
            )
            config = run.config
        if not processes.is_first:
            for _ in run.train(fitted.train, held_out=fitted.validation):
                pass
            return
        if loaded.said:
            print(loaded.said)
        _follow(run, fitted, options)
        for line in run.said:
            print(line)
        print(f"{folder / 'model'}: model written")
        print(f"try: {room.hint(folder, config)}")


def _check(options: TrainOptions) -> None:
    if options.steps is not None:
        check_at_least("steps", options.steps, 1)
    check_at_least("checkpoint-every", options.checkpoint_every, 1)
    check_at_least("sheet-every", options.sheet_every, 0)
    for name in ("devices", "num_nodes", "accumulate"):
        check_at_least(name.replace("_", "-"), getattr(options, name), 1)
    from geoflow.training.reports import check_packages

    try:
        check_packages(tensorboard=options.log == "tensorboard")
    except ImportError as error:
        raise Failure(str(error)) from error


def _started(options: TrainOptions) -> tuple[Processes, str]:
    """The processes of the training, and the device of this one."""
    device = resolve_device(options.device)
    from geoflow.training.processes import start

    try:
        with failing():
            return start(options.devices, options.num_nodes, device)
    except ImportError as error:
        raise Failure(str(error)) from error


def _loaded(room: Any, data: Any, options: TrainOptions, processes: Processes) -> Any:
    """The data; what is made once is made by the first process."""
    show = options.progress and processes.is_first
    return processes.in_turn(lambda: room.load(data, show_progress=show))


def _with_options(config: Any, options: TrainOptions, processes: int) -> Any:
    """The run with what is asked of every kind alike: precision, and the options to compare."""
    if options.precision != "auto":
        bf16 = options.precision == "bf16"
        stages = {
            name: replace(stage, bf16=bf16, muon_bf16=bf16) for name, stage in config.stages.items()
        }
        config = replace(config, stages=stages)
    if options.compile != "auto":
        stages = {
            name: replace(stage, compile=options.compile == "on" and stage.fuses)
            for name, stage in config.stages.items()
        }
        config = replace(config, stages=stages)
    parts = options.accumulate * processes
    if parts > 1:
        stages = {name: replace(stage, parts=parts) for name, stage in config.stages.items()}
        config = replace(config, stages=stages)
    return replace(config, options=_determining(options))


def _determining(options: TrainOptions) -> dict[str, Any]:
    """The options that determine a run's result, as JSON has them."""
    return {name: value for name, value in asdict(options).items() if name not in _FREE}


def _refuse_contradictions(
    options: TrainOptions, given: Collection[str], has: Mapping[str, Any]
) -> None:
    """Raise UsageError for an option that is given, and is not what the run was started with."""
    for name, value in _determining(options).items():
        if name in given and value != has.get(name):
            flag, before = f"--{name.replace('_', '-')}", has.get(name)
            started = "its default" if before is None else f"{flag} {before}"
            raise UsageError(
                f"{flag} {value} contradicts the run in {options.out}, which was started with "
                f"{started}: leave it out, or start another run"
            )


def _follow(run: Any, loaded: Any, options: TrainOptions) -> None:
    """Train with reports and a bar."""
    from geoflow.training.fusing import COMPILING
    from geoflow.training.reports import Reports

    validate = run.kind.on("geoflow_tools.validation").validator(run, loaded)
    tensorboard = options.log == "tensorboard"
    with (
        Reports(
            run.folder, validate, every=options.sheet_every, tensorboard=tensorboard
        ) as reports,
        training_bar(show=options.progress) as bar,
    ):
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int, said: str = "", unit: str = "steps") -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(
                    what, total=total, completed=max(done - 1, 0), said=said, unit=unit
                )
            bar.update(tasks[what], completed=done, said=said)

        def watch(what: str, done: int, total: int) -> None:
            show(what, done, total, unit="" if what == COMPILING else "shapes")

        steps = run.train(loaded.train, loaded.about, held_out=loaded.validation, watch=watch)
        for progress in steps:
            reports.step(progress)
            said = f"loss {progress.smoothed:.4f}"
            show(progress.stage, progress.step, progress.steps, said)

"""What the command lines of meshes and of clouds have in common: an autoencoder, and a flow."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geoflow_cli.budget import foreseen
from geoflow_cli.checks import check_at_least
from geoflow_cli.errors import UsageError
from geoflow_cli.kinds import Loaded
from geoflow_cli.kinds.flow_options import (
    CELL,
    FlowSettings,
    cell_of,
    check_cell,
    check_objective,
    chosen_cell,
    chosen_objective,
)
from geoflow_cli.options import SampleOptions, TrainOptions, Up

if TYPE_CHECKING:
    from geoflow.models.base import ModelFile
    from geoflow.models.latent import Shape
    from geoflow.training.run import DataConfig, RunConfig
    from geoflow_datasets.sources import Gives

_NUM_VALIDATION = 32
_MOST_DRAWN = 1000
_PREVIEW_COLUMNS = 6
_PREVIEW_SIZE = 240
_AZIMUTH = 35.0


@dataclass(frozen=True)
class ShapeTrain(FlowSettings, TrainOptions):
    """Options of training on shapes: an autoencoder, then a flow of its latents."""

    shape_category: str = "chair"
    """Category, or several as 'chair,airplane', or 'all': procedural ones, or those of the folder
    given as --data. A model of several is sampled by --category."""
    data_up: Up = "y"
    """Axis that points up in the folder's files."""
    init_from: str | None = None
    """Start from a model, a shipped name or a folder, with its networks, path and prediction. Its
    categories become those of the data: new ones start from the mean of its own."""
    teacher: str | None = None
    """Distil the flow of a model: start from it, keep its autoencoder, and learn from its flow."""
    autoencoder_steps: int | None = None
    """Optimiser steps of the autoencoder alone; 0 keeps that of --init-from as it is."""
    flow_steps: int | None = None
    """Optimiser steps of the flow alone; 0 keeps that of --init-from, with its autoencoder."""
    symmetry: Literal["frame", "so2", "so3"] = "frame"
    """Upright samples in a frame; symmetric about the up axis; or in any pose."""
    num_shapes: int = 12_000
    """Procedural training shapes."""


@dataclass(frozen=True)
class ShapeSample(SampleOptions):
    """Options of sampling shapes."""

    num: int = 1
    """Number of samples."""
    category: str | None = None
    """Category, for a model of several."""
    up: Up = "y"
    """Axis that points up in the files."""
    preview: bool = False
    """Write beside --out a picture of all samples, NAME.png."""


def check(options: ShapeTrain, given: Collection[str], *, gives: Gives) -> None:
    """Refuse what is wrong before anything slow.

    Raises:
        ValueError: for a source, objective or setting that does not fit.
    """
    start = options.init_from or options.teacher
    if options.autoencoder_steps is not None:
        lowest = 1 if start is None else 0
        check_at_least("autoencoder-steps", options.autoencoder_steps, lowest)
    if options.flow_steps is not None:
        _check_flow_steps(options, options.flow_steps)
    if options.teacher is not None and options.autoencoder_steps is not None:
        raise UsageError("--autoencoder-steps: a student keeps the autoencoder of its --teacher")
    if options.init_from is not None and options.teacher is not None:
        raise UsageError("--teacher and --init-from exclude each other: a student starts from it")
    check_at_least("num-shapes", options.num_shapes, 2)
    from geoflow_datasets import MADE
    from geoflow_datasets import check as check_source

    names = check_source(options.data, options.shape_category, gives=gives)
    if options.data in MADE:
        check_at_least("num-shapes", options.num_shapes, len(names))
    file = _start(options)
    if file is not None:
        if file.kind != options.kind:
            raise UsageError(
                f"{start} is a model of kind {file.kind}, got --kind "
                f"{options.kind}: name that of the model, or start afresh"
            )
        check_cell(options, file, str(start))
        has = file.model.get("symmetry")
        if "symmetry" in given and options.symmetry != has:
            raise UsageError(
                f"--symmetry {options.symmetry} is of fresh networks, and {start} has {has}: "
                "leave it out, or start afresh"
            )
    check_objective(
        _stages(options)["flow"], _cell(options, file), distils=options.teacher is not None
    )


def _check_flow_steps(options: ShapeTrain, steps: int) -> None:
    check_at_least("flow-steps", steps, 1 if options.init_from is None else 0)
    if steps == 0 and options.autoencoder_steps != 0:
        raise UsageError(
            "--flow-steps 0 keeps a flow, whose latents are those of the autoencoder that it was "
            "trained with: add --autoencoder-steps 0"
        )


def default_folder(options: ShapeTrain) -> str:
    """The categories."""
    from geoflow_datasets.layouts import category_names

    return "-".join(category_names(options.shape_category))


def data_of(options: ShapeTrain) -> DataConfig:
    """Where the shapes come from."""
    from geoflow.training.run import DataConfig
    from geoflow_datasets import MADE

    source = options.data if options.data in MADE else str(Path(options.data).resolve())
    return DataConfig(source, options.shape_category, options.data_up, options.num_shapes)


def load(data: DataConfig, *, gives: Gives, show_progress: bool) -> Loaded:
    """The banks of shapes, and what became of every file."""
    from geoflow_datasets import describe
    from geoflow_datasets import load as load_bank
    from geoflow_datasets.attribution import credits_of

    banks: dict[str, Any] = {
        split: load_bank(
            data.source,
            data.category,
            gives=gives,
            split=split,
            num=num,
            up=data.up,
            show_progress=show_progress,
            thickness=data.thickness,
            keep_cavities=data.keep_cavities,
            augment=data.augment,
        )
        for split, num in (("train", data.num), ("val", _NUM_VALIDATION))
    }
    said = describe(
        data.source, data.category, gives=gives, up=data.up, thickness=data.thickness,
        keep_cavities=data.keep_cavities,
    )  # fmt: skip
    about: dict[str, Any] = {"train_shapes": len(banks["train"])}
    if credits := credits_of(Path(data.source), banks["train"].names):
        about["attribution"] = credits
    return Loaded(banks["train"], banks["val"], banks["train"], about, said)


def config(options: ShapeTrain, data: DataConfig, loaded: Loaded) -> RunConfig:
    """The run, with the categories that the data has."""
    from geoflow.models.kinds import KINDS
    from geoflow.training.run import RunConfig

    config_type: Any = KINDS[options.kind].model_class().config_type
    file = _start(options)
    if file is None:
        interpolant, prediction = _cell(options, None)
        model = config_type.build(
            symmetry=options.symmetry,
            categories=loaded.train.category_names,
            interpolant=interpolant,
            prediction=prediction,
        )
    else:
        model = file.config(config_type)
    if options.init_from is not None:
        # Fine-tuned on the categories of the data; a student has those of its teacher.
        model = model.with_categories(loaded.train.category_names)
    return RunConfig(
        kind=options.kind,
        data=data,
        model=model,
        stages=_stages(options),
        seed=options.seed,
        init_from=options.init_from,
        teacher=options.teacher,
        checkpoint_every=options.checkpoint_every,
    )


def fit_to(loaded: Loaded, config: RunConfig) -> Loaded:
    """Categories counted as the model does, drawn equally often, shown in turn."""
    from geoflow_datasets.balance import balanced, in_turn

    names = config.model.categories
    training, held_out = (bank.with_categories(names) for bank in (loaded.train, loaded.validation))
    validation = held_out.subset(in_turn(held_out.categories))
    compared = training.compared()
    return replace(loaded, train=balanced(training), validation=validation, bank=compared)


def hint(folder: Path, config: RunConfig, *, out: str) -> str:
    """How to sample the model, in its last category where it has several."""
    names = config.model.categories
    chosen = f" --category {names[-1]}" if len(names) > 1 else ""
    return f"geoflow sample --model {folder}{chosen} --out {out}"


def check_sample(options: ShapeSample, file: ModelFile) -> None:
    """Refuse numbers and categories that a model does not have."""
    if not file.has_samples:
        raise UsageError(
            f"--model {options.model} encodes and decodes shapes, but has no flow map yet: it "
            "makes no samples"
        )
    check_at_least("num", options.num, 1)
    check_preview(options.num, is_drawn=options.preview)
    if options.category is not None and options.category not in file.choices:
        raise UsageError(
            f"--category must be one of {', '.join(file.choices)}, got {options.category!r}"
        )


def numbered(path: Path, num: int) -> list[Path]:
    """NAME.obj for one shape, NAME-000.obj and on for several."""
    if num == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{index:03d}{path.suffix}") for index in range(num)]


def check_preview(num: int, *, is_drawn: bool) -> None:
    """Raise UsageError for a picture of more shapes than are held in memory."""
    if is_drawn and num > _MOST_DRAWN:
        raise UsageError(f"--preview draws at most {_MOST_DRAWN:,} shapes, got --num {num:,}")


def preview(
    out: Path, paths: list[Path], shapes: Iterator[Shape], *, is_drawn: bool, told: bool = False
) -> None:
    """Let all samples be made; where a picture is asked for, draw them beside the files."""
    made = foreseen(paths, shapes, told=told)
    if not is_drawn:
        for _ in made:
            pass
        return
    drawn = [(path.name, shape) for path, shape in zip(paths, made, strict=True)]
    from geoflow.atomic import write_bytes
    from geoflow_viewer.picture import labelled_grid, png_bytes
    from geoflow_viewer.renderers import renderer_of

    picture = out.with_suffix(".png")
    labels, drawable = zip(*drawn, strict=True)
    renderer = renderer_of("auto", lambda said: print(f"geoflow: {said}", file=sys.stderr))
    (pictures,) = renderer.views(drawable, [_AZIMUTH], size=_PREVIEW_SIZE)
    columns = min(len(drawn), _PREVIEW_COLUMNS)
    write_bytes(picture, png_bytes(labelled_grid(labels, pictures, columns=columns)))
    print(f"{picture}: picture written")


def _start(options: ShapeTrain) -> ModelFile | None:
    """The model to start from; its card alone is read."""
    from geoflow.models.base import describe

    start = options.init_from or options.teacher
    return None if start is None else describe(start)


def symmetry_of(options: ShapeTrain) -> str:
    """Of the model to start from, or asked for."""
    file = _start(options)
    return options.symmetry if file is None else str(file.model.get("symmetry"))


def _cell(options: ShapeTrain, file: ModelFile | None) -> tuple[str, str]:
    """Interpolant and prediction: of the model to start from, or asked for, or the default."""
    has, asked = cell_of(file), chosen_cell(options)
    interpolant, prediction = (a or b or c for a, b, c in zip(has, asked, CELL, strict=True))
    return interpolant, prediction


def _stages(options: ShapeTrain) -> dict[str, Any]:
    """Options of both stages; a model to start from needs a tenth of the steps."""
    from geoflow.models.kinds import KINDS
    from geoflow.training.stages.flow import FlowOptions

    file = _start(options)
    made: dict[str, Any] = {
        stage.name: stage.options_type() if file is None else stage.fine_tuning()
        for stage in KINDS[options.kind].stage_classes()
        if not stage.is_optional
    }
    steps = options.steps if options.autoencoder_steps is None else options.autoencoder_steps
    steps = 0 if options.teacher is not None else steps
    if steps is not None:
        made["autoencoder"] = replace(made["autoencoder"], steps=steps)
    for name, stage in made.items():
        if isinstance(stage, FlowOptions) and options.targets is not None:
            made[name] = replace(stage, targets=options.targets)
    steps = options.steps if options.flow_steps is None else options.flow_steps
    made["flow"] = replace(
        made["flow"],
        steps=made["flow"].steps if steps is None else steps,
        objective=chosen_objective(options, cell_of(file)),
        **options.settings(),
    )
    return made

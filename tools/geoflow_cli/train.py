"""`geoflow train`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geoflow_cli.checks import check_at_least, refuse_options, resolve_device
from geoflow_cli.errors import UsageError, failing
from geoflow_cli.options import Train
from geoflow_cli.train_flow import CELL, SETTINGS, chosen_cell, chosen_objective
from geoflow_cli.train_report import Validate, Validation, check_reports, follow
from geoflow_datasets import PROCEDURAL, describe_folder, load, load_clouds
from geoflow_datasets.balance import balanced, in_turn
from geoflow_datasets.layouts import category_names
from geoflow_datasets.procedural import known_categories

if TYPE_CHECKING:
    from geoflow.training.loop import Progress
    from geoflow.training.run import DataConfig, Run, RunConfig
    from geoflow.training.stages.latent_flow import FlowTraining
    from geoflow_datasets.bank import ShapeBank
    from geoflow_datasets.cloud_folder import CloudBank

_NUM_VALIDATION = 32


def train(options: Train) -> None:
    """Check, prepare the data, train both stages with reports, and say where the model is."""
    options = replace(options, representation=_representation(options))
    if options.representation == "distribution":
        from geoflow_cli.train_distribution import train_distribution

        train_distribution(options)
        return
    if options.representation == "joints":
        from geoflow_cli.train_joints import train_joints

        train_joints(options)
        return
    refuse_options(options, ("channels",), because=f"--representation {options.representation}")
    if options.steps is not None:
        check_at_least("steps", options.steps, 1)
    if options.autoencoder_steps is not None:
        lowest = 1 if options.init_from is None and options.teacher is None else 0
        check_at_least("autoencoder-steps", options.autoencoder_steps, lowest)
    if options.init_from is not None and options.teacher is not None:
        raise UsageError("--teacher and --init-from exclude each other: a student starts from it")
    check_at_least("num-shapes", options.num_shapes, 2)
    check_reports(options)
    if options.data != PROCEDURAL and not Path(options.data).is_dir():
        raise UsageError(
            f"--data must be 'procedural' or an existing folder of meshes or clouds, "
            f"got {options.data!r}"
        )
    try:
        named = category_names(options.shape_category)
        if options.data == PROCEDURAL:
            num_categories = len(known_categories(options.shape_category))
            check_at_least("num-shapes", options.num_shapes, num_categories)
    except ValueError as error:
        raise UsageError(f"--shape-category: {error}") from error
    device = resolve_device(options.device)
    from geoflow.training.folder import check_free
    from geoflow.training.run import Run

    folder = options.out or Path("runs") / "-".join(named)
    with failing():
        if options.resume:
            run = Run.open(folder, device=device)
            data = run.config.data
        else:
            check_free(folder)
            data, flow = _data(options), _flow(options)
        read = load_clouds if options.representation == "points" else load
        banks = {
            split: read(
                data.source,
                data.category,
                split=split,
                num=data.num_shapes if split == "train" else _NUM_VALIDATION,
                up=data.up,
                show_progress=options.progress,
            )
            for split in ("train", "val")
        }
        if not options.resume:
            config = _config(options, data, flow, banks["train"].category_names)
            run = Run.create(folder, config, device=device)
        names = run.config.model.categories
        banks = {split: bank.with_categories(names) for split, bank in banks.items()}
        if data.source != PROCEDURAL:
            print(describe_folder(Path(data.source), data.category, up=data.up))
        # Sheets and validations are of the first shapes.
        validation = banks["val"].subset(in_turn(banks["val"].categories))
        card = {"train_shapes": len(banks["train"])}
        steps = run.train(balanced(banks["train"]), card)
        follow(steps, folder, options, _validator(run, validation, banks["train"]))
        print(f"{folder / 'model'}: model written")
        out = "cloud.ply" if run.config.model.representation == "points" else "mesh.obj"
        chosen = f" --category {names[-1]}" if len(names) > 1 else ""
        print(f"try: geoflow sample --model {folder}{chosen} --out {out}")


def _data(options: Train) -> DataConfig:
    from geoflow.training.run import DataConfig

    source = options.data if options.data == PROCEDURAL else str(Path(options.data).resolve())
    return DataConfig(source, options.shape_category, options.data_up, options.num_shapes)


def _representation(options: Train) -> Literal["sdf", "points", "distribution", "joints"]:
    """That of the run to resume, which its folder says; else the one asked for."""
    if not options.resume or options.out is None:
        return options.representation
    from geoflow.training.folder import JOINTS, POINTS, SHAPES, read_options
    from geoflow.training.run import RunConfig

    has = options.representation
    if (options.out / POINTS).is_file():
        has = "distribution"
    elif (options.out / JOINTS).is_file():
        has = "joints"
    elif (options.out / SHAPES).is_file():
        with failing():
            has = read_options(options.out, SHAPES, RunConfig).model.representation
    if options.representation not in ("sdf", has):
        raise UsageError(
            f"{options.out} holds a run of --representation {has}, got {options.representation}"
        )
    return has


def _flow(options: Train) -> FlowTraining:
    """Options of the second stage; settings that do not go together are refused here."""
    from geoflow.models.kinds import load_generator
    from geoflow.training.stages.latent_flow import FlowTraining

    start = options.init_from or options.teacher
    flow = FlowTraining() if start is None else FlowTraining.fine_tuning()
    generator = None if start is None else load_generator(start)
    cell: tuple[str | None, str | None] = (None, None)
    if generator is not None:
        cell = (generator.config.interpolant, generator.config.prediction)
    flow = replace(
        flow,
        steps=options.steps or flow.steps,
        objective=chosen_objective(options, cell),
        **{name: getattr(options, name) for name in SETTINGS},
    )
    objective = flow.build_objective()
    if generator is not None:
        has = generator.config.representation
        if options.representation != has:
            raise UsageError(
                f"{start} is a model of representation {has}, got --representation "
                f"{options.representation}: name that of the model, or start afresh"
            )
        for name, value in zip(("interpolant", "prediction"), chosen_cell(options), strict=True):
            has = getattr(generator.config, name)
            if value not in (None, has):
                raise UsageError(
                    f"--objective {options.objective} or --{name} asks for the {name} {value}, "
                    f"but {start} has {has}: leave the option out, or start afresh"
                )
        if options.teacher is not None:
            objective.distilling(generator.flow_map)
    return flow


def _config(
    options: Train, data: DataConfig, flow: FlowTraining, categories: tuple[str, ...]
) -> RunConfig:
    from geoflow.models.config import ModelConfig
    from geoflow.models.kinds import load_generator
    from geoflow.training.run import RunConfig
    from geoflow.training.stages.field_autoencoder import AutoencoderTraining
    from geoflow.training.stages.point_autoencoder import PointTraining

    start = options.init_from or options.teacher
    if start is None:
        interpolant, prediction = chosen_cell(options)
        model = ModelConfig.build(
            representation="points" if options.representation == "points" else "sdf",
            symmetry=options.symmetry,
            categories=categories,
            interpolant=interpolant or CELL[0],
            prediction=prediction or CELL[1],
        )
        autoencoder, points = AutoencoderTraining(), PointTraining()
    else:
        model = load_generator(start).config
        autoencoder, points = AutoencoderTraining.fine_tuning(), PointTraining.fine_tuning()
    steps = options.steps if options.autoencoder_steps is None else options.autoencoder_steps
    steps = 0 if options.teacher is not None else steps
    if steps is not None:
        autoencoder, points = replace(autoencoder, steps=steps), replace(points, steps=steps)
    return RunConfig(
        data=data,
        model=model,
        autoencoder=autoencoder,
        points=points,
        flow=flow,
        seed=options.seed,
        init_from=options.init_from,
        teacher=options.teacher,
        checkpoint_every=options.checkpoint_every,
    )


def _validator(
    run: Run, validation: ShapeBank | CloudBank, data: ShapeBank | CloudBank
) -> Validate:
    """Contact sheets of both stages, with what each is measured by."""

    def validate(progress: Progress) -> Validation:
        from geoflow.models.clouds import PointGenerator
        from geoflow_datasets.bank import ShapeBank
        from geoflow_tools.validation.clouds import write_point_reconstructions
        from geoflow_tools.validation.fields import write_reconstruction_sheet, write_sample_sheet
        from geoflow_tools.validation.step_quality import shape_quality

        path = run.folder / "sheets" / f"{progress.stage}-{progress.step:06d}.png"
        generator = run.averaged()
        generator.to(run.device)
        if progress.stage == "flow":
            write_sample_sheet(generator, path)
            quality = shape_quality(generator, validation, data)
            return Validation({"quality": asdict(quality)}, path)
        if isinstance(generator, PointGenerator):
            points = write_point_reconstructions(generator, validation, path)
            report = {f"validation_chamfer_{k}": value for k, value in points.chamfer.items()}
            report["validation_chamfer_floor"] = points.floor
        else:
            # Clouds train models of points alone.
            assert isinstance(validation, ShapeBank)
            fields = write_reconstruction_sheet(generator, validation, path)
            names = ("iou", "chamfer", "f_score", "normal_consistency")
            report = {f"validation_{name}": getattr(fields, name) for name in names}
        generator.autoencoder.train()
        return Validation(report, path)

    return validate

"""`geoflow train --representation distribution`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow.cli.checks import check_at_least, refuse_options, resolve_device
from geoflow.cli.errors import UsageError, failing
from geoflow.cli.options import Train
from geoflow.cli.progress import follow
from geoflow_datasets.mesh_surface import MeshSurface

if TYPE_CHECKING:
    from geoflow.training.distribution_run import DistributionRunConfig

# Options of fields, which points do not have.
_FOREIGN = (
    "shape_category",
    "init_from",
    "teacher",
    "autoencoder_steps",
    "derivative",
    "times",
    "diagonal",
    "end",
    "weight_space",
    "weight_power",
    "coupling",
    "symmetry",
    "num_shapes",
)


def train_distribution(options: Train) -> None:
    """Check, read the mesh, train with reports, and say where the model is."""
    refuse_options(options, _FOREIGN, because="--representation distribution")
    if options.steps is not None:
        check_at_least("steps", options.steps, 1)
    check_at_least("checkpoint-every", options.checkpoint_every, 1)
    device = resolve_device(options.device)
    from geoflow.training.distribution_run import DistributionRun
    from geoflow.training.stages import check_free

    path = Path(options.data)
    folder = options.out or Path("runs") / path.stem
    with failing():
        if options.resume:
            run = DistributionRun.open(folder, device=device)
            surface = MeshSurface.read(Path(run.config.data), up=run.config.up)
        else:
            if not path.is_file():
                raise UsageError(f"--data must be an existing mesh file, got {options.data!r}")
            check_free(folder)
            surface = MeshSurface.read(path, up=options.data_up)
            run = DistributionRun.create(folder, _config(options, surface), device=device)
        channels = run.config.model.channels
        steps = run.train(lambda num, generator: surface.draw(num, generator, channels))
        follow(steps, folder / "log.jsonl", show=options.progress)
        print(f"{folder / 'model'}: model written")
        print(f"try: geoflow sample --model {folder} --points 100000 --out cloud.ply")


def _config(options: Train, surface: MeshSurface) -> DistributionRunConfig:
    from geoflow.distribution import DistributionConfig, GeometryDistribution
    from geoflow.objectives import SPECIAL_CASES, build_objective
    from geoflow.training.distribution import DistributionTraining
    from geoflow.training.distribution_run import DistributionRunConfig

    channels = surface.channels if options.channels == "all" else tuple(options.channels.split("+"))
    if "color" in channels and surface.colors is None:
        raise UsageError(f"--channels {options.channels}: the mesh has no colours")
    case = SPECIAL_CASES.get(options.objective)
    build_objective(options.objective)
    model = DistributionConfig(
        channels=channels,
        interpolant=options.interpolant or (case and case.interpolant) or "ve",
        prediction=options.prediction or (case and case.prediction) or "x1",
    )
    GeometryDistribution.build(model)
    training = DistributionTraining(objective=options.objective)
    if options.steps is not None:
        training = replace(training, steps=options.steps)
    return DistributionRunConfig(
        data=str(Path(options.data).resolve()),
        up=options.data_up,
        model=model,
        training=training,
        seed=options.seed,
        checkpoint_every=options.checkpoint_every,
    )

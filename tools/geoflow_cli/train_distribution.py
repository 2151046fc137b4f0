"""`geoflow train --representation distribution`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow_cli.errors import UsageError, failing
from geoflow_cli.options import Train
from geoflow_cli.train_single_stage import check_options, common_config, train_run
from geoflow_datasets.mesh_surface import MeshSurface

if TYPE_CHECKING:
    from geoflow.training.distribution_run import DistributionRunConfig


def train_distribution(options: Train) -> None:
    """Check, read the mesh, train with reports, and say where the model is."""
    device = check_options(options, ("num_shapes",))
    from geoflow.training.distribution_run import DistributionRun
    from geoflow.training.folder import check_free
    from geoflow_tools.validation.step_quality import distribution_quality

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
        train_run(
            run,
            lambda num, generator: surface.draw(num, generator, channels),
            options,
            lambda model: distribution_quality(model, surface.draw),
        )
        print(f"try: geoflow sample --model {folder} --points 100000 --out cloud.ply")


def _config(options: Train, surface: MeshSurface) -> DistributionRunConfig:
    from geoflow.models.distribution import DistributionConfig, GeometryDistribution
    from geoflow.training.distribution_run import DistributionRunConfig
    from geoflow.training.stages.distribution import DistributionTraining

    channels = surface.channels if options.channels == "all" else tuple(options.channels.split("+"))
    if "color" in channels and surface.colors is None:
        raise UsageError(f"--channels {options.channels}: the mesh has no colours")
    common = common_config(options, DistributionConfig, DistributionTraining, interpolant="ve")
    common["model"] = replace(common["model"], channels=channels)
    GeometryDistribution.build(common["model"])
    return DistributionRunConfig(
        data=str(Path(options.data).resolve()), up=options.data_up, **common
    )

"""`geoflow train` and `geoflow sample` of a geometry distribution: the points of one surface."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geoflow_cli.budget import check_disk, foresee
from geoflow_cli.checks import check_at_least, check_folder
from geoflow_cli.errors import UsageError
from geoflow_cli.kinds import Loaded
from geoflow_cli.kinds.one_network import model_and_stage, run_of
from geoflow_cli.options import KindName, SampleOptions, TrainOptions, Up

if TYPE_CHECKING:
    import numpy as np

    from geoflow.models.base import ModelFile
    from geoflow.models.distribution import GeometryDistribution
    from geoflow.training.run import DataConfig, RunConfig

NUM_POINTS = 100_000
MOST_GATHERED = 50_000_000
# Points of a small piece of the work, by which large work is foreseen.
_PART = 8192


@dataclass(frozen=True)
class SurfaceTrain(TrainOptions):
    """Options of training on one surface."""

    data_up: Up = "y"
    """Axis that points up in the file."""


@dataclass(frozen=True)
class Train(SurfaceTrain):
    """Train the distribution of the points of one surface, given as --data, a mesh file.

    Without --out the run is in runs/, by the name of the mesh. Steps are 5,000, and a fifth as many
    that fit its jumps to its own ODE; the objective is cumulative, on ve and x1.
    """

    kind: KindName = "distribution"
    """A geometry distribution."""
    channels: Literal["position", "position+normal", "position+color", "all"] = "position"
    """What the points carry; 'all' is position, normal and, if there, color."""
    targets: Literal["pair", "pooled"] | None = None
    """Learn from single pairs of noise and point, or from means over the points of a step that a
    state may come from, which have less noise. Default: pooled (docs/distributions.md)."""


@dataclass(frozen=True)
class Sample(SampleOptions):
    """Generate points of the surface and write them by suffix: .ply, .xyz, .npy or .npz."""

    points: int | None = None
    """Number of points. Default: 100,000."""


def check(options: SurfaceTrain, given: Collection[str]) -> None:
    """Refuse what is wrong before anything slow."""
    from geoflow_datasets import check as check_source

    check_source(options.data, "all", gives="surface")
    model_and_stage(options, interpolant="ve")


def default_folder(options: SurfaceTrain) -> str:
    """The name of the mesh."""
    return Path(options.data).stem


def data_of(options: SurfaceTrain) -> DataConfig:
    """Where the mesh is."""
    from geoflow.training.run import DataConfig

    return DataConfig(str(Path(options.data).resolve()), "all", options.data_up, 1)


def load(data: DataConfig, *, show_progress: bool) -> Loaded:
    """The surface."""
    from geoflow_datasets import load as load_source

    surface = load_source(data.source, gives="surface", split="train", up=data.up)
    return Loaded(surface, surface, surface)


def config(options: Train, data: DataConfig, loaded: Loaded) -> RunConfig:
    """The run, with the channels that the mesh has."""
    surface = loaded.train
    channels = surface.channels if options.channels == "all" else tuple(options.channels.split("+"))
    if "color" in channels and surface.colors is None:
        raise UsageError(f"--channels {options.channels}: the mesh has no colours")
    run = run_of(options, data, interpolant="ve")
    run = replace(run, model=replace(run.model, channels=channels))
    if options.targets is None:
        return run
    first: Any = run.stages["distribution"]
    return replace(
        run, stages={**run.stages, "distribution": replace(first, targets=options.targets)}
    )


def fit_to(loaded: Loaded, config: RunConfig) -> Loaded:
    """Points with the model's channels."""
    surface, channels = loaded.train, config.model.channels
    return replace(loaded, train=lambda num, generator: surface.draw(num, generator, channels))


def hint(folder: Path, config: RunConfig) -> str:
    """How to sample the model."""
    return f"geoflow sample --model {folder} --points {NUM_POINTS} --out cloud.ply"


def check_sample(options: Sample, file: ModelFile) -> None:
    """Refuse what is wrong for this model, before its weights are read."""
    from geoflow.geometry.points import check_points_suffix

    if options.points is not None:
        check_at_least("points", options.points, 1)
    try:
        check_points_suffix(options.out)
    except ValueError as error:
        raise UsageError(f"--out: {error}") from error
    check_folder("out", options.out)
    points = NUM_POINTS if options.points is None else options.points
    if options.out.suffix.lower() == ".npz" and points > MOST_GATHERED:
        raise UsageError(
            f"--points must be at most {MOST_GATHERED:,} for .npz, which is made in memory, got "
            f"{points:,}: write .npy or .ply"
        )
    check_disk(options.out, _size(options.out, points, file.config(_config_type()).size))


def _size(out: Path, points: int, numbers: int) -> float:
    """Bytes: a number has four, and about ten as text."""
    return points * numbers * (10 if out.suffix.lower() == ".xyz" else 4)


def _config_type() -> type:
    from geoflow.models.distribution import DistributionConfig

    return DistributionConfig


def sample(options: Sample, model: GeometryDistribution) -> None:
    """Generate and write points in chunks, and say one line."""
    from rich.console import Console
    from rich.progress import Progress

    from geoflow.geometry.points import write_points

    points = NUM_POINTS if options.points is None else options.points
    foresee(
        [options.out],
        size=_size(options.out, points, model.config.size),
        parts=options.steps * points / _PART,
        part=lambda: list(model.iterate(_PART, steps=1, seed=options.seed, chunk=_PART)),
    )
    start = time.perf_counter()

    def chunks() -> Iterator[np.ndarray]:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("points", total=points)
            for chunk in model.iterate(points, steps=options.steps, seed=options.seed):
                yield chunk.numpy()
                bar.advance(task, len(chunk))

    channels = model.config.channels
    write_points(chunks(), options.out, num=points, channels=channels)
    print(
        f"{options.out}: {points} points with {', '.join(channels)}, "
        f"{time.perf_counter() - start:.2f} s, {options.steps} network evaluations"
    )

"""`geoflow sample` of a model of `--representation distribution`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from geoflow.geometry.points import check_points_suffix, write_points
from geoflow_cli.checks import check_at_least, check_folder, refuse_options
from geoflow_cli.errors import UsageError, failing
from geoflow_cli.options import Sample

if TYPE_CHECKING:
    import numpy as np

NUM_POINTS = 100_000
_FOREIGN = ("num", "resolution", "faces", "category", "up", "preview")


def check_distribution(options: Sample) -> None:
    """Raise UsageError for options that are wrong, or not those of a distribution of points."""
    refuse_options(options, _FOREIGN, because="a model of points")
    if options.points is not None:
        check_at_least("points", options.points, 1)
    try:
        check_points_suffix(options.out)
    except ValueError as error:
        raise UsageError(f"--out: {error}") from error
    check_folder("out", options.out)


def sample_distribution(options: Sample, device: str) -> None:
    """Load, generate and write points in chunks, and print one line."""
    points = NUM_POINTS if options.points is None else options.points
    from geoflow.models.distribution import GeometryDistribution

    with failing():
        model = GeometryDistribution.from_pretrained(options.model, device=device)
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

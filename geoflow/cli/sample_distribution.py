"""`geoflow sample` of a model of `--representation distribution`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from geoflow.cli.checks import check_at_least, check_folder, refuse_options
from geoflow.cli.errors import UsageError, failing
from geoflow.cli.options import Sample

if TYPE_CHECKING:
    import numpy as np

_FOREIGN = ("num", "resolution", "faces", "category", "up", "preview")


def sample_distribution(options: Sample, device: str) -> None:
    """Check, load, generate and write points in chunks, and print one line."""
    refuse_options(options, _FOREIGN, because="a model of points")
    check_at_least("points", options.points, 1)
    from geoflow.distribution import GeometryDistribution
    from geoflow.geometry.points import check_points_suffix, write_points

    try:
        check_points_suffix(options.out)
    except ValueError as error:
        raise UsageError(f"--out: {error}") from error
    check_folder("out", options.out)
    with failing():
        model = GeometryDistribution.from_pretrained(options.model, device=device)
        start = time.perf_counter()

        def chunks() -> Iterator[np.ndarray]:
            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task("points", total=options.points)
                for chunk in model.iterate(options.points, steps=options.steps, seed=options.seed):
                    yield chunk.numpy()
                    bar.advance(task, len(chunk))

        channels = model.config.channels
        write_points(chunks(), options.out, num=options.points, channels=channels)
        print(
            f"{options.out}: {options.points} points with {', '.join(channels)}, "
            f"{time.perf_counter() - start:.2f} s, {options.steps} network evaluations"
        )

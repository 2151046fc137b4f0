"""What a sample costs: network, hierarchical and dense extraction, process; and a training step."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from geoflow import __version__
from geoflow.condition import Condition
from geoflow.models.fields import Generator
from geoflow.objectives import Cumulative, FlowMatching
from geoflow_tools.bench.against import Against
from geoflow_tools.bench.cost import training_step
from geoflow_tools.bench.timing import median_seconds


@dataclass(frozen=True)
class SampleBenchmark:
    """Time samples of a model, whole processes, and training steps."""

    model: str = "chair"
    """Shipped model, or a folder."""
    steps: int = 2
    """Network evaluations per sample."""
    resolution: int = 128
    """Cells of the extraction grid along an edge."""
    repeats: int = 9
    """Repeats of each measurement; medians are reported."""
    batch: int = 128
    """Latents of a training step."""
    against: str | None = None
    """Git revision to compare samples with, in pairs of processes, instead of all else."""
    points: int = 1_000_000
    """Points of the cloud that is compared; 0: none."""
    num: int = 8
    """Meshes of the process that is compared; 0: none."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """Medians in seconds, and their ratios.

        Raises:
            ValueError: for a revision that is not there.
        """
        if self.against is not None:
            return self._stamp() | self._pairs(self.against).measure()
        generator = Generator.from_pretrained(self.model)
        queries: dict[str, int] = {}
        seconds = median_seconds(self._sampling(generator, queries), repeats=self.repeats)
        training = median_seconds(self._training(generator), repeats=self.repeats)
        process = median_seconds({"process": self._process}, repeats=max(3, self.repeats // 3))
        return {
            **self._stamp(),
            "steps": self.steps,
            "resolution": self.resolution,
            "median_seconds": seconds | process | {f"train {k}": v for k, v in training.items()},
            "field_queries": queries,
            "ratios": {
                "network / mesh": seconds["network"] / seconds["mesh"],
                "dense / hierarchical": seconds["dense"] / seconds["hierarchical"],
                "queries hierarchical / dense": queries["hierarchical"] / queries["dense"],
            }
            | {
                f"{name} / flow matching": value / training["flow matching"]
                for name, value in training.items()
                if name != "flow matching"
            },
        }

    def _pairs(self, revision: str) -> Against:
        return Against(
            revision,
            self.model,
            resolutions=(self.resolution,),
            points=self.points,
            num=self.num,
            repeats=self.repeats,
        )

    @staticmethod
    def _stamp() -> dict[str, object]:
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
        }

    def _sampling(
        self, generator: Generator, queries: dict[str, int]
    ) -> dict[str, Callable[[], object]]:
        noise = generator.noise(1)
        tokens = generator.sample_latents(noise, steps=self.steps)[0]
        seeds = itertools.count()

        def mesh() -> None:
            # A new seed each time: no shape is measured alone.
            generator.sample(steps=self.steps, seed=next(seeds), resolution=self.resolution)

        def decode(name: str) -> Callable[[], object]:
            def call() -> None:
                decoded = generator.decode(
                    tokens, resolution=self.resolution, dense=name == "dense"
                )
                queries[name] = decoded.metadata["field_queries"]

            return call

        return {
            "mesh": mesh,
            "network": lambda: generator.sample_latents(noise, steps=self.steps),
            "hierarchical": decode("hierarchical"),
            "dense": decode("dense"),
        }

    def _process(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "geoflow", "sample", "--model", self.model]
            command += ["--steps", str(self.steps), "--resolution", str(self.resolution)]
            command += ["--out", str(Path(folder) / "mesh.obj")]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _training(self, generator: Generator) -> dict[str, Callable[[], object]]:
        x1 = generator.noise(self.batch, seed=1)
        condition = Condition(
            generator.frame_for(self.batch), torch.zeros(self.batch, dtype=torch.long)
        )
        return {
            "flow matching": training_step(generator.flow_map, FlowMatching(), x1, condition),
            **{
                f"cumulative, {derivative}": training_step(
                    generator.flow_map, Cumulative(derivative=derivative), x1, condition
                )
                for derivative in ("average", "difference", "jvp")
            },
        }

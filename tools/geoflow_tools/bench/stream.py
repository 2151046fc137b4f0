"""Training from a prepared folder that memory would not hold: resident memory, and waiting.

The folder is filled with stand-ins, boxes of exact distances in shards of full size, and indexed
as `geoflow data prepare` does; then the first steps of `geoflow train` are made from it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from geoflow.atomic import write_json
from geoflow.geometry.sdf import RoundBox, sample_surface
from geoflow.models.kinds import KINDS
from geoflow.seeds import step_generator
from geoflow.training.loop import take_step
from geoflow.training.memory import kept_memory
from geoflow.training.optimisation import Optimiser
from geoflow.training.precision import settled
from geoflow.training.stage import Context, Stage
from geoflow_datasets import load
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.mesh_folder import MESHES, MeshOptions
from geoflow_datasets.prepared.index import TAKEN, Index, Outcome
from geoflow_datasets.prepared.makers import SHARES
from geoflow_datasets.prepared.prepare import CARD, FORMAT
from geoflow_datasets.prepared.shards import ROWS, Shards
from geoflow_datasets.queries import sample_queries
from geoflow_datasets.splits import shares_of


@dataclass(frozen=True)
class StreamBenchmark:
    """Train from many stand-ins on disk, and say how much memory and waiting that takes."""

    folder: Path = Path("stand-ins")
    """Where the stand-ins are, or are made; 180 kB each."""
    num: int = 50_000
    """Shapes."""
    steps: int = 30
    """Steps of the autoencoder of each kind, after five that are not counted."""
    kinds: tuple[str, ...] = ("sdf", "shapes")
    """Kinds of models."""
    out: Path | None = None
    """JSON file to write."""

    def measure(self) -> dict[str, Any]:
        """Resident bytes beyond the model's, and the share of the time that is spent waiting."""
        if not (self.folder / CARD).is_file():
            fill(self.folder, self.num)
        few = load(str(self.folder), "all", split="val").subset(range(8))
        assert isinstance(few, ShapeBank)
        rows = {}
        for kind in self.kinds:
            # The same steps from eight shapes in memory: what the model itself takes.
            without = self._train(kind, few)
            bank = load(str(self.folder), "all", split="train")
            rows[kind] = {
                "shapes": len(bank),
                **self._train(kind, bank),
                "resident_without_data": without["resident"],
            }
            row = rows[kind]
            row["beyond_model"] = row["resident"] - row["resident_without_data"]
        size = sum(path.stat().st_size for path in self.folder.rglob("*.npy"))
        return {"options": asdict(self) | {"folder": self.folder.name, "out": None},
                "bytes_on_disk": size, "kinds": rows}  # fmt: skip

    def _train(self, kind: str, data: Any) -> dict[str, Any]:
        timed = _Timed(data)
        stage = _first_stage(kind, timed)
        options = stage.options
        optimiser = Optimiser(stage.module, options.schedule, bf16=options.muon_bf16)
        most, start, ready, used = 0, 0.0, 0.0, 0.0
        with FlopCounterMode(display=False) as counter:
            take_step(stage, 0, optimiser)
        with kept_memory("cpu"):
            for step in range(1, self.steps + 5):
                if step == 5:
                    start, ready = time.perf_counter(), timed.seconds
                    used = time.process_time()
                take_step(stage, step, optimiser)
                most = max(most, psutil.Process().memory_info().rss)
        seconds = time.perf_counter() - start
        waited = timed.seconds - ready
        return {
            "resident": most,
            "gigaflop_per_step": counter.get_total_flops() / 1e9,
            "seconds_per_step": seconds / self.steps,
            "processor_seconds_per_step": (time.process_time() - used) / self.steps,
            "waiting_share": waited / seconds,
        }


@dataclass
class _Timed:
    """Shapes whose reading is timed."""

    data: Any
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, indices: np.ndarray, **asked: Any) -> Any:
        start = time.perf_counter()
        try:
            return self.data.batch(indices, **asked)
        finally:
            self.seconds += time.perf_counter() - start


def fill(folder: Path, num: int) -> None:
    """Fill a folder with `num` stand-ins: a shard of different boxes, and copies of it."""
    shards, options = Shards(folder), MeshOptions()
    shards.write(dict(enumerate(_boxes(options))))
    for number in range(1, -(-num // ROWS)):
        shutil.copytree(folder / "000000", folder / f"{number:06d}")
    with Index(folder) as index:
        for i in range(num):
            index.place(f"box/{i:08d}.ply", "box", "stand-in", f"{i:032x}")
        report = {"method": "winding", "ray_agreement": 1.0}
        index.finish(Outcome(f"{i:032x}", TAKEN, report) for i in range(num))
        # A tenth is held out.
        splits = {f"box/{i:08d}.ply": "val" if i % 10 == 0 else "train" for i in range(num)}
        index.set_splits(splits)
    card = {"format": FORMAT, "kind": MESHES.kind, "version": MESHES.version}
    write_json(folder / CARD, {**card, "options": asdict(options)})


def _boxes(options: MeshOptions) -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for _ in range(ROWS):
        box = RoundBox(np.zeros(3), rng.uniform(0.2, 1.0, 3))
        surface, normals = sample_surface([box], options.num_surface, rng)
        queries = sample_queries(surface, options.num_queries, rng)
        yield {
            "surface": surface.astype(np.float16),
            "normals": normals.astype(np.float16),
            "queries": queries,
            "sdf": box.distance(queries.astype(np.float64)).astype(np.float16),
            SHARES: shares_of(surface).astype(np.float16),
        }


def _first_stage(kind: str, data: Any) -> Stage[Any, Any]:
    chosen = KINDS[kind]
    model_class: Any = chosen.model_class()
    torch.manual_seed(0)
    model = model_class.build(model_class.config_type.build(symmetry="frame", categories=("box",)))
    (first, *_) = chosen.stage_classes()
    stage = first(settled(first.options_type(), "cpu"), Context(model, data))
    stage.prepare()
    stage.batch(step_generator(0, stage.name, 0))
    return stage

"""A set of samples against a reference set, in a work folder that an interrupted run resumes.

The folder holds the options that it was started with, the samples of a model, the points that are
compared, and blocks of distances.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoflow import __version__
from geoflow.atomic import reading, write_bytes
from geoflow.geometry.metrics.emd import import_pot
from geoflow.geometry.metrics.normalise import NORMALISATIONS
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.procedural import CATEGORIES
from geoflow_datasets.procedural.source import PROCEDURAL
from geoflow_tools.evaluation import distances, generation
from geoflow_tools.evaluation.nearest import SHARE, NearestByEmd
from geoflow_tools.evaluation.point_set import (
    PointSet,
    PointSetBuilder,
)
from geoflow_tools.evaluation.report import score
from geoflow_tools.evaluation.shapes import choose_shapes, fingerprint
from geoflow_tools.evaluation.work_folder import open_work_folder

# Streams of the points drawn on the two sides.
_SIDES = {"samples": 0, "reference": 1}


@dataclass(frozen=True)
class Settings:
    """What is measured; a run resumes only with the same."""

    reference: str
    """Procedural category, whose test split is meant, or a folder of shapes."""
    samples: str | None = None
    """Folder of shapes; or None, with a model."""
    model: str | None = None
    """Shipped model or folder; or None, with samples."""
    up: str = "y"
    """Axis that points up in the files."""
    reference_up: str | None = None
    """Axis that points up in those of the reference, where it is another."""
    num: int = 200
    """Shapes of each set."""
    points: int = 2048
    """Points of each shape."""
    emd_points: int = 512
    """How many of them EMD sees; 0 leaves EMD out."""
    normalise: str = "box"
    """Key of NORMALISATIONS."""
    steps: int = 2
    """Network evaluations per sample of a model."""
    ode: bool = False
    """Take them along the ODE, instead of the flow map's jumps."""
    resolution: int = 128
    """Cells of the extraction grid of a model along an edge."""
    category: str | None = None
    """Category of a model of several."""
    seed: int = 0
    """Seed of the model's noise, of the points, and of the choice among more files than num."""

    def __post_init__(self) -> None:
        """Check what can be checked without files.

        Raises:
            ValueError: for a setting out of range.
        """
        if (self.samples is None) == (self.model is None):
            raise ValueError("give either --samples or --model")
        if self.num < 2:
            raise ValueError(f"--num must be at least 2, got {self.num}")
        check_points(self.points, self.emd_points)
        if self.normalise not in NORMALISATIONS:
            raise ValueError(
                f"--normalise must be one of {', '.join(NORMALISATIONS)}, got {self.normalise!r}"
            )


def check_points(points: int, emd_points: int) -> None:
    """Raise ValueError for no points, or for more that EMD sees than there are."""
    if points < 1:
        raise ValueError(f"--points must be at least 1, got {points}")
    if not 0 <= emd_points <= points:
        raise ValueError(
            f"--emd-points must be between 0 and --points ({points}), got {emd_points}"
        )


@dataclass(frozen=True)
class Progress:
    """Where a stage is."""

    stage: str
    done: int
    total: int


class Evaluation:
    """One evaluation and its work folder."""

    def __init__(
        self, settings: Settings, folder: Path, *, device: str = "cpu", show_progress: bool = False
    ) -> None:
        """Check the sources, and start or resume the folder.

        Raises:
            ValueError: if a source lacks shapes, or the folder was started with other options.
            CheckpointError: if there is no such model.
            ImportError: if EMD is asked for and POT is not installed.
        """
        self.settings, self.folder, self.device = settings, folder, device
        self._bank: ShapeBank | None = None
        self._files: dict[str, tuple[list[Path], list[Path]]] = {}
        self._sampler: generation.Sampler | None = None
        prints: dict[str, str] = {}
        if settings.samples is not None:
            prints["samples"] = self._list("samples", settings.samples)
        else:
            self._sampler = self._open_sampler()
            prints["model"] = generation.model_digest(str(settings.model))
        if settings.reference in CATEGORIES:
            self._bank = PROCEDURAL.bank(
                [settings.reference],
                split="test",
                num=settings.num,
                num_surface=settings.points,
                show_progress=show_progress,
            )
            content = np.ascontiguousarray(self._bank.surface).tobytes()
            prints["reference"] = hashlib.sha256(content).hexdigest()[:16]
        else:
            if not Path(settings.reference).is_dir():
                raise ValueError(
                    f"--reference must be a folder or one of {', '.join(CATEGORIES)}, "
                    f"got {settings.reference!r}"
                )
            prints["reference"] = self._list("reference", settings.reference)
        if settings.emd_points:
            import_pot()
        open_work_folder(folder, {"geoflow": __version__, **asdict(settings), "content": prints})

    def emd_left(self) -> float:
        """About how many pairs exact EMD will solve, if every shape can be measured."""
        if not self.settings.emd_points or self._found.is_file():
            return 0.0
        return SHARE * self.settings.num * (2 * self.settings.num - 1)

    def run(self) -> Iterator[Progress]:
        """Do what the folder does not hold yet, in stages; then `report` answers.

        Raises:
            ValueError: naming the file, for a shape that cannot be measured.
        """
        settings = self.settings
        if self._sampler is not None:
            folder = self.folder / "samples"
            done = settings.num - len(generation.missing(folder, settings.num))
            made = generation.generate(folder, settings.num, self._sampler)
            yield from _count("samples", made, done, settings.num)
        for side in _SIDES:
            yield from self._read(side)
        samples, reference = self._sets()
        sizes, num_points = (len(samples), len(reference)), settings.points
        total = sum(block.pairs for block in distances.plan("chamfer", *sizes))
        left = sum(b.pairs for b in distances.missing(self._blocks, "chamfer", *sizes))
        made = distances.fill(self._blocks, "chamfer", samples, reference)
        yield from _count(f"chamfer at {num_points} points", made, total - left, total)
        if settings.emd_points:
            yield from self._find_nearest(samples, reference)

    def _find_nearest(self, samples: np.ndarray, reference: np.ndarray) -> Iterator[Progress]:
        few, num = self.settings.emd_points, len(samples) + len(reference)
        stage, total = f"emd at {few} points", num * (num - 1) // 2
        if self._found.is_file():
            yield Progress(stage, total, total)
            return
        search = NearestByEmd(self._blocks, samples[:, :few], reference[:, :few])
        yield from _count(stage, search.run(), 0, total)
        buffer = io.BytesIO()
        found: dict[str, Any] = dict(search.matrices())
        np.savez(buffer, **found)
        write_bytes(self._found, buffer.getvalue())

    def report(self) -> dict[str, Any]:
        """Every number, its settings and the sizes of the sets.

        Raises:
            FileNotFoundError: before `run` is at its end.
        """
        samples, reference = self._sets()
        matrices = distances.assemble(self._blocks, "chamfer", len(samples), len(reference))
        if self.settings.emd_points:
            matrices["emd"] = self._nearest(len(samples), len(reference))
        empty = self._empty()
        return {
            "geoflow": __version__,
            "options": asdict(self.settings),
            "normalise": self.settings.normalise,
            "points": self.settings.points,
            "emd_points": self.settings.emd_points,
            "refused": {side: list(self._set(side).refused) for side in _SIDES},
            "shapes": {"samples": len(samples), "empty": empty, "reference": len(reference)},
            "metrics": score(
                matrices,
                samples=samples,
                reference=reference,
                passed=self._set("samples").passed,
                empty=empty,
            ),
        }

    def _open_sampler(self) -> generation.Sampler:
        settings = self.settings
        return generation.open_sampler(
            str(settings.model),
            steps=settings.steps,
            ode=settings.ode,
            seed=settings.seed,
            resolution=settings.resolution,
            points=settings.points,
            category=settings.category,
            device=self.device,
        )

    @property
    def _blocks(self) -> Path:
        return self.folder / "distances"

    @property
    def _found(self) -> Path:
        return self._blocks / "emd.npz"

    def _nearest(self, num_samples: int, num_reference: int) -> dict[str, np.ndarray]:
        """By MATRICES: EMD of nearest neighbours, and of others what it is at least."""
        sizes = {"samples": num_samples, "reference": num_reference}
        with reading(self._found), self._found.open("rb") as file:
            held = np.load(file, allow_pickle=False)
            found = {name: np.asarray(held[name]) for name in distances.MATRICES}
            for name, (rows, columns) in distances.MATRICES.items():
                shape = found[name].shape
                if shape != (sizes[rows], sizes[columns]) or not np.isfinite(found[name]).all():
                    raise ValueError(f"distances have shape {shape}, or are not finite")
        return found

    def _list(self, side: str, folder: str) -> str:
        self._files[side] = choose_shapes(
            Path(folder), self.settings.num, seed=self.settings.seed + _SIDES[side]
        )
        return fingerprint(self._files[side][0])

    def _read(self, side: str) -> Iterator[Progress]:
        path = self.folder / f"{side}.npz"
        builder = PointSetBuilder(self.settings.points, (self.settings.seed, _SIDES[side]))
        drawn, total = self._draw(side, builder)
        if path.is_file():
            yield Progress(f"{side} read", total, total)
            return
        for done in drawn:
            yield Progress(f"{side} read", done, total)
        builder.build().save(path)

    def _draw(self, side: str, builder: PointSetBuilder) -> tuple[Iterator[int], int]:
        """Draws a side's shapes while it is gone through; and how many they are."""
        if side == "reference" and self._bank is not None:
            return builder.add_bank(self._bank), len(self._bank)
        if side == "samples" and self.settings.model is not None:
            files, _ = generation.generated(self.folder / "samples", self.settings.num)
            return builder.add_files(files), len(files)
        files, others = self._files[side]
        settings = self.settings
        other = settings.reference_up if side == "reference" else None
        return builder.add_files(files, others, up=other or settings.up), len(files)

    def _set(self, side: str) -> PointSet:
        return PointSet.load(self.folder / f"{side}.npz")

    def _sets(self) -> tuple[np.ndarray, np.ndarray]:
        """Both sets' points, normalised."""
        normalise = NORMALISATIONS[self.settings.normalise]
        return normalise(self._set("samples").points, self._set("reference").points)

    def _empty(self) -> int:
        if self.settings.model is None:
            return 0
        return generation.generated(self.folder / "samples", self.settings.num)[1]


def _count(stage: str, made: Iterator[int], done: int, total: int) -> Iterator[Progress]:
    """Progress of what is made in pieces, from what was there before."""
    yield Progress(stage, done, total)
    for piece in made:
        done += piece
        yield Progress(stage, done, total)

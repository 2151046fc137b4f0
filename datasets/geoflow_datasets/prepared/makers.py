"""What is made of a file's content, by the kind of its source; a worker's whole task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh

from geoflow.geometry.read_points import read_points_bytes
from geoflow_datasets.cloud_folder import CLOUDS, CloudOptions
from geoflow_datasets.cloud_folder import measure as measure_cloud
from geoflow_datasets.digest import seed_of
from geoflow_datasets.folder import Preparation
from geoflow_datasets.mesh_folder import MESHES, MeshOptions, measure, read_content
from geoflow_datasets.splits import shares_of

SHARES = "shares"
"""The array by which shapes of nearly equal geometry are found."""
_LOOK_POINTS = 2048
_Made = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Job:
    """A file to make a shape of."""

    key: str
    """Digest of all that the shape depends on."""
    place: int
    content: bytes
    suffix: str
    turn: tuple[float, ...] | None
    options: MeshOptions | CloudOptions


@dataclass(frozen=True)
class Made:
    """A shape, or why there is none."""

    report: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] | None = None
    look: bytes | None = None
    """Points of a mesh that is refused, float16 (n, 3)."""


@dataclass(frozen=True)
class Maker:
    """A kind of source."""

    preparation: Preparation[Any, Any, Any]
    options: type[MeshOptions] | type[CloudOptions]
    make: Callable[[Job, np.random.Generator], _Made]
    look: Callable[[Job], np.ndarray | None]


def make(job: Job) -> Made:
    """The shape of a job; the same on every machine, whatever its file is called."""
    maker = _maker_of(job)
    try:
        report, arrays = maker.make(job, np.random.default_rng(seed_of(job.key)))
    except ValueError as error:
        return Made({"refused": str(error)}, look=_look(maker, job))
    except MemoryError:
        return Made({"refused": "memory ran out"})
    except Exception as error:  # One file must not end the run, whatever is wrong with it.
        reason = f"it cannot be processed: {type(error).__name__}: {error}"
        return Made({"refused": reason}, look=_look(maker, job))
    return Made(report, {**arrays, SHARES: shares_of(arrays["surface"]).astype(np.float16)})


def _look(maker: Maker, job: Job) -> bytes | None:
    """Points to show of a file that is refused, where it can be read."""
    try:
        points = maker.look(job)
    except Exception:  # It is refused already.
        return None
    return None if points is None else points.astype(np.float16).tobytes()


def _maker_of(job: Job) -> Maker:
    return next(m for m in MAKERS.values() if isinstance(job.options, m.options))


def _make_mesh(job: Job, rng: np.random.Generator) -> _Made:
    assert isinstance(job.options, MeshOptions)
    return measure(read_content(job.content, job.suffix, job.options, job.turn), job.options, rng)


def _look_mesh(job: Job) -> np.ndarray:
    assert isinstance(job.options, MeshOptions)
    mesh = read_content(job.content, job.suffix, job.options, job.turn)
    return np.asarray(trimesh.sample.sample_surface(mesh, _LOOK_POINTS, seed=0)[0])


def _make_cloud(job: Job, rng: np.random.Generator) -> _Made:
    assert isinstance(job.options, CloudOptions)
    return measure_cloud(read_points_bytes(job.content, job.suffix).points, job.options, rng)


def _look_cloud(job: Job) -> None:
    """Clouds are refused for having too few points, or none."""


MAKERS: dict[str, Maker] = {
    MESHES.kind: Maker(MESHES, MeshOptions, _make_mesh, _look_mesh),
    CLOUDS.kind: Maker(CLOUDS, CloudOptions, _make_cloud, _look_cloud),
}

"""Clouds of procedural shapes, made by processes while others are trained on."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from geoflow.geometry.sdf import sample_surface
from geoflow.models.clouds import PointGenerator
from geoflow_datasets.procedural import make_solids

NUM_POINTS = 2048
_STREAM = 15
_AT_ONCE = 256
_CHUNK = 8
# Beside the training.
_NICE = 5


def draw_cloud(
    category: str, index: int, split: str = "train", num: int = NUM_POINTS
) -> Float16[np.ndarray, "n 3"]:
    """Points of the surface of one shape's union of solids, without normals or queries."""
    solids = make_solids(category, index, split=split)
    rng = np.random.default_rng([_STREAM, index])
    points, _ = sample_surface(solids, num, rng)
    cloud: np.ndarray = points.astype(np.float16)
    return cloud


class Makers:
    """Processes that make clouds; start them before anything touches the device."""

    def __init__(self, category: str, num: int, processes: int) -> None:
        self.num = num
        self._pool = multiprocessing.get_context("fork").Pool(processes, os.nice, (_NICE,))
        make = partial(draw_cloud, category)
        self._made = self._pool.imap_unordered(make, range(num), chunksize=_CHUNK)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The clouds, in the order in which they are done."""
        return iter(self._made)

    def stop(self) -> None:
        """End the processes, whatever is left to do."""
        self._pool.terminate()
        self._pool.join()


@dataclass
class Clouds:
    """Clouds on the device."""

    points: Float16[Tensor, "n 2048 3"]
    """Of all that there will be."""
    count: int
    """How many are there."""

    def draw(self, num: int, generator: torch.Generator) -> Float[Tensor, "b 2048 3"]:
        """Clouds at random, half of them mirrored."""
        index = torch.randint(self.count, (num,), generator=generator)
        side = torch.randint(2, (num, 1), generator=generator) * 2.0 - 1
        turn = torch.cat([side, torch.ones(num, 2)], 1)[:, None].to(self.points.device)
        return self.points[index.to(self.points.device)].float() * turn


class GrowingClouds(Clouds):
    """Clouds that are made meanwhile.

    Attributes:
        failure: why there will be no more; empty while there are.
    """

    def __init__(self, makers: Makers, device: torch.device) -> None:
        size = (makers.num, NUM_POINTS, 3)
        super().__init__(torch.zeros(size, dtype=torch.float16, device=device), 0)
        self.failure = ""
        threading.Thread(target=self._collect, args=(makers,), daemon=True).start()

    @property
    def is_whole(self) -> bool:
        """Whether there will be no more."""
        return self.count == len(self.points) or bool(self.failure)

    def _collect(self, makers: Makers) -> None:
        # A shape that cannot be made ends the making; the training says so and goes on.
        try:
            for cloud in makers:
                self.points[self.count] = torch.from_numpy(cloud).to(self.points.device)
                self.count += 1
        except (RuntimeError, ValueError) as error:
            self.failure = repr(error)


@torch.no_grad()
def encode(
    model: PointGenerator, clouds: GrowingClouds, draws: int, generator: torch.Generator
) -> Float[Tensor, "n k c"]:
    """Scaled latents of clouds and their mirror images, each of so many draws of points."""
    found = []
    for side in (1.0, -1.0):
        turn = torch.tensor([side, 1.0, 1.0], device=clouds.points.device)
        for part in clouds.points[: clouds.count].split(_AT_ONCE):
            for _ in range(draws):
                index = torch.randint(part.shape[1], (model.num_encoded,), generator=generator)
                index = index.to(part.device)
                tokens = model.encode_points(part[:, index].float() * turn, None)
                found.append(model.scale.normalise(tokens, model.frame_for(len(tokens))))
    return torch.cat(found)

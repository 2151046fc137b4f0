"""Solutions of a model's ODE in blocks, a file each, read while more are made."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.atomic import DamagedError, reading, write_bytes
from geoflow.condition import ANY, Condition
from geoflow.models.latent import LatentGenerator
from geoflow.seeds import step_generator
from geoflow.solutions import Solutions
from geoflow.symmetry import upright_frame
from geoflow.training.precision import autocast

BLOCK = 20
"""Solutions of a block."""
# The model's grid of so many jumps, which has those of fewer in it, each cut in so many steps at
# least: the field turns fast where the first ones are, however short. No step is longer than a
# share of all time.
_FINEST, _LEAST, _LONGEST = 4, 2, 0.12
_MOST_GUIDANCE = 4.0
_UNNAMED, _GUIDED = 0.1, 0.4
_SCANS, _UNNAMED_SCANS = 0.4, 0.5


def solver_times(model: LatentGenerator[Any]) -> Float[Tensor, " k1"]:
    """Times of the solver's steps: those of one, two and four jumps of the model, and between."""
    grid = model.config.grid(_FINEST).float()
    parts = [grid[:1]]
    for start, end in itertools.pairwise(grid):
        num = max(int(np.ceil((end - start).item() / _LONGEST)), _LEAST)
        parts.append(start + (end - start) * torch.arange(1, num + 1) / num)
    return torch.cat(parts)


@dataclass(frozen=True)
class Encoded:
    """Latents, as the flow map reads them, and the categories of what was encoded."""

    tokens: Float[Tensor, "n k c"]
    category: Tensor

    def save(self, path: Path) -> None:
        """Write both, in half precision."""
        _write(path, tokens=self.tokens.half(), category=self.category)

    @staticmethod
    def load(path: Path) -> Encoded:
        """What `save` wrote.

        Raises:
            DamagedError: if it is no such file.
        """
        found = _read(path, ("tokens", "category"))
        return Encoded(found["tokens"], found["category"])


@dataclass(frozen=True)
class Told:
    """How often each category is asked for, and scans that samples may go through.

    A tenth of the samples are of any category, four tenths are guided, where the model was trained
    for that; with scans, two blocks in five go through them.
    """

    chances: tuple[float, ...]
    scans: Encoded | None = None

    def condition(self, model: LatentGenerator[Any], rng: np.random.Generator) -> Condition:
        """What the samples of a block are told."""
        network, num = model.config.transformer, BLOCK
        category = torch.from_numpy(rng.choice(len(self.chances), num, p=np.array(self.chances)))
        frame = upright_frame(model.config.symmetry, num)
        if not network.guided:
            return Condition(frame, category)
        tokens = torch.zeros(num, network.num_tokens, network.scalars)
        kind, place = torch.from_numpy(rng.random((2, num), dtype=np.float32))
        weight = torch.where(
            kind < _GUIDED, 1 / (1 - place * (1 - 1 / _MOST_GUIDANCE)), torch.ones(num)
        )
        is_named = kind < 1 - _UNNAMED
        if self.scans is not None and rng.random() < _SCANS:
            chosen = torch.from_numpy(rng.integers(len(self.scans.category), size=num))
            tokens, category = self.scans.tokens[chosen].float(), self.scans.category[chosen]
            weight, is_named = torch.ones(num), kind < 1 - _UNNAMED_SCANS
        category = torch.where(is_named, category, ANY)
        return Condition(frame, category, tokens, guidance=weight)


class StoredSolutions:
    """Those of a folder.

    Args:
        folder: of the blocks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times: Tensor | None = None
        """Of the states."""
        self._known: set[Path] = set()
        self._states: list[Tensor] = []
        self._conditions: list[Condition] = []

    def __len__(self) -> int:
        """Solutions that were read."""
        return BLOCK * len(self._states)

    def read(self) -> None:
        """Read what has been made since.

        Raises:
            DamagedError: for a block that is none, or of other times.
        """
        for path in sorted(set(self.folder.glob("*.npz")) - self._known):
            found = _read(path, ("times", "states"))
            times, states = found.pop("times"), found.pop("states")
            if self.times is not None and not torch.equal(times, self.times):
                raise DamagedError(f"{path} has other times than the blocks before it: remove it")
            self.times = times
            with reading(path):
                self._conditions.append(Condition(**found))
            self._states.append(states)
            self._known.add(path)

    def take(self, rows: np.ndarray) -> tuple[Float[Tensor, "b k1 n c"], Condition]:
        """States and conditions of solutions by number."""
        states = torch.stack([self._states[row // BLOCK][row % BLOCK] for row in rows])
        parts: dict[str, list[Tensor]] = {}
        for row in rows:
            for name, part in self._conditions[row // BLOCK].parts().items():
                parts.setdefault(name, []).append(part[row % BLOCK])
        stacked = {name: torch.stack(found) for name, found in parts.items()}
        floats = {n: p.float() if p.is_floating_point() else p for n, p in stacked.items()}
        return states.float(), Condition(**floats)


def solve(
    model: LatentGenerator[Any], told: Told, folder: Path, blocks: range, seed: int
) -> Iterator[int]:
    """Make the blocks that are missing, by Heun's method; yields the number of each.

    A block is a function of the model, what is told, its number and the seed.

    Raises:
        OSError: if the disk is full, naming the file.
        FloatingPointError: for solutions that are not finite.
    """
    times, size = solver_times(model), model.config.autoencoder
    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        path = folder / f"{block:06d}.npz"
        if not path.is_file():
            cond = told.condition(model, np.random.default_rng([seed, block]))
            generator = step_generator(seed, "solutions", block)
            noise = torch.randn(BLOCK, size.num_tokens, size.channels, generator=generator)
            with autocast(None, "cpu"):
                states = Solutions.solve(model.flow_map, noise, times, cond).states
            states = states.transpose(0, 1).contiguous()
            if not states.isfinite().all():
                raise FloatingPointError(f"solutions of block {block} are not finite")
            parts = {n: p.half() if p.ndim > 2 else p for n, p in cond.parts().items()}
            _write(path, times=times, states=states.half(), **parts)
        yield block


def _write(path: Path, **tensors: Tensor) -> None:
    content = io.BytesIO()
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    np.savez(content, **arrays)
    write_bytes(path, content.getvalue())


def _read(path: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    with reading(path), np.load(path, allow_pickle=False) as found:
        tensors = {name: torch.from_numpy(found[name]) for name in found.files}
        if missing := set(names) - set(tensors):
            raise ValueError(f"no {', '.join(sorted(missing))} in it")
    return tensors

"""Several sources as one: the shapes of each drawn as often as those of any other.

Within a source a category is drawn by the square root of its number of shapes: rare kinds of
things are seen, and none of them a hundred times as often as a common one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from geoflow.condition import Condition
from geoflow.typing import ShapeBatch
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.prepared.bank import ShardedBank
from geoflow_datasets.queries import NEAR_SHARE

# Draws for each shape: enough that every shape comes up.
_DRAWS = 8


@dataclass(frozen=True)
class Mixture:
    """Banks drawn by turns; row i is a draw, not a shape."""

    banks: tuple[ShapeBank | ShardedBank[ShapeBank], ...]
    rows: Int[np.ndarray, "n 2"]
    """Bank and shape of each draw."""

    def __len__(self) -> int:
        """Number of draws."""
        return len(self.rows)

    @property
    def num_shapes(self) -> int:
        """Different shapes of all banks."""
        return sum(map(len, self.banks))

    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the shapes of the draws `indices`, those of a bank side by side."""
        chosen = self.rows[np.asarray(indices)]
        parts = [
            bank.batch(
                chosen[chosen[:, 0] == i, 1],
                num_surface=num_surface,
                num_queries=num_queries,
                generator=generator,
            )
            for i, bank in enumerate(self.banks)
            if (chosen[:, 0] == i).any()
        ]
        joined = {
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("surface", "normals", "queries", "sdf")
        }
        category = torch.cat([part.condition.parts()["category"] for part in parts])
        return ShapeBatch(condition=Condition(category=category), **joined)


def mixture(banks: Sequence[ShapeBank | ShardedBank[ShapeBank]], *, seed: int = 0) -> Mixture:
    """Banks whose categories are counted by the same names, drawn equally often.

    Raises:
        ValueError: for no shapes.
    """
    given = tuple(bank for bank in banks if len(bank))
    if not given:
        raise ValueError("a mixture needs at least one shape")
    rng = np.random.default_rng(seed)
    num = _DRAWS * max(map(len, given))
    rows = []
    for i, bank in enumerate(given):
        chosen = rng.choice(len(bank), num, p=_chances(np.asarray(bank.categories)))
        rows.append(np.stack([np.full(num, i), chosen], 1))
    return Mixture(given, np.concatenate(rows))


def joined(banks: Sequence[ShapeBank]) -> ShapeBank:
    """One bank of the shapes of several, counted by the same names, with the fewest of points.

    Raises:
        ValueError: for no banks.
    """
    if not banks:
        raise ValueError("at least one bank is needed")
    num = min(bank.surface.shape[1] for bank in banks)
    asked = min(bank.queries.shape[1] for bank in banks)
    near = int(NEAR_SHARE * asked)

    def queries(bank: ShapeBank, array: np.ndarray) -> np.ndarray:
        # Those near the surface come first, then the uniform ones.
        first = int(NEAR_SHARE * bank.queries.shape[1])
        return np.concatenate([array[:, :near], array[:, first : first + asked - near]], axis=1)

    return ShapeBank(
        surface=np.concatenate([bank.surface[:, :num] for bank in banks]),
        normals=np.concatenate([bank.normals[:, :num] for bank in banks]),
        queries=np.concatenate([queries(bank, bank.queries) for bank in banks]),
        sdf=np.concatenate([queries(bank, bank.sdf) for bank in banks]),
        categories=np.concatenate([bank.categories for bank in banks]),
        names=tuple(name for bank in banks for name in bank.names),
        category_names=banks[0].category_names,
    )


def _chances(categories: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Chance of each shape, those of a category in all by the root of their number."""
    weights = 1 / np.sqrt(np.bincount(categories)[categories])
    chances: np.ndarray = weights / weights.sum()
    return chances

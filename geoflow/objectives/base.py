"""What every objective is: a per-example loss of a flow map, its terms and its weight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.typing import Times


@dataclass(frozen=True)
class Losses:
    """Losses of a batch, one number per example; nothing is averaged yet."""

    total: Float[Tensor, " b"]
    """What to minimise the mean of."""
    terms: dict[str, Float[Tensor, " b"]]
    """Parts by name; zero where a part does not concern an example. They sum to the total."""

    @staticmethod
    def split(total: Float[Tensor, " b"], is_apart: Bool[Tensor, " b"]) -> Losses:
        """Terms "map" of the examples whose two times differ, and "diagonal" of the others."""
        return Losses(
            total,
            {
                "diagonal": torch.where(is_apart, 0.0, total),
                "map": torch.where(is_apart, total, 0.0),
            },
        )


class Objective(ABC):
    """A loss whose minimiser is the flow map of the data."""

    @abstractmethod
    def __call__(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
        *,
        generator: torch.Generator | None = None,
        teacher: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1.

        Args:
            flow_map: the map in training.
            x0: noise.
            x1: data.
            cond: condition of each example.
            generator: randomness of the times, on the CPU.
            teacher: a slower copy of the map that gives stopped targets, for objectives that
                compare the map with itself; default: `flow_map`.
        """

    def distilling(self, frozen: FlowMap) -> Objective:
        """This objective with a frozen map as its teacher, in the place of data or of itself.

        Raises:
            ValueError: for an objective that learns from data alone.
        """
        if not is_dataclass(self) or "frozen" not in {field.name for field in fields(self)}:
            raise ValueError(f"{type(self).__name__} learns from data alone: it takes no teacher")
        return replace(self, frozen=frozen)


@dataclass(frozen=True)
class Weight:
    """Weight of an example's squared error, by its time and, if asked, by its size.

    References: `power`, Geng et al., "Mean Flows", 2025, arXiv:2505.13447; "edm", Karras et
    al., 2022, arXiv:2206.00364.
    """

    space: Literal["field", "velocity", "edm"] = "field"
    """Where errors count: in the network's output; in the velocity, times p^2; or in the raw
    output of a preconditioned network, times 1 / c_out^2 = 1 / data_std^2 + (beta / alpha)^2."""
    limit: float = 400.0
    """Largest weight by time; those of "velocity" and "edm" grow without bound at t = 1."""
    data_std: float = 0.5
    """Standard deviation of the data, for "edm"."""
    power: float = 0.0
    """Divide by (squared error + floor)^power, held fixed: 1 is nearly scale-free. Where a target
    is noisy and its noise is skewed, this moves the minimiser off the exact map."""
    floor: float = 1e-3
    """Keeps the division finite."""

    def __call__(
        self, flow_map: FlowMap, error: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, " b"]:
        """Weighted mean square of each example's error."""
        square = error.square().flatten(1).mean(1)
        loss = self._of_time(flow_map, t) * square
        return loss / (square.detach() + self.floor) ** self.power if self.power else loss

    def _of_time(self, flow_map: FlowMap, t: Times) -> Times:
        if self.space == "field":
            return torch.ones_like(t)
        path = flow_map.interpolant
        if self.space == "velocity":
            weight = flow_map.prediction.rates(t)[0].square()
        elif self.space == "edm":
            alpha, beta = path.alpha(t), path.beta(t)
            weight = self.data_std**-2 + (beta / alpha).square()
        else:
            raise ValueError(
                f"the space of a weight must be field, velocity or edm, got {self.space!r}"
            )
        return weight.clamp(max=self.limit)


def scatter_terms(
    num: int, parts: dict[str, tuple[Int[Tensor, " k"], Float[Tensor, " k"]]]
) -> Losses:
    """Losses of `num` examples from the terms of disjoint parts of them, by index."""
    terms = {
        name: values.new_zeros(num).index_copy(0, index, values)
        for name, (index, values) in parts.items()
    }
    return Losses(torch.stack(list(terms.values())).sum(0), terms)

"""What every objective is: a per-example loss of a flow map, its terms, times and weight.

An objective draws a pair of times and a state of the path for each example (`PathSample`). A data
pair teaches the examples on the diagonal, whose two times are equal; the objective's own law
teaches the others.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Literal, NoReturn, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives.guided import Guide
from geoflow.objectives.pooled import Pool, SetPool
from geoflow.times import TimePairs, UniformPairs
from geoflow.typing import Times

Space: TypeAlias = Literal["field", "velocity", "edm"]


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


@dataclass(frozen=True)
class Weight:
    """Weight of an example's squared error, by its time and, if asked, by its size.

    References: `power`, Geng et al., "Mean Flows", 2025, arXiv:2505.13447; "edm", Karras et
    al., 2022, arXiv:2206.00364.
    """

    space: Space = "field"
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

    def __post_init__(self) -> None:
        """Refuse what is no weight.

        Raises:
            ValueError: for an unknown space, or a power that is negative or not finite.
        """
        if self.space not in get_args(Space):
            raise ValueError(
                f"the space of a weight must be field, velocity or edm, got {self.space!r}"
            )
        if not 0.0 <= self.power < math.inf:
            raise ValueError(f"the power of a weight must be at least 0, got {self.power}")

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
        else:
            alpha, beta = path.alpha(t), path.beta(t)
            weight = self.data_std**-2 + (beta / alpha).square()
        return weight.clamp(max=self.limit)


@dataclass(frozen=True)
class PathSample:
    """Examples in a state x of the path between noise and data, bound from t to r."""

    x0: Float[Tensor, "b *s"]
    """Noise."""
    x1: Float[Tensor, "b *s"]
    """Data."""
    x: Float[Tensor, "b *s"]
    """State at t."""
    t: Times
    """Time of the state."""
    r: Times
    """Time to reach."""
    cond: Condition | None
    """Condition of each example."""

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.t)

    def __getitem__(self, index: Int[Tensor, " k"]) -> PathSample:
        """Some of the examples."""
        cond = None if self.cond is None else self.cond[index]
        ends = self.x0[index], self.x1[index]
        return PathSample(*ends, self.x[index], self.t[index], self.r[index], cond)

    @property
    def is_apart(self) -> Bool[Tensor, " b"]:
        """Examples whose two times differ."""
        return self.r != self.t

    @property
    def on(self) -> Int[Tensor, " k"]:
        """Indices of the examples on the diagonal, r = t."""
        (index,) = (self.r == self.t).nonzero(as_tuple=True)
        return index

    @property
    def off(self) -> Int[Tensor, " k"]:
        """Indices of the other examples."""
        (index,) = self.is_apart.nonzero(as_tuple=True)
        return index

    def conditional(self, flow_map: FlowMap) -> Float[Tensor, "b *s"]:
        """The instantaneous field given noise and data, in the map's prediction."""
        return flow_map.prediction.conditional(self.x0, self.x1, self.t)

    def field(self, flow_map: FlowMap) -> Float[Tensor, "b *s"]:
        """The map's field from t to r."""
        return flow_map.field(self.x, self.t, self.r, self.cond)

    def instantaneous(self, flow_map: FlowMap) -> Float[Tensor, "b *s"]:
        """The map's field at t."""
        return flow_map.field(self.x, self.t, self.t, self.cond)


def field_of(
    source: FlowMap,
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    t: Times,
    cond: Condition | None = None,
) -> Float[Tensor, "b *s"]:
    """Instantaneous field of a source at t, in the prediction of a map on the same path.

    Raises:
        ValueError: for a source of another prediction at a time at which that has no velocity.
    """
    field = source.field(x, t, t, cond)
    if source.prediction_key == flow_map.prediction_key:
        return field
    velocity = source.prediction.velocity(field, x, t)
    converted = flow_map.prediction.of_velocity(velocity, x, t)
    if not bool(torch.stack(source.prediction.rates(t)).isfinite().all()):
        raise ValueError(
            f"a {source.prediction_key} map has no velocity at an end of its path, so that its "
            f"field cannot be read as {flow_map.prediction_key}: draw times with end=0"
        )
    return converted


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """A loss whose minimiser is the flow map of the data."""

    times: TimePairs = field(default_factory=UniformPairs)
    """Distribution of the pairs of times."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example."""
    pool: Pool | SetPool | Guide | None = None
    """What moves the targets: data that they are averaged over, or a guide; None: the pair's own.
    Coupled noise has no pool."""
    cell: tuple[str, str] | None = None
    """Keys of the one path and prediction that the objective is defined for; None: all."""

    @abstractmethod
    def __call__(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
        *,
        generator: torch.Generator | None = None,
        average: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1.

        Args:
            flow_map: the map in training.
            x0: noise.
            x1: data.
            cond: condition of each example.
            generator: randomness of the times, on the CPU.
            average: a slower copy of the map, the moving average of its weights, that gives
                stopped targets for objectives that compare the map with itself; default:
                `flow_map`.

        Raises:
            ValueError: for a map of a path or prediction that the objective does not know.
        """

    def draw_times(
        self, flow_map: FlowMap, x1: Float[Tensor, "b *s"], generator: torch.Generator | None
    ) -> tuple[Times, Times]:
        """Pairs of times of the examples.

        Raises:
            ValueError: for a map of another cell.
        """
        self.check_cell(flow_map)
        return self.times.draw(x1, generator)

    def draw(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None,
        generator: torch.Generator | None,
    ) -> PathSample:
        """Pairs of times of the examples, and the states at the first.

        Raises:
            ValueError: for a map of another cell.
        """
        t, r = self.draw_times(flow_map, x1, generator)
        return self.sample_at(flow_map, x0, x1, t, r, cond)

    def sample_at(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        t: Times,
        r: Times,
        cond: Condition | None,
    ) -> PathSample:
        """The states of pairs at t; with a pool, their ends are those that it gives."""
        x = flow_map.interpolant.interpolate(x0, x1, t)
        if self.pool is not None:
            x0, x1 = self.pool.ends(x0, x1, t, flow_map.interpolant, cond)
        return PathSample(x0, x1, x, t, r, cond)

    def at(self, progress: float) -> Objective:
        """The objective at a share, from 0 to below 1, of the run that trains by it."""
        return self

    def caution(self, flow_map: FlowMap) -> str | None:
        """Why a map of this cell trains badly by the objective, though it is defined; or None."""
        return None

    def check_cell(self, flow_map: FlowMap) -> None:
        """Check that the objective is defined for the map's path and prediction.

        Raises:
            ValueError: for a map of another cell.
        """
        if self.cell is None:
            return
        path, prediction = self.cell
        is_known = isinstance(flow_map.interpolant, INTERPOLANTS[path])
        if not is_known or flow_map.prediction_key != prediction:
            raise ValueError(
                f"this {type(self).__name__} is a published model of the path {path} and the "
                f"prediction {prediction}, got {type(flow_map.interpolant).__name__} and "
                f"{flow_map.prediction_key}: build the map with the former, or give cell=None"
            )

    def check_distils(self) -> None:
        """Check that a frozen map can be distilled.

        Raises:
            ValueError: for an objective that learns from data alone.
        """
        self._refuse_to_distil()

    def distilling(self, frozen: FlowMap) -> Objective:
        """This objective with a frozen map in the place of data or of itself.

        Raises:
            ValueError: for an objective that learns from data alone.
        """
        self._refuse_to_distil()

    def _refuse_to_distil(self) -> NoReturn:
        raise ValueError(f"{type(self).__name__} learns from data alone: it takes no teacher")


@dataclass(frozen=True, kw_only=True)
class Distillation(Objective):
    """An objective that learns from data, or from a trained model's map."""

    frozen: FlowMap | None = None
    """Map of the model that is distilled, held fixed; None: learn from data."""

    def check_cell(self, flow_map: FlowMap) -> None:
        """Check that the objective is defined for the map's cell, and the frozen map on its path.

        Raises:
            ValueError: for a map of another cell than the objective's, or another path than the
                frozen map's.
        """
        super().check_cell(flow_map)
        if self.frozen is not None and self.frozen.interpolant != flow_map.interpolant:
            raise ValueError(
                f"a frozen map on {self.frozen.interpolant} cannot be distilled into one on "
                f"{flow_map.interpolant}: their states at a time differ; build the map on the "
                "frozen one's path"
            )

    def check_distils(self) -> None:
        """Nothing to refuse."""

    def distilling(self, frozen: FlowMap) -> Distillation:
        """This objective with a frozen map in the place of data or of itself."""
        return replace(self, frozen=frozen)


def scatter_terms(
    num: int, parts: dict[str, tuple[Int[Tensor, " k"], Float[Tensor, " k"]]]
) -> Losses:
    """Losses of `num` examples from the terms of disjoint parts of them, by index."""
    terms = {
        name: values.new_zeros(num).index_copy(0, index, values)
        for name, (index, values) in parts.items()
    }
    return Losses(torch.stack(list(terms.values())).sum(0), terms)

"""The flow of points of a shape, its map fitted to whole solutions of its own ODE.

    L = E |m_tt(x_t) - (x1 - x0)|^2                       velocity: flow matching, pooled
      + E |m_{t->r}(y_t) - (y_r - y_t) / (r - t)|^2       map: y a solution of the average's ODE
      + w E [d(jump, surface) + d(surface, jump)]         squared distances to the nearest

where a jump is where the map lands at r = 1, and the surface is fresh points of it. The last term
pulls points onto the surface that the mean of the first two leaves about it; the encoder stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geoflow.backbones.modulated import Context as Shapes
from geoflow.backbones.point_decoder import PointDecoder
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.clouds import PointGenerator
from geoflow.objectives import Losses
from geoflow.objectives.pooled import posterior_ends
from geoflow.solutions import Solutions, grid_of, map_errors
from geoflow.training.stage import Stage, StageOptions

_LATEST = 0.999


@dataclass(frozen=True)
class PointSolutions(StageOptions):
    """Options of the flow of points."""

    batch: int = 64
    """Shapes of a step."""
    num_surface: int = 1024
    """Points that the encoder reads."""
    diagonal_groups: int = 4
    """Groups of points of a shape for flow matching."""
    groups: int = 8
    """Groups of points of a shape for the map."""
    group_points: int = 128
    """Points of a group, which have the same times."""
    solver_steps: int = 8
    """Steps of Heun's method."""
    warp: float = 1.5
    """Above 1 the last steps are shorter."""
    set_weight: float = 20.0
    """Of the distances between the sets."""
    noise: float = 0.1
    """Added to the latent."""


class ReadDecoder(nn.Module):
    """A decoder that has read its latents, with gradients: it is called with times and points.

    Args:
        decoder: the network.
        shapes: what it made of the latents, once for each shape.
        cond: of the shapes.
        groups: rows of points of each shape, one after the other.
    """

    def __init__(
        self, decoder: PointDecoder, shapes: Shapes, cond: Condition, groups: int = 1
    ) -> None:
        super().__init__()
        self.decoder, self.cond = decoder, cond.repeat(groups)

        def again(part: Tensor, dim: int = 0) -> Tensor:
            return part.repeat_interleave(groups, dim)

        self.shapes = Shapes(
            gain=again(shapes.gain, 1),
            offset=again(shapes.offset, 1),
            planes=again(shapes.planes, 1),
            answers=again(shapes.answers),
            centre=again(shapes.centre),
            frame=None if shapes.frame is None else again(shapes.frame),
        )

    def forward(self, x: Tensor, t: Tensor, r: Tensor, cond: Condition | None = None) -> Tensor:
        """As `PointDecoder` answers; the condition is known."""
        shapes = self.decoder.at_times(self.shapes, t, r, self.cond)
        coefficients = self.decoder.to_answer(self.decoder.hidden(shapes, x))
        return coefficients[..., :-1] @ shapes.answers + coefficients[..., -1:] * x


class PointSolutionStage(Stage[PointGenerator, Tensor]):
    """Trains the flow of points of a `PointGenerator`; the context's data are `GrowingClouds`."""

    name = "points"
    options_type = PointSolutions

    @property
    def module(self) -> FlowMap:
        """The flow of points."""
        return self.model.autoencoder.flow

    def batch(self, generator: torch.Generator) -> Tensor:
        """Clouds (b, 2048, 3), half of them mirrored."""
        clouds: Tensor = self.context.data.draw(self.options.batch, generator)
        return clouds

    def loss(self, batch: Tensor, step: int, generator: torch.Generator) -> Losses:
        """Of each shape."""
        options: PointSolutions = self.options
        assert self.average is not None, "made before the first step"
        rng = on_device(generator, batch.device)
        num, model = len(batch), self.model
        order = torch.rand(batch.shape[:2], generator=rng, device=batch.device).argsort(1)
        batch = taken(batch, order)
        frame = model.frame_for(num)
        with torch.no_grad():
            tokens = model.autoencoder.encode(batch[:, : options.num_surface], frame).float()
        shift = torch.randn(tokens.shape, generator=rng, device=batch.device)
        cond = Condition(frame, tokens=tokens + options.noise * shift)
        unit = batch / model.autoencoder.spread
        decoder = self.module.backbone
        assert isinstance(decoder, PointDecoder)
        shapes = decoder.of_latents(cond)
        count = options.groups * options.group_points
        noise = torch.randn(num, count, 3, generator=rng, device=batch.device)
        with torch.no_grad():
            slow = self.average.module.backbone
            flow = self._flow(ReadDecoder(slow, slow.of_latents(cond), cond))
            way = Solutions.solve(
                flow, noise, grid_of(options.solver_steps, options.warp, generator)
            )
        grouped = way.states.reshape(way.steps + 1, -1, options.group_points, 3)
        one = self._flow(ReadDecoder(decoder, shapes, cond, options.diagonal_groups))
        many = self._flow(ReadDecoder(decoder, shapes, cond, options.groups))
        diagonal = self._diagonal(one, unit, rng)
        fitted, near = self._map(many, unit, Solutions(grouped, way.times), rng)
        total = diagonal + fitted + options.set_weight * near
        return Losses(total, {"diagonal": diagonal, "map": fitted, "near": near})

    def _flow(self, decoder: ReadDecoder) -> FlowMap:
        return FlowMap(decoder, self.module.interpolant, self.module.prediction_key)

    def _diagonal(
        self, flow: FlowMap, unit: Float[Tensor, "b n 3"], rng: torch.Generator
    ) -> Float[Tensor, " b"]:
        options, num = self.options, len(unit)
        groups, points = options.diagonal_groups, options.group_points
        x1 = unit[:, -groups * points :].reshape(-1, points, 3)
        x0 = torch.randn(x1.shape, generator=rng, device=x1.device)
        t = torch.rand(len(x1), generator=rng, device=x1.device) * _LATEST
        x = flow.interpolant.interpolate(x0, x1, t)
        times = t.view(num, groups).repeat_interleave(points, 1)
        pairs = (x0.view(num, -1, 3), x1.view(num, -1, 3))
        noise, data = (
            end.reshape(x.shape) for end in posterior_ends(*pairs, times, flow.interpolant, unit)
        )
        target = flow.prediction.conditional(noise, data, t)
        return (flow.field(x, t, t) - target).square().flatten(1).mean(1).view(num, -1).mean(1)

    def _map(
        self, flow: FlowMap, unit: Float[Tensor, "b n 3"], way: Solutions, rng: torch.Generator
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        num = len(unit)
        i, j = way.random(way.states.shape[1], rng)
        whole, landed = map_errors(flow, way.pairs(*way.ends()))
        part, parts = map_errors(flow, way.pairs(i, j))
        fitted = ((whole + part) / 2).view(num, -1).mean(1)
        landed, parts = (x.reshape(num, -1, 3) for x in (landed, parts))
        is_end = (j == way.steps).float().repeat_interleave(self.options.group_points).view(num, -1)
        with torch.no_grad():
            distance = half_squares(landed.float(), unit)
            goal, back = distance.argmin(2), distance.argmin(1)
            goals = half_squares(parts.float(), unit).argmin(2)
        there = (landed - taken(unit, goal)).square().mean((1, 2))
        cover = (taken(landed, back) - unit).square().mean((1, 2))
        later = ((parts - taken(unit, goals)).square().mean(-1) * is_end).sum(1)
        return fitted, there + cover + later / is_end.sum(1).clamp(min=1)


def on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator on the device, from the step's."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)


def half_squares(a: Float[Tensor, "b n 3"], b: Float[Tensor, "b m 3"]) -> Float[Tensor, "b n m"]:
    """Half of the squared distances; never by TF32, which loses those of neighbours."""
    with torch.autocast(a.device.type, enabled=False), _exact_products(a.device):
        sums = (a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None]) / 2
        return sums.baddbmm_(a, b.mT, alpha=-1)


@contextmanager
def _exact_products(device: torch.device) -> Iterator[None]:
    """Without TF32 on a GPU; elsewhere the switch is not touched, which would mix two settings."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def taken(points: Float[Tensor, "b n 3"], index: Int[Tensor, "b m"]) -> Float[Tensor, "b m 3"]:
    """Points at indices."""
    return points.gather(1, index[..., None].expand(-1, -1, 3))

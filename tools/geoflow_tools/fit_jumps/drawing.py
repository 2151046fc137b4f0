"""Samples of names, and what they are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.latent import LatentGenerator, turned
from geoflow.symmetry import upright_frame


def names(model: LatentGenerator[Any], category: Tensor) -> Condition:
    """What samples of categories are told: these, no weight and no points."""
    network, num = model.config.transformer, len(category)
    cond = Condition(upright_frame(model.config.symmetry, num), category)
    if network.guided:
        cond = replace(cond, guidance=torch.ones(num))
    if network.points:
        cond = replace(cond, tokens=torch.zeros(num, network.num_tokens, network.scalars))
    return cond


def before_last(
    model: LatentGenerator[Any],
    flow_map: FlowMap,
    cond: Condition,
    steps: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """States before the last jumps of samples, one for each category; its start and its end."""
    assert cond.category is not None, "they are of names"
    size, num = model.config.autoencoder, len(cond.category)
    noise = torch.randn(num, size.num_tokens, size.channels, generator=generator)
    noise = model.heated(noise, cond)
    t, r = torch.tensor(model.config.jumps(steps)[-1])[:, None].expand(2, num)
    way = model.states(flow_map, noise, cond, steps=steps)
    with torch.no_grad():
        for _ in range(steps):
            x = next(way)
        if model.config.restarts and steps > 1:
            x = flow_map.interpolant.interpolate(turned(noise, steps - 1, steps), x, t)
    return x, t, r


def sampled(
    model: LatentGenerator[Any],
    flow_map: FlowMap,
    cond: Condition,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """A sample for each category, by so many evaluations; only the last carries a gradient."""
    return flow_map(*before_last(model, flow_map, cond, steps, generator), cond)

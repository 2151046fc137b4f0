"""Samples of names, and what they are told."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.latent import LatentGenerator
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


def sampled(
    model: LatentGenerator[Any],
    flow_map: FlowMap,
    cond: Condition,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """A sample for each category, by so many evaluations; only the last carries a gradient."""
    assert cond.category is not None, "they are of names"
    size, num = model.config.autoencoder, len(cond.category)
    x = torch.randn(num, size.num_tokens, size.channels, generator=generator)
    jumps = list(itertools.pairwise(model.config.grid(steps).float()))
    for t, r in jumps[:-1]:
        with torch.no_grad():
            x = flow_map(x, t.expand(num), r.expand(num), cond)
    t, r = jumps[-1]
    return flow_map(x, t.expand(num), r.expand(num), cond)

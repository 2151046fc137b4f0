"""How near samples are to shapes that no training saw, and whether a critic knows its own by heart.

A critic that has learnt its data by heart tells samples from these shapes, no longer from all of
their kind: from then on the map is led astray, and no loss shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from geoflow.flow_map import FlowMap
from geoflow.models.latent import LatentGenerator
from geoflow.objectives.adversarial import Critic
from geoflow_tools.bench.energy import energy_distance
from geoflow_tools.fit_jumps.drawing import names, sampled
from geoflow_tools.fit_jumps.solutions import Encoded

_STEPS, _PER_SHAPE, _FEWEST = 2, 2, 2
_MOST, _NEAREST, _SEED = 120, 1000, 77


@dataclass(frozen=True)
class HeldOut:
    """Shapes of a validation split, by which states of a training are compared.

    Attributes:
        model: whose categories and grid are used.
        data: their latents, in the model's scale.

    Raises:
        ValueError: for a single shape of a category.
    """

    model: LatentGenerator[Any]
    data: Encoded

    def __post_init__(self) -> None:
        """Check the numbers."""
        found, counts = self.data.category.unique(return_counts=True)
        for index, count in zip(found.tolist(), counts.tolist(), strict=True):
            if count < _FEWEST:
                raise ValueError(
                    f"held-out shapes must be {_FEWEST} of each category at least, got {count} of "
                    f"{self.model.categories[index]}"
                )

    @torch.no_grad()
    def energy(self, flow_map: FlowMap) -> dict[str, float]:
        """Energy distance of samples in two evaluations to the shapes, by category.

        The noise is always the same, so that states of one training are comparable.
        """
        generator, found = torch.Generator().manual_seed(_SEED), {}
        for index in self.data.category.unique():
            shapes = self.data.tokens[self.data.category == index].float()
            cond = names(self.model, index.repeat(_PER_SHAPE * len(shapes)))
            samples = sampled(self.model, flow_map, cond, _STEPS, generator)
            found[self.model.categories[index]] = energy_distance(samples, shapes)
        return found

    @torch.no_grad()
    def distance(self, flow_map: FlowMap, train: Encoded) -> dict[str, float]:
        """How far samples are from the nearest training shape, where held-out ones are at 1.

        Medians, by category. In many dimensions samples that are beside the data's surface in a
        random direction each are far from every datum, and yet hardly move the energy distance.
        """
        generator, found = torch.Generator().manual_seed(_SEED), {}
        for index in self.data.category.unique():
            known, shapes = (
                data.tokens[data.category == index][:_NEAREST].float()
                for data in (train, self.data)
            )
            if len(known) == 0:
                continue
            cond = names(self.model, index.repeat(_PER_SHAPE * len(shapes)))
            samples = sampled(self.model, flow_map, cond, _STEPS, generator)
            far, usual = (
                torch.cdist(x.flatten(1), known.flatten(1)).amin(1).median()
                for x in (samples, shapes)
            )
            found[self.model.categories[index]] = float(far / usual)
        return found

    @torch.no_grad()
    def known_by_heart(self, critic: Critic, train: Encoded) -> float:
        """What a critic says of training shapes, less what it says of these; mean of categories."""
        gaps = []
        for index in self.data.category.unique():
            means = []
            for data in (train, self.data):
                tokens = data.tokens[data.category == index][:_MOST].float()
                t = torch.ones(len(tokens))
                means.append(critic(tokens, t, names(self.model, index.repeat(len(t)))).mean())
            gaps.append(means[0] - means[1])
        return float(torch.stack(gaps).nanmean())

"""Data of `told_model`, and a clock of steps, for trainings that are against the clock."""

import torch

from geoflow.models.volumes import VolumeGenerator
from geoflow_tools.fit_jumps.solutions import Encoded
from geoflow_tools.train_shapes.loops import Clock


class Steps(Clock):
    """A clock that is looked at once a step, and has as many as its seconds."""

    at = 0

    @property
    def share(self) -> float:
        """Of its steps."""
        self.at += 1
        return (self.at - 1) / self.seconds


class Level(Steps):
    """The same, whose rates stay until its end."""

    @property
    def share(self) -> float:
        """None of its steps, or all."""
        return 0.0 if super().share < 1 else 1.0


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def data_of(model: VolumeGenerator, num: int = 200) -> Encoded:
    """One narrow mode of each category."""
    size = model.config.autoencoder
    modes = 1.5 * torch.randn(2, size.num_tokens, size.channels, generator=seeded(3))
    category = torch.arange(num) % 2
    noise = torch.randn(num, *modes.shape[1:], generator=seeded(4))
    return Encoded(modes[category] + 0.2 * noise, category)

"""What a sample is given, as one object that every network, sampler and coupling reads.

A field of `Condition` is one value per example, or absent for all. Networks read it through
`geoflow.backbones.condition`, models make it from words by `Model.condition`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

ANY = -1
"""Category of an example that is told none."""
ANYTHING = "any"
"""Its name, where a network was trained for that."""


def choices(categories: tuple[str, ...], *, guided: bool) -> tuple[str, ...]:
    """What a sample of a model of these categories can be asked to be, the default first."""
    return (ANYTHING, *categories) if guided else categories


@dataclass(frozen=True)
class Condition:
    """What a sample is conditioned on; each part is one per example, or absent."""

    frame: Float[Tensor, "b m 3"] | None = None
    """Frame that the sample turns with."""
    category: Int[Tensor, " b"] | None = None
    """Index of its category; -1: of any, where a network was trained for that."""
    tokens: Float[Tensor, "b k c"] | None = None
    """Latent of the shape whose points the sample consists of, or of points that it goes through;
    all zeros: of none."""
    points: Float[Tensor, "b n 3"] | None = None
    """Points of a surface that the sample belongs to."""
    guidance: Float[Tensor, " b"] | None = None
    """Weight of the category against any, at least 1."""

    def __getitem__(self, index: Tensor | slice) -> Condition:
        """The condition of some examples of the batch."""
        return self._map(lambda part: part[index])

    def to(self, device: torch.device | str) -> Condition:
        """The condition on a device."""
        return self._map(lambda part: part.to(device))

    def repeat(self, num: int) -> Condition:
        """Every example's condition `num` times, one after the other."""
        return self._map(lambda part: part.repeat_interleave(num, dim=0))

    def parts(self) -> dict[str, Tensor]:
        """The parts that are there, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in named.items() if part is not None}

    def groups(self, num: int) -> Int[Tensor, " b"]:
        """A number for each of `num` examples, equal where all parts are, on the CPU.

        Noise that is exchanged within a group tells nothing of the condition.
        """
        groups = torch.zeros(num, dtype=torch.long)
        for part in self.parts().values():
            _, index = torch.unique(part.flatten(1) if part.ndim > 1 else part[:, None], dim=0,
                                    return_inverse=True)  # fmt: skip
            # Re-numbered after every part, so that the product never overflows.
            _, groups = torch.unique(groups * num + index.cpu(), return_inverse=True)
        return groups

    def _map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        # Of the class that it is: a subclass adds parts of its own.
        return replace(self, **{name: change(part) for name, part in self.parts().items()})

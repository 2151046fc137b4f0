"""Examples of every part of a condition, made by the shapes that the fields of `Condition` have."""

from __future__ import annotations

from typing import get_args, get_type_hints

import torch
from torch import Tensor

from geoflow.condition import Condition

# Of an axis that is not a number.
_SIZES = {"m": 2, "k": 5, "c": 7, "n": 6}


def every_part(num: int) -> dict[str, Tensor]:
    """Random parts by name, of `num` examples; indices count the examples."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, hint in get_type_hints(Condition).items():
        (shaped,) = (option for option in get_args(hint) if option is not type(None))
        first, *others = shaped.dim_str.split()
        assert first == "b", f"the first axis of {name} must be the batch, got {first}"
        sizes = [int(axis) if axis.isdigit() else _SIZES[axis] for axis in others]
        real = torch.rand(num, *sizes, generator=generator) + 0.5
        made[name] = real if "float32" in shaped.dtypes else torch.arange(num)
    return made

"""What a configuration would build, known before anything of it is allocated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

LARGEST_SIZE, DEEPEST, MOST_WEIGHTS = 65_536, 256, 200_000_000
"""Bounds of a number in a configuration, of a number of blocks or layers, and of all weights."""
_DEPTHS = ("blocks", "layers", "octaves", "frequencies", "heads", "expansion")
_SPLIT = ("width", "encoder_width", "vector_width")
Shapes = dict[str, tuple[int, ...]]


def check_sizes(config: Any, place: str = "") -> None:
    """Refuse numbers of a configuration that no network has.

    Raises:
        ValueError: for a number below zero, not finite, or too large; or heads that do not divide
            what they share.
    """
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{place}{field.name}"
        if dataclasses.is_dataclass(value):
            check_sizes(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            most = DEEPEST if field.name.endswith(_DEPTHS) else LARGEST_SIZE
            if not 0 <= value <= most:
                raise ValueError(f"{name} must be from 0 to {most}, got {value}")
    heads = getattr(config, "heads", 1)
    for split in _SPLIT:
        # Heads are no tensor's shape, so that no tensor tells that they do not fit.
        if heads < 1 or getattr(config, split, 0) % heads:
            raise ValueError(
                f"{place}heads must divide {split}, got {heads} and {getattr(config, split, 0)}"
            )


def blueprint(build: Callable[[Any], Any], config: Any) -> Shapes:
    """Shapes of the tensors of the model that a configuration builds, by `module.parameter`.

    Args:
        build: of the model's class.
        config: of its type.

    Raises:
        ValueError: for a configuration that no network has, or one of too many weights.
    """
    check_sizes(config)
    with torch.device("meta"), _WithoutNumbers():
        model = build(config)
    shapes = {
        f"{prefix}.{name}": tuple(value.shape)
        for prefix, module in model.modules().items()
        for name, value in module.state_dict().items()
    }
    num = sum(map(math.prod, shapes.values()))
    if num > MOST_WEIGHTS:
        raise ValueError(f"the network would have {num:,} weights, expected at most {MOST_WEIGHTS}")
    return shapes


def check_fits(has: Mapping[str, Tensor], expected: Shapes) -> None:
    """Raise ValueError, naming a tensor, where those of a file are not those of its card.

    Args:
        has: tensors of the file, of which shapes alone are read.
        expected: as of `blueprint`.
    """
    for name, shape in expected.items():
        if name not in has:
            raise ValueError(f"its card asks for the tensor {name}, which is missing")
        if tuple(has[name].shape) != shape:
            raise ValueError(
                f"its tensor {name} has shape {tuple(has[name].shape)}, its card says {shape}"
            )
    modules = {name.partition(".")[0] for name in expected}
    for name in has:
        if name not in expected and name.partition(".")[0] in modules:
            raise ValueError(f"it holds the tensor {name}, which its card does not ask for")


# torch would load its compiler for them, which takes seconds, to make no numbers.
_RANDOM = (torch.randn, torch.rand)
_IN_PLACE = (Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_)
_OF_ONE = (torch.exp, Tensor.exp)
_OF_TWO = (torch.mul, Tensor.mul)


class _WithoutNumbers(TorchFunctionMode):
    """Shapes of what networks are commonly filled with, without the filling."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _RANDOM:
            given.pop("generator", None)
            return torch.zeros(*args, **given)
        if func is torch.linspace:
            return torch.zeros(given.get("steps", args[-1]), dtype=given.get("dtype"))
        if func in _IN_PLACE or func in _OF_ONE:
            return args[0] if args else given["tensor"]
        if func in _OF_TWO:
            return torch.zeros(np.broadcast_shapes(*(getattr(a, "shape", ()) for a in args)))
        return func(*args, **given)

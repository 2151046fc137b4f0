"""Names of parameters that have changed since format 1 of models."""

from torch import Tensor

_TIMES = {"time_from.": "condition.time_from.", "time_to.": "condition.time_to."}
_TIMES_AND_CATEGORY = _TIMES | {"category.": "condition.category."}

RENAMED: dict[str, dict[str, str]] = {
    "token-transformer": _TIMES_AND_CATEGORY,
    "mlp": _TIMES_AND_CATEGORY,
    "joint-transformer": _TIMES,
    "point-decoder": _TIMES,
}
"""Old prefix to new prefix inside a network, by the network's name in BACKBONES."""


def rename(tensors: dict[str, Tensor], backbone: str) -> dict[str, Tensor]:
    """Tensors of a network of format 1 by today's names."""
    prefixes = RENAMED.get(backbone, {})
    return {_renamed(name, prefixes): value for name, value in tensors.items()}


def _renamed(name: str, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name

"""Numbers that a model gives away are finite, or it says that they are not."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def finite(values: Float[Tensor, "*s"], what: str) -> Float[Tensor, "*s"]:
    """The values themselves.

    Raises:
        FloatingPointError: if one is NaN or infinite.
    """
    broken = values.numel() - int(values.isfinite().sum())
    if broken:
        raise FloatingPointError(
            f"{broken:,} of {values.numel():,} {what} are not finite (NaN or infinite): the "
            "model's weights are damaged, or its training diverged"
        )
    return values

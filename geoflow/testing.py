"""Public assertions about symmetry, for our networks and for yours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

# Relative errors that an exactly equivariant network stays under, by dtype.
EQUIVARIANCE_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def random_rotations(
    num: int, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices, uniform over SO(3), from normalised Gaussian quaternions."""
    q = torch.randn(num, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2).to(dtype)


def rotate_points(
    points: Float[Tensor, "b *n 3"], rotation: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b *n 3"]:
    """R p for every point or vector p."""
    return torch.einsum("b...i,bji->b...j", points, rotation)


def rotate_tokens(
    tokens: Float[Tensor, "b k c"], rotation: Float[Tensor, "b 3 3"], *, scalars: int
) -> Float[Tensor, "b k c"]:
    """Packed tokens with their vectors rotated and their first `scalars` channels kept."""
    vectors = tokens[..., scalars:].unflatten(-1, (-1, 3))
    return torch.cat([tokens[..., :scalars], rotate_points(vectors, rotation).flatten(-2)], -1)


def relative_error(a: Tensor, b: Tensor) -> float:
    """Largest difference over the largest magnitude."""
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))


def assert_equivariant(
    function: Callable[[Float[Tensor, "b 3 3"]], tuple[Tensor, Tensor]],
    *,
    num: int = 4,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    tolerance: float | None = None,
) -> float:
    """Check that a function gives equal pairs for random rotations; the largest error.

    Args:
        function: from rotations (b, 3, 3) to (f(R input), R f(input)).
        num: number of rotations b.
        generator: randomness of the rotations.
        dtype: of the rotations; chooses the tolerance.
        tolerance: largest relative error; default: EQUIVARIANCE_TOLERANCE.

    Raises:
        AssertionError: if the relative error is larger.
    """
    limit = EQUIVARIANCE_TOLERANCE[dtype] if tolerance is None else tolerance
    moved, expected = function(random_rotations(num, generator=generator, dtype=dtype))
    error = relative_error(moved, expected)
    if not error <= limit:
        raise AssertionError(f"not equivariant: relative error {error:.2e} > {limit:.0e}")
    return error

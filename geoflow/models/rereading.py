"""What reading points with outward normals once leaves of them, to be added to what is read again.

An answer's field f would vanish at the points p_i, were it right; it is positive at edges that were
rounded and on both sides of sheets that were lost. So the encoder E is shown points that go as far
beyond the surface as its answer fell short of it:

    z_0 = E(p),    s_k = s_(k-1) + k^(-1/2) m(f(p; z_(k-1))) n,    z_k = E(s_k),    s_0 = p.

That is iterated back-projection with the encoder for the inverse, and needs neither gradients nor
training. The noise of a point is in f as well, and would come to twice its size; m is a mean over
the neighbours whose normals face the same way, which leaves it as it was.

Reference: Irani and Peleg, "Improving resolution by image registration", 1991,
https://doi.org/10.1016/1049-9652(91)90045-L.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.backbones.field_codec import FieldCodec
from geoflow.geometry.neighbors import knn

# Neighbours of a mean; of 1, 4, 8 and 16 on validation shapes 1 lost with noise what the others
# gained (docs/shapes.md).
_NEIGHBOURS = 8
# Where a field is farther off than this it was not the encoder that rounded something.
_FARTHEST = 0.1
_TINY = 1e-12


@torch.no_grad()
def left_of_field(
    codec: FieldCodec,
    tokens: Float[Tensor, "b k c"],
    points: Float[Tensor, "b n 3"],
    normals: Float[Tensor, "b n 3"],
    frame: Float[Tensor, "b m 3"] | None,
) -> Float[Tensor, "b n"]:
    """Means of the latents' fields over the neighbours of points, each at most 0.1 in size.

    Args:
        codec: that decodes the fields.
        tokens: the latents.
        points: of the surfaces.
        normals: outward, of unit length.
        frame: where the shapes stand.
    """
    field = codec.decode(tokens, points, frame).clamp(-_FARTHEST, _FARTHEST)
    return facing_means(field, points, normals)


def facing_means(
    values: Float[Tensor, "b n"], points: Float[Tensor, "b n 3"], normals: Float[Tensor, "b n 3"]
) -> Float[Tensor, "b n"]:
    """Means over the nearest points, each as its normal faces the same way; 0 where none does."""
    index = knn(points, points, min(_NEIGHBOURS, points.shape[1])).indices
    row = torch.arange(len(points), device=points.device)[:, None, None]
    weight = (normals[row, index] * normals[:, :, None]).sum(-1).clamp_min(0.0)
    mean: Tensor = (weight * values[row, index]).sum(-1) / weight.sum(-1).clamp_min(_TINY)
    return mean

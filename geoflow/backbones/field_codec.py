"""What autoencoders of signed-distance fields have in common, whatever their latents are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import check_frame


class SurfacePoints(NamedTuple):
    """Points of surfaces, beside which fields are mended by codecs that learnt to."""

    points: Float[Tensor, "b n 3"]
    normals: Float[Tensor, "b n 3"] | None = None
    """Of unit length; None: not known."""
    oriented: bool = True
    """Whether the normals point outward; else either way."""


class FieldCodec(nn.Module, ABC):
    """Surface points to latent tokens to a signed-distance field."""

    config: Any
    """Sizes; its `frame_size` is the number of frame vectors."""
    encoder: nn.Module
    decoder: Any
    """Has a `context` of tokens, frame and centre, and gives the distance at queries from it."""

    @abstractmethod
    def encode(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
    ) -> Float[Tensor, "b k c"]:
        """Packed latent tokens about `centre` (default: the origin).

        Raises:
            ValueError: if the frame does not have `config.frame_size` vectors, or for normals that
                the encoder cannot read.
        """

    def context(
        self,
        tokens: Float[Tensor, "b k c"],
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
    ) -> Any:
        """Latent-dependent part of the decoder, to be shared by many queries.

        Raises:
            ValueError: if the frame does not have `config.frame_size` vectors.
        """
        check_frame(frame, self.config.frame_size, "frame")
        return self.decoder.context(tokens, frame, self._centre(centre, tokens))

    def decode(
        self,
        tokens: Float[Tensor, "b k c"],
        queries: Float[Tensor, "b q 3"],
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
    ) -> Float[Tensor, "b q"]:
        """Signed distance at the queries, negative inside, in normalised units.

        Raises:
            ValueError: if the frame does not have `config.frame_size` vectors.
        """
        distance: Tensor = self.decoder(self.context(tokens, frame, centre=centre), queries)
        return distance

    @property
    def mends(self) -> bool:
        """Whether it learnt to mend fields beside points of their surfaces."""
        return False

    def through(self, context: Any, surface: SurfacePoints) -> Any:
        """The context of fields that are mended beside points of their surfaces.

        Raises:
            ValueError: for a codec that did not learn to, or a single point.
        """
        raise ValueError("this model did not learn to mend fields beside points")

    @staticmethod
    def _centre(centre: Tensor | None, like: Tensor) -> Tensor:
        return like.new_zeros(like.shape[0], 3) if centre is None else centre

"""Flow of single points given a latent: symmetry O(3) with a frame that turns along.

    m(R x, t, r | R z) = R m(x, t, r | z),

whose answer is a sum of vectors of the latent's, with coefficients that read invariants alone.
Points are independent given the latent: clouds of any size cost a multiple of one point, and no
order of them matters.

Reference: Yang et al., "PointFlow", 2019, arXiv:1906.12320 (a distribution of shapes, and one of
the points of a shape), here with flow maps for both; Zhang et al., "Geometry Distributions", 2024,
arXiv:2411.16076.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.folded import Folded, in_blocks
from geoflow.backbones.modulated import Context, Modulated
from geoflow.backbones.shape_encoder import ShapeConfig
from geoflow.condition import Condition
from geoflow.typing import Times

# Vectors of the latent's that an answer is made of.
_ANSWERS = 32
# Channels of the times' embedding, and of what the layers' modulation is made of: two times need
# few, and every layer has its own.
_TIME_CHANNELS, _TIME_RANK = 128, 24


class PointDecoder(Modulated):
    """Raw field m_{t->r}(x | z) of single points; `cond.tokens` is the latent z."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__(config, answers=_ANSWERS)
        layers, hidden = config.decoder_layers + 1, config.decoder_width
        self.condition = ConditionReader(_TIME_CHANNELS, frame_size=config.frame_size)
        self.to_modulation = nn.Sequential(
            nn.Linear(_TIME_CHANNELS, _TIME_RANK, bias=False),
            nn.Linear(_TIME_RANK, 2 * layers * hidden),
        )
        # One coefficient per vector of the latent's, and one for the point itself.
        self.to_answer = nn.Linear(hidden, _ANSWERS + 1)

    def forward(
        self, x: Float[Tensor, "b n 3"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b n 3"]:
        """Points to vectors.

        Raises:
            ValueError: if the condition has no tokens, or a frame of another size.
        """
        context = self.at_times(self.of_latents(cond), t, r, cond)
        coefficients = self.to_answer(self.hidden(context, x))
        return coefficients[..., :-1] @ context.answers + coefficients[..., -1:] * x

    def of_latents(self, cond: Condition | None) -> Context:
        """What the latents give, whatever the times.

        Raises:
            ValueError: if the condition has no tokens, or a frame of another size.
        """
        tokens, frame = self.condition.tokens(cond), self.condition.frame(cond)
        return self.context(tokens, frame, tokens.new_zeros(len(tokens), 3))

    def at_times(self, context: Context, t: Times, r: Times, cond: Condition | None) -> Context:
        """Gains and offsets as two times change them."""
        times = self.condition(t, r, cond)
        layers = self.config.decoder_layers + 1
        modulation = self.to_modulation(times).unflatten(-1, (layers, 1, -1)).transpose(0, 1)
        gain, offset = modulation.chunk(2, dim=-1)
        return replace(context, gain=context.gain + gain, offset=context.offset + offset)

    def folded(self, cond: Condition) -> FoldedPoints:
        """The raw field of the points of given shapes, fast and without gradients.

        Raises:
            ValueError: if the condition has no tokens, or a frame of another size.
        """
        return FoldedPoints(self, cond)


class FoldedPoints:
    """A `PointDecoder` that has read its latents; called as it is, with as many shapes."""

    @torch.no_grad()
    def __init__(self, decoder: PointDecoder, cond: Condition) -> None:
        self._decoder, self._context = decoder, decoder.of_latents(cond)

    @torch.no_grad()
    def __call__(
        self, x: Float[Tensor, "b n 3"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b n 3"]:
        """Points to vectors."""
        context = self._decoder.at_times(self._context, t, r, cond)
        return torch.stack([self._of_shape(context.of(i), points) for i, points in enumerate(x)])

    def _of_shape(self, context: Context, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        features, answer = Folded(self._decoder, context), self._decoder.to_answer
        bias = answer.bias + answer.weight @ features.constant
        # The vectors that the coefficients choose among are the shape's: one product for both.
        whole = torch.cat([answer.weight.T, bias[None]])
        whole = torch.cat([whole[:, :-1] @ context.answers[0], whole[:, -1:]], dim=1)

        def block(part: Tensor) -> Tensor:
            out = torch.addmm(whole[-1], features(part), whole[:-1])
            return out[:, :3] + out[:, 3:] * part

        return in_blocks(block, points)

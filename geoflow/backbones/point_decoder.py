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

from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.modulated import Modulated
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
        tokens, frame = self.condition.tokens(cond), self.condition.frame(cond)
        context = self.context(tokens, frame, x.new_zeros(len(x), 3))
        times = self.condition(t, r, cond)
        layers = self.config.decoder_layers + 1
        modulation = self.to_modulation(times).unflatten(-1, (layers, 1, -1)).transpose(0, 1)
        gain, offset = modulation.chunk(2, dim=-1)
        context = replace(context, gain=context.gain + gain, offset=context.offset + offset)
        coefficients = self.to_answer(self.hidden(context, x))
        return coefficients[..., :-1] @ context.answers + coefficients[..., -1:] * x

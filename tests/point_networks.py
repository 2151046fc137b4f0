"""Small networks of point sets, by their key in BACKBONES, for a number of frame vectors."""

from geoflow.backbones import (
    PointBaseline,
    PointBaselineConfig,
    PointDecoder,
    PointMessages,
    PointMessagesConfig,
    PointTransformer,
    PointTransformerConfig,
    ShapeConfig,
)

NARROW = {"width": 16, "condition_width": 16, "blocks": 2, "num_categories": 2}
LATENT = {"num_tokens": 3, "scalars": 4, "vectors": 2, "heads": 4, "normals": False}


def transformer(size):
    tokens = {"token_width": 16, "vector_width": 4, "num_tokens": 5}
    return PointTransformer(PointTransformerConfig(frame_size=size, **NARROW, **tokens))


def messages(size):
    sizes = {"vector_width": 4, "neighbors": 6, "radial": 8}
    return PointMessages(PointMessagesConfig(frame_size=size, **NARROW, **sizes))


def decoder(size):
    widths = {"encoder_width": 16, "decoder_width": 24, "decoder_layers": 2}
    return PointDecoder(ShapeConfig(frame_size=size, **widths, **LATENT))


def baseline(size):
    return PointBaseline(PointBaselineConfig(**NARROW, token_width=16, num_tokens=5))


EQUIVARIANT = {
    "point-transformer": transformer,
    "point-messages": messages,
    "point-decoder": decoder,
}
ALL = EQUIVARIANT | {"point-baseline": baseline}

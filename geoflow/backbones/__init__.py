"""Networks. Each file states its symmetry group in its first line."""

from geoflow.backbones.field import FieldAutoencoder
from geoflow.backbones.mlp import MLP, MLPConfig
from geoflow.backbones.point_decoder import PointDecoder
from geoflow.backbones.shape_encoder import ShapeConfig
from geoflow.backbones.token_transformer import TokenTransformer, TransformerConfig

BACKBONES = {
    "field": FieldAutoencoder,
    "point-decoder": PointDecoder,
    "token-transformer": TokenTransformer,
    "mlp": MLP,
}

__all__ = [
    "BACKBONES",
    "MLP",
    "FieldAutoencoder",
    "MLPConfig",
    "PointDecoder",
    "ShapeConfig",
    "TokenTransformer",
    "TransformerConfig",
]

"""Networks. Each file states its symmetry group in its first line."""

from geoflow.backbones.field import FieldAutoencoder, FieldConfig
from geoflow.backbones.token_transformer import TokenTransformer, TransformerConfig

BACKBONES = {"field": FieldAutoencoder, "token-transformer": TokenTransformer}

__all__ = [
    "BACKBONES",
    "FieldAutoencoder",
    "FieldConfig",
    "TokenTransformer",
    "TransformerConfig",
]

"""Networks. Each file states its symmetry group in its first line."""

from geoflow.backbones.field import FieldAutoencoder, FieldConfig
from geoflow.backbones.joint_transformer import JointTransformer, JointTransformerConfig
from geoflow.backbones.mlp import MLP, MLPConfig
from geoflow.backbones.token_transformer import TokenTransformer, TransformerConfig

BACKBONES = {
    "field": FieldAutoencoder,
    "token-transformer": TokenTransformer,
    "joint-transformer": JointTransformer,
    "mlp": MLP,
}

__all__ = [
    "BACKBONES",
    "MLP",
    "FieldAutoencoder",
    "FieldConfig",
    "JointTransformer",
    "JointTransformerConfig",
    "MLPConfig",
    "TokenTransformer",
    "TransformerConfig",
]

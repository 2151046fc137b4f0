"""Networks. Each file states its symmetry group in its first line."""

from geoflow.backbones.field import FieldAutoencoder
from geoflow.backbones.joint_transformer import JointTransformer, JointTransformerConfig
from geoflow.backbones.mlp import MLP, MLPConfig
from geoflow.backbones.point_baseline import PointBaseline, PointBaselineConfig
from geoflow.backbones.point_decoder import PointDecoder
from geoflow.backbones.point_messages import PointMessages, PointMessagesConfig
from geoflow.backbones.point_transformer import PointTransformer, PointTransformerConfig
from geoflow.backbones.shape_encoder import ShapeConfig
from geoflow.backbones.token_transformer import TokenTransformer, TransformerConfig

BACKBONES = {
    "field": FieldAutoencoder,
    "point-decoder": PointDecoder,
    "joint-transformer": JointTransformer,
    "token-transformer": TokenTransformer,
    "point-transformer": PointTransformer,
    "point-messages": PointMessages,
    "point-baseline": PointBaseline,
    "mlp": MLP,
}

__all__ = [
    "BACKBONES",
    "MLP",
    "FieldAutoencoder",
    "JointTransformer",
    "JointTransformerConfig",
    "MLPConfig",
    "PointBaseline",
    "PointBaselineConfig",
    "PointDecoder",
    "PointMessages",
    "PointMessagesConfig",
    "PointTransformer",
    "PointTransformerConfig",
    "ShapeConfig",
    "TokenTransformer",
    "TransformerConfig",
]

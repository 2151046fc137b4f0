"""A model of every kind, so small that thousands of them can be read and asked in a test."""

from __future__ import annotations

from dataclasses import replace

import torch

from geoflow.backbones.joint_transformer import JointTransformerConfig
from geoflow.backbones.shape_encoder import ShapeConfig
from geoflow.backbones.token_transformer import TransformerConfig
from geoflow.backbones.volume_field import VolumeConfig
from geoflow.models.base import Model
from geoflow.models.clouds import CloudConfig, PointGenerator
from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.models.fields import FieldConfig, Generator
from geoflow.models.joints import Rigger, RiggerConfig
from geoflow.models.volumes import VolumeGenerator, VolumesConfig

_LATENT = {"num_tokens": 4, "scalars": 4, "vectors": 1}
_TRANSFORMER = TransformerConfig(
    **_LATENT, num_categories=2, width=16, vector_width=4, blocks=1, heads=2, condition_width=16
)
_SHAPE = {
    "encoder_width": 16, "encoder_blocks": 1, "context_blocks": 1, "decoder_width": 16,
    "decoder_layers": 1, "heads": 2, "frequencies": 2,
}  # fmt: skip
_VOLUME = VolumeConfig(
    cells=2, scalars=4, widths=(16, 16, 16, 16), cell_blocks=1, coarse_blocks=1, hidden=16,
    layers=1, frequencies=2,
)  # fmt: skip
_OF_VOLUME = replace(_TRANSFORMER, num_tokens=8, vectors=0)


def tiny_models() -> dict[str, Model]:
    """By their kinds; fresh weights, moved a little, for a fresh output layer is zero."""
    names = ("blob", "pebble")
    joints = JointTransformerConfig(
        surface_tokens=8, width=16, vector_width=4, surface_blocks=1, blocks=1, heads=2,
        condition_width=16,
    )  # fmt: skip
    torch.manual_seed(0)
    models: tuple[Model, ...] = (
        Generator.build(
            FieldConfig(
                categories=names,
                autoencoder=ShapeConfig(**_LATENT, **_SHAPE),
                transformer=_TRANSFORMER,
            )
        ),
        PointGenerator.build(
            CloudConfig(
                categories=names,
                autoencoder=ShapeConfig(**_LATENT, **_SHAPE, normals=False),
                transformer=_TRANSFORMER,
            )
        ),
        GeometryDistribution.build(DistributionConfig(width=16, blocks=1, octaves=2)),
        Rigger.build(RiggerConfig(network=joints, num_points=64, cloud=16)),
        VolumeGenerator.build(
            VolumesConfig(categories=names, autoencoder=_VOLUME, transformer=_OF_VOLUME)
        ),
    )
    for model in models:
        with torch.no_grad():
            for module in model.modules().values():
                for weight in module.parameters():
                    weight.add_(0.1 * torch.randn_like(weight))
        model.to("cpu")
    return {model.kind: model for model in models}


def told_model() -> VolumeGenerator:
    """A tiny model of many things that is told categories, guidance and points."""
    config = tiny_models()["shapes"].config
    network = replace(config.transformer, guided=True, points=True)
    config = replace(config, categories=("chair", "lump"), transformer=network, grid_power=3.0)
    torch.manual_seed(0)
    model = VolumeGenerator.build(config)
    with torch.no_grad():
        for weight in model.flow_map.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def networks_apart(model: Model, other: Model) -> set[str]:
    """Names of the networks whose weights are not the same to the bit."""
    return {
        part
        for part, module in model.modules().items()
        for name, value in module.state_dict().items()
        if not torch.equal(value, other.modules()[part].state_dict()[name])
    }

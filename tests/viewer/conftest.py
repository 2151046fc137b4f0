"""A generator small enough for hundreds of samples: random weights, two categories."""

import pytest
import torch

from geoflow.backbones.shape_encoder import ShapeConfig
from geoflow.backbones.token_transformer import TransformerConfig
from geoflow.models.fields import FieldConfig, Generator
from geoflow_viewer.models import Models

LATENT = {"num_tokens": 4, "scalars": 4, "vectors": 1}


@pytest.fixture(scope="session")
def generator():
    config = FieldConfig(
        symmetry="frame",
        categories=("blob", "pebble"),
        autoencoder=ShapeConfig(
            **LATENT, encoder_width=16, encoder_blocks=1, context_blocks=1, decoder_width=16,
            decoder_layers=1, heads=2, frequencies=2,
        ),
        transformer=TransformerConfig(
            **LATENT, num_categories=2, width=16, vector_width=4, blocks=1, heads=2,
            condition_width=16,
        ),
    )  # fmt: skip
    torch.manual_seed(0)
    generator = Generator.build(config).to("cpu")
    with torch.no_grad():
        for module in (generator.autoencoder, generator.flow_map):
            for weight in module.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
    return generator


@pytest.fixture
def models(generator):
    return Models(["tiny"], load=lambda name: generator)

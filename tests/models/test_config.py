"""Configurations survive JSON, and what is wrong in a file is named."""

import json

import pytest

from geoflow.models.clouds import CloudConfig
from geoflow.models.config import from_json, to_json
from geoflow.models.distribution import DistributionConfig
from geoflow.models.fields import FieldConfig
from geoflow.models.joints import RiggerConfig
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.latent_flow import FlowTraining

KNOWN = [FieldConfig, CloudConfig, DistributionConfig, RiggerConfig, FlowTraining]


@pytest.mark.parametrize("kind", KNOWN)
def test_a_configuration_survives_json(kind):
    config = kind()
    assert from_json(kind, json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (FieldConfig, {"speed": 1}, "FieldConfig has no field speed; known: symmetry"),
        (FieldConfig, {"autoencoder": {"speed": 1}}, "no field autoencoder.speed"),
        (FieldConfig, {"symmetry": "o7"}, r"FieldConfig\.symmetry: .*, found 'o7'"),
        (FieldConfig, {"categories": ["a", 3]}, r"categories\[1\]: Expected `str`.*found 3"),
        (FieldConfig, {"autoencoder": {"heads": "8"}}, r"autoencoder\.heads: .*found '8'"),
        (AutoencoderTraining, {"batch": 0}, r"batch: Expected `int` >= 1, found 0"),
        (AutoencoderTraining, {"clamp": -1.0}, r"clamp: Expected `float` > 0.*found -1.0"),
        (FlowTraining, {"diagonal_first": 2}, "diagonal_first: Expected `float` <= 1.*found 2"),
        (FlowTraining, [1, 2], "FlowTraining: Expected `object`, got `array`, found list"),
    ],
)
def test_what_is_wrong_is_named(kind, change, message):
    data = to_json(kind()) | change if isinstance(change, dict) else change
    with pytest.raises(ValueError, match=message):
        from_json(kind, data)

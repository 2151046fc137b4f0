"""Configurations survive JSON, and what is wrong in a file is named."""

import json

import pytest

from geoflow.models.blueprint import check_sizes
from geoflow.models.clouds import CloudConfig
from geoflow.models.config import from_json, to_json
from geoflow.models.distribution import DistributionConfig
from geoflow.models.fields import FieldConfig
from geoflow.models.joints import RiggerConfig
from geoflow.models.volumes import VolumesConfig
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.latent_flow import FlowTraining

KNOWN = [FieldConfig, CloudConfig, DistributionConfig, RiggerConfig, FlowTraining]


@pytest.mark.parametrize("kind", KNOWN)
def test_a_configuration_survives_json(kind):
    config = kind()
    assert from_json(kind, json.loads(json.dumps(to_json(config)))) == config


UNFIT = [
    (FieldConfig, {"categories": ["a", "b"]}, "categories must be 1 different names, got 2"),
    (FieldConfig, {"categories": []}, "categories must be 1 different names, got 0"),
    (FieldConfig, {"categories": ["a\0"]}, "categories must be 1 different names"),
    (CloudConfig, {"symmetry": "so2"}, "frame_size must be 1 with symmetry so2"),
    (FieldConfig, {"transformer": {"heads": 0}}, "transformer.heads must divide width, got 0"),
    (FieldConfig, {"autoencoder": {"heads": 7}}, "autoencoder.heads must divide encoder_width"),
    (RiggerConfig, {"network": {"heads": 7}}, "network.heads must divide width, got 7"),
    (VolumesConfig, {"autoencoder": {"heads": 7}}, "heads must divide 192, got 7"),
]


@pytest.mark.parametrize(("kind", "change", "message"), UNFIT)
def test_what_no_tensor_tells_is_checked(kind, change, message):
    """Numbers that leave all shapes as they are, and with which the networks fail or mislead."""
    data = to_json(kind())
    check_sizes(from_json(kind, data))
    for name, value in change.items():
        data[name] = data[name] | value if isinstance(value, dict) else value
    with pytest.raises(ValueError, match=message):
        check_sizes(from_json(kind, data))


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

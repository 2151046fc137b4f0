"""Shapes from a shape: nothing is lost at the ends, and the way between is that of the flow."""

import numpy as np
import pytest
import torch

from geoflow.models.editing import between, invert, redraw
from geoflow.models.fields import Generator
from geoflow.models.volumes import SIZES, VolumeGenerator, VolumesConfig


@pytest.fixture(scope="module")
def chair():
    return Generator.from_pretrained("chair")


@pytest.fixture(scope="module")
def latents(chair):
    """Of two chairs that the model knows."""
    return chair.sample_latents(chair.noise(2, seed=3), steps=2)


def counted(model, monkeypatch):
    calls = []
    forward = model.flow_map.backbone.forward
    monkeypatch.setattr(
        model.flow_map.backbone, "forward", lambda *a: calls.append(1) or forward(*a)
    )
    return calls


def test_strength_goes_from_the_shape_to_any(chair, latents, monkeypatch):
    noise = chair.noise(2, seed=9)
    calls = counted(chair, monkeypatch)
    assert torch.equal(redraw(chair, latents, noise, strength=0.0), latents)
    assert not calls
    away = []
    for strength in (0.1, 0.4, 0.8):
        made = redraw(chair, latents, noise, strength=strength, steps=2)
        away.append(((made - latents) / chair.scale.scale).square().mean().item())
    assert len(calls) == 6
    assert 0 < away[0] < away[1] < away[2]
    # At full strength nothing of the shape is left: it is the sample of the noise.
    any_shape = redraw(chair, latents, noise, strength=1.0, steps=2)
    torch.testing.assert_close(any_shape, chair.sample_latents(noise, steps=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, r"strength must be in \[0, 1\], got 1.5"),
        ({"strength": -0.1}, r"strength must be in \[0, 1\]"),
        ({"strength": 0.5, "steps": 0}, "steps must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused(chair, latents, options, message):
    with pytest.raises(ValueError, match=message):
        redraw(chair, latents, chair.noise(2), **options)


def test_the_way_between_begins_and_ends_with_the_shapes(chair, latents):
    inverted = invert(chair, latents, steps=2)
    ways = list(between(chair, inverted, np.array([0.0, 0.5, 1.0]), steps=2))
    torch.testing.assert_close(torch.cat([ways[0], ways[2]]), latents)
    middle = ((ways[1] - latents.mean(0)) / chair.scale.scale).square().mean()
    assert middle > 0.01, "the middle is no mean of latents"


@pytest.mark.slow
def test_the_noise_of_a_sample_is_found_again(chair):
    """The reversed ODE leads back to where the ODE started."""
    noise = chair.noise(2, seed=5)
    made = chair.sample_latents(noise, steps=32, ode=True)
    inverted = invert(chair, made, steps=32)
    again = chair.sample_latents(inverted.noise, steps=32, ode=True)
    other = chair.sample_latents(chair.noise(2, seed=6), steps=32, ode=True)
    error, typical = ((x - made).square().mean().sqrt() for x in (again, other))
    assert error < 0.1 * typical


def test_a_model_without_a_flow_cannot():
    config = VolumesConfig.build(symmetry="frame", categories=("chair",), size="small")
    assert "small" in SIZES
    model = VolumeGenerator.build(config)
    object.__setattr__(model.config, "generates", False)
    latent = torch.zeros(1, model.config.autoencoder.num_tokens, model.config.autoencoder.channels)
    with pytest.raises(ValueError, match="no flow map"):
        redraw(model, latent, model.noise(1), strength=0.5)
    with pytest.raises(ValueError, match="no flow map"):
        invert(model, latent)

"""DDPM's sampler against the closed form of Gaussian data: right at 1,000 steps, biased at few."""

import pytest
import torch

from geoflow.flow_map import FlowMap
from geoflow.interpolant import VariancePreserving
from geoflow.oracles.gaussian import GaussianField
from geoflow_tools.bench.diffusion import FIRST, sample_diffusion

MEAN = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
STD = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
PATH = VariancePreserving()


def moments(steps, *, ancestral, noise=1.0):
    """Mean and deviation of what the sampler ends at, whose steps are affine for Gaussian data.

    `noise` times the right variance is added in a step: 1 is DDPM's.
    """
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    times = torch.linspace(FIRST, 1.0, steps + 1, dtype=torch.float64)
    alpha, beta = PATH.alpha(times), PATH.beta(times)
    for i in range(steps):
        a, b, c, d = alpha[i], beta[i], alpha[i + 1], beta[i + 1]
        fresh = (c / a) ** 2 * (1 - (b / d) ** 2) * ancestral
        total = a**2 + b**2 * STD**2
        # The data predicted are mu + gain (x - b mu), the noise what is left of x.
        gain = b * STD**2 / total
        kept = (c**2 - fresh).clamp(min=0).sqrt()
        slope = d * gain + kept * (1 - b * gain) / a
        mean = d * MEAN + slope * (mean - b * MEAN)
        variance = slope**2 * variance + noise * fresh
    return mean, variance.sqrt()


def sample(steps, *, ancestral, num=20_000):
    flow_map = FlowMap(GaussianField(MEAN, STD, PATH, "x0"), PATH, "x0")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(num // 100, 100, 3, generator=generator, dtype=torch.float64)
    end = sample_diffusion(flow_map, noise, steps=steps, ancestral=ancestral, generator=generator)
    return end.flatten(0, 1)


@pytest.mark.parametrize("ancestral", [True, False])
@pytest.mark.parametrize("steps", [3, 10])
def test_samples_have_the_moments_of_the_closed_form(steps, ancestral):
    found = sample(steps, ancestral=ancestral)
    mean, std = moments(steps, ancestral=ancestral)
    # Five standard errors of 20,000 samples.
    assert ((found.mean(0) - mean).abs() < 0.036 * std).all()
    assert ((found.std(0) - std).abs() < 0.025 * std).all()


def test_a_wrong_variance_is_told_from_the_right_one():
    found = sample(10, ancestral=True).std(0)
    for noise in (0.5, 2.0):
        _, std = moments(10, ancestral=True, noise=noise)
        assert ((found - std).abs() > 0.025 * std).any()


@pytest.mark.slow
def test_a_thousand_steps_end_at_the_data_and_few_do_not():
    found = sample(1_000, ancestral=True, num=4_000)
    torch.testing.assert_close(found.mean(0), MEAN, rtol=0, atol=0.06)
    # The bias of 1.7 % that a thousand steps have, and five standard errors.
    assert ((found.std(0) / STD - 1).abs() < 0.017 + 0.056).all()


def test_the_bias_of_few_steps_is_what_is_said():
    """The narrowest coordinate comes out too narrow, by this much with an exact network."""
    said = {10: -0.50, 50: -0.19, 250: -0.057, 1_000: -0.017}
    for steps, bias in said.items():
        mean, std = moments(steps, ancestral=True)
        assert (std / STD - 1).min().item() == pytest.approx(bias, abs=0.01)
        torch.testing.assert_close(mean, MEAN, rtol=0, atol=1e-3)

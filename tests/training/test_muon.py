"""Muon is the library's where both can be chosen, and goes where the library's does not."""

import pytest
import torch

from geoflow.training.muon import Muon

SHAPES = ((24, 40), (40, 24), (24, 40), (32, 32))


def moved(make, *, steps=3, shapes=SHAPES):
    """By how much an optimiser moves the same matrices along the same gradients."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
    before = [p.detach().clone() for p in parameters]
    optimiser = make(parameters)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step()
    return torch.cat([(p.detach() - b).flatten() for p, b in zip(parameters, before, strict=True)])


def library(parameters, **other):
    settings = {"lr": 3e-3, "weight_decay": 0.01, "adjust_lr_fn": "match_rms_adamw"} | other
    return torch.optim.Muon(parameters, **settings)


@pytest.mark.parametrize("bf16", [True, False])
def test_steps_are_those_of_the_library(bf16):
    """But for what it rounds to bfloat16; a step of another momentum or scale is another one."""
    ours = moved(lambda parameters: Muon(parameters, bf16=bf16))

    def difference(**other):
        theirs = moved(lambda parameters: library(parameters, **other))
        return float((theirs - ours).norm() / ours.norm())

    assert difference() < 0.03
    for other in ({"momentum": 0.5}, {"nesterov": False}, {"adjust_lr_fn": "original"}):
        assert difference(**other) > 0.1, other


def test_a_kernel_is_the_matrix_from_all_that_it_sees():
    flat = moved(Muon, shapes=((16, 16 * 27),))
    kernel = moved(Muon, shapes=((16, 16, 3, 3, 3),))
    assert torch.equal(flat, kernel)
    other = moved(Muon, shapes=((16 * 27, 16),))
    assert not torch.allclose(flat, other)

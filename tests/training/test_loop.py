"""The step that every stage takes."""

import pytest
import torch

from geoflow.training.ema import Ema
from geoflow.training.loop import descend
from geoflow.training.optimisation import Optimiser, Schedule


def state(*modules):
    return [p.detach().clone() for module in modules for p in module.parameters()]


@pytest.mark.parametrize("factor", [1.0, float("nan"), float("inf")])
def test_a_finite_loss_moves_weights_and_average_any_other_nothing(factor):
    module = torch.nn.Linear(3, 1)
    teacher, optimiser = Ema(module, 0.9), Optimiser(module, Schedule(warmup=1))
    losses = factor * module(torch.ones(4, 3)).square()[:, 0]
    before = state(module, teacher.module)

    def step():
        return descend(
            losses, {"map": 2 * losses}, module, optimiser, teacher, stage="flow", step=2, steps=9
        )

    if factor == 1.0:
        progress = step()
        assert (progress.stage, progress.step, progress.steps) == ("flow", 3, 9)
        assert progress.loss == losses.mean().item()
        assert progress.terms == {"map": (2 * losses).mean().item()}
        assert all(parameter.grad is None for parameter in module.parameters())
    else:
        with pytest.raises(FloatingPointError, match=r"flow loss is (nan|inf) at step 2: lower"):
            step()
    after = state(module, teacher.module)
    unmoved = [torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert unmoved == [factor != 1.0] * 4

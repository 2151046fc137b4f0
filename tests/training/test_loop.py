"""The one loop: a step, its moving average, its checkpoints; whatever the stage is."""

from dataclasses import dataclass

import pytest
import torch

from geoflow.objectives import Losses
from geoflow.training.ema import Ema
from geoflow.training.loop import Progress, fit, take_step
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.stage import Context, Stage, StageOptions


@dataclass
class Holder:
    """A model of one network."""

    network: torch.nn.Module


class Squares(Stage):
    """Brings the outputs of a linear map to zero; `factor` spoils the loss."""

    name = "squares"
    options_type = StageOptions
    factor = 1.0

    @property
    def module(self):
        return self.model.network

    def batch(self, generator):
        return torch.randn(4, 3, generator=generator)

    def loss(self, batch, step, generator):
        losses = self.factor * self.module(batch).float().square()[:, 0]
        return Losses(losses, {"map": 2 * losses})


def build(folder=None, steps=9, **options):
    torch.manual_seed(0)
    options = StageOptions(steps=steps, ema=0.9, schedule=Schedule(warmup=1), **options)
    return Squares(options, Context(Holder(torch.nn.Linear(3, 1)), None, folder))


def state(*modules):
    return [p.detach().clone() for module in modules for p in module.parameters()]


@pytest.mark.parametrize("factor", [1.0, float("nan"), float("inf")])
def test_a_finite_loss_moves_weights_and_average_any_other_nothing(factor):
    stage = build()
    stage.factor = factor
    stage.average, optimiser = Ema(stage.module, 0.9), Optimiser(stage.module, Schedule(warmup=1))
    before = state(stage.module, stage.average.module)
    if factor == 1.0:
        progress = take_step(stage, 2, optimiser)
        assert (progress.stage, progress.step, progress.steps) == ("squares", 3, 9)
        assert progress.terms == {"map": pytest.approx(2 * progress.loss)}
        assert all(parameter.grad is None for parameter in stage.module.parameters())
    else:
        with pytest.raises(FloatingPointError, match=r"squares loss is (nan|inf) at step 2: lower"):
            take_step(stage, 2, optimiser)
    after = state(stage.module, stage.average.module)
    unmoved = [torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert unmoved == [factor != 1.0] * 4


def test_a_broken_off_fit_goes_on_to_the_same_bits(tmp_path):
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = build(tmp_path / "whole")
    assert [p.step for p in fit(whole, checkpoint_every=2)] == list(range(1, 10))
    for progress in fit(build(tmp_path / "broken"), checkpoint_every=2):
        if progress.step == 5:
            break
    resumed = build(tmp_path / "broken")
    # The checkpoint of step 4 was the last.
    assert [p.step for p in fit(resumed, checkpoint_every=2)] == list(range(5, 10))
    pairs = zip(
        state(whole.module, whole.average.module),
        state(resumed.module, resumed.average.module),
        strict=True,
    )
    assert all(torch.equal(*pair) for pair in pairs)
    # Twin: without a folder nothing is kept, and the fit begins anew.
    assert [p.step for p in fit(build(), checkpoint_every=2)] == list(range(1, 10))


def test_the_smoothed_loss_starts_at_the_first_and_lags_behind():
    progress = list(fit(build(steps=200)))
    assert progress[0].smoothed == progress[0].loss
    assert progress[-1].smoothed > progress[-1].loss
    assert progress[-1].smoothed < progress[0].smoothed


def test_what_is_done_every_so_often_is_done_at_the_end_too():
    def due(every):
        return [s for s in range(1, 8) if Progress("a", s, 7, 0.0, {}).is_due(every)]

    assert due(3) == [3, 6, 7]
    assert due(0) == []

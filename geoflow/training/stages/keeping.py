"""Tuning that can't end worse than it began: by its loss on data that are held out.

An autoencoder that is tuned on few shapes may forget what it knew. At the end both are given the
same held-out batches, and the better one is kept.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geoflow.seeds import step_generator
from geoflow.training.stage import Stage

# Batches of held-out shapes that two autoencoders are compared on.
_BATCHES = 32


class Beginning:
    """The weights that a stage begins with, where there is something to lose and to judge it by.

    Made with the stage, before its checkpoint is read, so that it is the same in a run that is
    resumed.

    Attributes:
        is_kept: whether the stage's own were worse, so that these are what the module has.
    """

    def __init__(self, stage: Stage[Any, Any]) -> None:
        context = stage.context
        judged = context.held_out is not None and len(context.held_out) > 0
        self.weights: dict[str, Tensor] | None = None
        self.is_kept = False
        if judged and not context.is_fresh and stage.options.steps > 0:
            state = stage.module.state_dict()
            self.weights = {name: value.detach().clone() for name, value in state.items()}

    def keep_better(self, stage: Stage[Any, Any]) -> str:
        """Put the first weights back where the stage's own are worse; what is said of it."""
        if self.weights is None:
            return ""
        module = stage.module
        tuned = {name: value.detach().clone() for name, value in module.state_dict().items()}
        after = held_out_loss(stage)
        module.load_state_dict(self.weights)
        before = held_out_loss(stage)
        held_out = (
            f"on held-out shapes its loss was {before:.4g} before tuning and {after:.4g} after"
        )
        if after < before:
            module.load_state_dict(tuned)
            return f"{stage.name}: {held_out}"
        self.is_kept = True
        return f"{stage.name}: {held_out}, so the one it began with is kept"


@torch.no_grad()
def held_out_loss(stage: Stage[Any, Any]) -> float:
    """Mean loss of a stage's module over batches of held-out data that are always the same."""
    context = stage.context
    judge = copy.copy(stage)
    judge.context = replace(context, data=context.held_out)
    total = 0.0
    for step in range(_BATCHES):
        generator = step_generator(context.seed, f"{stage.name} held out", step)
        losses = judge.loss(judge.batch(generator), step, generator)
        total += losses.total.float().mean().item()
    return total / _BATCHES

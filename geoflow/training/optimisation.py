"""One optimiser for both stages: Muon for hidden matrices, AdamW for all else, one schedule.

The learning rate warms up linearly, holds, and falls linearly to zero over the last part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geoflow.backbones.layers import VectorLinear
from geoflow.training.muon import Muon

# Matrices larger than this belong to AdamW: orthogonalising them costs more than it gains.
_LARGEST_MATRIX = 300_000
_SMALLEST_SIDE = 16
_OF_MUON, _OF_ADAM = {"momentum"}, {"step", "exp_avg", "exp_avg_sq"}
_NEVER_NEGATIVE = {"step", "exp_avg_sq"}


@dataclass(frozen=True)
class Schedule:
    """Learning rate over a run."""

    learning_rate: float = 3e-3
    """Peak learning rate, for Muon and AdamW alike."""
    warmup: int = 200
    """Steps of linear warm-up."""
    decay: float = 0.7
    """Share of the run, at its end, over which the rate falls linearly to zero."""

    def at(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min((step + 1) / max(min(self.warmup, steps // 10), 1), 1.0)
        fall = min((1.0 - step / steps) / self.decay, 1.0)
        return self.learning_rate * rise * fall


class Optimiser:
    """Muon and AdamW side by side, with gradient clipping and exact save and restore.

    Args:
        module: whose parameters are moved.
        schedule: learning rate.
        clip: largest norm of the gradient.
        bf16: orthogonalise in bfloat16.
    """

    def __init__(
        self, module: nn.Module, schedule: Schedule, *, clip: float = 1.0, bf16: bool = False
    ) -> None:
        self.schedule, self.clip = schedule, clip
        self.names = [name for name, p in module.named_parameters() if p.requires_grad]
        parameters = dict(module.named_parameters())
        self.parameters = [parameters[name] for name in self.names]
        hidden = hidden_matrices(module)
        matrices = [parameters[name] for name in self.names if name in hidden]
        others = [parameters[name] for name in self.names if name not in hidden]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(Muon(matrices, bf16=bf16))
        # On a processor one fused pass takes a quarter of the time of a loop; others choose.
        fused = True if all(p.device.type == "cpu" for p in others) else None
        adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.01, fused=fused)
        self.parts.append(adam)

    def step(self, step: int, steps: int) -> None:
        """Clip the gradients, take one step at the schedule's rate, clear the gradients."""
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.schedule.at(step, steps)
            part.step()
        self.clear()

    def clear(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_tensors(self) -> dict[str, Tensor]:
        """All moments by `parameter name / moment`, for an exact resume."""
        tensors = {}
        for name, parameter in zip(self.names, self.parameters, strict=True):
            for part in self.parts:
                for key, value in part.state.get(parameter, {}).items():
                    tensors[f"{name}/{key}"] = torch.as_tensor(value)
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state_tensors` gave.

        Raises:
            ValueError: if a tensor belongs to no parameter of this optimiser, is not finite, or
                below 0 where none can be, or the moments of a parameter are not those that its
                optimiser keeps.
        """
        moments: dict[str, set[str]] = {}
        by_name = dict(zip(self.names, self.parameters, strict=True))
        owner = {id(p): part for part in self.parts for g in part.param_groups for p in g["params"]}
        for key, value in tensors.items():
            name, _, moment = key.rpartition("/")
            if name not in by_name:
                raise ValueError(f"optimiser state holds {key!r}, which this network does not have")
            parameter = by_name[name]
            if value.shape not in (parameter.shape, torch.Size([])) or not value.isfinite().all():
                raise ValueError(f"optimiser state {key!r} is not finite, or of another shape")
            if moment in _NEVER_NEGATIVE and bool((value < 0).any()):
                raise ValueError(f"optimiser state {key!r} is below 0")
            moments.setdefault(name, set()).add(moment)
            device = "cpu" if moment == "step" else parameter.device
            owner[id(parameter)].state[parameter][moment] = value.clone().to(device)
        for name, found in moments.items():
            is_muon = isinstance(owner[id(by_name[name])], Muon)
            if found != (_OF_MUON if is_muon else _OF_ADAM):
                raise ValueError(f"optimiser state of {name} has {', '.join(sorted(found))}")


def hidden_matrices(module: nn.Module) -> set[str]:
    """Names of the parameters that Muon moves: matrices between hidden layers.

    Weights of linear maps, of scalars or of vectors; embeddings, learned queries and positions are
    tables. Modules named `to_...`, and what they hold, are output heads.
    """
    return {
        f"{name}.weight"
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear | VectorLinear | nn.Conv3d | nn.ConvTranspose3d)
        and part.weight.requires_grad
        and not any(word.startswith("to_") for word in name.split("."))
        and min(part.weight.shape[:2]) >= _SMALLEST_SIDE
        and part.weight.numel() <= _LARGEST_MATRIX
    }

"""What a step of Muon costs beside `torch.optim.Muon`, on the matrices of a model.

The library's rounds to bfloat16 always. What a processor without instructions for it takes is seen
on one that has them, too: `ONEDNN_MAX_CPU_ISA=AVX2`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import geoflow
from geoflow.training.muon import Muon
from geoflow.training.optimisation import hidden_matrices
from geoflow_tools.bench.timing import median_seconds

_RATE = 3e-3
LIBRARY = "torch.optim.Muon"


@dataclass(frozen=True)
class MuonBenchmark:
    """Time steps of both, ours in both precisions, and compare the first."""

    model: str = "chair"
    """Shipped model, or a folder."""
    repeats: int = 15
    """Steps of each, in turn; medians are reported."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """Medians in seconds, ratios to ours in float32, and differences of the first step."""
        model = geoflow.load(self.model)
        parts = {
            name: part.requires_grad_()
            for name, part in vars(model).items()
            if isinstance(part, nn.Module)
        }
        return {
            "geoflow": geoflow.__version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "model": Path(self.model).name,
            **{name: self._compare(part) for name, part in parts.items() if hidden_matrices(part)},
        }

    def _compare(self, module: nn.Module) -> dict[str, object]:
        named = dict(module.named_parameters())
        hidden = [named[name].detach() for name in sorted(hidden_matrices(module))]
        # The library's refuses the kernels of convolutions.
        matrices = [matrix for matrix in hidden if matrix.ndim == 2]
        generator = torch.Generator().manual_seed(0)
        gradients = [torch.randn(m.shape, generator=generator) for m in matrices]
        made = {name: _optimiser(name, matrices, gradients) for name in _MAKERS}
        for optimiser in made.values():
            optimiser.step()
        first = {name: _moved(optimiser, matrices) for name, optimiser in made.items()}
        seconds = median_seconds(
            {name: optimiser.step for name, optimiser in made.items()}, repeats=self.repeats
        )
        exact = first["float32"]
        return {
            "matrices": len(matrices),
            "kernels": len(hidden) - len(matrices),
            "median_seconds": seconds,
            "ratios": {name: value / seconds["float32"] for name, value in seconds.items()},
            "difference": {
                name: float((moved - exact).norm() / exact.norm()) for name, moved in first.items()
            },
        }


def _optimiser(
    name: str, matrices: Sequence[Tensor], gradients: Sequence[Tensor]
) -> torch.optim.Optimizer:
    """One over copies of the matrices, which have the gradients."""
    parameters = [nn.Parameter(matrix.clone()) for matrix in matrices]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    return _MAKERS[name](parameters)


def library(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The library's, with the settings of ours."""
    return torch.optim.Muon(
        parameters, lr=_RATE, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )


def _moved(optimiser: torch.optim.Optimizer, matrices: Sequence[Tensor]) -> Tensor:
    """By how much all matrices were moved."""
    (group,) = optimiser.param_groups
    pairs = zip(group["params"], matrices, strict=True)
    return torch.cat([(after.detach() - before).flatten() for after, before in pairs])


_MAKERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "float32": partial(Muon, learning_rate=_RATE),
    "bfloat16": partial(Muon, learning_rate=_RATE, bf16=True),
    LIBRARY: library,
}

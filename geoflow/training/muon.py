"""Muon: momentum, orthogonalised by a Newton-Schulz iteration, for the matrices of a network.

    M <- mu M + G,    W <- (1 - eta lambda) W - eta 0.2 sqrt(max(rows, columns)) NS(G + mu M)

NS(M) approaches U V^T for M = U S V^T, so that every direction of a matrix is learned at one
rate; the factor gives the update the root mean square of an AdamW step, hence AdamW's
learning rates. Other parameters belong to AdamW.

Not `torch.optim.Muon`: it rounds to bfloat16 always, which takes 2 to 17 times as long as float32
where a processor only emulates it, and refuses kernels of convolutions (docs/design.md, by
`python -m geoflow_tools.bench muon`).

Reference: Jordan et al., "Muon", 2024; scaling by Liu et al., "Muon is scalable for LLM
training", 2025, arXiv:2502.16982.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalise(
    matrices: Float[Tensor, "n r c"], *, bf16: bool = False
) -> Float[Tensor, "n r c"]:
    """Approximate U V^T of each matrix, its singular values brought near 1.

    The iteration tolerates bfloat16, which costs a fraction of float32 where there are
    instructions for it.
    """
    a, b, c = _COEFFICIENTS
    x = matrices.bfloat16() if bf16 else matrices
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.transpose(-1, -2)
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.transpose(-1, -2)
        # Each sum with its product: bfloat16 rounds once where it would three times.
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.transpose(-1, -2) if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for two-dimensional parameters; equal shapes are orthogonalised in one batch."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        learning_rate: float = 3e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        bf16: bool = False,
    ) -> None:
        self.bf16 = bf16
        options = {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(list(parameters), options)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    shape = tuple(parameter.shape)
                    raise ValueError(f"Muon takes matrices, got a parameter of shape {shape}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                rows, columns = shape[0], shape[1:].numel()
                self._update(parameters, 0.2 * max(rows, columns) ** 0.5, group)

    def _update(self, parameters: list[nn.Parameter], scale: float, group: dict[str, Any]) -> None:
        nudges = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            assert parameter.grad is not None
            momentum = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
            nudges.append(parameter.grad.add(momentum, alpha=group["momentum"]))
        # A convolution's kernel is the matrix from all that it sees to its channels.
        stacked = torch.stack(nudges).flatten(2)
        updates = orthogonalise(stacked, bf16=self.bf16).view(-1, *nudges[0].shape)
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * scale)

"""Precision by measurement: bfloat16 where this machine multiplies faster in it.

Processors without instructions for bfloat16 emulate it, at up to 2.6 times the time of a step in
float32; with them a step takes half. What a device is called does not tell, so it is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from geoflow.training.stage import StageOptions

S = TypeVar("S", bound=StageOptions)
# Rows and widths of the product: those of a decoder's hidden layers.
_ROWS, _WIDTH, _HIDDEN = 1024, 224, 448
_ROUNDS = 5
# A tie goes to float32, which rounds less.
_GAIN = 0.95
# bfloat16 keeps eight bits, so that a sound product of it is off by less than a hundredth.
_LARGEST_ERROR = 1e-2


@dataclass(frozen=True)
class Measured:
    """One product, forward and backward, in both precisions on one device."""

    ratio: float
    """Time of bfloat16 over that of float32; infinite where the device cannot."""
    error: float
    """Largest difference of the results over the largest result."""

    @property
    def bf16(self) -> bool:
        """Whether bfloat16 is faster, and its result equal enough."""
        return self.ratio < _GAIN and self.error < _LARGEST_ERROR


@cache
@torch.enable_grad()
def measure(device: str) -> Measured:
    """Time the product on a device, by turns; once per process, in about a quarter of a second."""
    kind = torch.device(device).type
    generator = torch.Generator().manual_seed(0)

    def unit(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, generator=generator).to(device)

    x = unit(_ROWS, _WIDTH).requires_grad_()
    first, second = unit(_HIDDEN, _WIDTH), unit(_WIDTH, _HIDDEN)
    first, second = (w.div_(w.shape[1] ** 0.5).requires_grad_() for w in (first, second))

    def product(bf16: bool) -> Tensor:
        with torch.autocast(kind, torch.bfloat16, enabled=bf16):
            out = nn.functional.linear(nn.functional.silu(nn.functional.linear(x, first)), second)
        torch.autograd.grad(out.float().square().mean(), (x, first, second))
        return out.detach().float()

    exact = product(False)
    try:
        rounded = product(True)
    except (RuntimeError, NotImplementedError):
        return Measured(float("inf"), float("inf"))
    error = ((rounded - exact).abs().max() / exact.abs().max()).item()
    return Measured(_ratio(product, device), error)


def _ratio(product: Callable[[bool], Tensor], device: str) -> float:
    """Least time with True over least time with False: what else runs only ever adds time."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else _nothing
    least = {False: float("inf"), True: float("inf")}
    for _ in range(_ROUNDS):
        for bf16 in least:
            wait()
            start = time.perf_counter()
            product(bf16)
            wait()
            least[bf16] = min(least[bf16], time.perf_counter() - start)
    return least[True] / least[False]


def _nothing() -> None:
    """A processor's products are done when they return."""


def is_bf16(chosen: bool | None, device: torch.device | str) -> bool:
    """A choice, or what was measured where it is open."""
    return measure(str(device)).bf16 if chosen is None else chosen


def autocast(chosen: bool | None, device: torch.device | str) -> torch.autocast:
    """Context of a network's evaluations: bfloat16 as chosen, or as measured."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=is_bf16(chosen, device))


def settled(options: S, device: torch.device | str) -> S:
    """Options with no precision left open, so that a run goes on as it began on any machine."""
    made: dict[str, Any] = {
        name: is_bf16(getattr(options, name), device) for name in ("bf16", "muon_bf16")
    }
    return replace(options, **made)

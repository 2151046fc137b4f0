"""Networks fused by torch.compile while a stage computes its loss.

A network of tokens is hundreds of small operations, each of which reads and writes memory; fused, a
step of the flow of chairs takes four fifths of the processor time (docs/training.md). Its blocks
are compiled, not the whole, which would take three times as long to make and runs no faster. That
asks for a C++ compiler and a minute, once, for torch keeps what it made: it is done for long runs
alone, and only where a small trial of it works. Everything else, such as samples for sheets, calls
the networks as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from geoflow.training.stage import Fusible, StageOptions

S = TypeVar("S", bound=StageOptions)

COMPILING = "compiling"
"""What is said to be done at the first step."""
# Steps from which on compiling has paid for itself twice: it takes a minute of processor time, and
# saves 35 ms of each step.
_LONG = 4_000


class Fused:
    """Modules whose `forward` is a compiled one inside the context; outside nothing has changed.

    Attributes:
        parts: the modules.
    """

    def __init__(self, parts: Sequence[Fusible]) -> None:
        self.parts = list(parts)
        self._compiled = [
            torch.compile(part.module.forward, dynamic=part.varies or None) for part in self.parts
        ]

    def __enter__(self) -> None:
        """Put the compiled ones before those of the classes."""
        for part, compiled in zip(self.parts, self._compiled, strict=True):
            part.module.forward = compiled

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take them away again."""
        for part in self.parts:
            del part.module.forward

    def close(self) -> None:
        """Forget what was compiled in this process."""
        if self.parts:
            torch.compiler.reset()


def fusing(options: S, device: torch.device | str) -> S:
    """Options with it settled whether networks are fused, so that a run goes on as it began."""
    if not options.fuses:
        return replace(options, compile=False)
    if options.compile is not None:
        return options
    pays = options.steps >= _LONG and torch.device(device).type == "cpu"
    return replace(options, compile=pays and can_compile())


@cache
def can_compile() -> bool:
    """Whether torch.compile works here, tried on one product; a few seconds, once per process."""
    compiled: Callable[[Tensor], Tensor] = torch.compile(_trial)
    try:
        compiled(torch.ones(4))
    except (RuntimeError, OSError, ImportError):
        # No compiler, or none that torch can use: networks run as they are written.
        return False
    return True


def _trial(x: Tensor) -> Tensor:
    return x * x.sin()

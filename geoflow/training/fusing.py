"""Networks fused by torch.compile while a stage computes its loss.

A network of tokens is hundreds of small operations, each of which reads and writes memory; fused, a
step of the flow of chairs takes three quarters of the processor time (docs/training.md). Compiling
takes minutes of it, once, for torch keeps what it made, and asks for a C++ compiler: it is done for
long runs alone, and only where a small trial of it works. Everything else, such as samples for
sheets, calls the networks as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor

from geoflow.training.stage import Fusible, StageOptions

S = TypeVar("S", bound=StageOptions)

COMPILING = "compiling"
"""What is said to be done at the first step."""
# Steps from which on compiling has paid for itself twice: of a flow it takes 200 s of processor
# time, and saves a tenth of a second of each step; of a decoder it takes and saves a fifth of that.
_LONG = 4_000


class Fused:
    """Modules whose methods are compiled ones inside the context; outside nothing has changed.

    Attributes:
        parts: the modules, and their methods.
    """

    def __init__(self, parts: Sequence[Fusible]) -> None:
        self.parts = list(parts)
        self._compiled = [
            _apart(torch.compile(getattr(part.module, part.method), dynamic=part.varies or None))
            for part in self.parts
        ]

    def __enter__(self) -> None:
        """Put the compiled methods before those of the classes."""
        for part, compiled in zip(self.parts, self._compiled, strict=True):
            setattr(part.module, part.method, compiled)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take them away again."""
        for part in self.parts:
            delattr(part.module, part.method)

    def close(self) -> None:
        """Forget what was compiled in this process."""
        if self.parts:
            torch.compiler.reset()


def _apart(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call whose arguments are never one tensor twice, which would be compiled once more."""

    def apart(*arguments: Any) -> Any:
        return call(
            *(
                one.clone()
                if isinstance(one, Tensor) and any(one is other for other in arguments[:place])
                else one
                for place, one in enumerate(arguments)
            )
        )

    return apart


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

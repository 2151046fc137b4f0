"""What forward-mode derivatives of a network ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def forward_mode(device: torch.device) -> Iterator[None]:
    """A context for torch.func.jvp of a network: full precision, plain kernels, nothing fused.

    Neither fused attention nor what torch.compile makes has a forward-mode derivative.
    """
    with (
        torch.autocast(device.type, enabled=False),
        sdpa_kernel(SDPBackend.MATH),
        torch.compiler.set_stance("force_eager"),
    ):
        yield

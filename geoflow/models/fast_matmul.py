"""Float32 products as fast as the machine has them, for as long as somebody asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class _FastMatmul:
    """While any thread is inside, float32 products may be fast; the last one out restores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = ""

    @contextmanager
    def __call__(self) -> Iterator[None]:
        # On some CPUs the default float32 product is three times slower than the one that this
        # setting selects; where it rounds to bfloat16, surfaces move by less than a thousandth.
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_float32_matmul_precision()
                torch.set_float32_matmul_precision("medium")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    torch.set_float32_matmul_precision(self._before)


fast_matmul = _FastMatmul()
"""`with fast_matmul():` around products that may be fast."""

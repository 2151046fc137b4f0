"""The grid of paths and predictions, which tests of the mathematics go through as one.

And a way past the checks of types, to what those who run without them are told.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jaxtyping
import pytest

from geoflow.interpolant import INTERPOLANTS
from geoflow.prediction import PREDICTIONS

CELLS = [(path_key, key) for path_key in INTERPOLANTS for key in PREDICTIONS]


def every_cell(test: Callable[..., None]) -> Callable[..., None]:
    """One test of a function of (path_key, key, ...); it names the cells in which that fails."""

    @functools.wraps(test)
    def grid(**others: object) -> None:
        failures: dict[tuple[str, str], BaseException] = {}
        for cell in CELLS:
            try:
                test(*cell, **others)
            except (Exception, pytest.fail.Exception) as error:
                failures[cell] = error
        if failures:
            lines = [f"{path_key} x {key}: {error}" for (path_key, key), error in failures.items()]
            first = next(iter(failures.values()))
            raise AssertionError("fails in\n" + "\n".join(lines)) from first

    signature = inspect.signature(test)
    others = list(signature.parameters.values())[2:]
    grid.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return grid


@contextmanager
def unchecked() -> Iterator[None]:
    """Without checks of types: wrong values reach our own refusals, as they do for users."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)

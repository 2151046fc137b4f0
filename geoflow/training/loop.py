"""What every training stage yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """State of a stage after one step."""

    stage: str
    step: int
    steps: int
    loss: float
    terms: dict[str, float]

"""The browser's controls of an opened cloud: how many of its points, which answer, mirrored."""

from __future__ import annotations

from typing import Any

from geoflow_viewer.state import FEWEST_POINTS, MOST_POINTS, NUM_ANSWERS, State


def cloud_controls(gui: Any, state: State) -> dict[str, Any]:
    """Controls by field of the state.

    Args:
        gui: of viser's client.
        state: what they show first.
    """
    return {
        "given": gui.add_slider("Points given", FEWEST_POINTS, MOST_POINTS, 16, state.given),
        "answer": gui.add_slider("Answer, 0 the likeliest", 0, NUM_ANSWERS - 1, 1, state.answer),
        "mirrored": gui.add_checkbox("Mirrored", state.mirrored),
    }

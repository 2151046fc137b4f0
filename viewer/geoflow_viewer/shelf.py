"""Shapes that were made for one visitor, kept for the next who asks for the same."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from geoflow_viewer.items import Item, Rung
from geoflow_viewer.state import State

MOST_BYTES = 48 * 2**20
"""Some 60 coarse shapes: a tenth of what a page without visitors has in memory."""


class Shelf:
    """The latest shapes of samples, each as fine as it was made; old ones leave for new ones."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._items: OrderedDict[tuple[State, Rung], Item] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, state: State, rung: Rung) -> Item | None:
        """The shape of a single state, however it is drawn; None where it is not kept."""
        key = (state.undrawn, rung)
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, state: State, rung: Rung, item: Item) -> None:
        """Keep a shape, and let old ones go; what a visitor opened is their own, and not kept."""
        if state.mesh is not None or state.cloud is not None:
            return
        key = (state.undrawn, rung)
        with self._lock:
            if key in self._items:
                return
            self._items[key] = item
            self._bytes += _size(item)
            while self._bytes > self._most:
                _, old = self._items.popitem(last=False)
                self._bytes -= _size(old)


def _size(item: Item) -> int:
    shapes = [] if item.mesh is None else [item.mesh.vertices, item.mesh.faces]
    arrays = [item.cloud, item.latent, item.slice, *shapes]
    return sum(np.asarray(array).nbytes for array in arrays if array is not None)

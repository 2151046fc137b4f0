"""What is inside: where surfaces go round a point, unless it stands in the light.

Within a closed part all is inside. Open parts go round a point by any number of turns, and not only
at their holes: each plate is worth half a turn to all that is near its back, though nothing stands
between there and the sky. So the light at the point itself is asked: what sees three eighths of the
sky is outside.

Reference: Barill et al., "Fast winding numbers for soups and clouds", 2018 (point-cloud-utils).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geoflow_datasets.mesh_parts import Parts, winding

# Inside is where surfaces go round by more than that, and less than so much of the sky is seen.
_HALF, _SKY = 0.5, 0.375


@dataclass(frozen=True)
class Interior:
    """The solid that the parts of a mesh bound."""

    parts: Parts

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Whether points (n, 3) are inside."""
        return self.told(points)[0]

    def told(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether points (n, 3) are inside, and how often the surface goes round them.

        The number (n,) is that of closed parts, and where there are none around, of open ones.
        """
        # A part that crosses itself may go round its walls the other way.
        number = np.abs(np.rint(winding(self.parts.vertices, self._closed, points)))
        inside = number > _HALF
        rest = np.flatnonzero(~inside)
        number[rest] = winding(self.parts.vertices, self._open, points[rest])
        asked = rest[number[rest] > _HALF]
        inside[asked] = self.parts.light.at(points[asked]) < _SKY
        return inside, number

    @cached_property
    def _closed(self) -> np.ndarray:
        return self.parts.faces[self.parts.closed]

    @cached_property
    def _open(self) -> np.ndarray:
        return self.parts.faces[self.parts.bounding & ~self.parts.closed]

"""A figure: a skeleton of joints, and a body of round cones along its bones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from geoflow.geometry.box import box_of
from geoflow.geometry.sdf import RoundCone

# Two balls of a round cone must not contain each other.
_LARGEST_SLOPE = 0.9


@dataclass(frozen=True)
class Figure:
    """Joints with their parents, and the solids whose union is the body.

    Every joint but leaves of the body's outline is the centre of a ball of the body; a root's
    parent is -1, and parents come before their children.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "j 3"]
    solids: tuple[RoundCone, ...]

    def normalised(self) -> Figure:
        """The figure with its bounding box centred and its longest half extent 1."""
        corners = np.concatenate([solid.corners() for solid in self.solids])
        centre, half = box_of(corners)
        scale, shift = 1.0 / float(half), -centre
        solids = tuple(solid.scaled(scale, shift) for solid in self.solids)
        return Figure(self.names, self.parents, (self.joints + shift) * scale, solids)


@dataclass
class Builder:
    """A figure in the making: joints hang on joints, flesh hangs on bones."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    joints: list[np.ndarray] = field(default_factory=list)
    radii: list[float] = field(default_factory=list)
    solids: list[RoundCone] = field(default_factory=list)

    def joint(self, name: str, parent: int, position: np.ndarray, radius: float) -> int:
        """Add a joint, and the bone to its parent as thick as both; the joint's index."""
        if parent >= 0:
            self.flesh(self.joints[parent], position, self.radii[parent], radius)
        self.names.append(name)
        self.parents.append(parent)
        self.joints.append(np.asarray(position, dtype=float))
        self.radii.append(radius)
        return len(self.names) - 1

    def flesh(
        self, start: np.ndarray, end: np.ndarray, radius_start: float, radius_end: float
    ) -> None:
        """Add a part of the body that has no joint of its own."""
        most = _LARGEST_SLOPE * float(np.linalg.norm(np.asarray(end) - start))
        radius_start = min(radius_start, radius_end + most)
        radius_end = min(radius_end, radius_start + most)
        self.solids.append(RoundCone(np.asarray(start), np.asarray(end), radius_start, radius_end))

    def chain(
        self,
        names: Sequence[str],
        parent: int,
        start: np.ndarray,
        axis: np.ndarray,
        lengths: Sequence[float],
        radii: Sequence[float],
        turns: Sequence[Rotation],
    ) -> tuple[int, Rotation]:
        """Add joints one after another; the last joint, and the rotation that it stands in.

        Args:
            names: of the joints; the first stands at `start`.
            parent: joint that the first hangs on, or -1.
            start: position of the first joint.
            axis: direction of all bones at rest.
            lengths: of the bones between the joints, one fewer than joints.
            radii: of the body at the joints.
            turns: of the bones, each on top of those before.
        """
        last, position, pose = self.joint(names[0], parent, start, radii[0]), start, turns[0]
        for i, name in enumerate(names[1:]):
            if i > 0:
                pose = pose * turns[i]
            position = position + lengths[i] * pose.apply(axis)
            last = self.joint(name, last, position, radii[i + 1])
        return last, pose

    def build(self) -> Figure:
        """The figure, centred, longest half extent 1."""
        joints = np.stack(self.joints)
        figure = Figure(tuple(self.names), tuple(self.parents), joints, tuple(self.solids))
        return figure.normalised()


def turn(axes: str, *degrees: float) -> Rotation:
    """A rotation by angles in degrees about axes of the moving body, in turn."""
    return Rotation.from_euler(axes.upper(), list(degrees), degrees=True)

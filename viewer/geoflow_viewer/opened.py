"""What a person opened, a mesh or a cloud, in the units in which the viewer draws."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import trimesh

from geoflow.geometry.axes import frame_from_up
from geoflow.geometry.placing import check_solid, has_company, place_points, thinned
from geoflow.geometry.read_points import Cloud

Opened: TypeAlias = trimesh.Trimesh | Cloud


def placed_cloud(cloud: Cloud, *, up: str = "y") -> Cloud:
    """A cloud upright and thinned, its box centred, the longest half extent 1, outliers apart.

    Raises:
        ValueError: for points that no solid can be made of.
    """
    check_solid(cloud.points)
    some = thinned(len(cloud.points))
    points, normals = cloud.points[some], None if cloud.normals is None else cloud.normals[some]
    place = place_points(points[has_company(points)], frame_from_up(up))
    return Cloud(place.normalise(points), None if normals is None else place.turn_normals(normals))


def are_equal(one: Opened, other: Opened) -> bool:
    """Whether both are the same thing to the bit."""
    if isinstance(one, Cloud) or isinstance(other, Cloud):
        return (
            isinstance(one, Cloud)
            and isinstance(other, Cloud)
            and np.array_equal(one.points, other.points)
            and (one.normals is None) == (other.normals is None)
            and (one.normals is None or np.array_equal(one.normals, np.asarray(other.normals)))
        )
    return np.array_equal(one.vertices, other.vertices) and np.array_equal(one.faces, other.faces)

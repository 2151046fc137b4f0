"""Layers as geometries and materials of Open3D."""

from __future__ import annotations

from typing import Any

import numpy as np

from geoflow_viewer.open3d_meshes import mesh
from geoflow_viewer.scene import Layer, MeshLayer, PointsLayer, SegmentsLayer

_LINE_WIDTH = 2.0


def geometry(open3d: Any, layer: Layer) -> Any:
    """A layer as a geometry of Open3D."""
    vector, utility = open3d.utility.Vector3dVector, open3d.utility
    colours = layer.colours / 255.0
    if not isinstance(layer, MeshLayer) or layer.is_flat:
        # The engine computes in linear light, and pales what no light falls on.
        colours = colours**2.2
    if isinstance(layer, MeshLayer):
        faces = layer.faces
        if layer.is_flat:
            faces = np.concatenate([faces, faces[:, ::-1]])
        return mesh(open3d, layer.vertices, faces, colours)
    if isinstance(layer, PointsLayer):
        cloud = open3d.geometry.PointCloud(vector(layer.points))
        cloud.colors = vector(colours)
        return cloud
    lines = open3d.geometry.LineSet(
        vector(layer.segments.reshape(-1, 3)),
        utility.Vector2iVector(np.arange(2 * len(layer.segments), dtype=np.int32).reshape(-1, 2)),
    )
    lines.colors = vector(colours)
    return lines


def material(rendering: Any, layer: Layer, *, pixels_per_unit: float) -> Any:
    """How a layer is drawn; balls have their size where the camera first stands.

    Args:
        rendering: the module of Open3D.
        layer: what is drawn.
        pixels_per_unit: of a length at the centre of the scene.
    """
    found = rendering.MaterialRecord()
    if isinstance(layer, SegmentsLayer):
        found.shader, found.line_width = "unlitLine", _LINE_WIDTH
    elif isinstance(layer, PointsLayer):
        found.shader = "defaultUnlit"
        found.point_size = max(2 * layer.radius * pixels_per_unit, 2.0)
    else:
        found.shader = "defaultUnlit" if layer.is_flat else "defaultLit"
    return found

"""Meshes for Open3D's renderers."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int


def mesh(
    open3d: Any,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    colours: Float[np.ndarray, "v 3"],
) -> Any:
    """A mesh with normals and colours of its vertices, and with texture coordinates.

    Without texture coordinates the shaders read what the memory happens to hold. Where its
    derivatives are huge, the software driver's anisotropic filter of Mesa 22.3 goes over billions
    of texels: the picture never ends, and neither does the window's closing.

    Args:
        open3d: the module.
        vertices: their places.
        faces: corners, anticlockwise from outside.
        colours: in linear light, from 0 to 1.

    Returns:
        An `open3d.t.geometry.TriangleMesh` in single precision.
    """
    core = open3d.core
    made = open3d.t.geometry.TriangleMesh(
        core.Tensor(np.ascontiguousarray(vertices, np.float32)),
        core.Tensor(np.ascontiguousarray(faces, np.int32)),
    )
    made.vertex.colors = core.Tensor(np.ascontiguousarray(colours, np.float32))
    made.vertex.texture_uvs = core.Tensor(np.zeros((len(vertices), 2), np.float32))
    made.compute_vertex_normals()
    return made

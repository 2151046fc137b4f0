"""The process in which Open3D draws: `python -m geoflow_viewer.offscreen_program SCENE PICTURES`.

SCENE is an .npz file with `count` shapes (vertices, colours, faces where it is a mesh), rotations
of the views, the size of a picture and whether shapes are cut out; PICTURES the .npy file to write.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from geoflow_viewer.open3d_meshes import mesh
from geoflow_viewer.point_picture import faded
from geoflow_viewer.projection import EXTENT, MARGIN

_DISTANCE = 5.0
# Where the sun stands, in the axes of the picture: right, up, towards us.
_SUN = np.array([-0.45, 0.65, 0.62], np.float32)
_SKY, _SUNLIGHT = 20_000, 45_000
_WHITE, _BLACK = [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]
_POINT_SIZE = 0.024
# Pixels; smaller points fade in the smoothing of edges.
_LEAST_POINT = 2.5
# Levels, of 255, by which the engine's pixels differ for no reason.
_GRAIN = 3.0


def draw(scene: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "v s h w c"]:
    """Pictures of every shape from every side: on white, or cut out where `is_cut_out` is set."""
    import open3d
    from open3d.visualization import rendering

    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    size, views, is_cut_out = int(scene["size"]), scene["views"], bool(scene["is_cut_out"])
    half = EXTENT / MARGIN
    renderer = rendering.OffscreenRenderer(size, size)
    stage = renderer.scene
    stage.set_background(_WHITE)
    stage.set_lighting(rendering.Open3DScene.LightingProfile.SOFT_SHADOWS, -_SUN)
    stage.scene.set_indirect_light_intensity(_SKY)

    def taken() -> Float[np.ndarray, "h w 3"]:
        return np.asarray(renderer.render_to_image()).astype(np.float64)

    empty = taken()
    shape = (len(views), int(scene["count"]), size, size, 4 if is_cut_out else 3)
    pictures = np.full(shape, 0 if is_cut_out else 255, np.uint8)
    for i in range(pictures.shape[1]):
        if f"vertices{i}" not in scene:
            continue
        is_cloud = f"faces{i}" not in scene
        # The engine's tones would make orange points yellow, and no light falls on points anyway.
        stage.view.set_post_processing(not is_cloud)
        plain = np.full_like(empty, 255.0) if is_cloud else empty
        for number, (view, picture) in enumerate(zip(views, pictures[:, i], strict=True)):
            if is_cloud or number == 0:
                stage.clear_geometry()
                drawn = _cloud(scene, i, view, size / (2 * half)) if is_cloud else _mesh(scene, i)
                stage.add_geometry("shape", *drawn)
            # The sun stands beside the camera, as the lights of the software do.
            stage.scene.set_sun_light(-_SUN @ view, [1.0, 1.0, 1.0], _SUNLIGHT)
            stage.camera.look_at(np.zeros(3), _DISTANCE * view[2], view[1])
            stage.camera.set_projection(
                rendering.Camera.Projection.Ortho, -half, half, -half, half, 0.1, 2 * _DISTANCE
            )
            before_white = taken()
            if not is_cut_out:
                picture[:] = on_white(before_white, plain)
                continue
            stage.set_background(_BLACK)
            picture[:] = cut_out(before_white, taken(), plain)
            stage.set_background(_WHITE)
    return pictures


def _cloud(
    scene: Mapping[str, np.ndarray], index: int, view: Float[np.ndarray, "3 3"], scale: float
) -> tuple[Any, Any]:
    """Points as they look from a side, and their material; `scale` is in pixels per unit."""
    import open3d

    vertices, colours = scene[f"vertices{index}"], scene[f"colours{index}"]
    vector, material = (
        open3d.utility.Vector3dVector,
        open3d.visualization.rendering.MaterialRecord(),
    )
    cloud = open3d.geometry.PointCloud(vector(vertices))
    cloud.colors = vector(faded(colours, vertices @ view[2]))
    material.shader = "defaultUnlit"
    material.point_size = max(_POINT_SIZE * scale, _LEAST_POINT)
    return cloud, material


def _mesh(scene: Mapping[str, np.ndarray], index: int) -> tuple[Any, Any]:
    """A mesh and its material."""
    import open3d

    material = open3d.visualization.rendering.MaterialRecord()
    material.shader, material.base_roughness = "defaultLit", 0.8
    # The engine computes in linear light.
    colours = np.ascontiguousarray(scene[f"colours{index}"]) ** 2.2
    return mesh(open3d, scene[f"vertices{index}"], scene[f"faces{index}"], colours), material


def on_white(
    image: Float[np.ndarray, "h w 3"], empty: Float[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture whose white is white; the engine's is that of the picture of an empty scene."""
    white = np.median(empty, axis=(0, 1))
    toned: np.ndarray = (image * 255.0 / white).clip(0, 255).round().astype(np.uint8)
    # The engine's grain is not part of the background.
    toned[(np.abs(image - white) <= _GRAIN).all(-1)] = 255
    return toned


def cut_out(
    before_white: Float[np.ndarray, "h w 3"],
    before_black: Float[np.ndarray, "h w 3"],
    empty: Float[np.ndarray, "h w 3"],
) -> UInt8[np.ndarray, "h w 4"]:
    """A picture without its background: colours times what they cover, and how much that is."""
    white = np.median(empty, axis=(0, 1))
    covered = 1 - (before_white - before_black).mean(-1) / white.mean()
    # The engine's grain is not part of the shape.
    covered[covered <= _GRAIN / 255] = 0
    colours = np.minimum(before_black / white, covered[..., None])
    both = np.concatenate([colours, covered[..., None]], axis=-1)
    return (both * 255).clip(0, 255).round().astype(np.uint8)


def main(given: str, made: str) -> None:
    """Draw a file of a scene, and leave without taking the engine down, which may abort."""
    with np.load(given) as scene:
        np.save(made, draw(dict(scene)))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Shapes as one HTML file that opens without a network: tiles to turn, a label under each.

A small renderer of WebGL goes with the shapes; places are stored in 16 bits, indices as
differences, and both packed by gzip.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import trimesh

from geoflow.geometry.simplification import decimate
from geoflow_viewer.scene import Layer, MeshLayer, SegmentsLayer, Tile

MOST_FACES = 200_000
"""Of all shapes of a page; finer ones are simplified, which nobody sees on a screen."""
_STEPS = 65_535
_WIDTH = 300


def page(shown: Sequence[Tile], *, title: str = "geoflow") -> bytes:
    """The file.

    Args:
        shown: what is drawn; every tile has the same size and faces the reader.
        title: what it is.

    Raises:
        ValueError: for a scene with nothing in it.
    """
    if not any(tile.layers for tile in shown):
        raise ValueError("there is nothing to write: the scene is empty")
    meshes = sum(isinstance(layer, MeshLayer) for tile in shown for layer in tile.layers)
    faces = MOST_FACES // max(meshes, 1)
    tiles = [
        {"label": tile.label, "layers": [_packed(layer, faces) for layer in tile.layers]}
        for tile in shown
    ]
    template = (resources.files("geoflow_viewer") / "static" / "page.html").read_text("utf-8")
    # In a script, the letters of a closing tag would end it.
    scene = json.dumps({"tiles": tiles}).replace("<", "\\u003c")
    return (
        template.replace("TITLE", html.escape(title))
        .replace("WIDTH", str(_WIDTH))
        .replace("/*SCENE*/null", scene)
        .encode()
    )


def _packed(layer: Layer, most_faces: int) -> dict[str, Any]:
    """What the page's renderer reads of a layer."""
    colours, extra = layer.colours, {}
    if isinstance(layer, MeshLayer):
        kind, places, indices = "mesh", np.asarray(layer.vertices), np.asarray(layer.faces)
        if len(indices) > most_faces and (colours == colours[0]).all():
            simple = decimate(trimesh.Trimesh(places, indices, process=False), most_faces)
            places, indices = np.asarray(simple.vertices), np.asarray(simple.faces)
            colours = np.repeat(colours[:1], len(places), axis=0)
        extra = {"flat": layer.is_flat, "num_faces": len(indices)}
    elif isinstance(layer, SegmentsLayer):
        kind, places, indices = "lines", layer.segments.reshape(-1, 3), np.zeros((0, 3), int)
        colours = np.repeat(colours, 2, axis=0)
    else:
        kind, places, indices = "points", layer.points, np.zeros((0, 3), int)
    reach = max(float(np.abs(places).max(initial=0.0)), 1e-9)
    steps = np.rint((places / reach + 1) / 2 * _STEPS).astype("<u2")
    is_one = bool((colours == colours[0]).all()) if len(colours) else True
    flat = indices.astype("<u4").ravel()
    differences = np.diff(flat, prepend=flat[:1] * 0) if len(flat) else flat
    parts = [steps.tobytes(), (colours[:1] if is_one else colours).astype(np.uint8).tobytes()]
    starts = [0, len(parts[0])]
    # Words of four bytes begin at a multiple of four.
    parts[1] += bytes(-sum(map(len, parts)) % 4)
    content = b"".join([*parts, differences.astype("<u4").tobytes()])
    packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return {
        "kind": kind, "count": len(places), "reach": reach, "one": is_one, "colours": starts[1],
        "faces": sum(map(len, parts)), "radius": getattr(layer, "radius", 0.0), "data": packed,
        **extra,
    }  # fmt: skip

"""Pictures of procedural figures of the test split, with the joints that a rigger finds.

`python -m geoflow_tools.figure_sheet --out sheet.png` draws the exact joints as green rings and
the joints of the model as red dots, with the tree that `geoflow rig` writes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from geoflow.atomic import write_bytes
from geoflow.models.joints import Rigger
from geoflow_datasets.figures import FIGURES, make_figure
from geoflow_tools.contact_sheet import solids_mesh
from geoflow_viewer.skeleton_picture import render_skeleton


@dataclass(frozen=True)
class Options:
    """Draw figures and their joints."""

    out: Path
    """PNG file to write."""
    model: str | None = "rig"
    """Shipped model or a folder; None: the exact skeletons alone."""
    num: int = 8
    """Figures of each kind."""
    steps: int = 5
    """Network evaluations."""
    resolution: int = 64
    """Cells of the extraction grid along an edge."""
    size: int = 180
    """Pixels of a tile."""


def draw(options: Options) -> None:
    """Write the sheet."""
    rigger = None if options.model is None else Rigger.from_pretrained(options.model)
    rows = []
    for kind in FIGURES:
        tiles = []
        for index in range(options.num):
            figure = make_figure(kind, index, split="test")
            mesh = solids_mesh(figure.solids, resolution=options.resolution)
            joints, parents, reference = figure.joints, list(figure.parents), None
            if rigger is not None:
                rig = rigger.rig(mesh, steps=options.steps)
                joints, parents, reference = rig.joints, rig.parents, figure.joints
            tiles.append(
                render_skeleton(mesh, joints, parents, reference=reference, size=options.size)
            )
        rows.append(np.concatenate(tiles, axis=1))
    content = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(content, format="PNG", optimize=True)
    write_bytes(options.out, content.getvalue())


if __name__ == "__main__":
    draw(tyro.cli(Options, description=__doc__))

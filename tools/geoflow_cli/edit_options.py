"""Options of the commands that start from what is there: complete, vary, interpolate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from geoflow.models.kinds import COMPLETING
from geoflow_cli.options import Device, Faces


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """What they have in common."""

    model: str = "chair"
    """Shipped model, or a folder of a model or a run, of kind sdf or shapes."""
    steps: int = 2
    """Network evaluations of the flow for each new shape."""
    mirror: bool = False
    """Make the shapes exactly symmetric left and right, by the mean over the mirror image."""
    category: str | None = None
    """Category, for a model of several."""
    up: Literal["y", "z"] = "y"
    """Axis that points up in the files."""
    resolution: int = 128
    """Cells of the extraction grid along an edge."""
    faces: Faces = None
    """Simplify to at most this many triangles, or keep all with 'full'. Default: as few as leave
    the surface within 0.05 % of the largest extent; all with --mirror."""
    join: float | None = None
    """Join parts that would be one if the field were less by this, half the largest extent being 1:
    legs that break are whole again. 0: none. Default: 0.05; 0.01 through points."""
    seed: int = 0
    """Seed of everything random."""
    device: Device = "auto"
    """Where to compute."""


@dataclass(frozen=True, kw_only=True)
class Complete(EditOptions):
    """Make a closed solid from points of its surface, where the points are.

    INPUT is a cloud (.ply, .xyz, .npy, .npz, .pcd, .las or .laz), or a mesh (.obj, .ply, .stl,
    .glb, .gltf or .off), which is reconstructed. For several answers, NAME-000.obj and on: the
    first is the likeliest, the others show what else it may be.
    """

    input: Annotated[Path, tyro.conf.Positional]
    """Cloud, or mesh."""
    out: Path
    """Mesh file to write, by suffix: .obj, .ply, .stl, .glb, .off or .3mf."""
    model: str = COMPLETING
    """Shipped model, or a folder of a model or a run, of kind sdf or shapes."""
    points: int = 8192
    """Points that are used, at most 8,192; of more, as many are drawn."""
    num: int = 1
    """Number of answers."""
    recycle: int = 1
    """Times that points are read again, as the answer's own field says: with its normals, or, where
    outward ones are known, moved by what it leaves of them."""
    refine: int = 0
    """Steps of gradient that fit the answers to the points; 10 to 40 is sensible."""
    spread: float | None = None
    """How far the other answers may be from the first: 0 the same, 1 any that the model draws.
    Default: 1 for a model whose flow knows the points, as shapes', else 0.4."""
    mend: bool = True
    """Let the surface go through the points, where the model learnt to mend its fields beside them,
    as shapes did. --no-mend: what the latent alone says."""
    uncertainty: bool = False
    """Colour the vertices by the answers' disagreement: dark where they agree, bright where the
    standard deviation is a tenth of the longest half extent or more."""
    pose: Literal["upright", "any"] = "upright"
    """Whether the shape stands upright and faces +Z (-Y where +Z is up), or its turn is sought."""
    normals: Literal["outward", "unoriented", "ignore", "guess"] = "outward"
    """What normals in the file are worth; 'guess': find others by the model of bare points, for a
    model without an encoder of scans."""


@dataclass(frozen=True, kw_only=True)
class Vary(EditOptions):
    """Make variations of a mesh, where the mesh is: its latent, mixed with noise and brought back.

    For several, NAME-000.obj and on.
    """

    mesh: Annotated[Path, tyro.conf.Positional]
    """Mesh file."""
    out: Path = Path("varied.obj")
    """Mesh file to write, by suffix: .obj, .ply, .stl, .glb, .off or .3mf."""
    num: int = 1
    """Number of variations."""
    strength: float = 0.4
    """Share of the way to noise: 0 reconstructs, 1 knows nothing of the mesh."""
    preview: bool = False
    """Write beside --out a picture of all variations, NAME.png."""


@dataclass(frozen=True, kw_only=True)
class Interpolate(EditOptions):
    """Make shapes on the way from one mesh to another, through their noises, ends included."""

    start: Annotated[Path, tyro.conf.Positional]
    """Mesh file of the first shape."""
    end: Annotated[Path, tyro.conf.Positional]
    """Mesh file of the last one."""
    out: Path = Path("morph.gif")
    """Film to write (.gif or .mp4), or a folder for the meshes."""
    frames: int = 30
    """Number of shapes, at least 2."""

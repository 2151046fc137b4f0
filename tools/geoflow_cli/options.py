"""The commands' options: one frozen dataclass each; a field's docstring is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Device = Literal["auto", "cpu", "cuda", "mps"]
KindName = Annotated[
    Literal["sdf", "shapes", "points", "distribution", "joints"],
    tyro.conf.arg(aliases=("--representation",)),
]
Up = Literal["y", "z"]
Faces = int | Literal["full"] | None
Objective = Literal[
    "cumulative",
    "flow-matching",
    "lagrangian",
    "eulerian",
    "progressive",
    "flow-map-matching",
    "consistency",
    "consistency-trajectory",
    "neural-operator",
    "improved-mean-flow",
    "data-free",
    "mean-flow",
    "euler-mean-flow",
    "shortcut",
    "split-mean-flow",
    "alpha-flow",
    "soflow",
    "terminal-velocity-matching",
    "align-your-flow",
    "mid-training",
    "progressive-distillation",
    "trigflow",
]


@dataclass(frozen=True)
class TrainOptions:
    """Train a model. What can be chosen depends on --kind."""

    kind: KindName = "sdf"
    """Signed distance fields of a category, or of many kinds of things (shapes); point clouds; the
    surface points of one mesh, given as --data; or joints of figures from points of their surface.
    Default: that of --init-from or --teacher, else sdf."""
    data: str = "procedural"
    """Where the data come from."""
    out: Path | None = None
    """Run folder. Default: in runs/."""
    resume: bool = False
    """Continue the run in --out, with the options that it was started with."""
    steps: int | None = None
    """Optimiser steps of each stage."""
    objective: Objective | None = None
    """Objective of the flow map; docs/choosing.md compares them."""
    interpolant: Literal["linear", "vp", "ve", "trigonometric"] | None = None
    """Path between noise and data. Default: as the kind, or as the special case."""
    prediction: Literal["x1", "u", "x0", "v"] | None = None
    """What the network predicts. Default: as the kind, or as the special case."""
    sheet_every: int = 2_000
    """Steps between contact sheets and validations, which also come at the end; 0: none."""
    log: Literal["jsonl", "tensorboard"] = "jsonl"
    """Where reports go: the run's log.jsonl, from which its plots are drawn, and if asked for
    TensorBoard's event files too."""
    checkpoint_every: int = 500
    """Steps between checkpoints; each stage also saves at its end."""
    seed: int = 0
    """Seed of everything random."""
    device: Device = "auto"
    """Where to train."""
    devices: int = 1
    """Processes of this machine, one a device; they share the parts of a step. Under torchrun, as
    many as it starts."""
    num_nodes: int = 1
    """Machines; start the same command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set."""
    accumulate: int = 1
    """Parts of a step that each process does, one after the other: a batch each."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Of the networks' products in training: what a timed product says is faster here, or one of
    both. A run keeps what it began with."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Fuse the small operations of the flow's network, of sdf and clouds, by torch.compile, which
    takes a minute once: in stages of at least 4,000 steps on a processor where there is a C++
    compiler, always, or never. A run keeps what it began with."""
    progress: bool = True
    """Show a progress bar."""


@dataclass(frozen=True)
class SampleOptions:
    """Sample a model, and write what it makes by suffix. What can be chosen depends on --model."""

    out: Path
    """File to write."""
    steps: int = 2
    """Network evaluations per sample."""
    model: str = "chair"
    """Shipped model, or a folder of a model or a run."""
    seed: int = 0
    """Seed of the noise."""
    device: Device = "auto"
    """Where to compute."""


@dataclass(frozen=True)
class Rig:
    """Find the joints of a figure from its mesh, in any pose; write them, or a mesh that moves."""

    out: Path
    """File to write: .json, joints and a tree of parents; .glb, the skinned mesh, and the .json
    beside it."""
    mesh: Path | None = None
    """Mesh file of the figure. Default: a figure that is shipped."""
    steps: int = 5
    """Network evaluations."""
    model: str = "rig"
    """Shipped model, or a folder of a model or a run."""
    up: Up = "y"
    """Axis that points up in the mesh file; the picture shows it upright."""
    png: Path | None = None
    """Picture to write: the mesh with its joints and bones."""
    seed: int = 0
    """Seed of the surface points and of the noise."""
    device: Device = "auto"
    """Where to compute."""


@dataclass(frozen=True)
class View:
    """Show a mesh, a cloud with its solid, or samples of a model: a window, a browser or a file.

    Without a display, a window becomes a picture.
    """

    mesh: Annotated[Path | None, tyro.conf.Positional] = None
    """Mesh or cloud file to show; of a cloud (.ply, .xyz, .npy, .npz, .pcd, .las or .laz) the solid
    too. Default: a sample of the model."""
    model: str = "chair"
    """Shipped model, or a folder of a model or a run. Default for clouds: shapes."""
    category: str | None = None
    """Category, for a model of several."""
    steps: int = 2
    """Network evaluations per sample."""
    ode: bool = False
    """Take Euler's steps along the ODE instead of the flow map's."""
    seed: int = 0
    """Seed of the noise."""
    to_seed: int | None = None
    """Seed of the other end of an interpolation."""
    blend: float = 0.0
    """Share of the great circle from --seed to --to-seed."""
    time: float = 1.0
    """Where on the way from noise, 0, to shape, 1."""
    layout: Literal["single", "variations", "compare"] = "single"
    """One shape, nine seeds from --seed on, or one noise in 1, 2, 4 and 50 steps."""
    show: tuple[Literal["mesh", "wireframe", "points", "latent", "slice"], ...] = ("mesh",)
    """What to draw of a shape."""
    slice: float = 0.0
    """Where the plane x = SLICE cuts the field."""
    up: Up = "y"
    """Axis that points up in the mesh or cloud file."""
    reconstruct: bool = False
    """Show beside the mesh file what the model makes of it."""
    resolution: int = 128
    """Cells of the extraction grid along an edge, in a picture or file."""
    points: int = 8192
    """Points of a cloud, for a model of points, in a picture or file; at most 65,536. Of a cloud
    file, those that its solid is made of: 16 to 8,192, default 1,024."""
    png: Path | None = None
    """Write a picture here, and open no window."""
    out: Path | None = None
    """Write what would be shown, by suffix, and open no window: .png, .gif or .mp4 (turntable),
    .html (a page to orbit, without a network), or the shapes as .obj, .ply, .stl, .glb, .off
    or .3mf, and clouds as .ply, .xyz, .npy or .npz."""
    size_px: int | None = None
    """Pixels along an edge of each shape's square in a picture or film, 64 to 2,048. Default: 320;
    in a .gif 240, and in an .mp4 what fits 1920 x 1080."""
    color: str | None = None
    """Of surfaces and points in a picture, film or page: a name, or #rrggbb."""
    background: str | None = None
    """Of a picture or film: a name, or #rrggbb. Default: white."""
    renderer: Literal["auto", "open3d", "software"] = "auto"
    """Who draws pictures and films: Open3D where its drivers are there, else our software, which
    draws large ones too."""
    web: bool = False
    """Serve a page for browsers; every visitor has a session."""
    host: str = "127.0.0.1"
    """Address that --web listens on; every other one lets other machines in."""
    port: int = 8080
    """Port that --web listens on."""
    device: Device = "auto"
    """Where to compute."""


@dataclass(frozen=True)
class Evaluate:
    """Score samples, or a model's, against a reference set: 1-NNA, coverage, MMD, JSD, meshes."""

    out: Path
    """JSON file to write; OUT.parts beside it keeps the work, so that the same command resumes."""
    reference: str
    """Folder of shapes, or a procedural category, whose test split is meant."""
    samples: Path | None = None
    """Folder of shapes: meshes as .obj, .ply, .stl, .glb, .gltf, .off; points as .ply, .xyz, .npy,
    .npz, .pcd, .las or .laz."""
    model: str | None = None
    """Shipped model, or a folder of a model or a run, to sample instead."""
    paired: bool = False
    """Samples and references of one name belong together: CD, EMD, F-score, volume IoU and normal
    consistency of each pair, and their means."""
    up: Up = "y"
    """Axis that points up in the files."""
    reference_up: Up | None = None
    """Axis that points up in those of --reference, where it is another."""
    num: int = 200
    """Shapes of each set; more than that are drawn from at random."""
    points: int = 2048
    """Points of each shape."""
    emd_points: int = 512
    """How many of them exact EMD sees, whose cost is cubic; 0 leaves EMD out."""
    normalise: Literal["none", "box", "sphere", "global"] = "box"
    """Longest half extent 1 per shape; farthest point at 1 per shape; one box for all; nothing."""
    steps: int = 2
    """Network evaluations per sample of a model."""
    ode: bool = False
    """Take Euler's steps along the ODE instead of the flow map's, as the many-step reference."""
    resolution: int = 128
    """Cells of the extraction grid of a model along an edge."""
    category: str | None = None
    """Category, for a model of several."""
    seed: int = 0
    """Seed of the noise, of the points and of choices."""
    device: Device = "auto"
    """Where to sample the model."""
    progress: bool = True
    """Show a progress bar."""


@dataclass(frozen=True)
class Inspect:
    """Say what mesh files hold, how they would be signed for training, and what is refused."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Mesh files, or folders of them."""
    json: bool = False
    """Print a list of records instead of lines."""
    up: Up = "y"
    """Axis that points up in the files."""


@dataclass(frozen=True)
class Export:
    """Write a model of meshes (kinds sdf, shapes) as ONNX: flow.onnx, decoder.onnx, model.json."""

    model: Annotated[str, tyro.conf.Positional]
    """Shipped model, a folder of a model or a run, or ORG/NAME of the Hub."""
    out: Path
    """Folder to write."""


@dataclass(frozen=True)
class Info:
    """Print versions, the device, and which optional packages are found."""

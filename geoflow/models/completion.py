"""A closed solid from points of its surface, in their own place, size and, if asked for, pose.

The points are normalised, encoded and decoded: that is the first answer, of no evaluation of the
flow. Where the points leave room there are others. They are drawn from the model's own latents near
the first: its latent is mixed with noise and brought back by the flow map (see `editing.redraw`),
then fitted to the points again. A flow that was trained on latents of points draws them from noise,
among the shapes that there are given the first answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.backbones.field_codec import SurfacePoints
from geoflow.geometry.axes import frame_from_up
from geoflow.geometry.mirror import mirror_points
from geoflow.geometry.placing import (
    MIN_POINTS,
    Place,
    check_solid,
    has_company,
    place_points,
    thinned,
)
from geoflow.geometry.read_points import Cloud
from geoflow.models.editing import redraw
from geoflow.models.guessed_normals import guess_normals
from geoflow.models.kinds import COMPLETING, describe_solids
from geoflow.models.meshes import FieldGenerator
from geoflow.models.pose import find_turn
from geoflow.models.refinement import refine_tokens
from geoflow.symmetry import FRAME_SIZES

Pose = Literal["upright", "any"]
MAX_POINTS = 8192
"""Points that are encoded at most; of more, as many are drawn."""
SPREAD = 0.4
"""Strength with which further answers are drawn by a flow that knows nothing of the points."""
FITTING, FITTED_POINTS = 20, 512
"""Steps of gradient with which further answers are fitted to the points, at least, and points."""
RECYCLED = 1
"""Times that points are read again. Of 64 points of validation shapes without normals `shapes` made
mean IoU 0.717, 0.764 and 0.763 (24 procedural ones), and 0.436, 0.479 and 0.468 (24 real ones),
after 0, 1 and 2; of 2,048 of 82 real ones with normals 0.674, 0.702 and 0.712, through the points
0.844, 0.845 and 0.843."""
FEWEST_BARE = 500
"""Points without outward normals that fields go through; fewer leave more between them than they
say. Of 256 points mean IoU of 40 real validation shapes went from 0.603 to 0.597, of 512 from 0.635
to 0.641 (of procedural ones 0.870 to 0.871, 0.885 to 0.894)."""
HYPOTHESES = 4
"""Answers whose disagreement is measured, at least."""
FULL_DISAGREEMENT = 0.1
"""Standard deviation of the distances, in half extents, that is drawn brightest."""
_COLOURS = "viridis"
# Times that a model is asked for the box: the second time it sees the points nearly in place.
_TOLD = 2


@dataclass(frozen=True)
class Given:
    """Points as a model sees them, and where they stand."""

    points: Float[Tensor, "1 n 3"]
    normals: Float[Tensor, "1 n 3"] | None
    oriented: bool
    place: Place
    left_out: int
    """Outliers among the points."""
    is_scan: bool = True
    """Whether they are as scans have them; those of a mesh, whose box is known, are clean."""

    def surface(self, model: FieldGenerator) -> SurfacePoints | None:
        """What a model's fields go through; None where it did not learn to, or too little."""
        says = self.normals is not None and self.oriented
        if not model.mends or not (says or self.points.shape[1] >= FEWEST_BARE):
            return None
        return SurfacePoints(self.points, self.normals, self.oriented)


@dataclass(frozen=True)
class Answers:
    """Latents that explain the points, the best first."""

    tokens: Float[Tensor, "h k c"]
    nfe: tuple[int, ...] = field(default=())
    """Network evaluations of the flow for each."""


def complete(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"] | None = None, *,
    oriented: bool = True, guess: bool = False, model: str | Path | FieldGenerator = COMPLETING,
    most: int = MAX_POINTS, num: int = 1, steps: int = 2, recycle: int = RECYCLED, refine: int = 0,
    spread: float | None = None, mend: bool = True, uncertainty: bool = False,
    mirror: bool = False, pose: Pose = "upright", up: str = "y", resolution: int = 128,
    faces: int | None = None, within: float | None = None, join: float | None = None,
    category: str | None = None, seed: int = 0,
) -> list[trimesh.Trimesh]:  # fmt: skip
    """Closed meshes through points of a surface, in the points' own coordinates.

    Each mesh's `metadata` has seed, index, nfe, field_queries, joined, seconds, left_out
    (outliers), fit_median and fit_95: quantiles of the points' distances from the surface, as
    shares of the longest half extent, outliers apart.

    Args:
        points: of a surface, in any place and size.
        normals: of unit length; None: not known, which a model must have been trained for.
        oriented: whether the normals point outward; else either way.
        guess: find the normals by the field of a model of bare points, in their place.
        model: shipped model of meshes, a folder, or the model itself.
        most: points that are used; of more, as many are drawn.
        num: answers; the first is the likeliest, the others show what else it may be.
        steps: network evaluations of each further answer.
        recycle: times that points are read again, as the answer's own field says.
        refine: steps of gradient that fit the answers to the points.
        spread: strength with which further answers are drawn, from 0, the first, to 1, any shape
            that the flow draws; default: 1 where it is given the points, else SPREAD.
        mend: let the answers' fields go through the points, where the model learnt to mend them;
            else they are those of the latents.
        uncertainty: colour the vertices by the disagreement of the answers, dark where they agree.
        mirror: make the answers exactly symmetric left and right.
        pose: whether the shape stands upright, facing +Z, or has to be found in any pose.
        up: axis that points up in an upright cloud, "y" or "z".
        resolution: cells of the extraction grid along an edge.
        faces: most triangles; default: any number.
        within: share of the largest extent by which the surface may move for fewer triangles.
        join: as of `FieldGenerator.decode`.
        category: that further answers are drawn from; default: the model's first.
        seed: of everything random.

    Raises:
        ValueError: for points that no solid can be made of, a model that needs normals without
            them, or any option out of range.
        CheckpointError: if there is no such model of meshes.
    """
    solids = load_solids(model) if isinstance(model, str | Path) else model
    given = prepare(
        solids, points, None if guess else normals, oriented=oriented, most=most, pose=pose, up=up,
        mirror=mirror, seed=seed,
    )  # fmt: skip
    if guess:
        given = with_guessed_normals(solids, given)
    answers = answer(
        solids, given, num=num, steps=steps, recycle=recycle, refine=refine, spread=spread,
        mend=mend, uncertainty=uncertainty, mirror=mirror, resolution=resolution, faces=faces,
        within=within, join=join, category=category, seed=seed,
    )  # fmt: skip
    return list(answers)


def points_of_mesh(mesh: trimesh.Trimesh, num: int, *, seed: int = 0) -> Cloud:
    """Points drawn uniformly by area from a mesh, with normals, turned outward as a whole."""
    points, face = trimesh.sample.sample_surface(mesh, num, seed=seed)
    outward = -1.0 if mesh.volume < 0 else 1.0
    return Cloud(np.asarray(points), outward * np.asarray(mesh.face_normals[face]))


def load_solids(name_or_folder: str | Path, *, device: str = "cpu") -> FieldGenerator:
    """A model that makes solids of points and of meshes.

    Raises:
        CheckpointError: if there is no such model, or its file is damaged.
        ValueError: for a model of a kind that makes none.
    """
    found: Any = describe_solids(name_or_folder).model_class()
    model: FieldGenerator = found.from_pretrained(name_or_folder, device=device)
    return model


def prepare(
    model: FieldGenerator,
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"] | None,
    *,
    oriented: bool = True,
    most: int = MAX_POINTS,
    pose: Pose = "upright",
    up: str = "y",
    mirror: bool = False,
    box: Float[np.ndarray, "m 3"] | None = None,
    seed: int = 0,
) -> Given:
    """Points without outliers, normalised; arguments and errors as of `complete`.

    Args:
        model: that will see them.
        points: of a surface.
        normals: if known.
        oriented: whether they point outward.
        most: of them that are used, up to MAX_POINTS.
        pose: whether the turn has to be found.
        up: axis that points up.
        mirror: add the points' mirror images.
        box: points with the same box, those of the mesh that the points were drawn from; default:
            they are a scan, whose box the model tells or they have themselves.
        seed: of the choice of points where there are too many.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must have shape (n, 3), got {points.shape}")
    if normals is not None and normals.shape != points.shape:
        raise ValueError(f"normals must have the points' shape {points.shape}, got {normals.shape}")
    if not MIN_POINTS <= most <= MAX_POINTS:
        raise ValueError(f"most must be from {MIN_POINTS} to {MAX_POINTS}, got {most}")
    check_solid(points)
    some = thinned(len(points))
    points, normals = points[some], None if normals is None else normals[some]
    kept = has_company(points)
    left_out = int((~kept).sum())
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(kept))[:most]
    points, normals = points[chosen], None if normals is None else normals[chosen]
    turn = frame_from_up(up)
    if pose == "any" and FRAME_SIZES[model.config.symmetry]:
        turn = find_turn(model, points, normals, oriented=oriented, seed=seed)
    place = place_points(points if box is None else box, turn)
    directed = None if normals is None else place.turn_normals(normals)
    if box is None:
        place = _told_place(model, place, points, directed, oriented=oriented)
    seen = place.normalise(points)
    if mirror:
        seen = np.concatenate([seen, mirror_points(seen)])
        directed = None if directed is None else np.concatenate([directed, mirror_points(directed)])
    batch = _as_batch(model, seen), _as_batch(model, directed)
    return Given(*batch, oriented, place, left_out, is_scan=box is None)


def _told_place(
    model: FieldGenerator,
    place: Place,
    points: Float[np.ndarray, "n 3"],
    directed: Float[np.ndarray, "n 3"] | None,
    *,
    oriented: bool,
) -> Place:
    """The place of the box that a model tells of the whole surface, where it does."""
    for _ in range(_TOLD):
        seen = _as_batch(model, place.normalise(points))
        told = model.box(seen, _as_batch(model, directed), oriented=oriented)
        if told is None:
            break
        place = place.within(told.centre[0].double().cpu().numpy(), float(told.half[0]))
    return place


def _as_batch(model: FieldGenerator, values: Any) -> Any:
    """An array as a batch of one, on the model's device; None as None."""
    if values is None:
        return None
    return torch.from_numpy(np.asarray(values, dtype=np.float32))[None].to(model.device)


def with_guessed_normals(
    model: FieldGenerator, given: Given, *, reader: FieldGenerator | None = None
) -> Given:
    """The same points with normals for a model that needs them; see `guess_normals`."""
    normals = guess_normals(model, given.points, reader=reader)
    return replace(given, normals=normals, oriented=True)


def answer(
    model: FieldGenerator, given: Given, *,
    num: int = 1, steps: int = 2, recycle: int = RECYCLED, refine: int = 0,
    spread: float | None = None, ode: bool = False, fitting: int = FITTING, mend: bool = True,
    uncertainty: bool = False, mirror: bool = False, resolution: int = 128,
    faces: int | None = None, within: float | None = None, join: float | None = None,
    category: str | None = None, seed: int = 0,
) -> Iterator[trimesh.Trimesh]:  # fmt: skip
    """Meshes for prepared points, one at a time; arguments and errors as of `complete`, and more.

    Args:
        model: the model.
        given: the prepared points.
        num: answers.
        steps: network evaluations of each further answer.
        recycle: times that points are read again.
        refine: steps of gradient that fit all answers.
        spread: how far further answers may be from the first.
        ode: draw further answers by the ODE of the diagonal, as the many-step reference.
        fitting: steps of gradient that fit further answers, at least.
        mend: let fields go through the points.
        uncertainty: colour by disagreement.
        mirror: make them symmetric.
        resolution: of the grid.
        faces: most triangles.
        within: how far the surface may move.
        join: parts that are nearly one.
        category: that further answers are drawn from.
        seed: of everything random.
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    start = time.perf_counter()
    count = max(num, HYPOTHESES) if uncertainty else num
    answers = hypotheses(
        model, given, count, steps=steps, recycle=recycle, refine=refine, spread=spread, ode=ode,
        fitting=fitting, category=category, seed=seed,
    )  # fmt: skip
    through = given.surface(model) if mend else None
    for i in range(num):
        mesh = model.decode(
            answers.tokens[i], through=through, whole=False, resolution=resolution, mirror=mirror,
            faces=faces, within=within, join=join,
        )  # fmt: skip
        if uncertainty:
            colour_by_disagreement(model, mesh, answers.tokens)
        fit = distances(given, mesh)
        placed = given.place.restore(mesh)
        placed.metadata.update(
            seed=seed,
            index=i,
            nfe=answers.nfe[i],
            left_out=given.left_out,
            fit_median=float(np.median(fit)),
            fit_95=float(np.quantile(fit, 0.95)),
            seconds=time.perf_counter() - start,
        )
        yield placed
        start = time.perf_counter()


def hypotheses(
    model: FieldGenerator,
    given: Given,
    num: int,
    *,
    steps: int,
    refine: int,
    spread: float | None,
    category: str | None,
    seed: int,
    recycle: int = RECYCLED,
    ode: bool = False,
    fitting: int = FITTING,
) -> Answers:
    """The encoder's answer, and others near it, fitted to the points."""
    first = model.encode(
        given.points, given.normals, oriented=given.oriented, recycle=recycle, refine=refine,
        scanned=given.is_scan,
    )  # fmt: skip
    if num == 1:
        return Answers(first, (0,))
    model.check_generates()
    given_first = first.expand(num - 1, -1, -1)
    reads_points = model.config.transformer.points
    if spread is None:
        spread = 1.0 if reads_points else SPREAD
    cond = model.condition(num - 1, category=category, points=given_first if reads_points else None)
    noise = model.noise(num - 1, seed=seed)
    others = redraw(model, given_first, noise, strength=spread, steps=steps, ode=ode, cond=cond)
    if max(refine, fitting) == 0:
        return Answers(torch.cat([first, others]), (0, *[steps] * (num - 1)))
    # A stride through points in no order, as those of prepare are.
    stride = -(-given.points.shape[1] // FITTED_POINTS)
    near = given.points[:, ::stride].expand(num - 1, -1, -1)
    # To the points alone: winding numbers would pull all answers to one.
    fitted = refine_tokens(
        model.autoencoder, others, near, None, cond.frame, steps=max(refine, fitting)
    )
    return Answers(torch.cat([first, fitted]), (0, *[steps] * (num - 1)))


def colour_by_disagreement(
    model: FieldGenerator, mesh: trimesh.Trimesh, tokens: Float[Tensor, "h k c"]
) -> None:
    """Colour vertices by the standard deviation of the answers' signed distances there.

    It is left in `metadata["disagreement"]`, one number a vertex, in half extents; the colours run
    from dark at 0 to bright at FULL_DISAGREEMENT and more.
    """
    from matplotlib import colormaps

    places = torch.from_numpy(np.asarray(mesh.vertices, dtype=np.float32))
    found = torch.stack([model.field(latent, whole=False)(places) for latent in tokens])
    spread = found.std(0).cpu().numpy()
    colours = colormaps[_COLOURS](np.clip(spread / FULL_DISAGREEMENT, 0, 1))
    mesh.visual = trimesh.visual.ColorVisuals(
        mesh, vertex_colors=np.rint(255 * colours).astype(np.uint8)
    )
    mesh.metadata["disagreement"] = spread


def distances(given: Given, mesh: trimesh.Trimesh) -> Float[np.ndarray, " n"]:
    """Of the given points from the surface of a mesh in the model's units."""
    import point_cloud_utils as pcu

    found, _, _ = pcu.closest_points_on_mesh(
        given.points[0].double().cpu().numpy(),
        np.ascontiguousarray(mesh.vertices, dtype=np.float64),
        np.ascontiguousarray(mesh.faces, dtype=np.int64),
    )
    return np.asarray(found)

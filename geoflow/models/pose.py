"""How a cloud in any pose stands: the turn in which a model of upright shapes explains it best.

The candidates are canonical frames, which turn with the cloud: its principal axes, and the axes of
its smallest box, each with the 24 ways to call them right, up and front. Axes leave that open, and
so does an equivariant network; here the model decides: each candidate is encoded, and that one wins
on whose surface the points lie best. The best are then turned by small angles while that helps.
"""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from geoflow.geometry.placing import place_points
from geoflow.models.meshes import FieldGenerator

# Points that a candidate is judged by; distances count up to the clamp.
_POINTS, _CLAMP = 768, 0.1
_KEPT = 3
_ANGLES = (12.0, 6.0, 3.0)
Turns = Float[np.ndarray, "t 3 3"]


def find_turn(
    model: FieldGenerator,
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"] | None,
    *,
    oriented: bool = True,
    seed: int = 0,
) -> Float[np.ndarray, "3 3"]:
    """Right, up and front of the shape, as rows, in the axes of its points.

    Args:
        model: of upright shapes.
        points: in any units.
        normals: where they are known.
        oriented: whether they point outward.
        seed: of the points that candidates are judged by, where there are many.
    """
    chosen = np.random.default_rng(seed).permutation(len(points))[:_POINTS]
    points, normals = points[chosen], None if normals is None else normals[chosen]
    turns = candidate_turns(points)
    misfit = misfits(model, points, normals, turns, oriented=oriented)
    best = np.argsort(misfit, kind="stable")[:_KEPT]
    turns, misfit = turns[best], misfit[best]
    for angle in _ANGLES:
        steps = Rotation.from_rotvec(
            np.deg2rad(angle) * np.concatenate([np.eye(3), -np.eye(3)])
        ).as_matrix()
        for i in range(len(turns)):
            near = steps @ turns[i]
            found = misfits(model, points, normals, near, oriented=oriented)
            if found.min() < misfit[i]:
                turns[i], misfit[i] = near[found.argmin()], found.min()
    return turns[misfit.argmin()]


def candidate_turns(points: Float[np.ndarray, "n 3"]) -> Turns:
    """Canonical frames of a cloud, 24 for its principal axes and 24 for its smallest box."""
    _, _, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)
    to_box, _ = trimesh.bounds.oriented_bounds(points)
    frames = [axes, to_box[:3, :3]]
    return np.concatenate([_NAMES @ (frame * np.linalg.det(frame)) for frame in frames])


def misfits(
    model: FieldGenerator,
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"] | None,
    turns: Turns,
    *,
    oriented: bool = True,
) -> Float[np.ndarray, " t"]:
    """How far the points lie from the surface that a model makes of them, for each turn."""
    places = [place_points(points, turn) for turn in turns]
    turned = _batch([place.normalise(points) for place in places], model)
    directed = (
        None
        if normals is None
        else _batch([place.turn_normals(normals) for place in places], model)
    )
    with torch.no_grad():
        tokens = model.encode(turned, directed, oriented=oriented, scanned=True)
        found = model.autoencoder.decode(tokens, turned, model.frame_for(len(turns)))
        return found.abs().clamp(max=_CLAMP).mean(1).double().cpu().numpy()


def _batch(clouds: list[np.ndarray], model: FieldGenerator) -> torch.Tensor:
    return torch.from_numpy(np.stack(clouds).astype(np.float32)).to(model.device)


def _proper_names() -> Turns:
    """The 24 turns of a cube: ways to call three axes right, up and front."""
    turns = [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return np.stack([turn for turn in turns if np.linalg.det(turn) > 0])


_NAMES = _proper_names()

"""Joints as sets of points: from a cloud of predictions to joints, and how good they are.

With P predicted and R reference joints of a figure, matched one to one with the least sum of
distances, and M of the pairs nearer than the tolerance of their reference joint:

    precision = M / P,    recall = M / R,    IoU = 2 M / (P + R),

and CD-J2J the Chamfer distance between both sets (unsquared, mean of both directions), divided
by the figure's size. The tolerance is half the local diameter of the shape: here the distance
from the reference joint to the nearest surface point, where RigNet casts rays.

Reference: Xu et al., "RigNet: Neural Rigging for Articulated Characters", 2020, arXiv:2005.00559,
section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from geoflow.geometry.metrics import chamfer_distance


@dataclass(frozen=True)
class JointScores:
    """Agreement of predicted with reference joints."""

    chamfer: float
    """CD-J2J as a share of the size."""
    iou: float
    precision: float
    recall: float


def score_joints(
    predicted: Float[np.ndarray, "p 3"],
    reference: Float[np.ndarray, "r 3"],
    *,
    tolerance: Float[np.ndarray, " r"] | float,
    size: float,
) -> JointScores:
    """Scores of one figure.

    Args:
        predicted: joints that were found.
        reference: joints that are there.
        tolerance: distance at which a pair counts, for each reference joint or all.
        size: length that distances are divided by: the longest edge of the bounding box.

    Raises:
        ValueError: if either set is empty, or the size is not positive.
    """
    if len(predicted) == 0 or len(reference) == 0:
        raise ValueError(
            f"both sets must have joints, got {len(predicted)} predicted and {len(reference)}"
        )
    if not size > 0:
        raise ValueError(f"size must be positive, got {size}")
    distance = cdist(predicted, reference)
    rows, columns = linear_sum_assignment(distance)
    limit = np.broadcast_to(tolerance, (len(reference),))
    matched = int((distance[rows, columns] < limit[columns]).sum())
    return JointScores(
        chamfer=chamfer_distance(predicted, reference) / size,
        iou=2 * matched / (len(predicted) + len(reference)),
        precision=matched / len(predicted),
        recall=matched / len(reference),
    )


def local_radius(
    joints: Float[np.ndarray, "j 3"], surface: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " j"]:
    """Distance from each joint to the nearest surface point: half the local diameter."""
    distance, _ = cKDTree(surface).query(joints)
    return np.asarray(distance)


def merge_points(
    points: Float[np.ndarray, "k 3"], *, distance: float, least: int = 1
) -> Float[np.ndarray, "j 3"]:
    """Means of the clusters of a cloud, by average linkage cut at a distance.

    Clusters of fewer than `least` points are strays and dropped, unless all are.

    Raises:
        ValueError: for no points, or a distance that is not positive.
    """
    if len(points) == 0 or not distance > 0:
        raise ValueError(
            f"expected points and a positive distance, got {len(points)} points and {distance}"
        )
    if len(points) == 1:
        return np.array(points)
    labels = fcluster(linkage(points, "average"), distance, "distance") - 1
    count = np.bincount(labels)
    means = np.stack([np.bincount(labels, weights=axis) for axis in points.T], axis=1)
    kept = count >= min(least, count.max())
    return (means / count[:, None])[kept]


def spanning_parents(joints: Float[np.ndarray, "j 3"]) -> list[int]:
    """A parent for each joint by the minimum spanning tree of distances; -1 for the root.

    The root is the joint nearest to the mean of all. The tree is a guess: nothing is learned.
    """
    root = int(np.linalg.norm(joints - joints.mean(0), axis=1).argmin())
    if len(joints) == 1:
        return [-1]
    # Coincident joints have distance zero, which a sparse graph would read as no edge.
    tree = minimum_spanning_tree(cdist(joints, joints) + 1e-12)
    _, before = breadth_first_order(tree, root, directed=False)
    return [-1 if i == root else int(before[i]) for i in range(len(joints))]

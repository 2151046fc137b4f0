"""Extraction: the dense surface from a fraction of the queries, always closed and outward."""

import numpy as np
import point_cloud_utils
import pytest
import torch
import trimesh
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes

from geoflow.geometry.extraction import EmptySurfaceError, extract_mesh, mesh_from_grid
from geoflow.geometry.sdf import union_distance
from geoflow.geometry.tracking import (
    box_around,
    corners_of,
    crossed_cells,
    ends_of_crossed_edges,
    track_surface,
)
from geoflow_datasets.procedural import make_solids
from geoflow_tools.bench.solids import faults, faults_in_files


def sphere(radius=0.7):
    return lambda points: points.norm(dim=-1) - radius


def torus(points):
    ring = torch.hypot(points[:, 0], points[:, 2]) - 0.6
    return torch.hypot(ring, points[:, 1]) - 0.15


def legs(points):
    """Four bars of radius 0.04: the thinnest parts that a chair has."""
    across = (points[:, [0, 2]].abs() - 0.45).norm(dim=-1)
    return torch.maximum(across - 0.04, points[:, 1].abs() - 0.8)


def chair(index):
    solids = make_solids("chair", index, split="test")

    def field(points):
        return torch.from_numpy(union_distance(solids, points.double().numpy())).float()

    return field


def clamped(field):
    return lambda points: field(points).clamp(-0.1, 0.1)


FIELDS = {
    "sphere": sphere(),
    "torus": torus,
    "legs": legs,
    "chair": chair(0),
    "clamped": clamped(chair(1)),
}


@pytest.mark.parametrize("method", ["hierarchical", "followed"])
@pytest.mark.parametrize("name", FIELDS)
def test_refined_surface_is_the_dense_one(name, method):
    dense = extract_mesh(FIELDS[name], resolution=64, method="dense")
    sparse = extract_mesh(FIELDS[name], resolution=64, method=method)
    np.testing.assert_array_equal(dense.mesh.vertices, sparse.mesh.vertices)
    np.testing.assert_array_equal(dense.mesh.faces, sparse.mesh.faces)
    assert dense.field_queries == 65**3
    assert sparse.field_queries < 0.5 * dense.field_queries


def test_queries_of_a_chair_stay_within_the_budget():
    for resolution, share in ((128, 0.03), (256, 0.014)):
        extraction = extract_mesh(chair(0), resolution=resolution, method="followed")
        assert extraction.field_queries <= share * (resolution + 1) ** 3


def test_a_surface_is_followed_where_no_prediction_saw_it():
    """A thin ridge leaves a plate between coarse points, whose signs say nothing of it."""

    def ridge(points):
        plate = points[:, 1].abs() - 0.2
        wall = torch.maximum((points[:, 0] - 0.0164).abs() - 0.012, points[:, 1].abs() - 0.55)
        sides = points[:, [0, 2]].abs().amax(-1) - 0.9
        return torch.maximum(torch.minimum(plate, wall), sides)

    dense, tracked = (
        extract_mesh(ridge, resolution=128, method=method, reach=0.0)
        for method in ("dense", "followed")
    )
    assert dense.mesh.bounds[1, 1] > 0.5
    np.testing.assert_array_equal(dense.mesh.vertices, tracked.mesh.vertices)
    np.testing.assert_array_equal(dense.mesh.faces, tracked.mesh.faces)
    values = np.full((5, 5, 5), 1.0, dtype=np.float32)
    values[2, 2, 2] = -1.0
    known = np.zeros(values.shape, dtype=bool)
    truth = np.where(np.indices(values.shape)[0] <= 2, -1.0, 1.0).astype(np.float32)
    # One wrong prediction leads to the whole plane; without a crossing nothing is asked for.
    evaluated = track_surface(lambda index: truth.flat[index], values, known)
    assert evaluated == known.sum() >= 2 * 25
    assert ((values <= 0) == (truth <= 0))[2:4].all()
    assert track_surface(lambda index: 1 / 0, np.ones_like(values), np.zeros_like(known)) == 0


def test_the_ends_of_crossed_edges_are_asked_for_and_nothing_else():
    """On an oblique plane these are two layers of points; corners of crossed cells are six."""
    i, j, k = np.indices((17, 17, 17))
    truth = (i + j + k - 23.5).astype(np.float32)
    values, known = np.sign(truth), np.zeros(truth.shape, dtype=bool)
    evaluated = track_surface(lambda index: truth.flat[index], values, known)
    np.testing.assert_array_equal(known, np.abs(truth) < 1)
    np.testing.assert_array_equal(ends_of_crossed_edges(truth <= 0), known)
    assert evaluated == known.sum()
    cells = crossed_cells(truth <= 0)
    assert corners_of(cells).sum() > 2.5 * evaluated


def test_a_sign_is_not_trusted_near_the_surface():
    """A corner of a crossed cell is no end of a crossed edge, and is inside against all signs."""
    truth = np.where(np.indices((6, 6, 6)).sum(0) > 6, 1.0, -1.0).astype(np.float32)
    hidden = (3, 3, 2)
    predicted = truth.copy()
    truth[hidden], predicted[hidden] = -1.0, 0.3
    around = np.array(hidden) + np.vstack([np.eye(3), -np.eye(3)]).astype(int)
    assert (predicted[tuple(around.T)] > 0).all()
    found = []
    for margin in (0.0, 0.5):
        values, known = predicted.copy(), np.zeros(truth.shape, dtype=bool)
        track_surface(lambda index: truth.flat[index], values, known, margin=margin)
        found.append(bool((values[hidden] <= 0) and known[tuple(around[0])]))
    assert found == [False, True]


def test_a_box_holds_what_is_true_and_its_neighbours():
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[2, 0, 4:7] = True
    assert box_around(mask) == (slice(1, 4), slice(0, 2), slice(3, 8))


def test_a_thin_sheet_alone_is_found_wherever_it_lies():
    """Thinner than the cells of all grids but the last; following alone sees no crossing of it."""

    def sheet(height):
        def field(points):
            wide = points[:, [0, 2]].abs().amax(-1) - 0.3
            thin = torch.maximum((points[:, 1] - height).abs() - 0.009, wide)
            return torch.minimum(points.sub(torch.tensor([0, -0.6, 0])).norm(dim=-1) - 0.3, thin)

        return field

    found = {"hierarchical": 0, "followed": 0}
    for height in np.linspace(0.45, 0.58, 5):
        for method in found:
            mesh = extract_mesh(sheet(height), resolution=128, method=method).mesh
            found[method] += mesh.body_count == 2
    assert found["hierarchical"] == 5 > found["followed"]


def test_a_hidden_part_is_lost_without_reach():
    """The negative twin: with no reach, thin legs between coarse points are missed."""

    def field(points):
        return torch.minimum(points.norm(dim=-1) - 0.3, legs(points + 0.013))

    whole = extract_mesh(field, resolution=64, coarsest=16).mesh
    blind = extract_mesh(field, resolution=64, coarsest=16, reach=0.0).mesh
    assert whole.body_count == 5
    assert blind.body_count == 1


@pytest.mark.parametrize("name", FIELDS)
def test_meshes_are_closed_and_outward(name):
    mesh = extract_mesh(FIELDS[name], resolution=64).mesh
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    centres, normals = mesh.triangles_center, mesh.face_normals
    ahead = FIELDS[name](torch.from_numpy(centres + 0.01 * normals).float()).numpy()
    assert np.mean(ahead > 0) > 0.95


def test_errors_of_the_sphere_fall_with_the_square_of_the_spacing():
    errors = []
    for resolution in (32, 64, 128):
        mesh = extract_mesh(sphere(), resolution=resolution).mesh
        assert mesh.euler_number == 2
        errors.append(
            [
                abs(mesh.volume / (4 / 3 * np.pi * 0.7**3) - 1),
                abs(mesh.area / (4 * np.pi * 0.49) - 1),
            ]
        )
    ratios = np.array(errors)[:-1] / np.array(errors)[1:]
    assert (ratios > 3.3).all()
    assert (ratios < 4.8).all()


def test_solid_that_leaves_the_cube_is_closed_by_its_faces():
    mesh = extract_mesh(lambda points: points[:, 0] - 0.2, resolution=32).mesh
    assert mesh.is_watertight
    np.testing.assert_allclose(mesh.volume, 2.1 * 2.1 * 1.25, rtol=0.01)
    np.testing.assert_allclose(mesh.bounds, [[-1.05] * 3, [0.2, 1.05, 1.05]], atol=2.1 / 32 * 1e-3)


def test_exact_zeros_leave_no_hole():
    """A box whose faces run through grid points gives values that are exactly zero."""

    def box(points):
        return (points.abs() - 1.05 / 2).amax(-1)

    mesh = extract_mesh(box, resolution=32).mesh
    assert mesh.is_watertight
    np.testing.assert_allclose(mesh.volume, 1.05**3, rtol=1e-3)


@pytest.mark.parametrize(("value", "side"), [(1.0, "outside"), (-1.0, "inside")])
def test_field_without_surface_is_named(value, side):
    with pytest.raises(EmptySurfaceError, match=f"{side} everywhere"):
        extract_mesh(lambda points: torch.full((len(points),), value), resolution=32)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="resolution must be between 16 and 512, got 8"):
        extract_mesh(sphere(), resolution=8)
    with pytest.raises(FloatingPointError, match="not finite"):
        extract_mesh(lambda points: points[:, 0] / 0.0, resolution=32)


def near_grid_cube():
    """A cube whose faces run through grid points, all but exactly."""
    axis = np.linspace(-1.05, 1.05, 65)
    grid = np.abs(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))).max(0) - abs(axis[12])
    return np.where(np.abs(grid) < 1e-6, -1e-9, grid).astype(np.float32)


def tied_face():
    """scikit-image issue 8109: both diagonals of a grid face have one product."""
    grid = np.full((9, 9, 9), 5, np.float32)
    grid[3:6, 3:5, 3:5] = [
        [[13, -1], [-1, -7]], [[-1, 1], [7, -7]], [[15, -9], [-3, -1]],
    ]  # fmt: skip
    return grid


def random_grid(index):
    """Noise; small whole numbers, with zeros and ties; sizes far apart; smooth; smooth with zeros.

    Every sign pattern of a cell occurs in the first three.
    """
    rng = np.random.default_rng(index)
    shape = (int(rng.integers(6, 14)),) * 3
    smooth = gaussian_filter(rng.standard_normal(shape), 1)
    kinds = (
        lambda: rng.standard_normal(shape),
        lambda: rng.integers(-3, 4, shape),
        lambda: rng.choice([-1.0, 1.0], shape) * rng.choice([1e-9, 1e-4, 1.0], shape),
        lambda: smooth,
        lambda: np.where(np.abs(smooth) < 0.05, rng.choice([-1e-9, 0.0, 1e-9], shape), smooth),
    )
    return kinds[index % len(kinds)]().astype(np.float32)


def plain_marching_cubes(grid):
    vertices, faces, _, _ = marching_cubes(np.where(grid == 0, np.float32(-1e-7), grid), level=0.0)
    return trimesh.Trimesh(vertices * 2.1 / (len(grid) - 1) - 1.05, faces, process=False)


@pytest.mark.parametrize("make", [near_grid_cube, tied_face])
def test_fields_through_grid_points_and_ties_give_solids(make):
    assert faults(mesh_from_grid(make(), 1.05)) == []
    # Twin: marching cubes alone does not.
    assert faults(plain_marching_cubes(make()))


def grids_without_a_solid(indices):
    """In memory; and every sixteenth in a file of each suffix."""
    found = {}
    for index in indices:
        try:
            mesh = mesh_from_grid(random_grid(index), 1.05)
            found[index] = faults(mesh) or (index % 16 == 0 and faults_in_files(mesh))
        except EmptySurfaceError:
            assert (random_grid(index)[1:-1, 1:-1, 1:-1] >= 0).all()
    return [index for index in found if found[index]]


def test_random_grids_give_solids():
    assert grids_without_a_solid(range(100)) == []


@pytest.mark.slow
def test_two_thousand_random_grids_give_solids():
    assert grids_without_a_solid(range(100, 2100)) == []


@pytest.mark.parametrize("name", FIELDS)
def test_surface_moves_by_less_than_a_thousandth_of_a_cell(name):
    """And no vertex comes near a grid point."""
    axis = np.linspace(-1.05, 1.05, 49)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    grid = FIELDS[name](torch.from_numpy(points).float()).numpy().reshape(49, 49, 49)
    cell = 2.1 / 48
    plain, mesh = plain_marching_cubes(grid), mesh_from_grid(grid, 1.05)
    for one, other in ((plain, mesh), (mesh, plain)):
        away, _, _ = point_cloud_utils.closest_points_on_mesh(
            np.asarray(one.vertices), np.asarray(other.vertices), np.asarray(other.faces)
        )
        assert away.max() < 1e-3 * cell
    share = np.abs((mesh.vertices + 1.05) / cell - np.round((mesh.vertices + 1.05) / cell)).max(1)
    assert share.min() > 0.4e-3


def test_solid_at_the_outermost_points_alone_is_none():
    grid = np.ones((9, 9, 9), np.float32)
    grid[0] = -1.0
    with pytest.raises(EmptySurfaceError, match="outside everywhere"):
        mesh_from_grid(grid, 1.05)

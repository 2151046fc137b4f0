"""Solids of everything: exact distances, repeatable splits, banks written shape by shape."""

import numpy as np
import pytest
import trimesh

from geoflow.geometry.sdf import RoundBox
from geoflow_datasets import load, procedural
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.bank_writer import write_bank
from geoflow_datasets.layouts import SPLITS
from geoflow_datasets.universe import CATEGORIES, _whole, forms, make_samples, make_triangles
from geoflow_datasets.universe.assembly import PLANS, finish
from geoflow_datasets.universe.samples import EmptySolidError, corners_of, signed_distance
from geoflow_datasets.warps import WARPS

each_plan = pytest.mark.parametrize("plan", PLANS)
POINTS = np.random.default_rng(0).uniform(-1.1, 1.1, (500, 3))
HALF = np.array([1.0, 0.5, 0.3])


def unsigned(corners, points):
    """The distance to triangles by brute force, of another library."""
    pairs = np.repeat(points, len(corners), 0)
    nearest = trimesh.triangles.closest_point(np.tile(corners, (len(points), 1, 1)), pairs)
    return np.linalg.norm(nearest - pairs, axis=1).reshape(len(points), -1).min(1)


def test_a_block_has_the_distance_of_a_box_inside_too():
    corners = corners_of(forms.block(HALF))
    exact = RoundBox(np.zeros(3), HALF).distance(POINTS)
    np.testing.assert_allclose(signed_distance(corners, POINTS), exact, atol=1e-9)


def test_a_union_has_no_walls_inside_and_a_cut_has_new_ones():
    """Negative twin: the smaller of the parts' distances is wrong inside a union."""
    left, right = (forms.block((0.52, 0.5, 0.3)).translate((x, 0, 0)) for x in (-0.48, 0.48))
    union = forms.join([left, right])
    exact = RoundBox(np.zeros(3), HALF).distance(POINTS)
    np.testing.assert_allclose(signed_distance(corners_of(union), POINTS), exact, atol=1e-9)
    parts = [RoundBox(np.array([x, 0, 0]), np.array([0.52, 0.5, 0.3])) for x in (-0.48, 0.48)]
    middle = np.zeros((1, 3))
    np.testing.assert_allclose(signed_distance(corners_of(union), middle), -0.3, atol=1e-9)
    assert min(part.distance(middle)[0] for part in parts) > -0.1
    holed = forms.cut(forms.block(HALF), forms.block((0.4, 0.2, 2)))
    inside = signed_distance(corners_of(holed), np.array([[0.0, 0, 0], [0.0, 0.35, 0]]))
    np.testing.assert_allclose(inside, [0.2, -0.15], atol=1e-9)


@each_plan
def test_a_plan_gives_closed_solids_with_the_distance_of_their_triangles(plan):
    rng = np.random.default_rng(3)
    solid = finish(PLANS[plan][0](rng), rng)
    corners = corners_of(solid)
    mesh = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    np.testing.assert_allclose(np.abs(corners).max(), 1.0, atol=1e-12)
    some = POINTS[:12]
    np.testing.assert_allclose(
        np.abs(signed_distance(corners, some)), unsigned(corners, some), atol=1e-6
    )


def test_samples_lie_on_the_surface_with_outward_normals():
    corners, samples = make_triangles("assembly", 3), make_samples("assembly", 3)
    surface, normals = samples.surface.astype(float), samples.normals.astype(float)
    assert np.abs(signed_distance(corners, surface)).max() < 2e-3
    ahead = signed_distance(corners, surface + 0.005 * normals)
    behind = signed_distance(corners, surface - 0.005 * normals)
    assert np.mean((ahead > 0) & (behind < 0)) > 0.97
    exact = signed_distance(corners, samples.queries.astype(float))
    np.testing.assert_array_equal(samples.sdf, exact.astype(np.float16))


@pytest.mark.parametrize("name", WARPS)
def test_a_warp_keeps_the_inside_inside(name):
    """Its map has a positive determinant in the cube, so that no surface passes another."""
    warp = WARPS[name](np.random.default_rng(4))
    step, points = 1e-5, POINTS / 1.1
    slopes = [
        (warp(points + step * axis) - warp(points - step * axis)) / (2 * step) for axis in np.eye(3)
    ]
    assert np.linalg.det(np.stack(slopes, -1)).min() > 0
    assert np.abs(warp(points) - points).max() > 1e-3


def test_shapes_repeat_and_differ_by_seed_and_split():
    one, same = make_triangles("assembly", 5), make_triangles("assembly", 5)
    np.testing.assert_array_equal(one, same)
    others = [make_triangles("assembly", 5, split=split) for split in SPLITS[1:]]
    for other in [*others, make_triangles("assembly", 6)]:
        assert one.shape != other.shape or not np.array_equal(one, other)


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(ValueError, match="category must be one of assembly"):
        make_samples("boat", 0)
    with pytest.raises(ValueError, match="split must be one of train, val, test"):
        make_samples("assembly", 0, split="dev")
    with pytest.raises(ValueError, match="category must be of assembly"):
        load("universe", "boat", split="train", num=2, cache=tmp_path)
    with pytest.raises(ValueError, match="num must be at least 1"):
        load("universe", "assembly", split="train", num=0, cache=tmp_path)
    with pytest.raises(EmptySolidError):
        corners_of(forms.cut(forms.block(HALF), forms.block(2 * HALF)))


def test_a_bank_is_made_once_and_is_of_one_process_or_many(tmp_path, monkeypatch):
    bank = load("universe", "assembly", split="val", num=2, cache=tmp_path)
    assert len(bank) == 2
    assert bank.names == ("assembly-val-0", "assembly-val-1")
    np.testing.assert_array_equal(bank.sdf[1], make_samples("assembly", 1, split="val").sdf)
    monkeypatch.setattr("geoflow_datasets.made._arrays", None)
    load("universe", "assembly", split="val", num=2, cache=tmp_path)


def shapes(num):
    for i in range(num):
        yield {
            "surface": np.full((4, 3), i, np.float16),
            "normals": np.zeros((4, 3), np.float16),
            "queries": np.zeros((8, 3), np.float16),
            "sdf": np.zeros(8, np.float16),
        }


def test_a_bank_is_written_shape_by_shape_and_whole_or_not_at_all(tmp_path):
    about = {"names": ["a", "b", "c"], "categories": [0, 0, 0], "category_names": ["thing"]}
    write_bank(tmp_path / "bank", shapes(3), **about)
    bank = ShapeBank.load(tmp_path / "bank")
    assert bank.names == ("a", "b", "c")
    np.testing.assert_array_equal(bank.surface[:, 0, 0], [0, 1, 2])
    for num in (2, 4):
        with pytest.raises(ValueError, match=f"3 shapes have names, {min(num, 4)} came"):
            write_bank(tmp_path / "other", shapes(num), **about)
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]


THINGS = [name for name in CATEGORIES if name != "assembly"]


@pytest.mark.parametrize("name", THINGS)
def test_a_thing_is_one_closed_part_without_a_hidden_hollow(name):
    """Negative twin: a block beside it is a second part."""
    solid = CATEGORIES[name](np.random.default_rng(7))
    assert solid.status().name == "NoError"
    assert len(solid.decompose()) == 1
    assert solid.volume() > 0
    far = forms.block(HALF).translate((0, 50, 0))
    assert len(forms.join([solid, far]).decompose()) == 2


@pytest.mark.parametrize("name", ["chair", "sofa"])
def test_a_seat_looks_where_the_procedural_ones_look(name):
    """Backs rise behind, at smaller z."""
    for make in (make_samples, procedural.make_samples):
        surface = make(name, 1).surface.astype(float)
        high = surface[:, 1] > np.quantile(surface[:, 1], 0.85)
        assert surface[high, 2].mean() < surface[:, 2].mean() - 0.05


def test_what_never_comes_in_one_part_is_an_error_and_not_a_loop():
    build = _whole(lambda rng: forms.row(forms.block(HALF), 2, (9, 0, 0)))
    with pytest.raises(RuntimeError, match="in one part in 20 draws"):
        build(np.random.default_rng(0))


def test_every_category_is_a_function_of_its_generator():
    for build in CATEGORIES.values():
        first, second = (build(np.random.default_rng(1)) for _ in range(2))
        assert first.num_tri() == second.num_tri()

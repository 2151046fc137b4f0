"""Draws of a bank's shapes share no point, and distances to surfaces are those of the solids."""

from dataclasses import replace

import numpy as np
import pytest

from geoflow.geometry.metrics import chamfer_distance
from geoflow_datasets import load
from geoflow_datasets.bank import CloudBank
from geoflow_tools.validation.draws import disjoint_draws, distance_to_surface, whole_shape


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return load("procedural", "mug", split="val", num=2, cache=tmp_path_factory.mktemp("bank"))


def stored_alone(bank):
    """The same points under names of files."""
    return CloudBank(
        surface=bank.surface,
        categories=bank.categories,
        names=("a.npy", "b.npy"),
        category_names=bank.category_names,
    )


def test_stored_points_are_drawn_once(bank):
    clouds = stored_alone(bank)
    assert whole_shape(clouds, 0) is None
    given, one, other = disjoint_draws(clouds, 0, (1024, 2048, 2048), seed=0)
    assert [len(part) for part in (given, one, other)] == [409, 819, 819]
    # Points that half precision made equal would meet at no distance.
    assert (np.linalg.norm(one[:, None] - other[None], axis=-1).min(1) > 0).mean() > 0.98
    small = disjoint_draws(clouds, 1, (10, 20), seed=0)
    assert [len(part) for part in small] == [10, 20]
    again = disjoint_draws(clouds, 1, (10, 20), seed=0)
    np.testing.assert_array_equal(small[1], again[1])


def test_procedural_shapes_are_drawn_afresh_and_farther_apart_than_with_replacement(bank):
    one, other = disjoint_draws(bank, 0, (2048, 2048), seed=0)
    solids = whole_shape(bank, 0)
    assert distance_to_surface(solids, one) < 1e-6
    assert distance_to_surface(solids, one + 0.05) > 0.01
    stored = np.asarray(bank.surface[0], dtype=np.float64)
    rng = np.random.default_rng(0)
    a, b = (stored[rng.integers(len(stored), size=2048)] for _ in range(2))
    assert chamfer_distance(one, other) > 1.5 * chamfer_distance(a, b)


def test_a_file_of_a_procedural_name_is_not_taken_for_the_shape(bank):
    moved = np.asarray(bank.surface) + np.float16(0.2)
    assert whole_shape(replace(bank, surface=moved.astype(np.float16)), 0) is None
    assert whole_shape(replace(bank, names=("mug-val-x", "mug-best-1")), 0) is None

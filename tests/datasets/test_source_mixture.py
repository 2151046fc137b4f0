"""Several sources as one: equal shares, rows that are shapes, held-out ones side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geoflow_datasets import load
from geoflow_datasets.mixture import joined, mixture

NAMES = ("mug", "bottle")


@pytest.fixture(scope="module")
def banks():
    """Nine mugs, and one mug and one bottle with fewer points."""
    many = load("procedural", "mug", split="train", num=9).with_categories(NAMES)
    few = load("procedural", "mug,bottle", split="val", num=2).with_categories(NAMES)
    fewer = {"surface": 512, "normals": 512, "queries": 1000, "sdf": 1000}
    first = int(0.7 * few.queries.shape[1])
    near = {name: getattr(few, name)[:, :700] for name in ("queries", "sdf")}
    far = {name: getattr(few, name)[:, first : first + 300] for name in ("queries", "sdf")}
    arrays = {name: np.concatenate([near[name], far[name]], 1) for name in near}
    arrays |= {name: getattr(few, name)[:, : fewer[name]] for name in ("surface", "normals")}
    return many, replace(few, **arrays)


def test_sources_are_drawn_equally_often_and_every_shape_comes_up(banks):
    mixed = mixture(banks)
    assert mixed.num_shapes == 11
    counts = [np.bincount(mixed.rows[mixed.rows[:, 0] == i, 1]) for i in range(2)]
    assert counts[0].sum() == counts[1].sum() == len(mixed) / 2
    assert all(count.min() > 0 for count in counts)
    # Twin: the shapes of the small source are drawn more often.
    assert counts[1].min() > 2 * counts[0].mean()


def test_a_row_is_the_points_and_the_category_of_its_shape(banks):
    mixed = mixture(banks)
    rows = np.array([np.flatnonzero((mixed.rows == pair).all(1))[0] for pair in ((1, 1), (0, 3))])
    batch = mixed.batch(
        rows, num_surface=5, num_queries=6, generator=torch.Generator().manual_seed(0)
    )
    # Side by side by bank.
    assert batch.condition.category.tolist() == [0, 1]
    stored = torch.from_numpy(np.asarray(banks[0].surface[3], np.float32))
    assert torch.cdist(batch.surface[0], stored).amin(1).max() == 0
    assert torch.cdist(batch.surface[1], stored).amin(1).max() > 0
    assert batch.queries.shape == (2, 6, 3)
    with pytest.raises(ValueError, match="at least one shape"):
        mixture([banks[0].subset([])])


def test_joined_banks_keep_what_is_near_and_what_is_uniform(banks):
    one = joined(banks)
    assert len(one) == 11
    assert one.surface.shape[1] == 512
    for i in (0, 10):
        queries, sdf = one.uniform_queries(i)
        whole, whole_sdf = banks[i // 9].uniform_queries(i % 9)
        np.testing.assert_array_equal(queries, whole[: len(queries)])
        np.testing.assert_array_equal(sdf, whole_sdf[: len(queries)])
    with pytest.raises(ValueError, match="at least one bank"):
        joined([])

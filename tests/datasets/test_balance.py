"""Categories of any sizes are drawn equally often, and those of one size are left alone."""

import numpy as np
import pytest
import torch

from geoflow_datasets import load
from geoflow_datasets.balance import balanced, in_turn
from geoflow_datasets.layouts import category_names
from geoflow_datasets.procedural import CATEGORIES
from geoflow_datasets.procedural.source import PROCEDURAL


@pytest.fixture(scope="module")
def bank():
    """Six mugs and one bottle."""
    both = load("procedural", "mug,bottle", split="train", num=12)
    return both.subset([0, 2, 4, 6, 8, 10, 1])


def drawn(shapes):
    """Category of every row."""
    return shapes.batch(
        np.arange(len(shapes)),
        num_surface=4,
        num_queries=1,
        generator=torch.Generator().manual_seed(0),
    ).condition.category.tolist()


def test_each_category_has_as_many_rows(bank):
    assert drawn(bank) == [0] * 6 + [1]
    rows = balanced(bank)
    assert sorted(drawn(rows)) == [0] * 6 + [1] * 6
    assert sorted(rows.rows.tolist()) == [0, 1, 2, 3, 4, 5] + [6] * 6


def test_rows_are_the_points_of_their_shapes(bank):
    def points(shapes, row):
        generator = torch.Generator().manual_seed(1)
        return shapes.batch(
            np.array([row]), num_surface=8, num_queries=2, generator=generator
        ).surface

    rows = balanced(bank)
    assert torch.equal(points(rows, 9), points(bank, rows.rows[9]))
    assert not torch.equal(points(rows, 9), points(bank, 0))


def test_equal_categories_are_left_as_they_are(bank):
    for alone in (bank.subset(range(6)), bank.subset([0, 6])):
        assert balanced(alone) is alone


def test_categories_take_turns_in_their_order():
    assert in_turn(np.array([0, 0, 0, 1, 2, 2])).tolist() == [0, 3, 4, 1, 5, 2]
    assert in_turn(np.array([1, 1, 1])).tolist() == [0, 1, 2]
    assert in_turn(np.array([], dtype=int)).tolist() == []


def test_procedural_shapes_take_turns():
    bank = load("procedural", "airplane,chair", split="val", num=5)
    assert bank.category_names == ("airplane", "chair")
    assert bank.categories.tolist() == [0, 1, 0, 1, 0]


def test_categories_are_names_joined_by_commas():
    assert category_names("chair, airplane") == ("chair", "airplane")
    assert PROCEDURAL.names("all") == tuple(CATEGORIES)
    for wrong in ("chair,", "", "chair,chair"):
        with pytest.raises(ValueError, match="different names joined by commas"):
            category_names(wrong)
    with pytest.raises(ValueError, match=r"of chair, table, .*, or all; got 'boat'"):
        PROCEDURAL.names("chair,boat")

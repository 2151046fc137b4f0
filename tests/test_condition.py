"""A condition is indexed, repeated, moved and grouped whole, part by part."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from parts import every_part

from geoflow.condition import Condition

CONVENTIONS = Path(__file__).parents[1] / "docs" / "conventions.md"


def whole(num: int = 4) -> Condition:
    return Condition(**every_part(num))


NAMES = [field.name for field in fields(Condition)]


def test_the_whole_has_every_part() -> None:
    assert list(whole().parts()) == NAMES
    assert Condition().parts() == {}
    assert list(Condition(points=whole().points).parts()) == ["points"]


@pytest.mark.parametrize(
    "index",
    [slice(1, 3), torch.tensor([3, 0, 0]), torch.tensor([True, False, False, True])],
    ids=["slice", "indices", "mask"],
)
def test_an_index_takes_the_same_examples_of_every_part(index: torch.Tensor | slice) -> None:
    chosen = whole()[index]
    for name, part in whole().parts().items():
        assert torch.equal(chosen.parts()[name], part[index]), name
        assert chosen.parts()[name].shape != part.shape, name
    assert Condition(category=torch.arange(4))[index].parts().keys() == {"category"}


def test_repeated_examples_stand_beside_each_other() -> None:
    repeated = whole(3).repeat(2)
    for start in (0, 1):
        for name, part in repeated[torch.arange(start, 6, 2)].parts().items():
            assert torch.equal(part, whole(3).parts()[name]), name
    assert repeated.category is not None
    assert repeated.category.tolist() == [0, 0, 1, 1, 2, 2]
    assert Condition().repeat(5) == Condition()


def test_all_parts_move() -> None:
    moved = whole().to("meta")
    assert {part.device.type for part in moved.parts().values()} == {"meta"}
    assert list(moved.parts()) == NAMES
    assert {part.device.type for part in whole().parts().values()} == {"cpu"}


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_of_equal_conditions(name: str) -> None:
    """By any part; the last number of a part is enough to tell two examples apart."""
    same = whole(1).repeat(5).parts()
    assert Condition(**same).groups(5).unique().numel() == 1
    changed = same[name].clone()
    changed.view(5, -1)[2:4, -1] += 1
    groups = Condition(**(same | {name: changed})).groups(5)
    assert (groups[:, None] == groups).tolist() == [
        [(i in (2, 3)) == (j in (2, 3)) for j in range(5)] for i in range(5)
    ]


def test_groups_join_only_what_is_alike_in_all_parts() -> None:
    category, sign = torch.tensor([0, 0, 1, 1, 0]), torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    cond = Condition(sign[:, None, None] * torch.eye(3), category)
    groups = cond.groups(5)
    assert groups.unique().numel() == 4
    assert groups[0] == groups[4]
    # The twin: one of the two parts alone joins more.
    assert Condition(category=category).groups(5).unique().numel() == 2


def test_without_a_condition_all_are_one_group() -> None:
    assert Condition().groups(3).tolist() == [0, 0, 0]
    assert whole().groups(4).unique().numel() == 4


def test_the_conventions_name_every_part() -> None:
    row = re.search(r"^\| condition \| `Condition\((.*?)\)`", CONVENTIONS.read_text(), re.MULTILINE)
    assert row is not None
    assert row[1].split(", ") == NAMES

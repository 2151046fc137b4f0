"""All networks read a condition by one reader, whose parameters an old file can name."""

from functools import partial

import pytest
import torch
from point_networks import ALL

from geoflow.backbones import (
    BACKBONES,
    MLP,
    JointTransformer,
    JointTransformerConfig,
    MLPConfig,
    PointDecoder,
    ShapeConfig,
    TokenTransformer,
    TransformerConfig,
)
from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.renamed import RENAMED, rename
from geoflow.condition import Condition
from geoflow.testing import relative_error

SMALL = {"frame_size": 0, "num_categories": 2, "blocks": 1}
WITH_CATEGORIES = {
    "token-transformer": lambda: TokenTransformer(TransformerConfig(**SMALL)),
    "mlp": lambda: MLP(MLPConfig(size=15, num_categories=2, blocks=1)),
} | {name: partial(build, 0) for name, build in ALL.items() if name != "point-decoder"}
WITHOUT = {
    "joint-transformer": lambda: JointTransformer(JointTransformerConfig(blocks=1)),
    "point-decoder": lambda: PointDecoder(ShapeConfig(frame_size=0)),
}
T, R = torch.tensor([0.1, 0.4]), torch.tensor([0.3, 0.4])


def points(name):
    size = (2, 16, 16) if name == "token-transformer" else (2, 5, 3)
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


def reader(**sizes):
    torch.manual_seed(0)
    return ConditionReader(8, **sizes)


def given(*category):
    return Condition(category=torch.tensor(category))


def test_every_network_is_here():
    assert set(WITH_CATEGORIES) | set(WITHOUT) == set(BACKBONES) - {"field"}


@pytest.mark.parametrize("name", WITH_CATEGORIES)
@pytest.mark.parametrize("wrong", [2, -1])
def test_a_category_that_is_not_in_the_table_is_refused(name, wrong):
    network = WITH_CATEGORIES[name]()
    network(points(name), T, R, given(0, 1))
    message = rf"^cond\.category must be in \[0, 2\) for this model, got {wrong}$"
    with pytest.raises(ValueError, match=message):
        network(points(name), T, R, given(0, wrong))


@pytest.mark.parametrize("name", WITHOUT)
def test_a_network_without_categories_has_no_table(name):
    assert not [key for key in WITHOUT[name]().state_dict() if "category" in key]


def test_without_a_table_a_category_is_not_read():
    read = reader()
    assert torch.equal(read(T, R, given(7, -3)), read(T, R, None))
    # The twin: with a table it is.
    read = reader(num_categories=8)
    assert relative_error(read(T, R, given(7, 0)), read(T, R, None)) > 1e-3


def test_no_category_is_the_first():
    read = reader(num_categories=3)
    for cond in (None, Condition()):
        assert torch.equal(read(T, R, cond), read(T, R, given(0, 0)))
        assert not torch.equal(read(T, R, cond), read(T, R, given(0, 1)))


def test_what_is_missing_is_named():
    read, part = reader(frame_size=1), torch.ones(2, 1, 3)
    assert read.frame(Condition(part)) is part
    assert read.tokens(Condition(tokens=part)) is part
    assert read.points(Condition(points=part)) is part
    for cond in (None, Condition()):
        with pytest.raises(ValueError, match=r"cond\.frame must have 1 vectors .* got 0"):
            read.frame(cond)
        with pytest.raises(ValueError, match=r"needs cond\.tokens, the latent of a shape"):
            read.tokens(cond)
        with pytest.raises(ValueError, match=r"needs cond\.points, the points of a surface"):
            read.points(cond)
    with pytest.raises(ValueError, match=r"cond\.frame must have 0 vectors .* got 1"):
        reader().frame(Condition(part))


@pytest.mark.parametrize("name", RENAMED)
def test_old_names_become_those_of_today(name):
    names = set((WITH_CATEGORIES | WITHOUT)[name]().state_dict())
    back = {new: old for old, new in RENAMED[name].items()}
    old = {next((o + k[len(n) :] for n, o in back.items() if k.startswith(n)), k) for k in names}
    assert len(old - names) == sum(key.startswith("condition.") for key in names)
    assert set(rename(dict.fromkeys(old, T), name)) == names
    # The twin: a network that was never renamed keeps what it has.
    assert set(rename(dict.fromkeys(old, T), "point-messages")) == old


@pytest.mark.compile
def test_the_reader_is_one_compiled_graph():
    read = reader(num_categories=2, frame_size=1)
    compiled = torch.compile(read, backend="eager", fullgraph=True)
    for cond in (given(0, 1), None):
        torch.testing.assert_close(compiled(T, R, cond), read(T, R, cond))

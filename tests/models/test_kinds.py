"""A kind of model is a row of KINDS and a room on each floor; nobody else asks which one it is."""

import ast
import re
from pathlib import Path

import pytest

from geoflow.models.base import Model
from geoflow.models.kinds import KINDS, kind_of, load

ROOT = Path(__file__).parents[2]
FLOORS = ("geoflow.models", "geoflow_cli.kinds", "geoflow_tools.validation")
ROOM_OF_CLI = (
    "Train", "Sample", "check", "default_folder", "data_of", "load", "config", "fit_to", "hint",
)  # fmt: skip
ROOMS = {kind.room for kind in KINDS.values()}
CLASSES = {kind.model for kind in KINDS.values()}


def sources():
    for package in ("geoflow", "datasets", "tools", "viewer"):
        for path in (ROOT / package).rglob("*.py"):
            yield path, path.read_text(encoding="utf-8")


def is_own(path):
    """Whether a file is a kind's room, the table itself, or that of an earlier format."""
    tables = [ROOT / "geoflow" / "models" / name for name in ("kinds.py", "format1.py")]
    return path.stem in ROOMS or path in tables


def questions(text):
    """Lines that ask what kind a model is: isinstance of its class, comparison of its name."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            words = set(re.findall(r"\w+", ast.unparse(node.args[1])))
            # The viewer's sources are a class of one name in each kind's room.
            if words & {*CLASSES, "Source"} or any(word.endswith("Generator") for word in words):
                found.append(node.lineno)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            names = {
                n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)
            }
            about = any(
                re.search(r"\b(kind|representation)\b", ast.unparse(side)) for side in sides
            )
            if about and names & set(KINDS):
                found.append(node.lineno)
    return found


def test_nobody_asks_what_kind_a_model_is():
    asked = {str(path): questions(text) for path, text in sources() if not is_own(path)}
    assert {path: lines for path, lines in asked.items() if lines} == {}
    # Twins: the questions would be seen.
    assert questions("isinstance(model, " + "PointGenerator)") == [1]
    assert questions("isinstance(source, " + "fields.Source)") == [1]
    assert questions("if model.kind == 'sdf':\n    pass") == [1]
    assert questions("representation in ('points', 'sdf')") == [1]
    assert questions("suffix == '.ply'") == []


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("floor", FLOORS)
def test_every_kind_has_a_room_on_every_floor(floor, name):
    room = KINDS[name].on(floor)
    if floor == "geoflow_cli.kinds":
        assert [part for part in ROOM_OF_CLI if not hasattr(room, part)] == []
        assert (room.Sample is not None) == KINDS[name].has_samples
    if floor == "geoflow_tools.validation":
        assert callable(room.validator)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.has_samples])
def test_the_viewer_has_a_room_for_what_has_samples(name):
    assert KINDS[name].on("geoflow_viewer.kinds").Source.kind == name


@pytest.mark.parametrize("name", KINDS)
def test_a_row_names_what_is_there(name):
    kind = KINDS[name]
    model = kind.model_class()
    assert issubclass(model, Model)
    assert model.kind == name
    stages = kind.stage_classes()
    assert len({stage.name for stage in stages}) == len(stages) > 0


@pytest.mark.parametrize("name", KINDS)
def test_a_model_is_loaded_as_what_it_is(tmp_path, name):
    model_class = KINDS[name].model_class()
    model = model_class.build(model_class.config_type())
    model.card = {"made": "here"}
    model.save_pretrained(tmp_path / "model")
    # A run's folder holds its model in model/.
    for folder in (tmp_path, tmp_path / "model"):
        loaded = load(folder)
        assert type(loaded) is model_class
        assert (loaded.config, loaded.card) == (model.config, model.card)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of sdf, shapes, .*, got 'voxels'"):
        kind_of("voxels")

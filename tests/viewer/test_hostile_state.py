"""Nothing that a page sends, or a browser keeps, is trusted: types, ranges, lengths."""

import json
from dataclasses import asdict

import pytest

from geoflow_viewer.state import State, from_json, to_json

HOSTILE = (
    True, -1, 3_000_000, 10**30, 0.5, float("nan"), float("inf"), "x", "y" * 5000, [], {}, [1],
    [["mesh"]], None, ["mesh"] * 10,
)  # fmt: skip
RIGHT = {"model": "y", "category": "x", "mesh": "x"}


@pytest.mark.parametrize("name", asdict(State()))
@pytest.mark.usefixtures("unchecked")
def test_every_field_is_checked_for_type_and_range(name):
    """What passes is of the field's own type, and in its range."""
    for value in HOSTILE:
        content = json.loads(to_json(State())) | {name: value}
        try:
            state = from_json(json.dumps(content))
        except ValueError:
            continue
        kept = getattr(state, name)
        assert type(kept) in {type(getattr(State(), name)), int, float, str, type(None)}
        assert not isinstance(kept, bool) or isinstance(getattr(State(), name), bool)
        assert len(str(kept)) <= 1000
        assert state.steps <= 10_000
    with pytest.raises(ValueError, match="not a state"):
        from_json(json.dumps(json.loads(to_json(State())) | {name: {"a": 1}}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, '{"model": 1}', "1e999"])
def test_what_is_no_state_is_refused(text):
    with pytest.raises(ValueError, match="not a state"):
        from_json(text)

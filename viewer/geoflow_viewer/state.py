"""What is on the screen, as a value: it can be kept, compared, stored and turned into a command."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from geoflow.geometry.axes import UP_AXES

SHOWS = ("mesh", "wireframe", "points", "latent", "slice")
OPENED_SHOWS = ("mesh", "wireframe", "points")
CLOUD_SHOWS = ("mesh", "points")
"""What is drawn of an opened cloud first: the solid, and the points that it is made of."""
"""What can be drawn of a mesh that no model made."""
LAYOUTS = ("single", "variations", "compare")
COMPARED_STEPS = (1, 2, 4, 50)
COMPARED_POINTS = (64, 300, 1000)
"""Of a cloud, beside as many as are wanted."""
FEWEST_POINTS, MOST_POINTS = 16, 8192
"""Of a cloud that a solid is made of."""
NUM_ANSWERS = 4
NUM_VARIATIONS = 9
MAX_STEPS = 8
"""End of the steps slider; more may be asked for by command."""
MOST_STEPS = 10_000
"""More are not asked for by command either."""
MAX_SEED = 2**31 - 1
_LONGEST = 1_000
_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,), "category": (str, type(None)), "seed": (int,), "locked": (bool,),
    "steps": (int,), "ode": (bool,), "time": (float, int), "to_seed": (int, type(None)),
    "blend": (float, int), "mesh": (str, type(None)), "reconstruct": (bool,), "layout": (str,),
    "show": (tuple,), "slice": (float, int), "cloud": (str, type(None)), "given": (int,),
    "answer": (int,), "mirrored": (bool,), "up": (str,),
}  # fmt: skip
"""Of the fields of a state: what pages send and browsers keep may be anything."""


@dataclass(frozen=True)
class State:
    """The whole choice of a person before a viewer.

    Raises:
        ValueError: for a value that no face offers.
    """

    model: str = "chair"
    """Shipped model, or a folder."""
    category: str | None = None
    """Category; None: the model's default."""
    seed: int = 0
    """Seed of the noise."""
    locked: bool = False
    """Whether the seed stays when a new one is asked for."""
    steps: int = 2
    """Network evaluations."""
    ode: bool = False
    """Whether the steps are Euler's, of the ODE."""
    time: float = 1.0
    """Where on the way from noise (0) to shape (1)."""
    to_seed: int | None = None
    """Seed of the other end of an interpolation."""
    blend: float = 0.0
    """Share of the great circle towards `to_seed`."""
    mesh: str | None = None
    """Name of an opened mesh, which takes the place of a sample."""
    reconstruct: bool = False
    """Whether the opened mesh is followed by its reconstruction."""
    layout: str = "single"
    """One shape, nine seeds from `seed` on, or one noise at several step counts."""
    show: tuple[str, ...] = ("mesh",)
    """What is drawn of a shape."""
    slice: float = 0.0
    """Where the plane x = slice cuts the field."""
    cloud: str | None = None
    """Name of an opened cloud, of which a solid is made."""
    given: int = 1024
    """Points of the cloud that are used, at most."""
    answer: int = 0
    """Which solid: 0 the likeliest, others by the model's flow."""
    mirrored: bool = False
    """Whether the cloud's solid is made symmetric left and right."""
    up: str = "y"
    """Axis that points up in the file of what is opened; what is drawn of it stands already."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, expected = getattr(self, field.name), _TYPES[field.name]
            _require(_is_of(value, expected), field.name, _in_words(expected), value)
        _require(0 <= self.seed <= MAX_SEED, "seed", f"from 0 to {MAX_SEED}", self.seed)
        other = self.to_seed
        _require(other is None or 0 <= other <= MAX_SEED, "to_seed", f"from 0 to {MAX_SEED}", other)
        _require(1 <= self.steps <= MOST_STEPS, "steps", f"from 1 to {MOST_STEPS}", self.steps)
        _require(0.0 <= self.time <= 1.0, "time", "in [0, 1]", self.time)
        _require(0.0 <= self.blend <= 1.0, "blend", "in [0, 1]", self.blend)
        _require(-1.0 <= self.slice <= 1.0, "slice", "in [-1, 1]", self.slice)
        _require(self.layout in LAYOUTS, "layout", f"one of {', '.join(LAYOUTS)}", self.layout)
        points, last = f"from {FEWEST_POINTS} to {MOST_POINTS}", NUM_ANSWERS - 1
        _require(FEWEST_POINTS <= self.given <= MOST_POINTS, "given", points, self.given)
        _require(0 <= self.answer <= last, "answer", f"from 0 to {last}", self.answer)
        _require(self.up in UP_AXES, "up", f"one of {', '.join(UP_AXES)}", self.up)
        is_one = self.mesh is None or self.cloud is None
        _require(is_one, "cloud", "nothing beside an opened mesh", self.cloud)
        known = len(self.show) > 0 and set(self.show) <= set(SHOWS)
        _require(known, "show", f"one or more of {', '.join(SHOWS)}", self.show)
        # One spelling of a set: equal screens are equal states.
        object.__setattr__(self, "show", tuple(s for s in SHOWS if s in self.show))

    @property
    def undrawn(self) -> State:
        """The shapes alone, however they are drawn and cut."""
        return replace(self, show=SHOWS[:1], locked=False, slice=0.0)

    def needs_nothing_of(self, other: State) -> bool:
        """Whether the other's shapes, and its slices where one is wanted, do for this."""
        if self.undrawn != other.undrawn:
            return False
        return "slice" not in self.show or ("slice" in other.show and self.slice == other.slice)


def to_json(state: State) -> str:
    """The state as one line."""
    return json.dumps(asdict(state))


def from_json(text: str) -> State:
    """The state that `to_json` wrote.

    Raises:
        ValueError: if the text is no state of this version.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        names = {f.name for f in fields(State)}
        if set(content) != names:
            raise ValueError(f"expected the fields {', '.join(sorted(names))}")
        return State(**content | {"show": tuple(content["show"])})
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"not a state of the viewer: {error}") from error


def parts(state: State) -> list[tuple[str, State]]:
    """The single shapes of a state's layout, each with its label."""
    alone = replace(state, layout="single")
    if state.cloud is not None:
        return _answers(alone, state.layout)
    if state.mesh is not None:
        shapes = [(state.mesh, replace(alone, reconstruct=False))]
        if state.reconstruct:
            shapes.append(("reconstruction", replace(alone, reconstruct=True)))
        return shapes
    if state.layout == "variations":
        first = min(state.seed, MAX_SEED - NUM_VARIATIONS + 1)
        seeds = range(first, first + NUM_VARIATIONS)
        return [(f"seed {s}", replace(alone, seed=s, to_seed=None, blend=0.0)) for s in seeds]
    if state.layout == "compare":
        return [
            (
                label_of_steps(steps, ode=steps > MAX_STEPS),
                replace(alone, steps=steps, ode=steps > MAX_STEPS),
            )
            for steps in COMPARED_STEPS
        ]
    return [(label_of_steps(state.steps, ode=state.ode), alone)]


def _answers(alone: State, layout: str) -> list[tuple[str, State]]:
    """The solids of a cloud: one, of several numbers of points, or several of all of them."""
    if layout == "variations":
        return [(label_of_answer(i), replace(alone, answer=i)) for i in range(NUM_ANSWERS)]
    if layout == "compare":
        counts = sorted({*COMPARED_POINTS, alone.given})
        return [(f"{count} points", replace(alone, given=count)) for count in counts]
    return [(label_of_answer(alone.answer), alone)]


def label_of_answer(index: int) -> str:
    """'answer 1' and on."""
    return f"answer {index + 1}"


def visible(show: tuple[str, ...], possible: tuple[str, ...]) -> tuple[str, ...]:
    """What is drawn of a shape: what is wanted of it and possible, else its own form, the first."""
    return tuple(s for s in show if s in possible) or possible[:1]


def label_of_steps(steps: int, *, ode: bool) -> str:
    """'1 step', '2 steps', '50 steps of the ODE'."""
    return f"{steps} step{'' if steps == 1 else 's'}{' of the ODE' if ode else ''}"


def _is_of(value: object, expected: tuple[type, ...]) -> bool:
    """Whether a value has one of the types exactly (a bool is no number), and is no long text."""
    if type(value) not in expected:
        return False
    if isinstance(value, tuple):
        return len(value) <= len(SHOWS) and all(isinstance(part, str) for part in value)
    return not isinstance(value, str) or len(value) <= _LONGEST


def _in_words(expected: tuple[type, ...]) -> str:
    return " or ".join("nothing" if each is type(None) else each.__name__ for each in expected)


def _require(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"{name} must be {expected}, got {got!r}")

"""The commands, a row each, and how their arguments are read."""

from __future__ import annotations

import difflib
import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import tyro

from geoflow.models.kinds import DEFAULT, KINDS, Kind
from geoflow_cli.checks import check_most
from geoflow_cli.data_options import About, Get, List, Prepare
from geoflow_cli.edit_options import Complete, Interpolate, Vary
from geoflow_cli.errors import UsageError, failing, one_line
from geoflow_cli.options import Evaluate, Export, Info, Inspect, Rig, View

O = TypeVar("O")


def parse(options: type[O], command: str, words: Sequence[str]) -> O:
    """Options of a command; what is wrong is one line and exit code 2."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            found = tyro.cli(options, prog=f"geoflow {command}", args=list(words))
    except SystemExit as end:
        if end.code:
            line = one_line(said.getvalue())
            nearest = "" if "perhaps" in line else _nearest(options, words)
            raise UsageError(line + nearest) from end
        raise
    check_most(found, is_training=command == "train")
    return found


def _nearest(options: type[Any], words: Sequence[str]) -> str:
    """Which option was meant, of a word that is none: the parser does not tell where one lacks."""
    own = {f"--{field.name.replace('_', '-')}" for field in fields(options)}
    for name in sorted(given(words)):
        flag = f"--{name.replace('_', '-')}"
        if flag not in own and (close := difflib.get_close_matches(flag, sorted(own), 1, 0.8)):
            return f"; perhaps {close[0]} was meant"
    return ""


def given(words: Sequence[str]) -> frozenset[str]:
    """Names of the options that are given, whether or not at their defaults."""
    flags = (word[2:].partition("=")[0] for word in words if word.startswith("--"))
    return frozenset(flag.removeprefix("no-").replace("-", "_") for flag in flags)


def value_of(words: Sequence[str], *flags: str) -> str | None:
    """The value of an option before they are parsed, the last as there; None if it is not given."""
    found = None
    for i, word in enumerate(words):
        name, is_joined, value = word.partition("=")
        if name in flags:
            found = value if is_joined else next(iter(words[i + 1 : i + 2]), None)
    return found


def refuse_foreign(words: Sequence[str], kind: Kind, options: str, *, because: str) -> None:
    """Raise UsageError for an option that other kinds have, and this one does not."""
    own = {field.name for field in fields(getattr(kind.on("geoflow_cli.kinds"), options))}
    others = {
        field.name
        for other in KINDS.values()
        if (found := getattr(other.on("geoflow_cli.kinds"), options)) is not None
        for field in fields(found)
    }
    for name in sorted(given(words) & (others - own)):
        raise UsageError(f"--{name.replace('_', '-')} does not go with {because}")


def _train(words: Sequence[str]) -> None:
    kind = _kind_of_run(words)
    refuse_foreign(words, kind, "Train", because=f"--kind {kind.name}")
    options = parse(kind.on("geoflow_cli.kinds").Train, "train", words)
    from geoflow_cli.train import train

    train(options, kind, given(words))


def _kind_of_run(words: Sequence[str]) -> Kind:
    """That of the run to resume, or the one asked for, or that of the model to start from."""
    asked = value_of(words, "--kind", "--representation")
    out = value_of(words, "--out")
    if asked is not None and asked not in KINDS:
        raise UsageError(f"--kind must be one of {', '.join(KINDS)}, got {asked!r}")
    start = value_of(words, "--init-from", "--teacher")
    if "--resume" not in words or out is None:
        if asked is None and start is not None:
            from geoflow.models.kinds import describe_kind

            with failing():
                return describe_kind(start)
        return KINDS[asked or DEFAULT]
    from geoflow.training.run import read_config

    with failing():
        has = read_config(Path(out)).kind
    if asked not in (None, has):
        raise UsageError(f"{out} holds a run of --kind {has}, got {asked}")
    return KINDS[has]


def _sample(words: Sequence[str]) -> None:
    model = value_of(words, "--model")
    kind = KINDS[DEFAULT]
    if model is not None:
        from geoflow.models.kinds import describe_kind

        with failing():
            kind = describe_kind(model)
    if not kind.has_samples:
        raise UsageError(
            f"{model} finds {kind.makes} and has no samples: "
            f"geoflow rig --model {model} --mesh FIGURE --out joints.json"
        )
    refuse_foreign(words, kind, "Sample", because=f"a model of {kind.makes}")
    options = parse(kind.on("geoflow_cli.kinds").Sample, "sample", words)
    from geoflow_cli.sample import sample

    sample(options, kind)


def _plain(
    options: type[Any], title: str, place: str, *, tells_given: bool = False
) -> Callable[[Sequence[str]], None]:
    """A command whose options depend on nothing: they are read, and then it is carried out.

    Args:
        options: of the command.
        title: its words, for what is said of wrong ones.
        place: module and function of this package, imported after the options are read.
        tells_given: whether the function is told which options were given, too.
    """
    module, name = place.split(".")

    def run(words: Sequence[str]) -> None:
        found = parse(options, title, words)
        carry_out = getattr(importlib.import_module(f"geoflow_cli.{module}"), name)
        carry_out(found, *([given(words)] if tells_given else []))

    return run


def _data(words: Sequence[str]) -> None:
    """One of the words of `geoflow data`."""
    if words[:1] in ([], ["-h"], ["--help"]):
        lines = [f"  {name:13}{word.help}" for name, word in DATA.items()]
        print("\n".join(["usage: geoflow data WORD [OPTIONS]", "", *lines]))
        if not words:
            raise UsageError(f"geoflow data takes one of {', '.join(DATA)}")
        return
    _named(words[0], DATA, "geoflow data").run(words[1:])


@dataclass(frozen=True)
class Command:
    """A word of the command line."""

    run: Callable[[Sequence[str]], None]
    help: str


COMMANDS: dict[str, Command] = {
    "train": Command(_train, "Train a model: meshes, clouds, points of one surface, or a rigger."),
    "sample": Command(_sample, "Generate shapes and write them by suffix."),
    "evaluate": Command(
        _plain(Evaluate, "evaluate", "evaluate.evaluate", tells_given=True),
        "Score samples, or a model's, against a reference set.",
    ),
    "complete": Command(
        _plain(Complete, "complete", "complete.complete", tells_given=True),
        "Make a closed solid from points of its surface.",
    ),
    "vary": Command(_plain(Vary, "vary", "vary.vary"), "Make variations of a mesh."),
    "interpolate": Command(
        _plain(Interpolate, "interpolate", "interpolate.interpolate"),
        "Make a film, or meshes, on the way between two meshes.",
    ),
    "rig": Command(
        _plain(Rig, "rig", "rig.rig", tells_given=True),
        "Find the joints of a figure from its mesh.",
    ),
    "view": Command(
        _plain(View, "view", "view.view", tells_given=True),
        "Show a mesh, a cloud or samples, in a window, a browser or a file.",
    ),
    "inspect": Command(
        _plain(Inspect, "inspect", "inspect.inspect"),
        "Say what mesh files hold, how they are signed, what is refused.",
    ),
    "data": Command(_data, "Prepare folders and archives of shapes once; list known sets."),
    "export": Command(
        _plain(Export, "export", "export.export"),
        "Write a model of meshes as ONNX, for programs without torch.",
    ),
    "info": Command(
        _plain(Info, "info", "info.info"),
        "Print versions, devices, shipped models and optional packages.",
    ),
}


DATA: dict[str, Command] = {
    "list": Command(
        _plain(List, "data list", "data.list_sets"),
        "List the sets of shapes that geoflow knows of.",
    ),
    "info": Command(
        _plain(About, "data info", "data.about"),
        "Say of a set whose it is, what it holds, how to obtain it.",
    ),
    "get": Command(
        _plain(Get, "data get", "data.get"), "Prepare a set where it lies on this machine."
    ),
    "prepare": Command(
        _plain(Prepare, "data prepare", "data.prepare"),
        "Make shapes of meshes or clouds once, resumably.",
    ),
}
"""The words of `geoflow data`."""


def command_of(word: str) -> Command:
    """The command of a word.

    Raises:
        UsageError: with the nearest, if there is none.
    """
    return _named(word, COMMANDS, "command")


def _named(word: str, table: Mapping[str, Command], what: str) -> Command:
    if word not in table:
        near = difflib.get_close_matches(word, table, n=1)
        meant = f"perhaps {near[0]} was meant" if near else f"expected {', '.join(table)}"
        raise UsageError(f"there is no {what} {word!r}; {meant}")
    return table[word]


def overview() -> str:
    """What `geoflow --help` prints."""
    lines = [f"  {name:13}{command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: geoflow COMMAND [OPTIONS]",
            "",
            "Generate 3D geometry in one to four network evaluations.",
            "",
            *lines,
            "",
            "geoflow COMMAND --help lists a command's options; geoflow --version.",
        ]
    )

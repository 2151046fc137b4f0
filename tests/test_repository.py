"""The repository keeps its own promises: tables, files, versions, sizes, documents."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import geoflow
from geoflow.backbones import BACKBONES
from geoflow.couplings import COUPLINGS, BatchTransport
from geoflow.geometry.metrics import METRICS
from geoflow.geometry.metrics.normalise import NORMALISATIONS
from geoflow.interpolant import INTERPOLANTS
from geoflow.models.kinds import KINDS
from geoflow.objectives import OBJECTIVES, SPECIAL_CASES, Weight
from geoflow.objectives.cumulative import Derivative
from geoflow.prediction import PREDICTIONS
from geoflow.symmetry import FRAME_SIZES
from geoflow.times import TIME_PAIRS
from geoflow_cli.data_options import Prepare
from geoflow_cli.kinds.fields import Train
from geoflow_cli.options import Evaluate
from geoflow_datasets.prepared.engines import ENGINES
from geoflow_datasets.procedural import CATEGORIES

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("geoflow", "datasets", "tools", "viewer", "tests")
    for path in (ROOT / folder).rglob("*.py")
]
README = (ROOT / "README.md").read_text()
PYPROJECT = (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("objective", [*OBJECTIVES, *SPECIAL_CASES]),
        ("times", TIME_PAIRS),
        ("weight_space", get_args(get_type_hints(Weight)["space"])),
        ("interpolant", INTERPOLANTS),
        ("prediction", PREDICTIONS),
        ("symmetry", FRAME_SIZES),
        ("derivative", get_args(Derivative)),
    ],
)
def test_choices_of_the_command_line_are_the_tables(option, names):
    hint = get_type_hints(Train)[option]
    # An option that may be left out is a union with None.
    hints = [h for h in get_args(hint) if get_args(h)] or [hint]
    assert set(get_args(hints[0])) == set(names)


def test_couplings_of_the_command_line_are_of_the_table():
    """Not all: the points of a latent are no set."""
    names = set(get_args(get_type_hints(Train)["coupling"]))
    assert names <= set(COUPLINGS)
    batches = {name for name, coupling in COUPLINGS.items() if issubclass(coupling, BatchTransport)}
    assert names == batches | {"independent"}


def test_kinds_of_the_command_line_are_the_table():
    (names, *_) = get_args(get_type_hints(Train, include_extras=True)["kind"])
    assert set(get_args(names)) == set(KINDS)


def test_engines_of_the_command_line_are_the_table():
    assert set(get_args(get_type_hints(Prepare)["engine"])) == set(ENGINES)


def test_normalisations_of_the_command_line_are_the_table():
    assert set(get_args(get_type_hints(Evaluate)["normalise"])) == set(NORMALISATIONS)


@pytest.mark.parametrize("name", METRICS)
def test_the_document_of_metrics_lists_every_entry(name):
    assert f"| `{name}` |" in (ROOT / "docs" / "metrics.md").read_text()


@pytest.mark.parametrize("name", [*OBJECTIVES, *SPECIAL_CASES, *BACKBONES])
def test_readme_lists_every_entry(name):
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_are_functions_of_their_name(name):
    assert CATEGORIES[name].__name__ == name


@pytest.mark.parametrize("kind", [*OBJECTIVES.values(), *BACKBONES.values()])
def test_objectives_and_backbones_cite_their_source(kind):
    assert re.search("References?:", inspect.getmodule(kind).__doc__ or "")


def test_files_are_short_and_documented():
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in SOURCES}
    assert [name for name, text in texts.items() if len(text.splitlines()) > 400] == []
    told = ('"""', "#")
    assert [name for name, t in texts.items() if t and not t.lstrip().startswith(told)] == []


def long_functions(text, most=60):
    """Names of functions of more lines than that, signature and docstring included."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return [node.name for node in nodes if node.end_lineno - node.lineno >= most]


def test_functions_are_short():
    """But for a category of made shapes, which is one long list of parts and choices."""
    files = [
        path for path in SOURCES if "tests" not in path.parts and path.parent.name != "procedural"
    ]
    found = {path.name: long_functions(path.read_text()) for path in files}
    assert {name: functions for name, functions in found.items() if functions} == {}
    assert long_functions("def f():\n" + "    pass\n" * 60) == ["f"]
    assert long_functions("def f():\n" + "    pass\n" * 59) == []


def test_law_has_one_meaning():
    """An identity, and what a test holds to; a probability distribution has its own word."""
    wrong = re.compile(
        r"\blaws? of (?:the )?(?:its |one |a )?(?:points?|times?|pairs|surface|shapes?|data)|"
        r"\bdata laws?\b|\blogit-normal law|\bPointLaw"
    )
    folders = ("geoflow", "datasets", "tools", "viewer", "docs")
    files = [p for f in folders for s in ("*.py", "*.md") for p in (ROOT / f).rglob(s)]
    found = {p.name: wrong.findall(p.read_text()) for p in [*files, ROOT / "README.md"]}
    assert {name: words for name, words in found.items() if words} == {}
    assert wrong.findall("the law of the points, a law of times")


def test_public_names_are_listed_and_there():
    page = (ROOT / "docs" / "api.md").read_text()
    for name in geoflow.__all__:
        assert getattr(geoflow, name) is not None
        assert f"`{name}`" in page
    assert set(geoflow.__all__) | {"neighbors"} <= set(dir(geoflow))
    with pytest.raises(AttributeError, match="has no attribute 'utils'"):
        _ = geoflow.utils


def test_public_classes_are_those_of_their_kinds():
    page = (ROOT / "docs" / "api.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \| `geoflow train", page, re.M))
    assert len(told) == 5
    assert told.items() <= {name: kind.model for name, kind in KINDS.items()}.items()
    assert set(told.values()) <= set(geoflow.__all__)


def test_versions_agree():
    assert re.search(
        rf"^## \[{re.escape(geoflow.__version__)}\]", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    floor = re.search(r'requires-python = ">=([\d.]+)"', PYPROJECT).group(1)
    assert f"Python {floor} or newer" in README


def test_ci_makes_the_checks_that_contributing_names():
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    checks = re.findall(r"```bash\n(.*?)```", contributing, re.S)[1].strip().splitlines()
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in ci if line in checks] == checks


def test_no_large_or_foreign_files_are_tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert not [f for f in files if f.suffix in {".whl", ".npy", ".npz", ".pt", ".pkl"}]
    assert not [f for f in files if f.exists() and f.stat().st_size > 12_000_000]


def test_constraints_name_every_dependency():
    names = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()
             if "==" in line}  # fmt: skip
    listed = re.findall(r'^  "([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?[<>]=?\d', PYPROJECT, flags=re.M)
    assert set(listed) <= names
    assert {"torch", "trimesh", "viser", "pytest"} <= set(listed)


def test_every_name_is_defined():
    """Ruff and mypy read jaxtyping's shapes as names, and are told to find none missing."""
    said = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--exit-zero",
         "--output-format", "json", "geoflow", "datasets", "tools", "viewer", "tests"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(said.stdout)
    assert found, 'a shape such as "b n 3" counts as one, or ruff has changed'
    missing = []
    for one in found:
        row, column = one["location"]["row"], one["location"]["column"]
        line = Path(one["filename"]).read_text(encoding="utf-8").splitlines()[row - 1]
        # A shape stands in quotes: an odd number of them lies before it.
        if line[: column - 1].count('"') % 2 == 0:
            missing.append(f"{one['filename']}:{row}: {one['message']}")
    assert missing == []

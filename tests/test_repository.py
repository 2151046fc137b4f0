"""The repository keeps its own promises: tables, files, versions, sizes, documents."""

import inspect
import re
import subprocess
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import geoflow
from geoflow.backbones import BACKBONES
from geoflow.geometry.metrics import METRICS
from geoflow.geometry.metrics.normalise import NORMALISATIONS
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives import OBJECTIVES, SPECIAL_CASES, Weight
from geoflow.objectives.cumulative import Derivative
from geoflow.prediction import PREDICTIONS
from geoflow.symmetry import FRAME_SIZES
from geoflow.times import TIME_PAIRS
from geoflow_cli.options import Evaluate, Train
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_documented(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert not text or text.lstrip().startswith(('"""', "#"))


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

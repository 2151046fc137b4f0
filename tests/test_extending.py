"""docs/extending*.md, followed to the letter on a copy of the repository, all recipes at once."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import trimesh

ROOT = Path(__file__).parents[1]
PAGES = [
    (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("extending.md", "extending-data.md", "extending-models.md")
]
COPIED = (
    "geoflow", "datasets", "tools", "viewer", "tests", "docs", ".ci", "README.md", "pyproject.toml",
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "constraints.txt", "SECURITY.md",
)  # fmt: skip
_FILE = re.compile(r"^`([\w/.]+)`:\n\n```python\n(.*?)```$", re.S | re.M)
_DIFF = re.compile(r"^```diff\n(.*?)```$", re.S | re.M)


@dataclass(frozen=True)
class Recipe:
    """A section of a page."""

    title: str
    text: str

    @property
    def files(self):
        """Text of every new file, by its path."""
        return dict(_FILE.findall(self.text))

    @property
    def diffs(self):
        """Changes of files that are there."""
        return _DIFF.findall(self.text)

    @property
    def changed(self):
        """Paths of files that are there."""
        return re.findall(r"^\+\+\+ b/(.*)$", "\n".join(self.diffs), re.M)

    def apply(self, folder):
        """Follow the recipe."""
        for name, code in self.files.items():
            (folder / name).write_text(code, encoding="utf-8")
        for diff in self.diffs:
            subprocess.run(
                ["git", "apply", "-"],
                input=diff, text=True, cwd=folder, check=True, capture_output=True,
            )  # fmt: skip


RECIPES = [
    Recipe(*section.partition("\n")[::2])
    for page in PAGES
    for section in re.split(r"^## ", page, flags=re.M)[1:]
]
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)


def recipe_of(word):
    (found,) = [recipe for recipe in RECIPES if f"`{word}`" in recipe.title]
    return found


def touched(folder):
    """A copy of the files that recipes change, and folders for those that they make."""
    for recipe in RECIPES:
        for name in (*recipe.changed, *recipe.files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name in recipe.changed:
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_every_table_has_a_recipe():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = re.search(r"^- \*\*Rooms\.\*\*.*?^- ", contributing, re.S | re.M)
    tables = re.findall(r"`([A-Z]+)`", rooms[0])
    assert len(tables) == 10
    for table in (*tables, "Condition"):
        recipe_of(table)
    # The first page points to each recipe by its title, as GitHub makes anchors of titles.
    pointed = re.findall(r"^\| `(\w+)` \|.*\(([\w.-]*)#([\w-]+)\) \|$", PAGES[0], re.M)
    assert [table for table, *_ in pointed] == [re.search(r"`(\w+)`", r.title)[1] for r in RECIPES]
    for table, page, anchor in pointed:
        title = recipe_of(table).title
        assert anchor == re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        assert f"## {title}\n" in (ROOT / "docs" / (page or "extending.md")).read_text()


def test_pages_are_short():
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    assert [page.name for page in pages if len(page.read_text().splitlines()) > 400] == []


@every_recipe
def test_a_recipe_touches_the_files_that_it_says(recipe):
    (num,) = map(int, re.findall(r"Touches (\d) files?", recipe.text))
    assert num == len(set(recipe.changed) | set(recipe.files))
    blocks = len(re.findall(r"^```(?:python|diff)$", recipe.text, re.M))
    assert blocks == len(recipe.files) + len(recipe.diffs) > 0


def test_the_dearest_recipes_stay_cheap():
    def num(word):
        return len(recipe_of(word).files) + len(set(recipe_of(word).changed))

    assert num("SOURCES") == num("INTERPOLANTS") == num("PREDICTIONS") == num("COUPLINGS") == 2
    assert num("Condition") <= 6
    # A row, a word, and a room on each of four floors.
    assert num("KINDS") <= 6


@every_recipe
def test_the_recipe_applies_alone(recipe, tmp_path):
    folder = touched(tmp_path)
    for name in recipe.files:
        assert not (ROOT / name).exists()
    recipe.apply(folder)
    with pytest.raises(subprocess.CalledProcessError):
        recipe.apply(folder)


def test_recipes_apply_one_after_the_other(tmp_path):
    folder = touched(tmp_path)
    for recipe in RECIPES:
        recipe.apply(folder)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository with the recipes of all pages."""
    folder = tmp_path_factory.mktemp("extended") / "geoflow"
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, folder)
        else:
            left = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=left)
    for recipe in RECIPES:
        recipe.apply(folder)
    return folder


def run(folder, *arguments, timeout=300):
    """What a program of the copy says, at its exit code 0."""
    paths = [str(folder / name) for name in ("", "datasets", "tools", "viewer")]
    environment = {name: text for name, text in os.environ.items() if "PYTEST" not in name}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    result = subprocess.run(
        [*map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    return result.stdout


def geoflow(folder, *words):
    return run(folder, sys.executable, "-W", "ignore", "-m", "geoflow", *words)


@pytest.mark.slow
def test_linters_pass_in_the_copy(copy):
    programs = Path(sys.executable).parent
    run(copy, programs / "ruff", "check", "--no-cache", ".")
    run(copy, programs / "ruff", "format", "--no-cache", "--check", ".")
    run(copy, programs / "lint-imports", "--no-cache")
    run(copy, programs / "mypy", "--cache-dir", copy.parent / "mypy", timeout=900)


@pytest.mark.copy
def test_the_whole_suite_passes_in_the_copy(copy):
    """But for the wheel, which is built of a checkout, and this file."""
    chosen = (
        "-m",
        "not screen and not slow and not copy and not wheel and not cluster and not gpu",
        "--ignore",
        "tests/test_extending.py",
    )
    said = run(
        copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, timeout=3_000
    )
    assert int(re.search(r"(\d+) passed", said).group(1)) > 1_500
    # What is new was tested, by the tables alone.
    listed = run(
        copy, sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *chosen,
        "--collect-only",
    )  # fmt: skip
    for word in ("semigroup", "parabolic", "greedy", "point-invariants", "bowl", "height",
                 "normals", "inline", "abo"):  # fmt: skip
        assert re.search(rf"\[(?:.*-)?{word}(?:-.*)?\]", listed), word


SMALL = ("--steps", "2", "--sheet-every", "0", "--no-progress", "--device", "cpu")


@pytest.mark.slow
def test_the_command_line_knows_the_new_words(copy):
    here, elsewhere = (geoflow(folder, "train", "--help") for folder in (copy, ROOT))
    for word in ("semigroup", "parabolic", "mean-v", "greedy", "normals"):
        assert word in here
        assert word not in elsewhere


@pytest.mark.slow
def test_a_new_category_is_trained_in_a_new_cell_by_a_new_objective_and_coupling(copy, tmp_path):
    chosen = ("--objective", "semigroup", "--interpolant", "parabolic")
    chosen += ("--prediction", "mean-v", "--coupling", "greedy")
    shapes = ("--shape-category", "bowl", "--num-shapes", "6")
    geoflow(copy, "train", *shapes, *chosen, *SMALL, "--out", tmp_path / "bowls")
    made = tmp_path / "bowl.obj"
    geoflow(copy, "sample", "--model", tmp_path / "bowls", "--resolution", "32", "--out", made)
    assert trimesh.load(made).is_watertight
    # Others do not know the cell of the model.
    with pytest.raises(AssertionError, match="has no usable card"):
        geoflow(ROOT, "sample", "--model", tmp_path / "bowls", "--out", made)


@pytest.mark.slow
def test_clouds_of_a_new_source_are_trained(copy, tmp_path):
    rng = np.random.default_rng(0)
    with ZipFile(tmp_path / "clouds.zip", "w") as archive:
        for name in ("a.npy", "b.npy", "c.npy"):
            np.save(tmp_path / name, rng.normal(size=(300, 3)))
            archive.write(tmp_path / name, name)
    data = ("--kind", "points", "--data", tmp_path / "clouds.zip", "--shape-category", "blob")
    said = geoflow(copy, "train", *data, *SMALL, "--out", tmp_path / "blobs")
    assert "3 clouds" in said
    with pytest.raises(AssertionError, match="data must be"):
        geoflow(ROOT, "train", *data, *SMALL, "--out", tmp_path / "others")


@pytest.mark.slow
@pytest.mark.parametrize("interpolant", ["ve", "parabolic"])
def test_a_model_of_the_new_kind_is_trained_sampled_and_shown(copy, tmp_path, interpolant):
    trimesh.creation.box().export(tmp_path / "box.obj")
    data = ("--kind", "normals", "--data", tmp_path / "box.obj", "--interpolant", interpolant)
    model = ("--model", tmp_path / "run")
    geoflow(copy, "train", *data, *SMALL[:2], "--no-progress", "--out", tmp_path / "run")
    assert '"quality"' in (tmp_path / "run" / "log.jsonl").read_text()
    geoflow(copy, "sample", *model, "--points", "500", "--out", tmp_path / "normals.npy")
    made = np.load(tmp_path / "normals.npy")
    assert made.shape == (500, 3)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1.0, atol=1e-5)
    geoflow(copy, "view", *model, "--show", "points", "--out", tmp_path / "normals.ply")
    assert (tmp_path / "normals.ply").is_file()


HEIGHT = """
import sys
from pathlib import Path

import torch

from geoflow.backbones import ShapeConfig, TransformerConfig
from geoflow.models.fields import FieldConfig
from geoflow.models.kinds import load
from geoflow.training.run import Run, RunConfig
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.latent_flow import FlowTraining
from geoflow_datasets import load as load_bank

sizes = {"num_tokens": 4, "scalars": 4, "vectors": 1}
model = FieldConfig(
    categories=("table", "lamp"),
    autoencoder=ShapeConfig(**sizes),
    transformer=TransformerConfig(**sizes, num_categories=2, blocks=1, height=True),
)
stages = {
    "autoencoder": AutoencoderTraining(steps=2, batch=4, num_surface=32, num_queries=64),
    "flow": FlowTraining(steps=20, batch=8, num_surface=32, coupling="batch"),
}
bank = load_bank("procedural", "table,lamp", split="train", num=8)
height = bank.condition_of(range(8)).height
assert height.shape == (8,) and 0 < height.min() < height.max() <= 1
folder = Path(sys.argv[1])
for progress in Run.create(folder, RunConfig(model=model, stages=stages)).train(bank):
    pass
model = load(folder)
noise = model.noise(2)
low, high, again = (
    model.sample_latents(noise, model.condition(2, height=h)) for h in (0.2, 0.9, 0.9)
)
assert torch.equal(high, again)
assert not torch.equal(high, low)
"""


@pytest.mark.slow
def test_a_new_field_of_the_condition_is_given_read_and_asked_for(copy, tmp_path):
    run(copy, sys.executable, "-W", "ignore", "-c", HEIGHT, tmp_path / "run")


NETWORK = """
import torch

from geoflow.backbones import BACKBONES, PointInvariantsConfig
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives import build_objective
from geoflow.samplers import sample_flow_map
from geoflow.symmetry import upright_frame

torch.manual_seed(0)
network = BACKBONES["point-invariants"](PointInvariantsConfig())
flow_map = FlowMap(network, "parabolic", "mean-v")
optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
objective, losses = build_objective("semigroup"), []
x0, x1 = torch.randn(2, 4, 32, 3)
cond = Condition(upright_frame("frame", 4))
for _ in range(40):
    generator = torch.Generator().manual_seed(0)
    loss = objective(flow_map, x0, x1, cond, generator=generator).total.mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
assert losses[-1] < losses[0]
*_, end = sample_flow_map(flow_map, x0, steps=2, cond=cond)
assert end.shape == x1.shape
"""


@pytest.mark.slow
def test_the_new_network_is_trained_and_sampled(copy):
    run(copy, sys.executable, "-W", "ignore", "-c", NETWORK)

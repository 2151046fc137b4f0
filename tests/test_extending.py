"""docs/extending.md, followed to the letter on a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.S)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository with the guide's edits."""
    folder = tmp_path_factory.mktemp("extended")
    for name in ("geoflow", "datasets", "tools", "viewer", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (name,) = re.findall(r"\*\*1\. The file\*\*, `(.*?)`", GUIDE)
    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    (folder / name).write_text(code, encoding="utf-8")
    for kind, text in BLOCKS:
        if kind == "diff":
            subprocess.run(
                ["git", "apply", "-"],
                input=text, text=True, cwd=folder, check=True,
            )  # fmt: skip
    return folder


def run(arguments, folder):
    paths = [str(folder / name) for name in ("", "datasets", "tools", "viewer")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_laws_hold_for_the_new_objective(copy):
    (command,) = [text.split() for kind, text in BLOCKS if kind == "bash"]
    result = run([*command[1:], "-q", "-p", "no:cacheprovider"], copy)
    assert result.returncode == 0, result.stdout[-2000:]
    passed = int(re.search(r"(\d+) passed", result.stdout).group(1))
    assert passed > 25


def test_the_command_line_knows_it(copy):
    (name,) = re.findall(r"train --objective ([\w-]+)", GUIDE)
    assert name in run(["-m", "geoflow", "train", "--help"], copy).stdout
    elsewhere = run(["-m", "geoflow", "train", "--help"], ROOT).stdout
    assert name not in elsewhere

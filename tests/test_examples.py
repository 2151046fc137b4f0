"""The examples of docs/ run, and do without what they say they do without."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "docs" / "examples" / "digits.py"


def run(*arguments, cwd):
    paths = [str(ROOT / folder) for folder in ("", "datasets", "tools", "viewer")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "agg"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_digits_learn_train_and_draw(tmp_path):
    flags = ("--steps", 30, "--batch", 32, "--out", "d.png")
    said = run(DIGITS, *flags, cwd=tmp_path)
    report = json.loads(said[said.index("{") :])
    assert list(report) == ["1", "2", "4", "50 (ODE)"]
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_digits_import_no_geometry(tmp_path):
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='example');"
        "print([m for m in sys.modules if m.startswith('geoflow.geometry') or m == 'trimesh'])"
    )
    assert run("-c", code, DIGITS, cwd=tmp_path).strip() == "[]"

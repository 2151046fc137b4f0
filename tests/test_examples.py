"""The examples of docs/ run, and do without what they say they do without."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "docs" / "examples" / "digits.py"
CLOUDS = ROOT / "docs" / "examples" / "clouds.py"


def run(*arguments, cwd):
    paths = [str(ROOT / folder) for folder in ("", "datasets", "tools", "viewer")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "agg"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_digits_learn_train_and_draw(tmp_path):
    flags = ("--steps", 30, "--batch", 32, "--out", "d.png")
    said = run(DIGITS, *flags, cwd=tmp_path)
    report = json.loads(said[said.index("{") :])
    assert list(report) == ["1", "2", "4", "50 (ODE)"]
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_figure_of_the_mathematics_is_drawn(tmp_path):
    run(ROOT / "docs" / "examples" / "mathematics.py", "--out", "m.png", cwd=tmp_path)
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("network", ["point-transformer", "point-messages"])
def test_a_network_of_point_sets_trains_on_a_folder_of_clouds(tmp_path, network):
    rng = np.random.default_rng(0)
    (tmp_path / "clouds").mkdir()
    for i in range(4):
        points = rng.normal(size=(300, 3))
        np.save(tmp_path / "clouds" / f"{i}.npy", points / np.linalg.norm(points, axis=1)[:, None])
    flags = ("--data", "clouds", "--category", "all", "--network", network, "--out", "a.npy")
    small = ("--points", 32, "--batch", 2, "--training.steps", 6)
    said = run(CLOUDS, *flags, *small, cwd=tmp_path)
    assert "4 evaluations: Chamfer distance to the nearest held-out 0." in said
    made = np.load(tmp_path / "a.npy")
    assert made.shape == (32, 3)
    assert np.isfinite(made).all()


def test_digits_import_no_geometry(tmp_path):
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='example');"
        "print([m for m in sys.modules if m.startswith('geoflow.geometry.') or m == 'trimesh'"
        " if 'neighbors' not in m])"
    )
    assert run("-c", code, DIGITS, cwd=tmp_path).strip() == "[]"

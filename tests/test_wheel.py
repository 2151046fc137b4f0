"""The wheel, installed elsewhere, samples there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trimesh

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.wheel
def test_wheel_samples_outside_the_checkout(tmp_path):
    def run(*arguments, **environment):
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("geoflow-*.whl")
    site = tmp_path / "site"
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
    where = run("-c", "import geoflow; print(geoflow.__file__)", PYTHONPATH=str(site))
    assert Path(where.strip()).is_relative_to(site)
    run("-m", "geoflow", "sample", "--out", "mesh.obj", "--resolution", "48", PYTHONPATH=str(site))
    assert trimesh.load_mesh(tmp_path / "mesh.obj").is_watertight

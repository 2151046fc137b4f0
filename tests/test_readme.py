"""Every block of the README runs, or is what .ci/run runs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def run(arguments, cwd):
    environment = os.environ | {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def expanded(words, cwd):
    """The words as a shell would pass them: patterns become the names of files."""
    for word in words:
        names = sorted(str(file.relative_to(cwd)) for file in cwd.glob(word))
        yield from names if "*" in word else [word]


def commands():
    for kind, text in BLOCKS:
        if kind == "bash":
            for line in text.splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["geoflow"]:
                    yield words[1:]


def test_install_and_test_blocks_are_those_of_ci():
    ci = (ROOT / ".ci" / "run").read_text()
    first, second = BLOCKS[0][1], BLOCKS[1][1]
    assert first.endswith("geoflow sample --steps 2 --out mesh.obj\n")
    venv, install, test = second.strip().split(" && ")
    assert venv == "python3 -m venv .venv"
    assert install.replace(".venv/bin/", "") == 'pip install -e ".[viewer,dev]"'
    assert '-e ".[viewer,dev]"' in ci
    assert test.replace(".venv/bin/", "") in ci.splitlines()


def test_python_block_runs(tmp_path):
    (block,) = [text for kind, text in BLOCKS if kind == "python"]
    lines = run(["-c", block], tmp_path).splitlines()
    assert len(lines) == 2
    assert all("True 2" in line for line in lines)
    assert (tmp_path / "mesh.ply").is_file()


@pytest.mark.slow
def test_commands_run_in_their_order(tmp_path):
    """Training commands get three steps and few shapes; the folder of meshes is made first."""
    import trimesh

    (tmp_path / "meshes").mkdir()
    for i in range(4):
        box = trimesh.creation.box(extents=[1.0 + 0.1 * i, 1.0, 0.5])
        box.export(tmp_path / "meshes" / f"box{i}.obj")
    small = ["--steps", "3", "--sheet-every", "0", "--no-progress"]
    figure = trimesh.creation.capsule(height=2.0, radius=0.3)
    figure.export(tmp_path / "figure.obj")
    for words in commands():
        extra = []
        if words[0] == "train":
            extra = small + ([] if "--data" in words else ["--num-shapes", "6"])
        if words[0] == "sample":
            extra = [] if "--points" in words else ["--resolution", "32"]
        if words[0] in ("complete", "vary", "interpolate"):
            extra = ["--resolution", "32"]
        if words[0] == "interpolate":
            extra += ["--frames", "3"]
        if words[0] == "evaluate":
            extra = ["--num", "4", "--resolution", "32", "--points", "64", "--emd-points", "16"]
        run(["-m", "geoflow", *expanded(words, tmp_path), *extra], tmp_path)
    assert (tmp_path / "mesh.obj").is_file()
    assert len(list(tmp_path.glob("table-*.ply"))) == 8
    assert len(trimesh.load(tmp_path / "cloud.ply").vertices) == 4096
    assert len(trimesh.load(tmp_path / "points.ply").vertices) == 100_000
    assert '"one_nna"' in (tmp_path / "report.json").read_text()
    assert (tmp_path / "geoflow-view.png").is_file()
    assert json.loads((tmp_path / "rigged.json").read_text())["network_evaluations"] == 5
    assert (tmp_path / "rigged.glb").is_file()
    assert (tmp_path / "rig.png").is_file()

"""The script that trains what is shipped, in small."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import trimesh

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "train_shipped.sh"


def run(tmp_path, *arguments):
    environment = {
        **os.environ, "TMPDIR": str(tmp_path / "temporary"),
        "GEOFLOW_CACHE": str(tmp_path / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
    }  # fmt: skip
    (tmp_path / "temporary").mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_what_is_shipped_is_trained_by_one_script(tmp_path):
    folder = tmp_path / "meshes"
    (folder / "mug").mkdir(parents=True)
    trimesh.creation.annulus(0.3, 0.5, 1.0).export(folder / "mug" / "ring.obj")
    (folder / "splits.json").write_text(json.dumps({"mug/ring.obj": "train"}))
    done = run(tmp_path, "--dry-run", folder)
    assert done.returncode == 0, done.stderr
    assert "trained, stored, read and sampled" in done.stdout
    assert "autoencoder 1: loss" in done.stdout
    assert "flow 1: loss" in done.stdout
    # Nothing is left behind but the shapes that any run may use again.
    assert list((tmp_path / "temporary").iterdir()) == []


def test_it_says_what_it_needs(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("train_shipped: expected MESHES")

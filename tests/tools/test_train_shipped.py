"""The script that trains what is shipped, in small."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
import trimesh

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "train_shipped.sh"


@pytest.fixture
def temporary():
    """A folder whose name leaves room for a socket's, which pytest's own does not everywhere."""
    with tempfile.TemporaryDirectory(prefix="gf-", dir="/tmp") as folder:
        yield Path(folder)


def run(tmp_path, temporary, *arguments):
    environment = {
        **os.environ, "TMPDIR": str(temporary),
        "GEOFLOW_CACHE": str(tmp_path / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
    }  # fmt: skip
    return subprocess.run(
        ["bash", SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_what_is_shipped_is_trained_by_one_script(tmp_path, temporary):
    folder = tmp_path / "meshes"
    (folder / "mug").mkdir(parents=True)
    trimesh.creation.annulus(0.3, 0.5, 1.0).export(folder / "mug" / "ring.obj")
    (folder / "splits.json").write_text(json.dumps({"mug/ring.obj": "train"}))
    done = run(tmp_path, temporary, "--dry-run", folder)
    assert done.returncode == 0, done.stderr
    assert "trained, stored, read and sampled" in done.stdout
    assert "autoencoder 1: loss" in done.stdout
    assert "flow 1: loss" in done.stdout
    assert "decoder" in done.stdout
    assert "residual" in done.stdout
    # Nothing is left behind but the shapes that any run may use again.
    assert list(temporary.iterdir()) == []


def test_it_says_what_it_needs(tmp_path, temporary):
    done = run(tmp_path, temporary)
    assert done.returncode == 2
    assert done.stderr.startswith("train_shipped: expected MESHES")

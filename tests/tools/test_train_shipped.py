"""The script that trains what is shipped, in small."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "train_shipped.sh"


@pytest.mark.slow
def test_what_is_shipped_is_trained_by_one_script(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path), "GEOFLOW_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        ["bash", SCRIPT, "--dry-run"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "trained, stored, read and sampled" in done.stdout
    # Nothing is left behind but the shapes that any run may use again.
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]

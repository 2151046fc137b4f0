"""Work in processes: its order, and scripts that every worker would run again."""

import subprocess
import sys

import pytest

from geoflow_datasets.workers import WorkersDiedError, map_in_processes

SHAPES = """
import os
from pathlib import Path
from geoflow_datasets.procedural.source import load_procedural
os.cpu_count = lambda: 2
load_procedural(["mug"], split="val", num=32, num_surface=8, num_queries=8, cache=Path("cache"))
"""
NUMBERS = """
from geoflow_datasets.workers import map_in_processes
if __name__ == "__main__":
    print(list(map_in_processes(abs, [-1, 2, -3], 2)))
"""


def ran(folder, script):
    path = folder / "script.py"
    path.write_text(script)
    return subprocess.run(
        [sys.executable, path],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_script_without_a_main_guard_ends_with_one_message(tmp_path):
    result = ran(tmp_path, SHAPES)
    assert result.returncode == 1
    assert result.stdout == ""
    said = result.stderr
    assert said.splitlines()[-1].startswith("geoflow_datasets.workers.WorkersDiedError: a worker")
    assert 'if __name__ == "__main__":' in said
    assert "bootstrapping" not in said
    assert not (tmp_path / "cache").exists()


def test_a_guarded_script_gets_its_results_in_order(tmp_path):
    result = ran(tmp_path, NUMBERS)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[1, 2, 3]\n", "")


def test_one_worker_is_this_process():
    seen = []
    assert list(map_in_processes(seen.append, [3, 1, 2], 1)) == [None] * 3
    assert seen == [3, 1, 2]


def test_errors_of_the_work_are_its_own():
    def fail(job):
        raise RuntimeError(f"job {job}")

    with pytest.raises(RuntimeError, match="job 1") as error:
        list(map_in_processes(fail, [1], 1))
    assert not isinstance(error.value, WorkersDiedError)

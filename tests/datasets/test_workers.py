"""Work in processes: its order, its errors, and scripts without a main guard."""

import os
import subprocess
import sys
import time
from functools import partial

import pytest

from geoflow_datasets.workers import WorkersDiedError, map_in_processes

SCRIPT = """
from geoflow_datasets.workers import map_in_processes
print(list(map_in_processes(abs, [-1, 2, -3], 2)))
"""
CHILDREN = """
import os, subprocess
from geoflow_datasets.workers import map_in_processes

def workers():
    command = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    return sum("resource_tracker" not in line for line in said.splitlines()) - 1

results = map_in_processes(abs, range(100), 2)
print(next(results), workers())
results.close()
print(workers())
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


def die(job):
    if job == 1:
        os._exit(9)
    return job


def refuse(job):
    raise KeyError(f"job {job}")


def test_a_script_without_a_main_guard_gets_its_results_in_order(tmp_path):
    result = ran(tmp_path, SCRIPT)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[1, 2, 3]\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's ps")
def test_no_worker_is_left_when_results_are_not_all_taken(tmp_path):
    result = ran(tmp_path, CHILDREN)
    assert (result.returncode, result.stdout, result.stderr) == (0, "0 2\n0\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's ps")
def test_who_goes_early_waits_for_nothing_that_runs(tmp_path):
    """At Ctrl-C, too: a shape may take minutes. It would run into the test's own limit."""
    result = ran(tmp_path, CHILDREN.replace("abs, range(100)", "time.sleep, [0, 0, 900, 900, 900]")
                 .replace("import os,", "import time, os,"))  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "None 2\n0\n", "")


def test_a_dead_worker_is_one_clear_line():
    with pytest.raises(WorkersDiedError, match="a worker process died: memory") as error:
        list(map_in_processes(die, [0, 1, 2], 2))
    assert len(str(error.value).splitlines()) == 1


def test_one_worker_is_this_process():
    seen = []
    assert list(map_in_processes(seen.append, [3, 1, 2], 1)) == [None] * 3
    assert seen == [3, 1, 2]


def test_each_of_several_workers_keeps_to_one_core(monkeypatch):
    names = ["OMP_NUM_THREADS", "IGL_NUM_THREADS"]
    for name in names:
        monkeypatch.setenv(name, "2")
    assert list(map_in_processes(os.getenv, names, 2)) == ["1", "1"]
    # The twin: this process, alone, has what it was given.
    assert list(map_in_processes(os.getenv, names, 1)) == ["2", "2"]


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_the_work_are_its_own(workers):
    with pytest.raises(KeyError, match="job 1"):
        list(map_in_processes(refuse, [1], workers))


def test_results_that_nobody_takes_are_not_made(tmp_path):
    """They would be in memory, all of them, where who takes them is slow."""
    results = map_in_processes(partial(touched, tmp_path), range(1000), 2)
    assert next(results) == 0
    time.sleep(2)
    assert 1 <= len(list(tmp_path.iterdir())) <= 2 * 64 + 1
    results.close()
    again = tmp_path / "again"
    again.mkdir()
    assert list(map_in_processes(partial(touched, again), range(300), 2)) == list(range(300))


def touched(folder, number):
    (folder / str(number)).touch()
    return number

"""The other processes of a training come and go with the first, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from geoflow.training import launch

NUM = 3
PROGRAM = """
import importlib.util, os, sys, time
from pathlib import Path

spec = importlib.util.spec_from_file_location("launch", sys.argv[1])
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)
folder, way = Path(sys.argv[2]), sys.argv[3]
others = launch.Others()
others.start(3, 1)
rank = os.environ["LOCAL_RANK"]
(folder / f"{rank}.new").write_text(f"{os.getpid()} {os.environ['MASTER_PORT']}")
(folder / f"{rank}.new").rename(folder / rank)
while len(list(folder.glob("[0-9]"))) < 3:
    time.sleep(0.01)
if way == "ended" and rank == "0":
    others.end()
elif way == "failing" and rank == "2":
    sys.exit(3)
elif way == "done":
    time.sleep(0.5 * int(rank))
    (folder / f"done{rank}").touch()
else:
    time.sleep(60)
"""


def begun(folder, way):
    """The first process, and the numbers of all, once they run."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    first = subprocess.Popen(
        [sys.executable, program, launch.__file__, folder, way], stderr=subprocess.PIPE, text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("MASTER")},
    )  # fmt: skip
    end = time.monotonic() + 60
    while len(found := list(folder.glob("[0-9]"))) < NUM:
        assert time.monotonic() < end
        time.sleep(0.01)
    texts = [path.read_text().split() for path in sorted(found)]
    assert len({port for _, port in texts}) == 1
    return first, [int(number) for number, _ in texts]


def await_that_none_lives(numbers):
    end = time.monotonic() + 30
    while any(map(lives, numbers)):
        assert time.monotonic() < end
        time.sleep(0.02)


def lives(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_others_end_with_the_first_however_it_ends(tmp_path, number):
    first, numbers = begun(tmp_path, "sleeping")
    assert all(map(lives, numbers))
    # What a terminal sends to the first's group is not theirs.
    assert {os.getpgid(each) for each in numbers[1:]}.isdisjoint({os.getpgid(first.pid)})
    first.send_signal(number)
    assert first.communicate(timeout=60)[1] == ""
    await_that_none_lives(numbers)


def test_they_are_ended_when_they_are_not_wanted(tmp_path):
    first, numbers = begun(tmp_path, "ended")
    assert first.communicate(timeout=60)[1] == ""
    assert first.returncode == 0
    await_that_none_lives(numbers)


def test_one_that_fails_ends_all_in_one_line(tmp_path):
    first, numbers = begun(tmp_path, "failing")
    (line,) = first.communicate(timeout=60)[1].splitlines()
    assert "another process of the training ended with exit code 3" in line
    assert first.returncode == 1
    await_that_none_lives(numbers)


def test_the_first_waits_for_what_the_others_still_do(tmp_path):
    first, numbers = begun(tmp_path, "done")
    assert first.communicate(timeout=60)[1] == ""
    assert first.returncode == 0
    assert not any(map(lives, numbers))
    assert sorted(path.name for path in Path(tmp_path).glob("done*")) == ["done0", "done1", "done2"]

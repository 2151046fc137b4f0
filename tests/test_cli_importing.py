"""Imports without the garbage collector."""

import gc
import json
import subprocess
import sys

import pytest

from geoflow_cli.importing import uncollected

_COUNTED = """
import gc, json, sys
full = []
gc.callbacks.append(lambda phase, info: full.append(phase) if info["generation"] == 2 else None)
from geoflow_cli import main
code = main(sys.argv[1:])
print(json.dumps([code, len(full) // 2, gc.isenabled(), gc.get_freeze_count()]))
"""


def test_the_collector_is_off_inside_and_as_before_after_it():
    inside = []

    def missing():
        with uncollected():
            inside.append(gc.isenabled())
            raise ImportError

    with pytest.raises(ImportError):
        missing()
    assert inside == [False]
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_there_is_put_aside_once_a_process():
    with uncollected():
        pass
    frozen = gc.get_freeze_count()
    more = [[i] for i in range(1000)]
    with uncollected():
        pass
    assert len(more) == 1000
    assert 0 < frozen >= gc.get_freeze_count()


def test_a_command_of_a_model_is_through_with_few_whole_passes(tmp_path):
    """Four of them before, each over all objects that there were."""
    words = ["sample", "--steps", "1", "--resolution", "32", "--out", str(tmp_path / "mesh.obj")]
    told = subprocess.run(
        [sys.executable, "-c", _COUNTED, *words], check=True, capture_output=True, text=True
    ).stdout
    code, passes, is_on, frozen = json.loads(told.splitlines()[-1])
    assert code == 0
    assert is_on
    assert frozen > 100_000
    assert passes <= 2, told

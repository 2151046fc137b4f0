"""Damaged files of every kind that we read: one line, soon, in little memory, and never NaN.

Every reader meets files of which some part was cut, repeated, flipped or replaced: 300 a reader, a
fifth of them in the quick suite and the others in the slow one, or as many as GEOFLOW_FUZZ says
(nightly: GEOFLOW_FUZZ=3000 python -m pytest -n 0 -m "slow or not slow" tests/fuzz).
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fuzz.mutations import MUTATORS, mutated_bytes
from fuzz.reader import Reader, finite
from fuzz.readers_of_data import OF_DATA
from fuzz.readers_of_models import OF_MODELS
from fuzz.readers_of_shapes import OF_SHAPES
from fuzz.readers_of_work import OF_WORK

from geoflow.atomic import DamagedError

COUNT = int(os.environ.get("GEOFLOW_FUZZ", "300"))
QUICK = COUNT // 5
SECONDS, BYTES, LINE = 20, 2**30, 700
REFUSED = (DamagedError, ValueError, FloatingPointError, FileNotFoundError)


def damages(name: str, reader: Reader, folder: Path, indices: range) -> list[str]:
    """What was not refused as it should be, of the mutations of these numbers."""
    whole, copy = folder / "whole", folder / "copy"
    whole.mkdir()
    reader.write(whole)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    contents = {file: (whole / file).read_bytes() for file in files}
    shutil.copytree(whole, copy)
    reader.read(copy)
    found = []
    damaged = files[0]
    for index in indices:
        rng = random.Random(f"{name} {index}")
        file = rng.choice(files)
        mutate = MUTATORS.get(file.suffix, mutated_bytes)
        if file != damaged:
            (copy / damaged).write_bytes(contents[damaged])
        damaged = file
        (copy / file).write_bytes(mutate(contents[file], rng))
        said = refusal(lambda: reader.read(copy))
        if said:
            found.append(f"{name} {index} ({file}): {said}")
    return found


def refusal(read: Callable[[], None]) -> str:
    """What is wrong with how a file is refused, or taken; nothing where it is right."""
    try:
        with limits():
            read()
    except REFUSED as error:
        said = str(error)
        if "\n" in said.strip() or not said or len(said) > LINE:
            return f"it is refused by more than a line, or none: {said[:200]!r}"
        if "memory" in said or "allocate" in said:
            return f"it was let to ask for memory: {said[:200]!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"[:300]
    return ""


class SlowError(BaseException):
    """A reader took too long."""


@contextmanager
def limits() -> Iterator[None]:
    """No more than SECONDS, and no more than BYTES beyond what the process has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, before[1]))

    def late(*_: object) -> None:
        raise SlowError(f"longer than {SECONDS} s")

    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


READERS: dict[str, Callable[[], Reader]] = OF_MODELS | OF_DATA | OF_WORK | OF_SHAPES


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "indices", [range(QUICK), pytest.param(range(QUICK, COUNT), marks=pytest.mark.slow)], ids=str
)
@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_in_a_line(tmp_path, name, indices):
    found = damages(name, READERS[name](), tmp_path, indices)
    assert not found, "\n".join([f"{len(found)} of {len(indices)}:", *found[:10]])


def test_the_judge_sees_what_is_wrong():
    """Twins: a traceback, two lines, too much memory and too much time are found."""

    def lines() -> None:
        raise ValueError("one\ntwo")

    assert "KeyError" in refusal(lambda: {}["a"])
    assert "more than a line" in refusal(lines)
    assert "MemoryError" in refusal(lambda: bytearray(2 * BYTES))
    assert refusal(lambda: finite(np.array([np.nan])))
    assert not refusal(lambda: None)

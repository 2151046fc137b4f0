"""Memory that is freed stays with the process while it trains, where the C library is glibc."""

import ctypes
import platform

import pytest
import torch
from tiny_models import tiny_models

from geoflow.training import memory
from geoflow.training.loop import fit
from geoflow.training.memory import kept_memory
from geoflow.training.stage import Context
from geoflow.training.stages.field_autoencoder import AutoencoderTraining, FieldAutoencoderStage
from geoflow_datasets import load

IS_GLIBC = platform.libc_ver()[0] == "glibc"


class Library:
    """A C library that writes down what it is asked for."""

    def __init__(self):
        self.asked = []

    def mallopt(self, parameter, value):
        """Set a threshold."""
        self.asked.append((parameter, value))
        return 1

    def malloc_trim(self, pad):
        """Give back what is free."""
        self.asked.append(("trim", pad))
        return 1


@pytest.fixture
def library(monkeypatch):
    """In the place of this process's own."""
    library = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    return library


def test_both_thresholds_are_raised_and_lowered_again(library):
    with kept_memory("cpu"):
        raised = dict(library.asked)
        assert len(raised) == len(library.asked) == 2
    *lowered, last = library.asked[2:]
    assert last == ("trim", 0)
    assert raised.keys() == dict(lowered).keys()
    assert all(value < raised[parameter] for parameter, value in lowered)


def test_an_error_leaves_nothing_raised(library):
    with pytest.raises(KeyError), kept_memory("cpu"):
        raise KeyError
    assert library.asked[-1] == ("trim", 0)


def test_of_a_gpu_nothing_is_asked(library):
    with kept_memory("cuda"):
        pass
    assert library.asked == []


def test_a_loop_that_is_left_gives_the_memory_back(library, tmp_path):
    data = load("procedural", "bottle", split="train", num=4, cache=tmp_path)
    options = AutoencoderTraining(steps=3, batch=2, num_surface=32, num_queries=32)
    loop = fit(FieldAutoencoderStage(options, Context(tiny_models()["sdf"], data)))
    next(loop)
    assert len(library.asked) == 2
    loop.close()
    assert library.asked[-1] == ("trim", 0)


@pytest.mark.skipif(not IS_GLIBC, reason="of glibc")
def test_glibc_takes_the_thresholds():
    """With its numbers; mallopt answers 1 where it took them."""
    library = memory._glibc()
    assert isinstance(library, ctypes.CDLL)
    for parameter, value in (
        (memory._MMAP_THRESHOLD, memory._NEVER_MAP),
        (memory._MMAP_THRESHOLD, memory._MAP_USUALLY),
        (memory._TRIM_THRESHOLD, memory._NEVER_TRIM),
        (memory._TRIM_THRESHOLD, memory._TRIM_USUALLY),
    ):
        assert library.mallopt(parameter, value) == 1


@pytest.mark.skipif(not IS_GLIBC, reason="of glibc")
def test_what_is_kept_is_not_asked_for_again():
    """A block of 64 MiB costs its pages once; without, every time.

    Each is a little smaller than the one before: small things that other code asks for in between
    may have been put into its place.
    """
    resource = pytest.importorskip("resource")

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for number in range(1, 9):
            torch.zeros(2**24 - number * 2**16)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    without = faults()
    with kept_memory("cpu"):
        torch.zeros(2**24)
        kept = faults()
    assert kept < without / 4


@pytest.mark.parametrize("error", [OSError("static"), TypeError("Windows")])
def test_without_glibc_nothing_is_done(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fail)
    with kept_memory("cpu"):
        pass

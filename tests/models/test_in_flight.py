"""Samples in flight on several threads are those of one, in order; nobody's work outlives it."""

import threading

import numpy as np
import pytest
import torch

from geoflow.models.fields import Generator
from geoflow.models.in_flight import in_order


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_are_in_flight_at_once_and_come_in_order(two_threads):
    together = threading.Barrier(2, timeout=60)

    def make(i, check):
        # Would wait for ever, were there one at a time.
        together.wait()
        assert torch.get_num_threads() == 1
        return i

    assert list(in_order(make, 6, workers=2)) == list(range(6))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("end", ["close", "error"])
def test_what_is_in_flight_stops_with_the_iterator(two_threads, end):
    stopped, begun = threading.Event(), threading.Event()

    def make(i, check):
        if i == 0:
            begun.wait(60)
            if end == "error":
                raise ValueError("no sample")
            return i
        begun.set()
        try:
            while True:
                check()
        finally:
            stopped.set()

    made = in_order(make, 9, workers=2)
    if end == "error":
        with pytest.raises(ValueError, match="no sample"):
            next(made)
    else:
        assert next(made) == 0
        made.close()
    assert stopped.is_set()
    assert torch.get_num_threads() == 2


def test_one_worker_makes_what_is_asked_for_alone():
    made = []
    samples = in_order(lambda i, check: made.append(i), 5, workers=1)
    next(samples)
    assert made == [0]


def test_meshes_in_flight_are_those_of_one_core(two_threads):
    generator = Generator.from_pretrained("chair")
    assert generator._workers(8, 128) == 2
    assert generator._workers(8, 512) == generator._workers(1, 128) == 1
    many = generator.sample(num=3, steps=1, resolution=32)
    torch.set_num_threads(1)
    assert generator._workers(8, 128) == 1
    for i, (one, other) in enumerate(
        zip(many, generator.sample(num=3, steps=1, resolution=32), strict=True)
    ):
        assert one.metadata["index"] == other.metadata["index"] == i
        np.testing.assert_array_equal(one.faces, other.faces)
        np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-4)

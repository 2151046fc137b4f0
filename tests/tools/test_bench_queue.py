"""The simulated queue of a preparation obeys the laws of queues; its benchmark reads a measure."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from geoflow_datasets.mesh_folder import MeshOptions
from geoflow_datasets.prepared.makers import Job, Made
from geoflow_tools.bench.preparation import PreparationBenchmark, _Watch
from geoflow_tools.bench.queue import Cores, Load, QueueBenchmark, simulate

EVEN = Load((2.0,), giver=0.0)


def run(load=EVEN, cores=Cores(3), num=10, seed=0):  # noqa: B008
    return simulate(load, cores, num, np.random.default_rng(seed))


def test_equal_jobs_take_whole_rounds():
    assert run().seconds == pytest.approx(8.0)
    assert run(cores=Cores(1)).seconds == pytest.approx(20.0)
    assert run(cores=Cores(100)).seconds == pytest.approx(2.0)
    assert run().work == pytest.approx(20.0)


def test_a_slow_giver_is_what_many_cores_wait_for():
    slow = replace(EVEN, giver=0.5)
    assert run(slow, Cores(100), 1000).seconds == pytest.approx(1000 * 0.5 + 2.0, rel=0.01)
    # The twin: few cores never wait for it, for their next job is at hand.
    assert run(slow, Cores(2), 1000).seconds == pytest.approx(1000.0, rel=0.01)


def test_no_run_beats_its_bound_and_greedy_stays_within_one_job_of_it():
    load = Load(tuple(np.random.default_rng(1).lognormal(0.0, 1.0, 500)), 1e-4, 0.01, 120.0)
    for num in (1, 7, 64):
        for seed in range(5):
            found = run(load, Cores(num, 0.05), 2000, seed)
            assert found.bound <= found.seconds <= 2 * found.bound + load.limit


def test_the_limit_bounds_every_job():
    assert run(Load((5.0, 1e9), 0.0, 0.0, 5.0), Cores(1)).seconds == pytest.approx(50.0)
    assert run(replace(EVEN, hanging=1.0, limit=7.0), Cores(1)).work == pytest.approx(70.0)


def test_losses_cost_what_was_at_hand():
    lossy = Cores(3, lost_per_hour=180.0, pause=0.0)
    found = run(cores=lossy, num=10_000)
    # A job of 2 s meets a loss with probability 1 - exp(-0.1), spends half of it on average.
    share = 1 - np.exp(-0.1)
    assert found.again == pytest.approx(10_000 * share / (1 - share), rel=0.05)
    assert found.work == pytest.approx(20_000 + found.again * 0.983, rel=0.01)
    assert found.given_up == pytest.approx(10_000 * share**4, abs=4)
    assert run(num=10_000).again == 0


@pytest.mark.parametrize(
    ("sizes", "order"),
    [((3, 2, 1, 4, 1), [2, 0, 1, 3, 4]), ((1, 2), [0, 1]), ((5,), [0]), ((), [])],
    ids=["several", "first", "one", "none"],
)
def test_an_engine_is_given_the_smallest_file_first(sizes, order):
    """The time of the first result is not counted; the others come as they would."""
    jobs = [
        Job(f"{place}", place, bytes(size), ".ply", None, MeshOptions())
        for place, size in enumerate(sizes)
    ]
    watch = _Watch(lambda given: ([(job, (Made({}), 1.0))] for job in given))
    done = [job.place for results in watch(iter(jobs)) for job, _ in results]
    assert done == [job.place for job, _ in watch.made] == order


@pytest.mark.slow
def test_what_is_measured_is_simulated(tmp_path):
    (tmp_path / "src").mkdir()
    for i in range(3):
        trimesh.creation.box((1, 2, 3 + i)).export(tmp_path / "src" / f"{i}.ply")
    measured = PreparationBenchmark(tmp_path / "src", num=2, workers=(1,)).measure()
    assert len(measured["seconds"]) == 2
    assert measured["refused"] == 0
    assert measured["shard_bytes"] > 1e5
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(measured))
    rows = QueueBenchmark(path, num=100, cores=(1, 4)).measure()["cores"]
    assert rows[4]["even"]["hours"] < rows[1]["even"]["hours"]
    assert rows[1]["failing"]["core_hours"] >= rows[1]["even"]["core_hours"]

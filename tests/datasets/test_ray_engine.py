"""A Ray cluster of two nodes makes what one machine makes, to the byte, whoever dies meanwhile."""

import importlib.util
import json
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import trimesh
from deadly_work import DeadlyOnce

from geoflow_cli import main
from geoflow_datasets.mesh_folder import MeshOptions
from geoflow_datasets.prepared.engines import ENGINES, Crew
from geoflow_datasets.prepared.engines.on_ray import ray_engine
from geoflow_datasets.prepared.limited import Limits, Refusal
from geoflow_datasets.prepared.makers import make
from geoflow_datasets.prepared.prepare import Options, prepare

SMALL = Options(MeshOptions(num_surface=64, num_queries=100))
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")


def boxes(folder, num):
    (folder / "a").mkdir(parents=True)
    for i in range(num):
        extents = np.random.default_rng(i).uniform(0.2, 1.0, 3)
        trimesh.creation.box(extents).export(folder / "a" / f"{i}.ply")
    return folder


def here(jobs):
    for job in jobs:
        yield [(job, make(job))]


def shards(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.npy"))}


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers import DeadlyOnce
        patch.setenv("RAY_raylet_start_wait_time_s", "300")  # other tests may have the cores
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        started.add_node(num_cpus=1)
        yield started
        started.shutdown()


@pytest.fixture
def source(tmp_path):
    prepare(boxes(tmp_path / "src", 6), tmp_path / "here", SMALL, engine=here)
    return tmp_path / "src"


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "ray"])
def test_engines_of_one_machine_make_the_same(source, tmp_path, name):
    engine = ENGINES[name](make, Crew(SMALL.limits, workers=1))
    done = prepare(source, tmp_path / "out", SMALL, engine=engine)
    assert (done.made, done.taken, done.refused) == (6, 6, 0)
    assert shards(tmp_path / "out") == shards(tmp_path / "here")


@needs_ray
@pytest.mark.cluster
def test_two_nodes_make_the_same_though_a_worker_is_killed(cluster, source, tmp_path):
    work = DeadlyOnce(tmp_path / "marker")
    engine = ray_engine(work, Crew(address=cluster.address))
    done = prepare(source, tmp_path / "out", SMALL, engine=engine)
    assert (tmp_path / "marker").exists()
    assert (done.made, done.taken, done.refused) == (6, 6, 0)
    assert shards(tmp_path / "out") == shards(tmp_path / "here")


@needs_ray
@pytest.mark.cluster
def test_without_a_second_try_the_job_alone_is_lost_until_the_next_run(cluster, source, tmp_path):
    work = DeadlyOnce(tmp_path / "marker")
    engine = ray_engine(work, Crew(address=cluster.address), retries=0)
    done = prepare(source, tmp_path / "out", SMALL, engine=engine)
    assert (done.taken, done.refused) == (5, 1)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (said,) = [entry["refused"] for entry in report if "refused" in entry]
    assert said.startswith("its worker was lost 1 times")
    assert shards(tmp_path / "out") != shards(tmp_path / "here")
    again = prepare(source, tmp_path / "out", SMALL, engine=here)
    assert (again.made, again.read, again.taken) == (1, 1, 6)
    assert shards(tmp_path / "out") == shards(tmp_path / "here")


@needs_ray
@pytest.mark.cluster
def test_limits_are_those_of_one_machine(cluster):
    hang, crash = "import time; time.sleep(60)", "import os; os._exit(9)"
    engine = ray_engine(exec, Crew(Limits(seconds=2.0), address=cluster.address))
    found = dict(result for done in engine([hang, crash, "pass"]) for result in done)
    assert found["pass"] is None
    assert found[hang] == Refusal("it takes more than 2 s", True)
    assert found[crash] == Refusal("its process ended with 9", False)


@needs_ray
@pytest.mark.cluster
def test_a_node_that_is_lost_costs_what_it_had_at_hand(cluster, source, tmp_path):
    def losing(jobs):
        results = ray_engine(make, Crew(address=cluster.address))(jobs)
        yield next(results)
        cluster.remove_node(cluster.list_all_nodes()[-1])
        yield from results

    done = prepare(source, tmp_path / "out", SMALL, engine=losing)
    assert (done.taken, done.refused) == (6, 0)
    assert shards(tmp_path / "out") == shards(tmp_path / "here")


# Both ask the cluster that the first one started for work; the second one has no token of it.
OWNER = """
import os, ray, subprocess, sys
from geoflow_datasets.prepared.engines import Crew
from geoflow_datasets.prepared.engines.on_ray import ray_engine

results = ray_engine(exec, Crew(address="local", workers=1))(["pass", "pass"])
next(results)
ask = "import ray, sys; ray.init(sys.argv[1]); ray.get(ray.remote(lambda: 1).remote(), timeout=60)"
ask = [sys.executable, "-c", ask, ray.get_runtime_context().gcs_address]
codes = [subprocess.call(ask), subprocess.call(ask, env=os.environ | {"RAY_AUTH_MODE": "disabled"})]
list(results)
print(*codes)
"""


@needs_ray
@pytest.mark.cluster
def test_a_cluster_that_is_started_here_does_no_work_of_strangers(tmp_path):
    # Ray listens on all addresses of the machine, whatever it is started for.
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", OWNER], env=env, capture_output=True, text=True, timeout=600
    )
    assert said.stdout.splitlines()[-1:] == ["0 1"], said.stderr


@pytest.mark.slow
def test_a_job_that_hangs_ends_with_who_gave_it(tmp_path):
    marker = tmp_path / "pid"
    job = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    code = (
        "from geoflow_datasets.prepared.limited import Limits, Pool; "
        f"list(Pool(exec, 1, Limits()).run([{job!r}]))"
    )
    giver = subprocess.Popen([sys.executable, "-c", code])
    while not (marker.exists() and marker.read_text()):
        time.sleep(0.1)
    worker = psutil.Process(int(marker.read_text()))
    assert worker.is_running()
    giver.kill()
    giver.wait()
    worker.wait(timeout=60)  # TimeoutExpired if it stays


def test_without_ray_the_extra_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["data", "prepare", str(boxes(tmp_path / "src", 1)), "--out", str(tmp_path / "out")]
    assert main([*words, "--engine", "ray"]) == 1
    assert "pip install 'geoflow[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@needs_ray
def test_nobody_at_the_address_is_told_at_once(source, tmp_path):
    engine = ray_engine(make, Crew(address="127.0.0.1:1"))
    with pytest.raises(ConnectionError, match=r"no Ray cluster answers at 127.0.0.1:1: "):
        prepare(source, tmp_path / "out", SMALL, engine=engine)


def test_an_address_is_of_a_cluster(capsys, tmp_path):
    with pytest.raises(ValueError, match="have no address"):
        ENGINES["processes"](make, Crew(address="127.0.0.1:1"))
    words = ["data", "prepare", str(tmp_path), "--out", str(tmp_path / "out"), "--address", "x:1"]
    assert main(words) == 2
    assert "add --engine ray" in capsys.readouterr().err

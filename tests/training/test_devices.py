"""Several processes do what one does of the same parts, for every objective, and go on alike."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import trimesh
from devices_program import trained, watched
from safetensors.torch import load_file

from geoflow.objectives import OBJECTIVES, SPECIAL_CASES
from geoflow.training.launch import _free_port
from geoflow.training.processes import ALONE, Processes
from geoflow_cli import main

PROGRAM = Path(__file__).with_name("devices_program.py")


def ran(out, *, devices, parts, steps=2, under=()):
    out.mkdir()
    # Each on a thread of its own, as torchrun has them.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*under, PROGRAM, str(devices), str(parts), str(steps), out]
    result = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=1500,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    return [load_file(path) for path in sorted(out.glob("[0-9].safetensors"))]


@pytest.mark.slow
def test_two_processes_do_what_one_does_for_every_objective(tmp_path):
    pytest.importorskip("lightning_fabric")
    (alone,) = ran(tmp_path / "one", devices=1, parts=2)
    first, second = ran(tmp_path / "two", devices=2, parts=2)
    done = {key.split("/")[0] for key in alone}
    assert len(done) > 0.8 * len({*OBJECTIVES, *SPECIAL_CASES})
    assert alone.keys() == first.keys() == second.keys()
    gradients = [value for key, value in alone.items() if "/gradient " in key]
    assert {key.split("/")[0] for key in alone if "/gradient " in key} == done
    assert max(float(value.abs().max()) for value in gradients) > 1e-2
    for key, value in alone.items():
        # The processes agree to the bit, and with one process but for the order of a sum.
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value, rtol=1e-6, atol=1e-6)
    # Two processes were stopped after a step: one goes on to where one alone comes.
    resumed = trained("cumulative", ALONE, 2, 2, folder=tmp_path / "two").state_dict()
    for key, value in resumed.items():
        torch.testing.assert_close(value, alone[f"cumulative/{key}"], rtol=1e-6, atol=1e-6)
    # The twin: one part is another step.
    other = trained("cumulative", ALONE, 1, 2).state_dict()
    assert any(not torch.equal(v, alone[f"cumulative/{k}"]) for k, v in other.items())
    # So are its gradients.
    with watched() as gradients:
        trained("cumulative", ALONE, 1, 1)
    assert any(
        not torch.equal(v, alone[f"cumulative/gradient {i}"]) for i, v in enumerate(gradients)
    )


def test_parts_are_shared_out_evenly():
    shared = [list(Processes(rank, 2).parts(4)) for rank in (0, 1)]
    assert shared == [[0, 2], [1, 3]]
    with pytest.raises(ValueError, match="a step of 3 parts cannot be shared by 2 processes"):
        Processes(0, 2).parts(3)


def test_a_step_of_parts_is_the_mean_of_theirs():
    """Two parts, done one after the other, are the mean of the gradients of each alone."""
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.tensor([[2.0, 4.0]])
    ALONE.share_gradients(list(layer.parameters()), 2)
    assert layer.weight.grad.tolist() == [[1.0, 2.0]]
    assert layer.bias.grad is None


def test_a_run_of_parts_goes_on_where_it_stopped(tmp_path):
    whole = trained("cumulative", ALONE, 2, 3).state_dict()
    trained("cumulative", ALONE, 2, 3, folder=tmp_path, stop=1)
    again = trained("cumulative", ALONE, 2, 3, folder=tmp_path).state_dict()
    assert all(torch.equal(again[key], value) for key, value in whole.items())


@pytest.mark.slow
def test_the_command_trains_on_two_devices_and_goes_on_with_one(tmp_path):
    pytest.importorskip("lightning_fabric")
    mesh = tmp_path / "box.ply"
    trimesh.creation.box().export(mesh)
    common = ["train", "--kind", "distribution", "--device", "cpu", "--sheet-every", "0"]
    common += ["--precision", "float32", "--no-progress"]
    found = {}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, starter, words in (
        ("one", [], ["--accumulate", "2"]),
        ("two", [], ["--devices", "2"]),
        ("torchrun", torchrun, []),
    ):
        out = ["--data", str(mesh), "--steps", "2", "--out", str(tmp_path / name)]
        words = [sys.executable, *starter, "-m", "geoflow_cli", *common, *out, *words]
        result = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
        assert result.returncode == 0, result.stderr[-3000:]
        # The first process alone speaks.
        assert result.stdout.count("model written") == 1
        found[name] = load_file(tmp_path / name / "distribution.safetensors")
    for key, value in found["one"].items():
        torch.testing.assert_close(found["two"][key], value, rtol=1e-5, atol=1e-5)
        assert torch.equal(found["two"][key], found["torchrun"][key])
    assert main(["train", "--resume", "--out", str(tmp_path / "two"), "--no-progress"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("starter", ["command", "torchrun"])
def test_the_command_trains_on_two_nodes(tmp_path, starter):
    """Each started by its own command, one device a node; here both are on this machine."""
    pytest.importorskip("lightning_fabric")
    mesh = tmp_path / "box.ply"
    trimesh.creation.box().export(mesh)
    common = ["-m", "geoflow_cli", "train", "--kind", "distribution", "--device", "cpu"]
    common += ["--data", str(mesh), "--steps", "2", "--sheet-every", "0", "--no-progress"]
    common += ["--precision", "float32", "--out"]
    one = [sys.executable, *common, str(tmp_path / "one"), "--accumulate", "2"]
    assert subprocess.run(one, capture_output=True, timeout=300, check=False).returncode == 0
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    nodes = []
    for rank in (1, 0):
        rendezvous = ["--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"]
        rendezvous += ["--master-addr", place["MASTER_ADDR"], "--master-port", place["MASTER_PORT"]]
        words = [*common, str(tmp_path / "two"), "--num-nodes", "2"]
        if starter == "torchrun":
            words = ["-m", "torch.distributed.run", *rendezvous, *words[:-2]]
        nodes.append(
            subprocess.Popen(
                [sys.executable, *words], env={**os.environ, **place, "NODE_RANK": str(rank)},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    said = [node.communicate(timeout=300) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    # The first node alone speaks.
    assert ["model written" in out for out, _ in said] == [False, True]
    one, two = (load_file(tmp_path / name / "distribution.safetensors") for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("option", ["--devices", "--num-nodes", "--accumulate"])
def test_none_of_something_is_refused(capsys, option):
    assert main(["train", option, "0"]) == 2
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err

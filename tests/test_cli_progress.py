"""The bar that people see when they type the command, with nothing turned off."""

import os
import signal
import subprocess
import sys
import time

import pytest
import trimesh

from geoflow.models.checkpoint import load_checkpoint
from geoflow.models.joints import RiggerConfig
from geoflow.training.folder import write_run
from geoflow.training.run import RunConfig
from geoflow.training.stages.joints import JointTraining
from geoflow_cli import main

pty = pytest.importorskip("pty", reason="needs a system with terminals")


@pytest.fixture
def command(tmp_path):
    trimesh.creation.box().export(tmp_path / "box.obj")
    return [sys.executable, "-W", "ignore", "-m", "geoflow", "train",
            "--representation", "distribution", "--data", str(tmp_path / "box.obj"),
            "--out", str(tmp_path / "run"), "--steps", "40", "--sheet-every", "0",
            "--device", "cpu"]  # fmt: skip


def in_a_terminal(command):
    """Exit code and everything that a terminal is sent."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65_536):
            said += part
    except OSError:
        # Linux ends a terminal that nobody holds by an error.
        pass
    finally:
        os.close(ours)
    return process.wait(60), said.decode(errors="replace")


def through_a_pipe(command):
    """Exit code and everything that a log file is sent."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("road", [in_a_terminal, through_a_pipe])
def test_training_shows_stage_steps_loss_and_rate(command, road):
    code, said = road(command)
    assert code == 0, said
    assert "Traceback" not in said
    for word in ("distribution", "40/40", "loss", "steps/s"):
        assert word in said
    # Twin: the bar can be turned off.
    code, said = road([*command, "--resume", "--no-progress"])
    assert code == 0, said
    assert "steps/s" not in said


def interruptible():
    """In the child: a job in the background of a plain shell inherits SIGINT as ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
def test_an_interrupted_training_says_how_it_goes_on(command, tmp_path):
    command[command.index("--steps") + 1] = "100000"
    process = subprocess.Popen(
        [*command, "--checkpoint-every", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, preexec_fn=interruptible,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "distribution.safetensors").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    (line,) = errors.splitlines()
    assert line.startswith(f"geoflow: interrupted; geoflow train --resume --out {tmp_path / 'run'}")
    # What it says is enough, whatever the run is of.
    hint = line.split("; geoflow ")[1].split(" goes on")[0].split()
    again = subprocess.Popen(
        [*command[:5], *hint, "--no-progress", "--sheet-every", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible,
    )  # fmt: skip
    stage = tmp_path / "run" / "distribution.safetensors"
    before = load_checkpoint(stage)[1]["step"]
    while load_checkpoint(stage)[1]["step"] == before:
        assert again.poll() is None, again.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    again.send_signal(signal.SIGINT)
    assert again.communicate(timeout=60)[1] == errors


def test_another_kind_than_the_run_s_is_refused(tmp_path, capsys):
    config = RunConfig("joints", model=RiggerConfig(), stages={"joints": JointTraining()})
    write_run(tmp_path, config.to_json())
    assert main(["train", "--resume", "--out", str(tmp_path), "--kind", "distribution"]) == 2
    said = capsys.readouterr().err
    assert "holds a run of --kind joints, got distribution" in said

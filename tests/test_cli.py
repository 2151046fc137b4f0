"""The command line as a user meets it: every road, every wrong turn, a kill in the middle."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
import trimesh
from command import environment, geoflow, process

from geoflow import Generator
from geoflow.models.checkpoint import load_checkpoint
from geoflow_cli import main

TRAIN = ("train", "--shape-category", "bottle", "--num-shapes", "6", "--sheet-every", "0",
         "--no-progress", "--device", "cpu")  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three steps."""
    folder = tmp_path_factory.mktemp("runs") / "bottle"
    result = geoflow(*TRAIN, "--steps", 3, "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_three_steps_of_training_give_a_watertight_file(tmp_path, run, suffix):
    out = tmp_path / f"mesh{suffix}"
    result = geoflow("sample", "--model", run, "--steps", 2, "--resolution", 32, "--out", out)
    assert result.returncode == 0, result.stderr
    mesh = trimesh.load_mesh(out)
    assert mesh.is_watertight
    assert mesh.volume > 0
    (line,) = result.stdout.splitlines()
    for word in (f"{len(mesh.faces)} faces", "watertight", "component", "volume", "2 network"):
        assert word in line


@pytest.mark.slow
def test_several_samples_get_numbered_files_and_repeat(tmp_path, run):
    def sample(name, **options):
        flags = [x for key, value in options.items() for x in (f"--{key}", value)]
        out = tmp_path / f"{name}.obj"
        result = process("sample", "--model", run, "--resolution", 32, "--out", out, *flags)
        assert result.returncode == 0, result.stderr

    sample("a", num=2, seed=4)
    sample("b", num=1, seed=4)
    sample("c", num=1, seed=5)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a-000.obj",
        "a-001.obj",
        "b.obj",
        "c.obj",
    ]
    assert (tmp_path / "a-000.obj").read_bytes() == (tmp_path / "b.obj").read_bytes()
    assert (tmp_path / "c.obj").read_bytes() != (tmp_path / "b.obj").read_bytes()


@pytest.mark.slow
def test_faces_and_up_change_the_file(tmp_path, run):
    out = tmp_path / "mesh.off"
    result = process("sample", "--model", run, "--out", out, "--faces", 300, "--up", "z")
    assert result.returncode == 0, result.stderr
    assert len(trimesh.load_mesh(out).faces) <= 300
    for name, flags in (("default.stl", ()), ("full.stl", ("--faces", "full"))):
        sized = ("--out", tmp_path / name, "--size", "100mm", *flags)
        result = process("sample", "--model", run, *sized)
        assert result.returncode == 0, result.stderr
        mesh = trimesh.load_mesh(tmp_path / name)
        assert f"{len(mesh.faces)} faces, watertight" in result.stdout
        assert mesh.extents.max() == pytest.approx(100.0, rel=1e-5)
        said = float(result.stdout.split("volume ")[1].split(",")[0])
        assert said == pytest.approx(mesh.volume, rel=1e-3)
    size = (tmp_path / "default.stl").stat().st_size
    assert size < (tmp_path / "full.stl").stat().st_size


@pytest.mark.slow
def test_view_without_a_display_says_so_and_writes_a_picture(tmp_path, run):
    result = process("view", "--model", run, "--resolution", 32, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "no display" in result.stdout
    assert (tmp_path / "geoflow-view.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_view_writes_by_suffix_what_its_command_says(tmp_path, run):
    """A view's mesh is a sample's with all faces; a page and a picture of several are drawn."""
    flags = ("--model", run, "--seed", 5, "--resolution", 32)
    for words in (
        ("sample", *flags, "--faces", "full", "--out", "a.ply", "--preview"),
        ("view", *flags, "--out", "b.ply"),
    ):
        result = process(*words, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    page = process("view", *flags, "--layout", "compare", "--out", "c.html", cwd=tmp_path)
    assert page.returncode == 0, page.stderr
    assert b"50 steps of the ODE" in (tmp_path / "c.html").read_bytes()
    opened = process(
        "view",
        "a.ply",
        "--reconstruct",
        *flags,
        "--renderer",
        "software",
        "--png",
        "d.png",
        cwd=tmp_path,
    )
    assert opened.returncode == 0, opened.stderr
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_info_names_versions_and_devices():
    result = geoflow("info")
    assert result.returncode == 0, result.stderr
    for word in ("geoflow 0.", "torch ", "devices: cpu", "shipped models", "open3d"):
        assert word in result.stdout
    lines = result.stdout.splitlines()
    for name, kind, rest in (
        ("airplane", "clouds of points", "categories: airplane"),
        ("chair", "meshes", "categories: chair"),
        ("rig", "joints of a mesh", " MB"),
    ):
        (line,) = (line for line in lines if line.startswith(f"  {name}: {kind}"))
        assert line.endswith(rest)


@pytest.mark.slow
def test_a_model_is_distilled(tmp_path, run):
    """The student keeps its teacher's autoencoder; its flow alone has moved."""
    out = tmp_path / "student"
    flags = ("--teacher", run, "--objective", "lagrangian", "--coupling", "batch")
    result = process(*TRAIN, *flags, "--steps", 2, "--out", out)
    assert result.returncode == 0, result.stderr
    teacher, student = (Generator.from_pretrained(str(folder)) for folder in (run, out))
    same, moved = (
        [torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True)]
        for old, new in (
            (teacher.autoencoder, student.autoencoder),
            (teacher.flow_map, student.flow_map),
        )
    )
    assert all(same)
    assert not all(moved)
    assert student.card["run"]["teacher"] == str(run)


def test_of_an_unknown_option_the_nearest_is_named(capsys):
    assert main(["sample", "--stepz", "2", "--out", "a.obj"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "geoflow: error: Unrecognized options: --stepz, 2; perhaps --steps was meant"


WRONG = {
    "unknown category": ((*TRAIN[:2], "boat"), "chair, table, lamp"),
    "data missing": (("train", "--data", "nowhere"), "existing folder of meshes"),
    "steps 0": (("sample", "--steps", "0", "--out", "a.obj"), "--steps must be at least 1"),
    "suffix": (("sample", "--out", "a.usd"), ".obj, .ply, .stl, .glb, .off"),
    "folder missing": (("sample", "--out", "no/a.obj"), "does not exist"),
    "resolution": (("sample", "--resolution", "9999", "--out", "a.obj"), "between 16 and 512"),
    "faces": (("sample", "--faces", "2", "--out", "a.obj"), "--faces must be at least 16"),
    "size": (("sample", "--size", "3", "--out", "a.obj"), "--size: a size must be a length in mm"),
    "num": (("sample", "--num", "0", "--out", "a.obj"), "--num must be at least 1"),
    "no out": (("sample",), "--out"),
    "unknown flag": (("sample", "--out", "a.obj", "--stepz", "2"), "--stepz"),
    "objective": (("train", "--objective", "gan"), "cumulative"),
    "teacher of data alone": (
        ("train", "--teacher", "chair", "--objective", "flow-matching"),
        "FlowMatching learns from data alone",
    ),
    "teacher and start": (("train", "--teacher", "chair", "--init-from", "chair"), "exclude"),
    "another cell": (("train", "--init-from", "chair", "--objective", "mean-flow"), "has x1"),
    "share": (("train", "--diagonal", "2"), "diagonal must be in [0, 1], got 2.0"),
    "derivative": (("train", "--objective", "lagrangian", "--derivative", "jvp"), "derivative is"),
    "no autoencoder": (("train", "--autoencoder-steps", "0"), "must be at least 1"),
    "view missing": (("view", "nothing.obj"), "there is no mesh file"),
    "view png": (("view", "--png", "a.jpg"), "must end in .png"),
    "view out": (("view", "--out", "a.jpg"), "--out must end in one of .png, .gif"),
    "view both": (("view", "--out", "a.png", "--png", "b.png"), "give one of them"),
    "view port": (("view", "--web", "--port", "0"), "--port must be between 1 and 65535"),
    "view blend": (("view", "--blend", "1.5"), "--blend must be in [0, 1], got 1.5"),
    "view points": (("view", "--points", "0"), "--points must be between 1 and 65536, got 0"),
    "view renderer": (("view", "--renderer", "povray"), "auto"),
    "view reconstruct": (("view", "--reconstruct"), "--reconstruct needs a mesh file"),
    "device": (("sample", "--out", "a.obj", "--device", "tpu"), "cuda"),
    "no number": (
        ("sample", "--out", "a.obj", "--seed", "1.5"),
        "--seed: expected a whole number, got '1.5'",
    ),
    "no optional number": (
        ("sample", "--out", "a.obj", "--join", "a"),
        "--join: expected a number, got 'a'",
    ),
    "no faces": (
        ("sample", "--out", "a.obj", "--faces", "a"),
        "--faces: expected a whole number or full, got 'a'",
    ),
}


def test_a_process_ends_with_the_code(tmp_path):
    """What else is wrong is tried in this process, where nothing is imported anew."""
    for words, code, message in (
        (WRONG["steps 0"][0], 2, "geoflow: error: --steps must be at least 1"),
        (("sample", "--model", "none", "--out", "a.obj"), 1, "geoflow: failed: no model 'none'"),
    ):
        result = process(*words, cwd=tmp_path)
        assert result.returncode == code, result.stdout + result.stderr
        (line,) = result.stderr.splitlines()
        assert line.startswith(message)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_one_line_and_code_2(tmp_path, name):
    arguments, message = WRONG[name]
    result = geoflow(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("geoflow: error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_failures_are_one_message_and_code_1(tmp_path, run):
    missing = geoflow("sample", "--model", tmp_path / "none", "--out", "a.obj", cwd=tmp_path)
    assert missing.returncode == 1
    assert "expected a folder with model.safetensors, " in missing.stderr
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "model.safetensors").write_bytes(b"not a model")
    result = geoflow("sample", "--model", damaged, "--out", "a.obj", cwd=tmp_path)
    assert result.returncode == 1
    assert "cannot be read" in result.stderr
    assert "Traceback" not in missing.stderr + result.stderr
    resumed = geoflow(*TRAIN, "--out", tmp_path / "none", "--resume")
    assert resumed.returncode == 1
    assert "no run to resume" in resumed.stderr


def test_a_run_is_not_overwritten(run):
    before = (run / "run.json").read_bytes()
    result = geoflow(*TRAIN, "--steps", 3, "--out", run)
    assert result.returncode == 2
    assert "--resume" in result.stderr
    assert (run / "run.json").read_bytes() == before


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_model(tmp_path):
    """A kill that no handler sees, at whatever step it falls, then --resume."""
    options = (*TRAIN, "--autoencoder-steps", 30, "--steps", 3, "--checkpoint-every", 2)
    killed = tmp_path / "killed"
    killing = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "geoflow", *map(str, options), "--out", str(killed)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not (killed / "autoencoder.safetensors").exists() and time.monotonic() < deadline:
        assert killing.poll() is None
        time.sleep(0.2)
    killing.send_signal(signal.SIGKILL)
    killing.wait()
    step = load_checkpoint(killed / "autoencoder.safetensors")[1]["step"]
    assert 0 < step < 30
    assert not (killed / "model").exists()
    # Everything else is read from the run.
    quiet = ("--sheet-every", 0, "--no-progress", "--device", "cpu")
    assert process("train", *quiet, "--out", killed, "--resume").returncode == 0
    whole = tmp_path / "whole"
    assert process(*options, "--out", whole).returncode == 0
    a, _ = load_checkpoint(killed / "model" / "model.safetensors")
    b, _ = load_checkpoint(whole / "model" / "model.safetensors")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_help_comes_without_torch():
    code = "import sys; from geoflow_cli import main\ntry: main(['sample', '--help'])\n"
    code += "except SystemExit: pass\nprint([m for m in ('torch', 'trimesh') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--steps", 9),
            "--steps 9 contradicts the run in {run}, which was started with --steps 3",
        ),
        (("--objective", "trigflow"), "--objective trigflow contradicts the run in {run}"),
        (("--num-shapes", 12_000), "started with --num-shapes 6: leave it out"),
        (("--symmetry=so3",), "--symmetry so3 contradicts the run"),
        (("--channels", "position"), "--channels does not go with --kind sdf"),
    ],
)
def test_a_run_is_not_resumed_as_another(run, flags, message):
    result = geoflow("train", "--resume", "--out", run, *flags)
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert message.format(run=run) in line


def test_a_run_is_resumed_by_the_options_that_it_has(run):
    result = geoflow(*TRAIN, "--steps", 3, "--out", run, "--resume")
    assert result.returncode == 0, result.stderr


def test_an_unknown_command_is_one_short_line(capsys):
    assert main(["smaple", "--out", "a.obj"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "geoflow: error: there is no command 'smaple'; perhaps sample was meant"
    assert main(["--help"]) == 0
    assert "geoflow COMMAND --help" in capsys.readouterr().out


def test_log_is_json_lines(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["autoencoder", "flow"]
    assert all(line["loss"] > 0 for line in lines)


def test_the_default_model_makes_a_chair(tmp_path):
    result = process("sample", "--steps", 2, "--out", tmp_path / "mesh.obj")
    assert result.returncode == 0, result.stderr
    mesh = trimesh.load_mesh(tmp_path / "mesh.obj")
    assert mesh.is_watertight
    assert mesh.extents[1] > mesh.extents[0]  # chairs are taller than wide


@pytest.mark.slow
def test_a_mesh_becomes_a_distribution_of_its_points(tmp_path):
    trimesh.creation.torus(1.0, 0.3).export(tmp_path / "ring.obj")
    command = ("train", "--representation", "distribution", "--data", "ring.obj", "--steps", 3)
    quiet = ("--no-progress", "--sheet-every", 0)
    result = process(*command, "--channels", "all", *quiet, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    flags = ("sample", "--model", "runs/ring", "--points", 70_000, "--steps", 3)
    result = process(*flags, "--out", "cloud.ply", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "70000 points with position, normal" in result.stdout
    assert "3 network evaluations" in result.stdout
    assert len(trimesh.load(tmp_path / "cloud.ply").vertices) == 70_000
    for wrong, message in (
        (("sample", "--model", "runs/ring", "--out", "mesh.obj"), ".ply, .xyz, .npy, .npz"),
        (
            (*flags, "--out", "a.ply", "--faces", 100),
            "--faces does not go with a model of points of one surface",
        ),
        ((*command, "--no-progress"), "holds a run already"),
        ((*command[:4], "missing.obj"), "existing mesh file"),
        ((*command, "--symmetry", "so3"), "--symmetry does not go with"),
    ):
        result = process(*wrong, cwd=tmp_path)
        assert result.returncode == 2, result.stdout + result.stderr
        assert message in result.stderr

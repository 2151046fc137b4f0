"""Point clouds from the command line: train, sample in every format, and every wrong turn."""

import command
import numpy as np
import pytest
import trimesh

TRAIN = ("train", "--representation", "points", "--shape-category", "bottle", "--num-shapes", 6,
         "--sheet-every", 0, "--no-progress", "--steps", 3)  # fmt: skip


def geoflow(*arguments):
    """Exit code, output and errors of a command, in this process."""
    done = command.geoflow(*arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "clouds"
    code, said, errors = geoflow(*TRAIN, "--out", folder)
    assert code == 0, errors
    assert "--out cloud.ply" in said
    return folder


def test_clouds_are_written_by_suffix(tmp_path, run):
    read = {
        ".ply": lambda path: trimesh.load(path).vertices,
        ".xyz": np.loadtxt,
        ".npz": lambda path: np.load(path)["points"],
    }
    clouds = []
    for suffix, load in read.items():
        out = tmp_path / f"cloud{suffix}"
        flags = ("--model", run, "--points", 300, "--steps", 1, "--out", out)
        code, said, errors = geoflow("sample", *flags)
        assert code == 0, errors
        assert "300 points" in said
        assert "1 + 1 network evaluations" in said
        clouds.append(np.asarray(load(out)))
    for cloud in clouds[1:]:
        np.testing.assert_allclose(cloud, clouds[0], atol=1e-5)


def test_a_mesh_suffix_gives_a_surface_and_says_so(tmp_path, run):
    out = tmp_path / "cloud.obj"
    code, said, errors = geoflow("sample", "--model", run, "--points", 2000, "--out", out)
    assert code == 0, errors
    assert "a surface reconstructed from the points (Poisson, by Open3D)" in said
    assert len(trimesh.load_mesh(out).faces) > 100


def test_a_view_writes_the_cloud_that_sample_writes(tmp_path, run):
    flags = ("--model", run, "--points", 300, "--seed", 4)
    for suffix in (".ply", ".npz"):
        paths = [tmp_path / f"{command}{suffix}" for command in ("sample", "view")]
        for word, out in zip(("sample", "view"), paths, strict=True):
            code, said, errors = geoflow(word, *flags, "--out", out)
            assert code == 0, errors
        read = [np.asarray(load_points(path)) for path in paths]
        np.testing.assert_array_equal(*read)
    out = tmp_path / "cloud.png"
    code, said, errors = geoflow("view", *flags, "--renderer", "software", "--png", out)
    assert code == 0, errors
    assert said == f"{out}: picture written\n"
    assert out.read_bytes().startswith(b"\x89PNG")


def load_points(path):
    return np.load(path)["points"] if path.suffix == ".npz" else trimesh.load(path).vertices


def test_wrong_turns_are_one_line(tmp_path, run):
    sample = ("sample", "--model", run, "--out", tmp_path / "cloud.ply")
    for wrong, message in (
        ((*sample, "--faces", 100), "--faces does not go with a model of clouds of points"),
        ((*sample, "--points", 0), "--points must be at least 1, got 0"),
        ((*sample[:-1], tmp_path / "cloud.pdf"), "suffix must be one of"),
        ((*sample[:-1], tmp_path / "none" / "cloud.ply"), "does not exist"),
        ((*TRAIN, "--out", run), "holds a run already"),
        ((*TRAIN, "--channels", "all"), "--channels does not go with --kind points"),
        ((*TRAIN, "--init-from", "chair", "--out", tmp_path / "a"), "kind sdf, got"),
        (("sample", "--points", 10, "--out", tmp_path / "a.obj"), "--points does not go with"),
    ):
        code, said, errors = geoflow(*wrong)
        assert code == 2, said + errors
        (line,) = errors.splitlines()
        assert message in line
    assert not list(tmp_path.iterdir())

"""`geoflow complete | vary | interpolate`: what is wrong is one line, what is right is written."""

import numpy as np
import pytest
import trimesh

from geoflow.models import base
from geoflow.models.completion import points_of_mesh
from geoflow.models.fields import Generator
from geoflow.models.volumes import VolumeGenerator, VolumesConfig
from geoflow_cli import main


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A chair, clouds of it, and files that are none."""
    folder = tmp_path_factory.mktemp("files")
    (mesh,) = Generator.from_pretrained("chair").sample(seed=1, resolution=32)
    mesh.vertices = 7.0 * mesh.vertices + [100.0, 0.0, 0.0]
    mesh.export(folder / "chair.obj")
    cloud = points_of_mesh(mesh, 300)
    np.savez(folder / "chair.npz", points=cloud.points, normals=cloud.normals)
    np.save(folder / "bare.npy", cloud.points)
    np.save(folder / "few.npy", cloud.points[:9])
    np.save(folder / "same.npy", np.ones((40, 3)))
    np.save(folder / "flat.npy", cloud.points * [1.0, 0.0, 1.0])
    np.save(folder / "nan.npy", np.where(cloud.points > 102.0, np.nan, cloud.points))
    for name in ("few", "same", "flat"):
        points = np.load(folder / f"{name}.npy")
        up = np.broadcast_to([0.0, 1.0, 0.0], points.shape)
        np.savez(folder / f"{name}.npz", points=points, normals=up)
    plain = Generator.from_pretrained("chair")
    plain.forget_scans()
    plain.save_pretrained(folder / "plain")
    (folder / "junk.ply").write_text("junk")
    (folder / "note.txt").write_text("note")
    return folder


COMPLETE = {
    "there is no file": ("missing.npy",),
    "INPUT must end in one of .ply, .xyz": ("note.txt",),
    "it cannot be read": ("junk.ply",),
    "different points, got 9": ("few.npz",),
    "its 40 points coincide": ("same.npz",),
    "its points lie in a plane": ("flat.npz",),
    "are NaN or infinite": ("nan.npy",),
    "bare.npy has no outward normals, and --model plain": ("bare.npy", "--model", "plain"),
    "chair.npz has no outward normals": (
        "chair.npz", "--normals", "ignore", "--model", "plain",
    ),
    "--normals guess is for upright points": (
        "bare.npy", "--model", "chair", "--normals", "guess", "--pose", "any",
    ),
    "--points must be between 16 and 8,192, got 15": ("chair.npz", "--points", "15"),
    "--points must be between 16 and 8,192, got 9,000": ("chair.npz", "--points", "9000"),
    "--num must be at least 1": ("chair.npz", "--num", "0"),
    "--steps must be at least 1": ("chair.npz", "--steps", "0"),
    "--recycle must be at least 0": ("chair.npz", "--recycle", "-1"),
    "--recycle must be at most 100": ("chair.npz", "--recycle", "101"),
    "--refine must be at least 0": ("chair.npz", "--refine", "-1"),
    "--refine must be at most 10,000": ("chair.npz", "--refine", "20000"),
    "--spread must be in [0, 1], got 1.5": ("chair.npz", "--spread", "1.5"),
    "--resolution must be between": ("chair.npz", "--resolution", "4"),
    "--mirror needs an even --resolution, got 33": (
        "chair.npz", "--mirror", "--resolution", "33",
    ),
    "--faces must be at least 16, got 3": ("chair.npz", "--faces", "3"),
    "--faces 500 would not leave the mesh symmetric": (
        "chair.npz", "--mirror", "--faces", "500",
    ),
    "--uncertainty needs colours, which .stl lacks": (
        "chair.npz", "--uncertainty", "--out", "a.stl",
    ),
    "suffix must be one of .obj": ("chair.npz", "--out", "a.npy"),
    "the folder nowhere does not exist": ("chair.npz", "--out", "nowhere/a.obj"),
    "airplane is a model of clouds of points (points), which makes no solids": (
        "chair.npz", "--model", "airplane",
    ),
    "--category must be one of chair, got 'boat'": (
        "chair.npz", "--category", "boat", "--model", "chair",
    ),
    "--spread is of the answers after the first": ("chair.npz", "--spread", "0.5"),
    "--steps is of the answers after the first": ("chair.npz", "--steps", "2"),
    "--category is of the answers after the first": ("chair.npz", "--category", "any"),
    "--seed must be from 0": ("chair.npz", "--seed", "-3"),
    "perhaps --refine was meant": ("chair.npz", "--refien", "3"),
}  # fmt: skip


def says(capsys, message):
    errors = capsys.readouterr().err
    assert errors.startswith("geoflow: error: ")
    assert message in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("message", COMPLETE)
def test_what_cannot_be_completed_is_one_line_and_code_2(files, monkeypatch, capsys, message):
    monkeypatch.chdir(files)
    words = COMPLETE[message]
    out = () if "--out" in words else ("--out", "out.obj")
    assert main(["complete", *words, *out]) == 2
    says(capsys, message)
    assert not (files / "out.obj").exists()


@pytest.mark.parametrize("command", ["complete", "vary"])
def test_triangles_that_tell_nothing_are_left_out_unless_they_are_wanted(
    files, monkeypatch, tmp_path, command
):
    monkeypatch.chdir(files)
    counts = {}
    for faces in ("full", None, "2000"):
        words = [] if faces is None else ["--faces", faces]
        out = tmp_path / f"{faces}.ply"
        chosen = ["--model", "chair", "--resolution", "64"]
        assert main([command, "chair.obj", "--out", str(out), *chosen, *words]) == 0
        mesh = trimesh.load(out)
        assert mesh.is_watertight
        counts[faces] = len(mesh.faces)
    assert counts["full"] > counts[None] > 2000 >= counts["2000"]


def test_a_model_that_is_not_there_is_a_failure(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    assert main(["complete", "chair.npz", "--out", "out.obj", "--model", "sofa"]) == 1
    assert "no model 'sofa'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("vary", "missing.obj"), "there is no mesh file missing.obj"),
        (("vary", "note.txt"), "note.txt: it cannot be read as a mesh"),
        (("vary", "chair.obj", "--strength", "2"), "--strength must be in [0, 1], got 2.0"),
        (("vary", "chair.obj", "--num", "0"), "--num must be at least 1"),
        (("vary", "chair.obj", "--out", "a.gif"), "suffix must be one of .obj"),
        (("vary", "chair.obj", "--model", "rig"), "rig is a model of joints of a mesh"),
        (("interpolate", "chair.obj", "missing.obj"), "there is no mesh file missing.obj"),
        (("interpolate", "chair.obj", "chair.obj", "--frames", "1"), "--frames must be at least 2"),
        (
            ("interpolate", "chair.obj", "chair.obj", "--out", "a.obj"),
            "--out must end in .gif or .mp4, or be a folder, got 'a.obj'",
        ),
        (
            ("interpolate", "chair.obj", "chair.obj", "--out", "nowhere/a.gif"),
            "the folder nowhere does not exist",
        ),
    ],
)
def test_what_cannot_be_edited_is_one_line_and_code_2(files, monkeypatch, capsys, words, message):
    monkeypatch.chdir(files)
    assert main(list(words)) == 2
    says(capsys, message)


def test_models_that_encode_alone_draw_nothing(files, tmp_path, monkeypatch, capsys):
    """Seen from the card: the weights stay unread."""
    config = VolumesConfig.build(symmetry="frame", categories=("chair",), size="small")
    model = VolumeGenerator.build(config)
    object.__setattr__(model.config, "generates", False)
    model.save_pretrained(tmp_path / "model")

    def fail(*arguments):
        raise AssertionError

    monkeypatch.setattr(base, "load_tensors", fail)
    monkeypatch.chdir(files)
    chosen = ("--model", str(tmp_path / "model"))
    for words, draws in (
        (("complete", "bare.npy", "--num", "2", "--out", "out.obj"), "more than one answer"),
        (("complete", "bare.npy", "--uncertainty", "--out", "out.obj"), "more than one answer"),
        (("vary", "chair.obj"), "a variation"),
        (("interpolate", "chair.obj", "chair.obj"), "the way between shapes"),
    ):
        assert main([*words, *chosen]) == 2
        says(capsys, f"encodes and decodes alone: {draws} needs the flow")


def test_a_cloud_is_completed_where_it_is(files, tmp_path, capsys):
    out = tmp_path / "out.ply"
    words = ["complete", str(files / "chair.npz"), "--out", str(out), "--resolution", "32"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "watertight" in said
    assert " 0 network evaluations" in said
    found, true = trimesh.load_mesh(out), trimesh.load_mesh(files / "chair.obj")
    assert found.is_watertight
    np.testing.assert_allclose(found.bounds, true.bounds, atol=0.1 * 7)


def test_normals_are_guessed_for_a_model_that_needs_them(files, tmp_path, capsys):
    words = ["complete", str(files / "bare.npy"), "--model", "chair", "--normals", "guess"]
    out = tmp_path / "out.ply"
    assert main([*words, "--points", "64", "--resolution", "24", "--out", str(out)]) == 0
    assert "watertight" in capsys.readouterr().out
    assert trimesh.load_mesh(out).is_watertight


@pytest.mark.slow
def test_meshes_are_completed_varied_and_joined(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("--resolution", "32")
    chair = str(files / "chair.obj")
    words = ("--model", "chair", "--num", "2", "--uncertainty", "--out", "c.ply")
    assert main(["complete", chair, *words, *small]) == 0
    first, second = (trimesh.load_mesh(f"c-00{i}.ply") for i in range(2))
    assert first.visual.kind == "vertex"
    assert second.is_watertight
    assert main(["vary", chair, "--num", "2", "--mirror", "--preview", *small]) == 0
    varied = trimesh.load_mesh("varied-001.obj")
    assert varied.is_watertight
    middle = varied.vertices[:, 0].mean()
    assert middle == pytest.approx(100.0, abs=0.5)
    assert (tmp_path / "varied.png").is_file()
    way = ["interpolate", chair, "varied-000.obj", *small]
    assert main([*way, "--frames", "3", "--out", "way"]) == 0
    assert sorted(path.name for path in (tmp_path / "way").iterdir()) == [
        "000.obj", "001.obj", "002.obj",
    ]  # fmt: skip
    assert main([*way, "--frames", "2"]) == 0
    assert (tmp_path / "morph.gif").read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize("is_closed", [True, False])
def test_the_faces_of_an_open_mesh_are_not_believed(tmp_path, monkeypatch, is_closed):
    import geoflow.models.completion

    box = trimesh.creation.box((1, 0.8, 0.6))
    if not is_closed:
        box.update_faces(np.arange(len(box.faces)) > 1)
    box.export(tmp_path / "box.stl")
    asked, plain = [], geoflow.models.completion.prepare

    def prepared(*args, oriented, **options):
        asked.append(oriented)
        return plain(*args, oriented=oriented, **options)

    monkeypatch.setattr(geoflow.models.completion, "prepare", prepared)
    for model in ("shapes", "chair"):
        args = ["complete", str(tmp_path / "box.stl"), "--model", model, "--resolution", "24"]
        assert main([*args, "--out", str(tmp_path / "a.obj")]) == 0
    # The chair model's encoder of meshes needs them.
    assert asked == [is_closed, True]

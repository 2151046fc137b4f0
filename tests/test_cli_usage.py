"""What is wrong for a kind of model is said by exit code 2 before any weights are read."""

import pytest
import torch
import trimesh
from test_cli_points import geoflow

from geoflow.models import base
from geoflow.models.base import describe, shipped
from geoflow.models.checkpoint import CheckpointError, load_card, load_checkpoint, save_checkpoint
from geoflow.models.distribution import DistributionConfig, GeometryDistribution


class WeightsReadError(Exception):
    """The networks were built."""


@pytest.fixture
def unread(monkeypatch, tmp_path):
    """Models whose weights must stay unread, and one of a distribution among them."""
    GeometryDistribution.build(DistributionConfig()).save_pretrained(tmp_path / "law")

    def fail(*arguments, **options):
        raise WeightsReadError

    monkeypatch.setattr(base, "load_tensors", fail)
    return {"fields": "chair", "clouds": "airplane", "law": tmp_path / "law", "rigger": "rig"}


@pytest.mark.parametrize(
    ("model", "flags", "message"),
    [
        ("fields", ("--points", 10), "--points does not go with a model of meshes"),
        ("fields", ("--category", "boat"), "--category must be one of chair, got 'boat'"),
        ("fields", ("--faces", 2), "--faces must be at least 16"),
        (
            "clouds",
            ("--resolution", 64),
            "--resolution does not go with a model of clouds of points",
        ),
        ("clouds", ("--faces", 100), "--faces does not go with a model of clouds of points"),
        ("clouds", ("--points", 0), "--points must be at least 1"),
        ("clouds", ("--num", 0), "--num must be at least 1"),
        ("law", ("--num", 2), "--num does not go with a model of points of one surface"),
        (
            "law",
            ("--category", "a"),
            "--category does not go with a model of points of one surface",
        ),
        ("rigger", (), "geoflow rig --model rig --mesh FIGURE"),
        # Given at the default of the kind that has it, an option is as foreign as at any other.
        ("clouds", ("--resolution", 128), "--resolution does not go with a model of clouds"),
        ("law", ("--num=1",), "--num does not go with a model of points of one surface"),
        ("clouds", ("--pionts", 3), "perhaps --points was meant"),
    ],
)
def test_wrong_usage_reads_no_weights(tmp_path, unread, model, flags, message):
    out = tmp_path / "a.ply"
    code, said, errors = geoflow("sample", "--model", unread[model], "--out", out, *flags)
    assert code == 2, said + errors
    (line,) = errors.splitlines()
    assert message in line


@pytest.mark.parametrize("model", ["fields", "clouds", "law"])
def test_right_usage_reads_them(tmp_path, unread, model):
    with pytest.raises(WeightsReadError):
        geoflow("sample", "--model", unread[model], "--out", tmp_path / "a.ply")


@pytest.mark.parametrize(("model", "kind"), [("fields", "sdf"), ("clouds", "points")])
def test_rigging_by_another_model_is_wrong_usage(tmp_path, unread, model, kind):
    (tmp_path / "figure.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    rig = ("rig", "--mesh", tmp_path / "figure.obj", "--out", tmp_path / "joints.json")
    code, said, errors = geoflow(*rig, "--model", unread[model])
    assert code == 2, said + errors
    assert f"is a model of {kind}: geoflow sample --model {unread[model]}" in errors


def test_models_of_every_kind_are_described(tmp_path, unread):
    kinds = {name: describe(model).kind for name, model in unread.items()}
    assert kinds == {"fields": "sdf", "clouds": "points", "law": "distribution", "rigger": "joints"}
    assert shipped()["airplane"].categories == ("airplane",)
    assert shipped()["rig"].categories == ()
    with pytest.raises(CheckpointError, match="shipped models: airplane, chair, rig"):
        describe(tmp_path / "none")


def test_a_card_is_read_without_its_tensors(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"w": torch.ones(3)}, {"model": 1})
    assert load_card(path) == (2, {"model": 1})
    assert load_checkpoint(path)[1] == {"model": 1}
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_card(path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--init-from", "shapes", "--symmetry", "so2"), "--kind shapes stands in a frame"),
        (("--init-from=airplane", "--size", "small"), "--size does not go with --kind points"),
        (("--teacher", "airplane", "--channels", "position"), "--channels does not go with"),
        (("--kind=points", "--thickness", ".1"), "--thickness does not go with --kind points"),
        (("--kind=points", "--keep-cavities"), "--keep-cavities does not go with --kind points"),
        (("--kind=points", "--augment", "0"), "--augment does not go with --kind points"),
        (("--kind=shapes", "--thickness", "2"), "--thickness must be in [0, 0.5], got 2.0"),
        (("--init-from", "airplane", "--kind", "sdf"), "is a model of kind points, got --kind sdf"),
        (("--init-from", "shapes", "--kind", "cubes"), "--kind must be one of sdf, shapes"),
        # Of an option that is given twice the last one counts, for the kind as for the parser.
        (("--kind", "sdf", "--kind", "points", "--augment", "1"), "does not go with --kind points"),
        (("--init-from", "chair", "--symmetry", "so3"), "--symmetry so3 is of fresh networks"),
        (("--init-from=shapes", "--size", "base"), "--size is of fresh networks, and those of"),
        (
            ("--teacher", "airplane", "--autoencoder-steps", "9"),
            "a student keeps the autoencoder of its --teacher",
        ),
        (("--init-from=chair", "--interpolant=vp"), "error: --interpolant asks for the interp"),
    ],
)
def test_a_training_is_of_the_kind_of_the_model_that_it_starts_from(flags, message):
    code, said, errors = geoflow("train", *flags)
    assert code == 2, said + errors
    (line,) = errors.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--objective", "trigflow", "--interpolant", "linear"), "of the path trigonometric"),
        (("--weight-power", "nan"), "the power of a weight must be at least 0, got nan"),
        (("--weight-power", "-1"), "the power of a weight must be at least 0, got -1.0"),
        (("--objective", "flow-matching", "--end", "0.5"), "flow-matching draws none"),
        (("--augment", "3"), "--augment does not go with --data procedural"),
        (("--thickness", "0.1"), "--thickness does not go with --data procedural"),
        (("--data-up", "y"), "--data-up does not go with --data procedural"),
        (("--data", "universe", "--shape-category=all", "--keep-cavities"), "--data universe"),
        (("--data", "{meshes}", "--num-shapes", "9"), "--num-shapes does not go with --data"),
        (("--kind=shapes", "--data=procedural+"), "name one on both sides"),
        (("--kind=shapes", "--targets=pooled"), "latents that are given points have no pool"),
        (("--kind=shapes", "--data=procedural+universe", "--augment=1"), "procedural+universe"),
        (("--kind=distribution", "--data={mesh}", "--objective=mean-flow", "--prediction=x1"),
         "of the path linear and the prediction u"),
    ],
)  # fmt: skip
def test_what_would_be_passed_over_is_refused_before_there_is_a_run(tmp_path, flags, message):
    (tmp_path / "meshes").mkdir()
    mesh = tmp_path / "meshes" / "a.obj"
    trimesh.creation.box().export(mesh)
    words = [flag.format(meshes=tmp_path / "meshes", mesh=mesh) for flag in flags]
    code, said, errors = geoflow("train", *words, "--out", tmp_path / "run")
    assert code == 2, said + errors
    (line,) = errors.splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()


def test_a_student_of_other_categories_leaves_no_run(tmp_path):
    flags = ("--teacher", "airplane", "--objective", "lagrangian", "--shape-category", "mug")
    size = ("--num-shapes", 2, "--steps", 1, "--no-progress")
    code, said, errors = geoflow("train", *flags, *size, "--out", tmp_path / "run")
    assert code == 2, said + errors
    assert "the model's categories are airplane; the data has mug" in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sample", "--model=shapes", "--category=any", "--guidance=2"), "--guidance weighs a"),
        (("rig", "--up", "y"), "--up is of a mesh file"),
        (("view", "--port", "8080"), "--port is of a page: add --web"),
        (("evaluate", "--model=chair", "--reference=chair", "--up=y"), "--up is of files"),
        (("evaluate", "--model=chair", "--reference=chair", "--reference-up=z"), "is made"),
        (("evaluate", "--samples=here", "--reference=chair", "--device=cpu"), "with --samples"),
        (("data", "prepare", "here", "--memory", "nan"), "--memory must be at least 0.6, got nan"),
        (("data", "prepare", "here", "--seconds", "nan"), "--seconds must be above 0, got nan"),
    ],
)
def test_an_option_that_nothing_reads_is_refused(tmp_path, words, message):
    out = {"sample": "a.obj", "view": "a.png", "data": "made"}.get(words[0], "a.json")
    code, said, errors = geoflow(*words, "--out", tmp_path / out)
    assert code == 2, said + errors
    (line,) = errors.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sample --seed 1e3 --out a.obj", "--seed: expected a whole number, got '1e3'"),
        ("sample --steps 2.5 --out a.obj", "--steps: expected a whole number, got '2.5'"),
        ("view --blend abc --out a.png", "--blend: expected a number, got 'abc'"),
        (
            "view --layout x --out a.png",
            "--layout must be one of 'single', 'variations', 'compare', got 'x'",
        ),
        ("sample --out", "--out needs a value"),
        ("evaluate --num 2", "missing: --out, --reference"),
        ("rig", "missing: --out"),
    ],
)
def test_a_value_of_another_type_is_said_shortly(words, message):
    assert geoflow(*words.split()) == (2, "", f"geoflow: error: {message}\n")

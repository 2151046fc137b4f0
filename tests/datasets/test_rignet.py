"""RigNet's layout: rigs, meshes and lists of a small tree; every mistake names file and line."""

import numpy as np
import pytest
import trimesh

from geoflow_datasets import describe, load
from geoflow_datasets.rignet import read_rig

RIG = """joints hip 0 1 0
joints knee 0.1 2 0
joints toe 0.2 3 0.5
root knee
skin 0 hip 0.5 knee 0.5
hier knee toe
hier knee hip
"""


@pytest.fixture
def folder(tmp_path):
    """Two figures, one for training, one for test: boxes of 2 x 4 x 1, far from the origin."""
    for name in ("7", "12"):
        for part in ("obj", "rig_info"):
            (tmp_path / part).mkdir(exist_ok=True)
        box = trimesh.creation.box(extents=[2.0, 4.0, 1.0])
        box.apply_translation([10.0, 2.0, 0.0])
        box.export(tmp_path / "obj" / f"{name}.obj")
        (tmp_path / "rig_info" / f"{name}.txt").write_text(RIG)
    (tmp_path / "train_final.txt").write_text("7\n")
    (tmp_path / "test_final.txt").write_text("12\n")
    return tmp_path


def test_parents_come_before_their_children(tmp_path):
    (tmp_path / "a.txt").write_text(RIG)
    rig = read_rig(tmp_path / "a.txt")
    assert rig.names == ("knee", "toe", "hip")
    assert rig.parents == (-1, 0, 0)
    np.testing.assert_array_equal(rig.joints, [[0.1, 2, 0], [0.2, 3, 0.5], [0, 1, 0]])


def test_joints_and_surface_share_the_normalised_box(folder, tmp_path):
    bank = load(str(folder), gives="figures", split="train", num=0, cache=tmp_path / "cache")
    assert bank.names == ("7",)
    surface, joints = bank.figure(0)
    assert np.abs(surface).max(0) == pytest.approx([0.5, 1.0, 0.25], abs=0.02)
    # (p - (10, 2, 0)) / 2
    np.testing.assert_allclose(joints[0], [-4.95, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(bank.parents[0], [-1, 0, 0])
    assert load(str(folder), gives="figures", split="test", num=0, cache=tmp_path / "c").names == (
        "12",
    )
    (folder / "val_final.txt").write_text("")
    with pytest.raises(ValueError, match="no figures for the split 'val'"):
        load(str(folder), gives="figures", split="val", num=0, cache=tmp_path / "c")


def test_without_lists_small_folders_are_all_of_every_split(folder, tmp_path):
    for path in folder.glob("*_final.txt"):
        path.unlink()
    assert load(str(folder), gives="figures", split="val", num=0, cache=tmp_path / "c").names == (
        "12",
        "7",
    )


def test_a_changed_rig_is_read_again(folder, tmp_path):
    def first():
        return load(
            str(folder), gives="figures", split="train", num=0, cache=tmp_path / "c"
        ).joints[0, 0]

    before = first()
    path = folder / "rig_info" / "7.txt"
    path.write_text(RIG.replace("joints knee 0.1", "joints knee 9.5"))
    assert not np.array_equal(before, first())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("joints knee 0.1 2 0", "joints knee 0.1 x 0", "line 2: expected three finite numbers"),
        ("joints knee 0.1 2 0", "joints knee 0.1 nan 0", "line 2: expected three finite numbers"),
        ("joints knee 0.1 2 0", "joints hip 0.1 2 0", "line 2: joint 'hip' is defined twice"),
        ("joints knee 0.1 2 0", "joints knee 0.1 2", "line 2: expected 'joints NAME X Y Z'"),
        ("root knee", "root ankle", "line 4: joint 'ankle' is not defined"),
        ("root knee", "root knee\nroot hip", "line 5: second root 'hip' after 'knee'"),
        ("root knee\n", "", "defines 3 joints and no root"),
        ("hier knee toe", "hier knee ear", "line 6: joint 'ear' is not defined"),
        ("hier knee hip", "hier toe knee", "line 7: joint 'knee' has a second parent, or is the"),
        ("hier knee hip", "", "joints hip do not hang on the root 'knee'"),
        ("hier knee hip", "bone knee hip", "line 7: expected 'joints NAME X Y Z', .* got 'bone"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, old, new, message):
    assert old in RIG
    (tmp_path / "bad.txt").write_text(RIG.replace(old, new))
    with pytest.raises(ValueError, match=rf"bad\.txt.*{message}"):
        read_rig(tmp_path / "bad.txt")


def test_folders_of_another_layout_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"has not RigNet's layout: expected obj/ID\.obj"):
        load(str(tmp_path / "obj"), gives="figures", split="train", num=0)
    with pytest.raises(ValueError, match="split must be one of train, val, test"):
        load(str(folder), gives="figures", split="dev", num=0)
    (folder / "rig_info" / "7.txt").unlink()
    with pytest.raises(ValueError, match=r"figure '7' has no file .*rig_info/7\.txt"):
        load(str(folder), gives="figures", split="train", num=0)


def test_a_bad_figure_is_left_out_and_named(folder, tmp_path):
    for path in folder.glob("*_final.txt"):
        path.unlink()
    assert describe(str(folder), gives="figures", cache=tmp_path / "c") == ""
    (folder / "obj" / "7.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    bank = load(str(folder), gives="figures", split="train", num=0, cache=tmp_path / "c")
    assert bank.names == ("12",)
    said = describe(str(folder), gives="figures", cache=tmp_path / "c")
    assert said.startswith("1 figures refused\n  7: ")
    assert "not finite" in said
    (folder / "rig_info" / "12.txt").write_text("joints hip 0 0\n")
    with pytest.raises(ValueError, match="all 2 figures were refused; "):
        load(str(folder), gives="figures", split="train", num=0, cache=tmp_path / "c")

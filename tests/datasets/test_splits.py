"""Families are held out whole; files in the folder win; numberings are no families."""

import json

import numpy as np
import pytest
import trimesh

from geoflow_datasets.layouts import split_of
from geoflow_datasets.splits import families_of, splits_of, unknown_names


def cloud(seed):
    """Points of a body that no other seed gives."""
    rng = np.random.default_rng(seed)
    parts = [
        trimesh.creation.box(extents=rng.uniform(0.2, 0.7, 3)).apply_translation(
            rng.uniform(-0.6, 0.6, 3)
        )
        for _ in range(4)
    ]
    points, _ = trimesh.sample.sample_surface(trimesh.util.concatenate(parts), 2048, seed=seed)
    return np.asarray(points)


def clouds(num):
    return np.stack([cloud(seed) for seed in range(num)])


def test_names_that_differ_in_a_number_or_a_last_word_are_a_family():
    names = ["a/sofa_1.obj", "a/sofa_2.obj", "a/stool-red.obj", "a/stool-blue.obj", "a/lampBig.obj",
             "a/lampSmall.obj", "b/sofa_3.obj", "a/desk.obj"]  # fmt: skip
    found = families_of(names, clouds(8))
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[4] == found[5]
    assert len(set(found)) == 5


def test_a_numbering_is_no_family():
    names = [f"chair_{i:03d}.obj" for i in range(20)]
    assert len(set(families_of(names, clouds(20)))) == 20


def test_nearly_equal_shapes_are_a_family_whatever_their_names():
    rng = np.random.default_rng(0)
    surface = clouds(6)
    surface[4] = cloud(1) + rng.normal(scale=0.005, size=surface[4].shape)
    found = families_of(["oak", "ash", "elm", "fir", "yew", "box"], surface)
    assert found[4] == found[1]
    assert len(set(found)) == 5


def test_families_are_on_one_side_and_others_stay(tmp_path):
    names = [
        f"kind{chr(97 + i // 26)}{chr(97 + i % 26)}-{k}.obj" for i in range(40) for k in (1, 2)
    ]
    splits = splits_of(tmp_path, names, clouds(80))
    assert splits[::2] == splits[1::2]
    assert splits[::2] == [split_of(name, 80) for name in names[::2]]
    assert splits[1::2] != [split_of(name, 80) for name in names[1::2]]
    assert {"train", "val", "test"} == set(splits)


def test_files_in_the_folder_win(tmp_path):
    names = ["train/a-1.obj", "b.obj", "c.obj", "d.obj"]
    surface = clouds(4)
    assert splits_of(tmp_path, names, surface) == ["train"] * 4
    (tmp_path / "splits.json").write_text(json.dumps({"test": ["b.obj"], "val": ["c"]}))
    assert splits_of(tmp_path, names, surface) == ["train", "test", "val", "train"]
    (tmp_path / "splits.json").write_text(json.dumps({"d.obj": "test"}))
    assert splits_of(tmp_path, names, surface)[3] == "test"
    # Windows' editors put a mark before UTF-8.
    (tmp_path / "splits.json").write_text(json.dumps({"val": ["d"]}), encoding="utf-8-sig")
    assert splits_of(tmp_path, names, surface)[3] == "val"
    for wrong in ({"d.obj": "dev"}, {"test": 3}, {"test": "d.obj"}, ["d.obj"], {"d.obj": ["test"]}):
        (tmp_path / "splits.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r"splits\.json must be"):
            splits_of(tmp_path, names, surface)


def test_groups_win_over_names_and_geometry(tmp_path):
    names = ["sofa_1.obj", "sofa_2.obj", "x.obj", "y.obj"]
    groups = ["one", "two", "g", "g"]
    assert len(set(families_of(names, clouds(4), groups))) == 3
    same = np.stack([cloud(0)] * 4)
    assert len(set(families_of(names, same, groups))) == 3
    assert len(set(families_of(names, same))) == 1
    (tmp_path / "groups.csv").write_text("name,group\nx.obj,g\ny.obj,g\n", encoding="utf-8-sig")
    assert len(splits_of(tmp_path, names, same)) == 4
    (tmp_path / "groups.csv").write_text("file,kind\nx.obj,g\n")
    with pytest.raises(ValueError, match="columns name and group"):
        splits_of(tmp_path, names, same)


def test_who_is_named_in_vain_is_said_and_all_in_vain_is_refused(tmp_path):
    names = ["a.obj", "b/c.obj"]
    assert unknown_names(tmp_path, names) == []
    (tmp_path / "splits.json").write_text(json.dumps({"test": ["a", "b/gone.obj", "c.obj"]}))
    (tmp_path / "groups.csv").write_text("name,group\nb/c,g\nx.obj,g\n")
    assert unknown_names(tmp_path, names) == [
        "  splits.json names 2 files that are not there, such as 'b/gone.obj'",
        "  groups.csv names 1 files that are not there, such as 'x.obj'",
    ]
    (tmp_path / "splits.json").write_text(json.dumps({"meshes/a.obj": "test"}))
    with pytest.raises(ValueError, match="names none of the files that are there: it names 'meshe"):
        unknown_names(tmp_path, names)
    (tmp_path / "splits.json").write_text(json.dumps({"test": ["a"], "train": ["b/c", "a"]}))
    with pytest.raises(ValueError, match="has 'a' in more than one split"):
        splits_of(tmp_path, names, clouds(2))


def test_a_shape_that_is_held_out_by_name_draws_its_family(tmp_path):
    """Else siblings of what is tested on would be trained on."""
    names = [f"{word}-{k}.obj" for word in ("ash", "elm", "fir", "oak", "yew") for k in (1, 2)]
    surface = clouds(10)
    # By geometry, too: one of another name.
    surface[9] = surface[1]
    names[9] = "box.obj"
    (tmp_path / "splits.json").write_text(json.dumps({"test": ["ash-2.obj", "elm-1"]}))
    found = dict(zip(names, splits_of(tmp_path, names, surface), strict=True))
    held = {name for name, split in found.items() if split == "test"}
    assert held >= {"ash-1.obj", "ash-2.obj", "elm-1.obj", "elm-2.obj", "box.obj"}
    (tmp_path / "splits.json").write_text(
        json.dumps({"test": ["ash-2.obj"], "train": ["ash-1.obj"]})
    )
    assert splits_of(tmp_path, names, surface)[:2] == ["train", "test"]

"""`geoflow data`: cards, near names, what is not there, and preparing from the command line."""

import json
from dataclasses import replace

import pytest
import trimesh

from geoflow_cli import main
from geoflow_datasets.cards import CARDS, check_file


def box(folder, name="chair/a.off"):
    (folder / name).parent.mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(folder / name)
    return folder


def test_every_card_is_listed(capsys):
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CARDS)


@pytest.mark.parametrize("name", CARDS)
def test_every_card_is_told(capsys, name):
    card = CARDS[name]
    assert main(["data", "info", name]) == 0
    said = capsys.readouterr().out
    assert all(part in said for part in (card.origin, card.licence, *card.obtain))
    assert f"geoflow data get {name}" in said


@pytest.mark.parametrize(
    ("word", "near"), [("shapenet-core", "shapenetcore-v1"), ("modelnet", "modelnet10")]
)
def test_an_unknown_set_is_told_the_nearest(capsys, word, near):
    assert main(["data", "info", word]) == 2
    assert near in capsys.readouterr().err
    assert main(["data", "get", word, "--out", "x"]) == 2


def test_words_of_data_are_told(capsys):
    assert main(["data"]) == 2
    assert "list, info, get, prepare" in capsys.readouterr().err
    assert main(["data", "--help"]) == 0
    assert main(["data", "prepar"]) == 2
    assert "perhaps prepare was meant" in capsys.readouterr().err


def test_what_is_not_there_is_told_with_the_steps(capsys, tmp_path):
    assert main(["data", "get", "modelnet10", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert CARDS["modelnet10"].obtain[0] in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_checksum_is_compared(tmp_path):
    path = tmp_path / "set.zip"
    path.write_bytes(b"content")
    sha = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    card = replace(CARDS["modelnet10"], file="set.zip", checksum=sha)
    assert check_file(card, path)
    assert not check_file(CARDS["modelnet10"], path)
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match=r"set.zip is not the file of ModelNet10"):
        check_file(card, path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seconds", "0"], "--seconds must be above 0"),
        (["--memory", "0.1"], "--memory must be at least"),
        (["--workers", "0"], "--workers must be at least 1"),
        (["--thickness", "0.9"], "thickness must be in"),
    ],
)
def test_options_out_of_range_are_refused(capsys, tmp_path, words, said):
    box(tmp_path / "src")
    out = tmp_path / "out"
    assert main(["data", "prepare", str(tmp_path / "src"), "--out", str(out), *words]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_clouds_have_no_options_of_meshes(capsys, tmp_path):
    words = ["data", "prepare", str(tmp_path), "--kind", "clouds", "--out", str(tmp_path / "out")]
    assert main([*words, "--keep-cavities"]) == 2
    assert "clouds have no parts" in capsys.readouterr().err


@pytest.mark.slow
def test_a_set_is_prepared_and_trained_from(capsys, tmp_path):
    source = box(tmp_path / "ModelNet10")
    (source / "chair" / "flat.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    out = tmp_path / "out"
    words = ["data", "get", "modelnet10", "--source", str(source), "--out", str(out)]
    assert main([*words, "--workers", "1", "--no-progress"]) == 0
    said = capsys.readouterr().out
    assert "1 meshes (1 winding), 1 refused" in said
    assert (out / "doubtful.png").is_file()
    card = json.loads((out / "prepared.json").read_text())
    assert card["options"]["up"] == "z"
    for data, kind in ((str(out), "sdf"), (f"procedural+{out}", "shapes")):
        words = ["train", "--kind", kind, "--data", data, "--shape-category", "all"]
        words += ["--out", str(tmp_path / kind), "--steps", "1", "--sheet-every", "0"]
        words += ["--num-shapes", "8"] * data.startswith("procedural") + ["--no-progress"]
        assert main(words) == 0
    assert "1 meshes (1 winding)" in capsys.readouterr().out

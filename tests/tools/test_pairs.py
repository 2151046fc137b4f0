"""Pairs of files: every number by brute force, places and sizes that count, wrong partners."""

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import trimesh

from geoflow.geometry.axes import turn_up
from geoflow_tools.evaluation.pairs import (
    PAIR_METRICS,
    PairedEvaluation,
    PairSettings,
    match_pairs,
    measure_pair,
    summary_of_pairs,
)

NUM = 7


def clouds(seed, num=3):
    return np.random.default_rng(seed).normal(size=(num, NUM, 3))


def write(folder, shapes):
    """Shapes by name: arrays as .npy, meshes as .ply."""
    folder.mkdir()
    for name, shape in shapes.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if isinstance(shape, trimesh.Trimesh):
            shape.export(folder / f"{name}.ply")
        else:
            np.save(folder / f"{name}.npy", shape)
    return str(folder)


def measured(settings, folder):
    evaluation = PairedEvaluation(settings, folder)
    for _ in evaluation.run():
        pass
    return evaluation.report()


@pytest.fixture
def settings(tmp_path):
    a, b = clouds(0), clouds(1)
    return PairSettings(
        write(tmp_path / "a", {f"{i}": x for i, x in enumerate(a)}),
        write(tmp_path / "b", {f"{i}": x for i, x in enumerate(b)}),
        points=NUM, emd_points=NUM, normalise="none",
    )  # fmt: skip


def test_files_that_point_up_along_z_are_turned(tmp_path):
    box = trimesh.creation.box([1.0, 2.0, 3.0])
    a = write(tmp_path / "a", {"0": box})
    b = write(tmp_path / "b", {"0": turn_up(box, "z")})
    settings = PairSettings(a, b, points=64, emd_points=0)
    (pair,) = match_pairs(tmp_path / "a", tmp_path / "b")
    assert measure_pair(replace(settings, reference_up="z"), pair)["volume_iou"] == 1.0
    assert measure_pair(settings, pair)["volume_iou"] < 0.9


def brute_force(a, b, threshold=0.02):
    """All numbers of two clouds from the table of their distances and every matching."""
    table = np.linalg.norm(a[:, None] - b[None], axis=-1)
    there, back = table.min(1), table.min(0)
    precision, recall = (there <= threshold).mean(), (back <= threshold).mean()
    rows = np.arange(len(a))
    return {
        "chamfer_squared": (there**2).mean() + (back**2).mean(),
        "chamfer": (there.mean() + back.mean()) / 2,
        "emd": min(table[rows, list(order)].mean() for order in permutations(rows)),
        "f_score": 2 * precision * recall / max(precision + recall, 1e-300),
    }


def test_numbers_and_means_are_those_of_brute_force(tmp_path, settings):
    report = measured(settings, tmp_path / "work")
    each = [brute_force(x, y) for x, y in zip(clouds(0), clouds(1), strict=True)]
    for name in ("chamfer_squared", "chamfer", "emd", "f_score"):
        values = np.array([numbers[name] for numbers in each])
        for i, value in enumerate(values):
            assert report["each"][str(i)][name] == pytest.approx(value, abs=1e-12)
        found = report["metrics"][name]
        assert found["value"] == pytest.approx(values.mean(), abs=1e-12)
        assert found["standard_error"] == pytest.approx(values.std(ddof=1) / 3**0.5, abs=1e-12)
    # The twin: partners in another order.
    other = brute_force(clouds(0)[0], clouds(1)[1])["chamfer"]
    assert report["each"]["0"]["chamfer"] != pytest.approx(other)
    assert set(report["metrics"]) == {"chamfer_squared", "chamfer", "emd", "f_score"}


def test_f_score_counts_the_points_within_the_threshold(tmp_path):
    """Of four points one is copied and two stray by less than a hundredth of the longest edge."""
    a = np.eye(3)[[0, 1, 2, 2]] * [[1], [1], [1], [-1]]
    b = a + np.array([[0, 0, 0], [0.015, 0, 0], [0, 0.019, 0], [0, 0.3, 0]])
    settings = PairSettings(
        write(tmp_path / "a", {"x": a}), write(tmp_path / "b", {"x": b}),
        points=4, emd_points=0, normalise="none",
    )  # fmt: skip
    report = measured(settings, tmp_path / "work")
    assert report["metrics"]["f_score"]["value"] == pytest.approx(0.75)
    assert report["metrics"]["f_score"]["standard_error"] is None
    assert "emd" not in report["metrics"]
    assert "EMD: left out (--emd-points 0)" in summary_of_pairs(report)


def test_volume_and_normals_of_boxes(tmp_path):
    """Half of one cube, the cube inside out, a turned one, and one with a hole."""
    cube = trimesh.creation.box(extents=[1, 1, 1])
    half = trimesh.creation.box(extents=[0.5, 1, 1]).apply_translation([0.25, 0, 0])
    inverted = cube.copy()
    inverted.invert()
    open_cube = cube.copy()
    open_cube.update_faces(np.arange(12) > 0)
    turned = cube.copy()
    turned.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 4, [0, 1, 0]))
    samples = {"half": half, "inverted": inverted, "open": open_cube, "turned": turned}
    settings = PairSettings(
        write(tmp_path / "a", samples), write(tmp_path / "b", dict.fromkeys(samples, cube)),
        points=4000, emd_points=0,
    )  # fmt: skip
    each = measured(settings, tmp_path / "work")["each"]
    assert each["half"]["volume_iou"] == pytest.approx(0.5, abs=0.01)
    assert each["inverted"]["volume_iou"] == 1.0
    assert each["open"]["volume_iou"] is None
    # Two squares of edge 1 at 45 degrees share a regular octagon of area 2 (sqrt 2 - 1).
    octagon = 2 * (2**0.5 - 1)
    assert each["turned"]["volume_iou"] == pytest.approx(octagon / (2 - octagon), abs=0.01)
    assert each["inverted"]["normal_consistency"] > 0.95
    assert each["turned"]["normal_consistency"] < 0.9


def test_the_reference_places_both(tmp_path):
    """A common move and scale says nothing; a sample of another place or size is worse."""
    a, b = clouds(0)[0], clouds(1)[0]
    moved = {"x": 5 * a + 3, "y": 5 * a + 9, "z": 2 * (5 * a) + 3}
    settings = PairSettings(
        write(tmp_path / "a", moved), write(tmp_path / "b", {k: 5 * b + 3 for k in moved}),
        points=NUM, emd_points=0,
    )  # fmt: skip
    alone = PairSettings(
        write(tmp_path / "c", {"x": a}), write(tmp_path / "d", {"x": b}), points=NUM, emd_points=0
    )
    for place in ("box", "sphere"):
        work = tmp_path / place
        each = measured(replace(settings, normalise=place), work)["each"]
        plain = measured(replace(alone, normalise=place), tmp_path / f"{place}1")["each"]
        assert each["x"]["chamfer"] == pytest.approx(plain["x"]["chamfer"], rel=1e-9)
        for other in ("y", "z"):
            assert each[other]["chamfer"] > 1.2 * each["x"]["chamfer"]


def test_pairs_are_measured_once_and_other_options_refused(tmp_path, settings, monkeypatch):
    whole = measured(settings, tmp_path / "work")
    first = tmp_path / "work" / "00001.json"
    before = first.read_text()
    (tmp_path / "work" / "00000.json").unlink()
    first.write_text(json.dumps(dict.fromkeys(PAIR_METRICS, 1.0)))
    again = measured(settings, tmp_path / "work")
    assert again["each"]["0"] == whole["each"]["0"]
    assert again["each"]["1"] == dict.fromkeys(PAIR_METRICS, 1.0)
    first.write_text(before)
    assert measured(settings, tmp_path / "work") == whole
    with pytest.raises(ValueError, match=r"other options \(seed: 0, now 1"):
        PairedEvaluation(replace(settings, seed=1), tmp_path / "work")


def test_pairs_have_one_name(tmp_path):
    points = clouds(0)
    a, b = tmp_path / "a", tmp_path / "b"
    write(a, {"one": points[0], "more/two": points[1]})
    write(b, {"more/two": trimesh.creation.box(), "one": points[0]})
    pairs = match_pairs(a, b)
    assert [(p.name, p.reference.suffix) for p in pairs] == [("more/two", ".ply"), ("one", ".npy")]
    np.save(b / "three.npy", points[2])
    with pytest.raises(ValueError, match=r"three\.npy has no partner named 'three' in .*a \(1 of"):
        match_pairs(a, b)
    np.save(a / "three.npy", points[2])
    np.savetxt(a / "three.xyz", points[2])
    with pytest.raises(ValueError, match=r"three\.npy and .*three\.xyz have one name"):
        match_pairs(a, b)
    for folder in ("c", "d"):
        (tmp_path / folder).mkdir()
    with pytest.raises(ValueError, match="hold no shapes"):
        match_pairs(tmp_path / "c", tmp_path / "d")


def test_of_many_pairs_a_choice_is_measured(tmp_path, settings):
    report = measured(replace(settings, num=2), tmp_path / "work")
    assert report["pairs"] == 2
    whole = measured(settings, tmp_path / "whole")["each"]
    assert all(report["each"][name] == whole[name] for name in report["each"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num": 0}, "--num must be at least 1"),
        ({"points": 0}, "--points must be at least 1"),
        ({"emd_points": NUM + 1}, "between 0 and --points"),
        ({"normalise": "global"}, "none, box, sphere with --paired"),
    ],
)
def test_settings_out_of_range_are_refused(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(settings, **changes)


def test_files_that_cannot_be_measured_are_named(tmp_path, settings):
    (pair, *_) = match_pairs(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ValueError, match=r"a/0\.npy: expected at least 8 points"):
        measure_pair(replace(settings, points=8), pair)
    np.save(pair.reference, np.ones((NUM, 3)))
    with pytest.raises(ValueError, match=r"b/0\.npy: a shape without extent"):
        measure_pair(replace(settings, normalise="box"), pair)


def test_a_bad_file_of_a_pair_is_named_and_the_others_are_measured(tmp_path, settings):
    np.save(f"{settings.samples}/1.npy", np.full((NUM, 3), np.inf))
    report = measured(settings, tmp_path / "work")
    assert sorted(report["each"]) == ["0", "2"]
    assert report["pairs"] == 2
    assert "a/1.npy: " in report["refused"]["1"]
    assert "finite" in report["refused"]["1"]
    assert any(line.startswith("refused: ") for line in summary_of_pairs(report))
    for i in (0, 2):
        np.save(f"{settings.samples}/{i}.npy", np.full((NUM, 3), np.inf))
    with pytest.raises(ValueError, match=r"all 3 pairs were refused; .*a/0\.npy"):
        measured(settings, tmp_path / "again")

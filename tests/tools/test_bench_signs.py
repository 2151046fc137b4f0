"""The two tests of the signs' benchmark: right on a box, unsure or silent elsewhere."""

import numpy as np
import pytest
import trimesh

from geoflow_tools.bench import signs
from geoflow_tools.bench.signs import SignsBenchmark, parity_and_visibility

pytest.importorskip("open3d")


def test_both_tests_know_a_box_and_differ_on_a_hollow_one():
    box = trimesh.creation.box(extents=[1.6, 1.2, 2.0])
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (500, 3))
    inside = (np.abs(points) < [0.8, 0.6, 1.0]).all(1)
    parity, visibility, _ = parity_and_visibility(box, rng)(points)
    np.testing.assert_array_equal(parity > 0, inside)
    np.testing.assert_array_equal(visibility > 0, inside)
    hollow = trimesh.util.concatenate([box, trimesh.creation.box(extents=[1.0, 1.0, 1.0])])
    parity, visibility, _ = parity_and_visibility(hollow, rng)(np.zeros((1, 3)))
    assert (parity[0], visibility[0]) == (-1, 1)


def test_faces_that_come_twice_are_crossed_once():
    box = trimesh.creation.box(extents=[1.6, 1.2, 2.0])
    twice = trimesh.Trimesh(
        box.vertices, np.concatenate([box.faces, box.faces[:, ::-1]]), process=False
    )
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    told = [parity_and_visibility(mesh, np.random.default_rng(1))(points) for mesh in (box, twice)]
    np.testing.assert_array_equal(*(parity for parity, _, _ in told))
    np.testing.assert_array_equal(*(visibility for _, visibility, _ in told))


def test_what_a_few_rays_miss_is_asked_with_many(monkeypatch):
    """Through a hole of a thirtieth of the sky, 48 rays often miss it, and 256 do not."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    ball.update_faces(ball.triangles_center[:, 1] < 0.93)
    inside = {}
    for many in (256, 48):
        monkeypatch.setattr(signs, "_MANY", many)
        told = [parity_and_visibility(ball, np.random.default_rng(s)) for s in range(20)]
        inside[many] = sum(int(test(np.zeros((1, 3)))[1][0] > 0) for test in told)
    assert inside[256] == 0
    assert inside[48] > 1


def test_what_is_seen_through_a_crack_is_not_outside():
    """Between two skins: through a hundredth of the sky, and through a quarter of it."""
    for above, expected in ((0.98, 0.0), (0.5, 1.0)):
        skins = []
        for radius in (1.0, 0.9):
            skin = trimesh.creation.icosphere(subdivisions=4)
            skin.update_faces(skin.triangles_center[:, 1] < above)
            skins.append(skin.apply_scale(radius))
        ball = trimesh.util.concatenate(skins)
        found = []
        for seed in range(12):
            told = parity_and_visibility(ball, np.random.default_rng(seed))(np.zeros((1, 3)))
            assert told[0][0] == -1
            found.append(told[1][0] == -1)
        assert np.mean(found) == pytest.approx(expected, abs=0.2)


def test_folder_is_judged_and_refusals_are_named(tmp_path, monkeypatch):
    box = trimesh.creation.box(extents=[1.6, 1.2, 2.0])
    box.invert()
    box.export(tmp_path / "box.ply")
    (tmp_path / "broken.ply").write_bytes(b"this is no mesh")
    records = tmp_path / "records.jsonl"
    benchmark = SignsBenchmark(tmp_path, points=1000, records=records)
    report = benchmark.measure()
    # What is recorded is not judged again.
    monkeypatch.setattr(signs, "read_mesh", None)
    assert benchmark.measure() == report
    assert len(records.read_text().splitlines()) == 2
    assert list(SignsBenchmark(tmp_path).measure()["crashed"]) == ["box.ply", "broken.ply"]
    assert report["meshes"] == 2
    assert report["crashed"] == {}
    assert list(report["refused"]) == ["broken.ply"]
    assert report["methods"] == {"winding": 1}
    assert report["points"] >= 1000
    assert report["right"] == report["right_distance"] == 1.0
    assert report["more_than_3_percent_wrong"] == report["fewer_points_than_asked"] == []
    np.testing.assert_allclose(report["volume_ratio_quantiles_50_90"], 1.0)

"""Evaluation of sets: its sources, its work folder, and what it says at the two extremes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from tiny_models import tiny_models

from geoflow.atomic import DamagedError
from geoflow.geometry.metrics import chamfer_distance_squared, earth_movers_distance
from geoflow.geometry.points import write_points
from geoflow.models.kinds import load
from geoflow.models.latent import Detail
from geoflow_tools.evaluation import distances, generation, nearest
from geoflow_tools.evaluation.evaluation import Evaluation, Settings
from geoflow_tools.evaluation.report import summary
from geoflow_tools.evaluation.shapes import choose_shapes, draw_points, read_shape


def ellipsoids(num, seed, num_points=48):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(num, num_points, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return directions * rng.uniform(0.3, 1.5, (num, 1, 3))


def write(folder, clouds):
    folder.mkdir()
    for i, points in enumerate(clouds):
        np.save(folder / f"{i:03d}.npy", points)
    return str(folder)


def measured(settings, folder):
    evaluation = Evaluation(settings, folder)
    for _ in evaluation.run():
        pass
    return evaluation.report()


@pytest.fixture
def settings(tmp_path):
    samples = write(tmp_path / "samples", ellipsoids(6, 0))
    reference = write(tmp_path / "reference", ellipsoids(5, 1))
    return Settings(reference, samples=samples, num=5, points=40, emd_points=8, normalise="none")


@pytest.fixture
def counted(monkeypatch):
    """Counts of the distances that are computed, by kind."""
    counts = {"chamfer": 0, "emd": 0}

    def counting(name, measure):
        def count(*given):
            counts[name] += 1
            return measure(*given)

        return count

    chamfer = distances.KINDS["chamfer"]
    chamfer = replace(chamfer, measure=counting("chamfer", chamfer.measure))
    monkeypatch.setitem(distances.KINDS, "chamfer", chamfer)
    monkeypatch.setattr(nearest, "transport", counting("emd", nearest.transport))
    return counts


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (lambda: ellipsoids(40, 2), 0.3, 0.7),
        (lambda: np.random.default_rng(3).normal(scale=2.0, size=(40, 48, 3)), 0.95, 1.0),
    ],
    ids=["the other half", "noise"],
)
def test_one_nna_is_half_on_halves_of_one_set_and_one_on_noise(tmp_path, make, low, high):
    reference = ellipsoids(40, 4)
    settings = Settings(
        write(tmp_path / "reference", reference), samples=write(tmp_path / "samples", make()),
        num=40, points=48, emd_points=48, normalise="none",
    )  # fmt: skip
    metrics = measured(settings, tmp_path / "work")["metrics"]
    for name in ("chamfer", "chamfer_squared", "emd"):
        assert low <= metrics[name]["one_nna"]["value"] <= high


def test_numbers_are_those_of_plain_loops(tmp_path):
    """Clouds of exactly --points points are compared whole, whatever their order."""
    a, b = ellipsoids(4, 5, 16), ellipsoids(4, 6, 16)
    settings = Settings(
        write(tmp_path / "b", b), samples=write(tmp_path / "a", a),
        num=4, points=16, emd_points=16, normalise="none",
    )  # fmt: skip
    metrics = measured(settings, tmp_path / "work")["metrics"]
    for name, distance in (
        ("chamfer_squared", chamfer_distance_squared), ("emd", earth_movers_distance),
    ):  # fmt: skip
        between = np.array([[distance(x, y) for y in b] for x in a])
        expected = between.min(0).mean()
        assert metrics[name]["minimum_matching_distance"]["value"] == pytest.approx(expected)
        assert metrics[name]["coverage"]["value"] == len(set(between.argmin(1))) / 4


def test_files_that_point_up_along_z_are_turned(tmp_path):
    clouds = ellipsoids(3, 5, 16)
    a = write(tmp_path / "a", clouds)
    b = write(tmp_path / "b", clouds @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]))
    settings = Settings(b, samples=a, num=3, points=16, emd_points=0, normalise="none")

    def distance(name, **up):
        metrics = measured(replace(settings, **up), tmp_path / name)["metrics"]
        return metrics["chamfer"]["minimum_matching_distance"]["value"]

    assert distance("turned", reference_up="z") == pytest.approx(0.0, abs=1e-12)
    # Twins: as they are, and both turned.
    assert min(distance("plain"), distance("both", up="z")) > 0.1


def test_no_distance_is_computed_twice(tmp_path, settings, counted):
    measured(settings, tmp_path / "work")
    before = dict(counted)
    assert before["chamfer"] == 45
    assert 0 < before["emd"] <= 45
    measured(settings, tmp_path / "work")
    assert counted == before


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, settings, counted, monkeypatch):
    monkeypatch.setattr(nearest, "_OF_A_FILE", 1)
    expected = measured(settings, tmp_path / "whole")["metrics"]
    needed = counted["emd"]
    run = Evaluation(settings, tmp_path / "work").run()
    for progress in run:
        if progress.stage.startswith("emd") and progress.done:
            break
    run.close()
    (path,) = (tmp_path / "work" / "distances").glob("emd-*.npy")
    solved = int(np.load(path)[:, 3].sum())
    assert 0 < solved < needed
    before = dict(counted)
    assert measured(settings, tmp_path / "work")["metrics"] == expected
    assert counted["chamfer"] == before["chamfer"]
    assert counted["emd"] - before["emd"] <= 45 - solved
    found = tmp_path / "work" / "distances" / "emd.npz"
    found.write_bytes(found.read_bytes()[:100])
    with pytest.raises(DamagedError, match=r"emd\.npz is damaged"):
        measured(settings, tmp_path / "work")
    found.unlink()
    np.save(path, np.load(path) + 0.5)
    with pytest.raises(DamagedError, match="answers must be of shapes 0 to 9"):
        measured(settings, tmp_path / "work")


def test_other_options_or_files_are_refused(tmp_path, settings):
    measured(settings, tmp_path / "work")
    with pytest.raises(ValueError, match=r"other options.*emd_points: 8, now 7"):
        Evaluation(replace(settings, emd_points=7), tmp_path / "work")
    for i in range(6):
        np.save(f"{settings.samples}/{i:03d}.npy", ellipsoids(1, 99, 50)[0])
    with pytest.raises(ValueError, match=r"other options.*content"):
        Evaluation(settings, tmp_path / "work")
    with pytest.raises(ValueError, match="in the way"):
        Evaluation(settings, tmp_path / "samples")


def test_wrong_sources_are_named(tmp_path, settings):
    with pytest.raises(ValueError, match=r"asks for 9 shapes, .*samples holds 6"):
        Evaluation(replace(settings, num=9), tmp_path / "a")
    with pytest.raises(ValueError, match="folder or one of chair, table"):
        Evaluation(replace(settings, reference="boat"), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match=r"\.npy: expected at least 49 points .*, got 48"):
        measured(replace(settings, points=49), tmp_path / "b")
    broken = np.full((48, 3), np.nan)
    for i in range(6):
        np.save(f"{settings.samples}/{i:03d}.npy", broken)
    with pytest.raises(ValueError, match=r"samples/00\d\.npy.*finite"):
        measured(settings, tmp_path / "c")


def test_a_bad_file_is_left_out_and_named(tmp_path, settings):
    """Another file stands in for it where there is one, else the set is smaller."""
    np.save(f"{settings.samples}/003.npy", np.full((48, 3), np.nan))
    np.save(f"{settings.reference}/001.npy", np.zeros((3, 3)))
    (tmp_path / "samples" / "._000.npy").write_bytes(b"no cloud")
    report = measured(settings, tmp_path / "work")
    assert report["shapes"] == {"samples": 5, "empty": 0, "reference": 4}
    refused = report["refused"]
    assert len(refused["samples"]) <= 1
    assert "001.npy: expected at least 40 points" in refused["reference"][0]
    assert any("refused of reference: " in line for line in summary(report))
    whole = replace(settings, num=6, reference=settings.samples)
    report = measured(whole, tmp_path / "whole")
    assert report["shapes"] == {"samples": 5, "empty": 0, "reference": 5}
    assert "003.npy: " in report["refused"]["samples"][0]
    assert "finite" in report["refused"]["samples"][0]
    assert measured(whole, tmp_path / "whole") == report


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": None}, "either --samples or --model"),
        ({"model": "chair"}, "either --samples or --model"),
        ({"num": 1}, "--num must be at least 2"),
        ({"points": 0}, "--points must be at least 1"),
        ({"emd_points": 41}, "between 0 and --points"),
        ({"normalise": "cube"}, "none, box, sphere, global"),
    ],
)
def test_settings_out_of_range_are_refused(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(settings, **changes)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".off", ".glb"])
def test_mesh_files_are_meshes_with_their_vertices_merged(tmp_path, suffix):
    path = tmp_path / f"box{suffix}"
    trimesh.creation.box().export(path)
    mesh = read_shape(path)
    assert (len(mesh.vertices), len(mesh.faces)) == (8, 12)
    points = draw_points(mesh, 500, seed=1, source="box")
    np.testing.assert_allclose(np.abs(points).max(1), 0.5, atol=1e-7)
    assert (points != draw_points(mesh, 500, seed=2, source="box")).any()


@pytest.mark.parametrize("suffix", [".ply", ".xyz", ".npy", ".npz"])
def test_point_files_are_points(tmp_path, suffix):
    points = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    path = tmp_path / f"cloud{suffix}"
    write_points([points], path, num=30, channels=("position", "normal"))
    read = read_shape(path)
    np.testing.assert_allclose(read, points[:, :3], rtol=1e-5)
    drawn = draw_points(read, 10, seed=0, source="cloud")
    assert len({tuple(p) for p in drawn} & {tuple(p) for p in read}) == 10


def test_unreadable_files_are_named(tmp_path):
    for name, content in (("a.npz", b"no"), ("b.obj", b""), ("c.npy", b"x"), ("d.xyz", b"1 2")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_shape(tmp_path / name)


def test_more_files_than_num_are_drawn_from_alike(tmp_path):
    folder = tmp_path / "samples"
    write(folder, ellipsoids(6, 0))
    chosen, others = choose_shapes(folder, 3, seed=0)
    assert (chosen, others) == choose_shapes(folder, 3, seed=0)
    assert sorted([*chosen, *others]) == sorted(folder.iterdir())
    assert len({tuple(choose_shapes(folder, 3, seed=s)[0]) for s in range(8)}) > 1


def test_samples_without_a_surface_count_against_the_model(tmp_path, settings, monkeypatch):
    """A model's samples are made once, and each is the same in a resumed run."""
    asked = []

    def sample(index):
        asked.append(index)
        if index == 1:
            return None
        return trimesh.creation.box(extents=[1.0, 1.0 + index, 0.5])

    monkeypatch.setattr(generation, "open_sampler", lambda *_, **__: sample)
    settings = replace(settings, samples=None, model="chair")
    report = measured(settings, tmp_path / "work")
    assert asked == [0, 1, 2, 3, 4]
    assert report["shapes"] == {"samples": 4, "empty": 1, "reference": 5}
    for name in ("watertight", "edge_manifold", "single_component"):
        assert report["metrics"][name]["value"] == 0.8
    assert "1 more without a surface" in summary(report)[0]
    (tmp_path / "work" / "samples" / "00003.ply").unlink()
    (tmp_path / "work" / "samples.npz").unlink()
    assert json.dumps(measured(settings, tmp_path / "work")) == json.dumps(report)
    assert asked == [0, 1, 2, 3, 4, 3]


def test_a_model_is_sampled_by_its_jumps_or_along_its_ode(tmp_path):
    tiny_models()["points"].save_pretrained(tmp_path / "model")
    model = load(tmp_path / "model")
    given = {"steps": 3, "seed": 5, "resolution": 16, "points": 32, "category": "pebble"}
    found = {}
    for ode in (False, True):
        sample = generation.open_sampler(str(tmp_path / "model"), **given, ode=ode, device="cpu")
        tokens = model.sample_latents(
            model.noise(1, seed=5, first=2),
            model.condition(1, category="pebble"),
            steps=3,
            ode=ode,
        )
        (expected,) = model.shapes(tokens, Detail(16, 32), steps=3, seed=5, first=2, ode=ode)
        found[ode] = np.asarray(sample(2).vertices)
        np.testing.assert_array_equal(found[ode], expected.vertices)
    assert not np.allclose(found[True], found[False], rtol=1e-3)

"""`geoflow evaluate` as a user meets it."""

import importlib
import json

import numpy as np
import pytest
import trimesh
from command import geoflow

from geoflow.geometry import metrics
from geoflow_cli import budget, main

FAST = ("--num", 8, "--points", 64, "--emd-points", 16, "--no-progress")


@pytest.fixture
def folders(tmp_path):
    """Eight boxes as meshes of every kind and eight clouds."""
    rng = np.random.default_rng(0)
    (tmp_path / "samples").mkdir()
    (tmp_path / "reference").mkdir()
    suffixes = [".obj", ".ply", ".stl", ".off", ".glb"]
    for i in range(8):
        box = trimesh.creation.box(extents=rng.uniform(0.5, 1.5, 3))
        if i == 0:
            box.update_faces(np.arange(12) > 0)
        box.export(tmp_path / "samples" / f"{i}{suffixes[i % 5]}")
        other = trimesh.creation.box(extents=rng.uniform(0.5, 1.5, 3))
        np.save(tmp_path / "reference" / f"{i}.npy", other.sample(80, seed=i))
    return tmp_path


def test_two_folders_give_a_report_and_a_line_per_metric(folders):
    command = ("evaluate", "--samples", "samples", "--reference", "reference", *FAST)
    result = geoflow(*command, "--out", "report.json", cwd=folders)
    assert result.returncode == 0, result.stderr
    for words in ("8 samples against 8 references", "normalisation: box", "CD, squared", " ± ",
                  "EMD, exact, unsquared, 16 of the points", "JSD", "watertight: 87.5 ± 11.7 %",
                  "single component: 100.0", "report.json: report written"):  # fmt: skip
        assert words in result.stdout
    report = json.loads((folders / "report.json").read_text())
    assert set(report["metrics"]) == {
        "chamfer_squared", "chamfer", "emd", "jsd", "watertight", "edge_manifold",
        "single_component",
    }  # fmt: skip
    assert report["options"]["num"] == 8
    other = geoflow(*command, "--normalise", "none", "--out", "report.json", cwd=folders)
    assert other.returncode == 2
    assert "was started with other options (normalise: 'box', now 'none')" in other.stderr


@pytest.mark.slow
def test_a_model_is_sampled_against_its_test_split(tmp_path):
    command = ("evaluate", "--model", "chair", "--reference", "chair", "--num", 2, "--points", 64,
               "--emd-points", 0, "--resolution", 24, "--device", "cpu")  # fmt: skip
    result = geoflow(*command, "--out", "report.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "2 samples against 2 references" in result.stdout
    assert "EMD: left out" in result.stdout
    assert "samples" in result.stderr  # the bar
    kept = sorted((tmp_path / "report.json.parts" / "samples").iterdir())
    assert [path.name for path in kept] == ["00000.ply", "00001.ply"]


@pytest.mark.parametrize(("num_points", "minutes"), [(512, 13), (2048, 13 * 32)])
def test_what_exact_emd_takes_is_said_before_it_begins(monkeypatch, capsys, num_points, minutes):
    """Two cores, and 20 ms of 512 points: 79,800 pairs are 798 s, as many of four times the
    points 32 times that, of which only the small are rehearsed."""
    passed, sizes = [0.0], []

    def takes(a, b):
        sizes.append((len(a), len(b)))
        passed[0] += 0.02

    monkeypatch.setattr(budget.time, "perf_counter", lambda: passed[0])
    command = importlib.import_module("geoflow_cli.evaluate")
    monkeypatch.setattr(command.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(metrics, "earth_movers_distance", takes)
    foresee = command._foresee_emd
    foresee(79_800, num_points)
    time = f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
    assert capsys.readouterr().err == (
        f"geoflow: exact EMD of about 79,800 pairs of {num_points:,} points "
        f"(--emd-points 0 leaves it out) will take about {time}\n"
    )
    assert sizes == [(512, 512)] * 8
    # Twins: few pairs, none.
    foresee(45, num_points)
    foresee(0, 0)
    assert (len(sizes), capsys.readouterr().err) == (8, "")


WRONG = {
    "neither": ((), "either --samples or --model"),
    "too few": (("--samples", "samples", "--num", 9), "samples holds 8"),
    "steps of files": (("--samples", "samples", "--steps", 4), "--steps does not go with"),
    "ode of files": (("--samples", "samples", "--ode"), "--ode does not go with"),
    "out": (("--samples", "samples", "--out", "report.txt"), "must end in .json"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_one_line_and_code_2(folders, name):
    arguments, message = WRONG[name]
    before = sorted(folders.iterdir())
    out = () if "--out" in arguments else ("--out", "report.json")
    command = ("evaluate", "--reference", "reference", *FAST, *out, *arguments)
    result = geoflow(*command, cwd=folders)
    assert result.returncode == 2, result.stdout + result.stderr
    (line,) = result.stderr.splitlines()
    assert message in line
    assert sorted(folders.iterdir()) == before


def test_a_missing_model_is_a_failure(tmp_path):
    command = ("evaluate", "--model", "none", "--reference", "chair", "--num", 2)
    result = geoflow(*command, "--out", "report.json", cwd=tmp_path)
    assert result.returncode == 1
    assert "expected a folder with model.safetensors" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_pairs_of_files_give_a_report_of_reconstructions(folders, capsys):
    """Boxes against points of themselves: near by every metric that clouds have."""
    for path in (folders / "reference").iterdir():
        (mesh,) = (folders / "samples").glob(f"{path.stem}.*")
        np.save(path, trimesh.load_mesh(mesh).sample(80, seed=1))
    command = ("evaluate", "--paired", "--samples", folders / "samples", "--reference",
               folders / "reference", *FAST, "--out", folders / "report.json")  # fmt: skip
    assert main([str(word) for word in command]) == 0
    said = capsys.readouterr().out
    for words in ("8 pairs, 64 points each, normalisation by the reference: box", "CD, squared",
                  "EMD, exact, unsquared, 16 of the points: ", "F-score at 0.02: ", " ± ",
                  "volume IoU: left out", "normal consistency: left out"):  # fmt: skip
        assert words in said
    report = json.loads((folders / "report.json").read_text())
    assert set(report["each"]) == {str(i) for i in range(8)}
    assert report["metrics"]["chamfer"]["value"] < 0.3
    for wrong, message in (
        ((*command[:2], "--model", "chair", *command[4:]), "--paired compares files with files"),
        ((*command, "--normalise", "global"), "a pair is placed by its reference"),
        ((*command[:-1], folders / "other.json", "--steps", 4), "--steps does not go with"),
    ):
        assert main([str(word) for word in wrong]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not (folders / "other.json.parts").exists()

"""The benchmark of solids: a shipped model's are solids in every file, and it sees what is none."""

from dataclasses import replace

import pytest
import trimesh

from geoflow.geometry.mesh import OUT_SUFFIXES
from geoflow_tools.bench.solids import SolidsBenchmark, faults, faults_in_files


def test_samples_are_solids_in_every_file_and_by_number(tmp_path, monkeypatch):
    records = tmp_path / "records.jsonl"
    few = SolidsBenchmark(num=1, resolution=32, faces=(16,), records=records).measure()
    assert few["checked"] == {"full": 1, "default": 1}
    bench = SolidsBenchmark(num=2, resolution=32, faces=(16, 500), records=records)
    report = bench.measure()
    assert report["no_solids"] == {}
    assert report["checked"] == {"full": 2, "default": 2, "500": 2, "16": 1}
    faces = report["median_faces"]
    assert faces["500"] <= 500 < faces["default"] < faces["full"]
    assert list(report["refused"]["16"]) == [0]
    # All of it is in the records: nothing is made again. Other samples are.
    monkeypatch.setattr(SolidsBenchmark, "_extracted", None)
    assert bench.measure() == report
    with pytest.raises(TypeError):
        replace(bench, seed=1).measure()


def test_models_without_meshes_are_refused():
    with pytest.raises(ValueError, match="airplane is a model of clouds of points"):
        SolidsBenchmark(model="airplane", num=1).measure()


def test_faults_are_named():
    ball = trimesh.creation.icosphere()
    assert faults(ball) == []
    assert faults_in_files(ball) == {}
    opened = trimesh.Trimesh(ball.vertices, ball.faces[1:], process=False)
    assert "an edge not in two faces" in faults(opened)
    pinched = ball.copy()
    pinched.vertices[pinched.faces[0, 0]] = pinched.vertices[pinched.faces[0, 1]] + 1e-8
    assert "two vertices at one place" in faults(pinched)
    assert set(faults_in_files(pinched)) == set(OUT_SUFFIXES)

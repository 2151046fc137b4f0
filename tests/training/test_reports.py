"""Logs, plots and event files of a run: whole after any kill, and nothing but the log's numbers."""

import json
import sys

import numpy as np
import pytest
import torch
import trimesh

from geoflow.models.checkpoint import load_checkpoint
from geoflow.training.log import append_report, read_log
from geoflow.training.plots import draw_plots, quality_figure, save_figure, training_figure
from geoflow_cli import main

QUALITY = {"measure": "distance", "evaluations": {"1": 0.4, "8": 0.2}, "ode": 0.1,
           "floor": 0.05, "errors": {"1": 0.03, "floor": 0.01}, "to_ode": {"1": 0.3, "8": 0.2},
           "ode_steps": 50}  # fmt: skip


def report(step, stage="flow", **more):
    return {"stage": stage, "step": step, "loss": 1 / step, "map": 2 / step, "seconds": 9.0} | more


def write(path, reports):
    for line in reports:
        append_report(path, line)
    return read_log(path)


def test_a_resumed_log_is_that_of_an_uninterrupted_run(tmp_path):
    """Steps 300 and 400 were made twice, and half of a line was written between."""
    whole = write(tmp_path / "whole", [report(100 * i) for i in range(1, 7)])
    path = tmp_path / "broken"
    write(path, [report(100), report(200), report(300, loss=7.0), report(400, loss=8.0)])
    with path.open("a") as file:
        file.write('{"stage": "flow", "step": 500, "lo')
    resumed = write(path, [report(100 * i) for i in range(3, 7)])
    assert resumed == whole
    # Without the second half there are gaps, and the first tries stay.
    torn = tmp_path / "torn"
    torn.write_text("\n".join(path.read_text().splitlines()[:5]))
    assert [(r["step"], r["loss"]) for r in read_log(torn)["flow"]][2:] == [(300, 7.0), (400, 8.0)]


def test_curves_are_the_numbers_of_the_log_on_an_axis_that_fits():
    reports = [report(step, validation_iou=0.8 + step / 1e4) for step in (100, 200, 400, 800)]
    stages = {"autoencoder": reports, "flow": [report(9, loss=-1.0), report(10)]}
    loss, iou, signed, empty = training_figure(stages).axes
    assert [line.get_label() for line in loss.lines] == ["loss", "map"]
    np.testing.assert_array_equal(loss.lines[0].get_xdata(), [100, 200, 400, 800])
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [r["loss"] for r in reports])
    np.testing.assert_array_equal(iou.lines[0].get_ydata(), [r["validation_iou"] for r in reports])
    assert [axis.get_yscale() for axis in (loss, iou, signed)] == ["log", "linear", "linear"]
    assert not empty.axison


def test_quality_is_drawn_by_evaluations_for_each_validation():
    worse = QUALITY | {"evaluations": {"1": 0.8, "8": 0.6}}
    stages = {"flow": [report(100, quality=worse), report(200), report(300, quality=QUALITY)]}
    axis, to_ode = quality_figure(stages).axes
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines]
    assert drawn[0] == ([1, 8], [0.8, 0.6])
    assert drawn[2] == ([1, 8], [0.4, 0.2])
    assert drawn[3] == ([50], [0.1])
    assert [line.get_label() for line in axis.lines[::2]] == ["step 100", "step 300", "data"]
    assert list(to_ode.lines[-1].get_ydata()) == [0.3, 0.2]
    bars = [bar.get_segments()[0][:, 1] for bar in axis.collections]
    np.testing.assert_allclose(bars, [[0.37, 0.43], [0.2, 0.2], [0.1, 0.1]])
    alone = QUALITY | {"errors": {}, "to_ode": {}, "floor": None}
    (axis,) = quality_figure({"flow": [report(100, quality=alone)]}).axes
    assert "data" not in [line.get_label() for line in axis.lines]
    assert quality_figure({"flow": [report(200)]}) is None


def test_plots_are_a_function_of_the_log(tmp_path):
    files = {}
    for name, steps in (("a", (1, 2)), ("b", (1, 2)), ("c", (1, 3))):
        folder = tmp_path / name
        folder.mkdir()
        write(folder / "log.jsonl", [report(step, quality=QUALITY) for step in steps])
        files[name] = {path.name: path.read_bytes() for path in draw_plots(folder)}
    names = ["quality.json", "quality.png", "quality.svg", "training.png", "training.svg"]
    assert sorted(files["a"]) == names
    assert files["a"] == files["b"]
    assert all(files["a"][name] != files["c"][name] for name in names)
    (first, last) = json.loads(files["c"]["quality.json"])
    assert last == {"stage": "flow", "step": 3} | QUALITY
    assert first["step"] == 1
    with pytest.raises(ValueError, match=r"a plot ends in one of \.png, \.svg"):
        save_figure(training_figure({"flow": [report(1)]}), tmp_path / "a.pdf")


@pytest.fixture
def ring(tmp_path):
    trimesh.creation.torus(1.0, 0.3).export(tmp_path / "ring.obj")

    def train(name, *more):
        words = ("train", "--representation", "distribution", "--data", tmp_path / "ring.obj",
                 "--no-progress", "--device", "cpu", "--steps", 4)  # fmt: skip
        code = main([str(word) for word in (*words, "--out", tmp_path / name, *more)])
        return code, tmp_path / name

    return train


def weights(folder):
    return load_checkpoint(folder / "model" / "model.safetensors")[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_validation_is_logged_drawn_and_changes_no_weight(ring):
    """Events hold the numbers of the log; the weights are those of a run without any."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    code, full = ring("full", "--sheet-every", 2, "--log", "tensorboard")
    assert code == 0
    _, bare = ring("bare", "--sheet-every", 0)
    _, other = ring("other", "--sheet-every", 0, "--seed", 1)
    a, b, c = (weights(folder) for folder in (full, bare, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
    reports, fitted = read_log(full / "log.jsonl").values()
    assert [report["step"] for report in fitted] == [1]
    assert [report["step"] for report in reports] == [2, 4]
    assert list(reports[-1]["quality"]["evaluations"]) == ["1", "2", "4", "8"]
    assert (full / "plots" / "quality.png").read_bytes().startswith(b"\x89PNG")
    events = accumulator.EventAccumulator(str(full / "tensorboard" / "distribution"))
    events.Reload()
    for name, of in (("loss", lambda r: r["loss"]), ("quality/ode", lambda r: r["quality"]["ode"])):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [2, 4]
        np.testing.assert_allclose([v for _, v in found], [of(r) for r in reports], rtol=1e-6)
    # Without validation: the curves alone, and no event files.
    assert sorted(path.name for path in (bare / "plots").iterdir()) == [
        "training.png",
        "training.svg",
    ]
    assert not (bare / "tensorboard").exists()


@pytest.mark.parametrize(
    ("module", "words", "message"),
    [
        ("torch.utils.tensorboard", ("--log", "tensorboard"), "'geoflow[tensorboard]'"),
        ("matplotlib.figure", (), "pip install matplotlib"),
    ],
)
def test_a_missing_package_is_named_before_training(
    ring, monkeypatch, capsys, module, words, message
):
    monkeypatch.setitem(sys.modules, module, None)
    code, folder = ring("run", *words)
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not folder.exists()

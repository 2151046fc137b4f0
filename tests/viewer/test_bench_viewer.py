"""The viewer's benchmark counts what a session shows; its times are not asserted."""

import pytest

from geoflow_tools.bench.viewer import ViewerBenchmark


def test_every_move_is_answered_on_every_rung_and_a_drag_on_its_way(generator, tmp_path):
    generator.save_pretrained(tmp_path / "tiny")
    model = str(tmp_path / "tiny")
    report = ViewerBenchmark(model=model, seeds=1, rungs=1, drag_seconds=1.0).measure()
    assert list(report["seconds_after_a_move"]) == ["64³"]
    for seconds in report["seconds_after_a_move"].values():
        assert 0 < seconds["median"] <= seconds["slowest"]
    drag = report["drag"]
    assert drag["events"] == 30
    assert 1 <= drag["shapes"] <= drag["events"]


def test_a_model_that_shows_nothing_ends_the_benchmark(tmp_path):
    with pytest.raises(RuntimeError, match="shows nothing"):
        ViewerBenchmark(model=str(tmp_path)).measure()


@pytest.mark.parametrize("options", [{"seeds": 0}, {"rungs": 0}, {"rungs": 4}, {"drag_seconds": 0}])
def test_nothing_to_measure_is_refused(options):
    with pytest.raises(ValueError, match=r"expected seeds|a drag needs"):
        ViewerBenchmark(**options)

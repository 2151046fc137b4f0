"""Steps of both stages are timed as they are written and fused; their times are not asserted."""

from geoflow_tools.bench.steps import StepsBenchmark


def test_both_stages_are_timed_both_ways(monkeypatch):
    monkeypatch.setattr("geoflow_tools.bench.steps._NUM_SHAPES", 4)
    monkeypatch.setattr("torch.compile", lambda forward, **_: forward)
    report = StepsBenchmark(batch=2, repeats=2).measure()
    for stage in ("autoencoder", "flow"):
        found = report[stage]
        assert set(found["median_seconds"]) == {"given back", "written", "fused"}
        assert found["given back / written"] > 0
        assert found["written / fused"] > 0
        assert found["first_steps_seconds"]["fused"] > 0

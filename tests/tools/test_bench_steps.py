"""Steps of both stages are timed as written, and fused where they can be; no time is asserted."""

from geoflow_tools.bench.steps import StepsBenchmark


def test_both_stages_are_timed_every_way(monkeypatch):
    monkeypatch.setattr("geoflow_tools.bench.steps._NUM_SHAPES", 4)
    monkeypatch.setattr("torch.compile", lambda forward, **_: forward)
    report = StepsBenchmark(batch=2, repeats=2).measure()
    for stage, names in (
        ("autoencoder", {"given back", "written"}),
        ("flow", {"given back", "written", "fused"}),
    ):
        found = report[stage]
        assert set(found["median_seconds"]) == set(found["over written"]) == names
        assert found["over written"]["written"] == 1.0
        assert set(found["first_steps_seconds"]) == names - {"given back"}

"""The benchmark measures what it says; its times are not asserted."""

import json
import subprocess
import sys
import time

import pytest

from geoflow_tools.bench.timing import median_seconds


def test_medians_take_turns_after_a_warm_up():
    calls = []
    seconds = median_seconds(
        {"short": lambda: calls.append("s"), "long": lambda: (calls.append("l"), time.sleep(0.02))},
        repeats=3,
    )
    assert "".join(calls) == "slslslsl"
    assert seconds["long"] > seconds["short"]
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        median_seconds({}, repeats=0)


def test_sample_benchmark_reports_ratios_and_queries(tmp_path):
    out = tmp_path / "report.json"
    command = [sys.executable, "-W", "ignore", "-m", "geoflow_tools.bench", "sample"]
    command += ["--resolution", "64", "--repeats", "1", "--batch", "4", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    report = json.loads(out.read_text())
    queries = report["field_queries"]
    assert queries["dense"] == 65**3
    assert 0 < queries["hierarchical"] < 0.5 * queries["dense"]
    assert report["ratios"]["dense / hierarchical"] > 0
    assert report["ratios"]["cumulative, average / flow matching"] > 0
    assert report["median_seconds"]["process"] > report["median_seconds"]["network"]

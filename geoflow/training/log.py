"""The log of a run: log.jsonl, one report a line, from which every plot is drawn.

A run that was killed and resumed makes some steps twice, and may have left half a line: of two
reports of one step the last counts, and what is no report is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME = "log.jsonl"
Report = dict[str, Any]
"""Stage, step, loss and whatever else was measured; of `quality`, a mapping (see the plots)."""


def append_report(path: Path, report: Report) -> None:
    """Add a line; after half a line of a killed run, on a line of its own."""
    with path.open("a+b") as file:
        start = b""
        if file.tell():
            file.seek(-1, 2)
            start = b"" if file.read() == b"\n" else b"\n"
        file.write(start + json.dumps(report).encode() + b"\n")


def read_log(path: Path) -> dict[str, list[Report]]:
    """Reports of each stage, in the order of their steps.

    Raises:
        OSError: if the file cannot be read.
    """
    stages: dict[str, dict[int, Report]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict) and isinstance(report.get("step"), int) and "stage" in report:
            stages.setdefault(report["stage"], {})[report["step"]] = report
    return {stage: [reports[step] for step in sorted(reports)] for stage, reports in stages.items()}

"""The log of a run: log.jsonl, one report a line, from which every plot is drawn.

A run that was killed and resumed makes some steps twice, and may have left half a line: of two
reports of one step the last counts, and what is no report is left out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

NAME = "log.jsonl"
Report = dict[str, Any]
"""Stage, step, loss and whatever else was measured; of `quality`, a mapping (see the plots)."""
# Steps, and numbers whose squares a plot still holds.
_MOST, _LARGEST = 2**53, 1e100


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
        if isinstance(report, dict) and _is_report(report):
            stages.setdefault(report["stage"], {})[report["step"]] = report
    return {stage: [reports[step] for step in sorted(reports)] for stage, reports in stages.items()}


def _is_report(said: dict[str, Any]) -> bool:
    """Whether everything that a plot reads of a line is there, and of the type that it must be."""
    words = {"stage", "step", "quality"}
    return (
        isinstance(said.get("stage"), str)
        and _is_count(said.get("step"))
        and "loss" in said
        and all(_is_number(value) for name, value in said.items() if name not in words)
        and ("quality" not in said or _is_quality(said["quality"]))
    )


def _is_quality(said: object) -> bool:
    if not isinstance(said, dict):
        return False
    counted = said.get("evaluations"), said.get("to_ode")
    errors, floor = said.get("errors"), said.get("floor", "missing")
    return (
        isinstance(said.get("measure"), str)
        and all(isinstance(found, dict) and _are_by_count(found) for found in counted)
        and isinstance(errors, dict)
        and all(map(_is_number, errors.values()))
        and (floor is None or _is_number(floor))
        and _is_number(said.get("ode"))
        and _is_count(said.get("ode_steps"))
    )


def _are_by_count(found: dict[str, Any]) -> bool:
    """Whether these are numbers by numbers of evaluations."""
    counts = all(re.fullmatch(r"[1-9]\d{0,8}", name) for name in found)
    return counts and all(map(_is_number, found.values()))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_number(value: object) -> bool:
    """Whether a plot can show it: NaN leaves a gap."""
    return type(value) in (int, float) and not abs(float(str(value))) > _LARGEST

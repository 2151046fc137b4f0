"""Tables of the ladder's reports."""

import json

import pytest

from geoflow_tools.bench.ladder_tables import ladder_tables
from geoflow_tools.bench.objectives import ObjectivesBenchmark


def row(energy, *, steps=(10,), rms=None, deviation=None):
    names = ("1", "2", "50 ode")
    found = {
        "training_steps": list(steps),
        "w2": dict.fromkeys(names, 2.0),
        "energy": dict(zip(names, energy, strict=True)),
        "one_nna": dict.fromkeys(names, 0.8),
        "one_nna_samples": dict.fromkeys(names, 0.6),
        "one_nna_references": dict.fromkeys(names, 1.0),
    }
    if rms is not None:
        found["rms"] = dict(zip(names, rms, strict=True))
    if deviation is not None:
        found["energy_deviation"] = dict.fromkeys(names, deviation)
    return found


def report(**rungs):
    return {"latents": {"floor": 1.5, "rungs": rungs}}


def names_of(text):
    return [line.split(" | ")[0].strip("| ") for line in text.splitlines()[4:]]


def test_rows_stand_in_the_order_of_two_evaluations():
    text = ladder_tables(
        report(
            far=row([0.1, 0.9, 0.2]),
            broken=row([0.1, None, 0.2]),
            near=row([0.5, 0.3, 0.2], steps=(1000, 1500)),
        )
    )
    assert names_of(text) == ["near", "far", "broken"]
    lines = text.splitlines()
    assert lines[0] == "latents, energy by evaluations; W2 of two draws: 1.500"
    assert lines[2].startswith("| objective, path, prediction | steps | 1 | 2 | 50 (ODE) |")
    near = "| near | 1,250 | 0.500 | 0.300 | 0.200 | 60 / 100 % | 60 / 100 % | 2.000 |"
    assert lines[4] == near
    assert "| none |" in lines[6]


def test_the_exact_map_comes_before_the_energy_distance():
    text = ladder_tables(
        report(
            one=row([0.1, 0.1, 0.1], rms=[0.3, 0.3, 0.3]),
            two=row([0.2, 0.2, 0.2], rms=[0.1, 0.1, 0.1]),
        )
    )
    assert names_of(text) == ["two", "one"]
    assert "rms" in text


def test_deviations_of_seeds_are_given():
    text = ladder_tables(report(one=row([0.1, 0.2, 0.3], deviation=0.0123)))
    assert "0.200 ± 0.012" in text


def test_an_earlier_report_is_tabulated_without_training(tmp_path):
    path, tables = tmp_path / "latents.json", tmp_path / "tables.md"
    data = report(one=row([0.1, 0.2, 0.3]))
    path.write_text(json.dumps({"data": data}))
    benchmark = ObjectivesBenchmark(report=path, tables=tables)
    assert benchmark.measure()["data"] == data
    assert tables.read_text() == ladder_tables(data)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"data": {}}', '{"data": {"a": {"rungs": {"b": {}}}}}']
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no report of bench objectives"):
        ObjectivesBenchmark(report=path).measure()
